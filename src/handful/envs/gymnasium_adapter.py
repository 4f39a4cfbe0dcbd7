"""A Gymnasium environment as a system to control, stepped on the host."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Float

from handful.envs.base import Frame
from handful.envs.gymnasium_task import (
    LearnedReward,
    LearnedTermination,
    action_space,
    attribute,
    info_keys,
    notes_of,
    probe,
    task_of,
)
from handful.envs.info import TaskInfo
from handful.envs.known_rewards import AbstractKnownReward
from handful.envs.known_tasks import is_bare, known_of
from handful.envs.screen import backend, chosen
from handful.errors import InputError
from handful.task import Task
from handful.user_code import answering, article, one_line, place_of

Answer = TypeVar("Answer")

MISSING = object()
GYMNASIUMS = "gymnasium.envs."  # the modules of Gymnasium's own tasks
REPLACED = "returns are of the reward that is given here, in place of the environment's own"
SCREENLESS = "no pictures are drawn, since there is neither a screen nor EGL (Debian: libegl1 and libgl1-mesa-dri)"


class GymnasiumEnv:
    """A `gymnasium.Env` with a flat `Box` of observations, and a bounded `Box` of actions or `Discrete` ones.

    `reward(obs, action, next_obs)` and `terminated(next_obs)` are what planners use, written with `jax.numpy`. They
    get the environment's own observation followed by the entries of a step's info that `info` names (zero at a reset),
    which models predict but do not take as inputs. A function that is left out is learned: the observation is extended
    by the last reward, or by whether the last step terminated, and the model predicts it like any other entry.
    Reported returns are the environment's own, unless `reward` replaces that of one of Gymnasium's tasks: then they are
    of the given one, and termination, names and angles that are not given are as known for that task. Discrete actions
    are one-hot vectors; the category with the greatest entry is taken, the first in a tie.

    The constructor resets the environment once and tries these functions.

    >>> import gymnasium
    >>> env = GymnasiumEnv(gymnasium.make("Pendulum-v1"), names=("cos", "sin", "speed [rad/s]"))
    >>> env.task.names
    ('cos', 'sin', 'speed [rad/s]', 'reward', 'terminated')
    >>> env.reset(seed=3).shape
    (5,)

    Raises `InputError` if a space is missing or of another kind, names or angles do not fit, or a given function
    cannot be used; in use, if the environment breaks Gymnasium's contract, raises, or returns values that are not
    finite.
    """

    task: Task
    notes: tuple[str, ...]  # sentences on what is learned or assumed

    def __init__(
        self,
        env: gymnasium.Env,
        *,
        reward: Any = None,  # these may come from a user's file, so their types are checked
        terminated: Any = None,
        names: Any = None,  # strings
        angles: Any = None,  # indices
        info: Any = (),  # strings
        memoryless: tuple[int, ...] = (),  # entries that models predict as they are and never take as inputs
        physics: Any = None,  # equations for a model; the environment does not use them
        maker: Callable[[], gymnasium.Env] | None = None,  # makes copies, if the specification alone does not
        task_info: TaskInfo | None = None,
    ) -> None:
        self.env, self.physics, self.task_info, self._maker = env, physics, task_info, maker
        bare, self._kind = attribute(env, "unwrapped"), type(attribute(env, "unwrapped"))
        given = {"reward": reward, "terminated": terminated, "names": names, "angles": angles, "info": info}
        own_reward = reward is not None and not isinstance(reward, AbstractKnownReward)
        if own_reward:
            given = _completed(env, given)
        self.task, self._info = task_of(env, **given, memoryless=memoryless), info_keys(info)
        replaced = own_reward and is_bare(env) and self._kind.__module__.startswith(GYMNASIUMS)
        self._reward: Any = eqx.filter_jit(self.task.reward) if replaced else None
        self._backend = backend() if attribute(bare, "mujoco_renderer", MISSING) is not MISSING else ""
        notes = {REPLACED: replaced, SCREENLESS: self._backend is None}
        self.notes = (*notes_of(env, self.task), *(note for note, holds in notes.items() if holds))
        self._draws = attribute(env, "render_mode", None) == "rgb_array" and self._backend is not None
        self._actions = action_space(env)
        # Read at every step, where access to a task's arrays is slow.
        self._dtype, self._low, self._high = self.task.low.dtype, np.asarray(self.task.low), np.asarray(self.task.high)
        self._learns_reward = isinstance(self.task.reward, LearnedReward)
        self._learns_end = isinstance(self.task.terminated, LearnedTermination)
        # Entries of the environment's own observation.
        self._size = self.task.obs_size - len(self._info) - self._learns_reward - self._learns_end
        self._time, self._closed = 0, False  # [steps] since the reset
        self._obs: np.ndarray  # the last one
        probe(self.task, self.reset(seed=0))

    @property
    def given_size(self) -> int:
        """The number of entries before those for a learned reward or termination."""
        return self._size + len(self._info)

    def reset(self, seed: int) -> Float[np.ndarray, "o"]:
        """Start a trial: returns the first observation. The same seed starts the same trial if the environment can."""
        self._time, self._closed = 0, False
        answer = self._ask(lambda: self.env.reset(seed=seed))
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise InputError(f"the environment's reset must return (obs, info), got {_described(answer)}")
        self._obs = self._augmented(self._observed(answer[0]), [0.0] * len(self._info), 0.0, terminated=False)
        return self._obs

    def step(self, action: Float[np.ndarray, "a"]) -> tuple[Float[np.ndarray, "o"], float, bool, bool]:
        """Take the nearest allowed action. Returns next_obs, reward, terminated, truncated."""
        self._time += 1
        answer = self._ask(lambda: self.env.step(self._allowed(action)))
        if not isinstance(answer, tuple) or len(answer) != 5:
            raise InputError(
                "the environment's step must return (obs, reward, terminated, truncated, info), got "
                f"{_described(answer)} {self._where}"
            )
        obs, reward = self._observed(answer[0]), self._paid(answer[1])
        terminated, truncated = self._flag("terminated", answer[2]), self._flag("truncated", answer[3])
        noted = [self._noted(answer[4], key) for key in self._info]
        before, self._obs = self._obs, self._augmented(obs, noted, reward, terminated=terminated)
        if self._reward is not None:
            reward = self._paid(self._reward(before, self.to_env_action(action), self._obs))
        return self._obs, reward, terminated, truncated

    def to_env_action(self, action: Float[np.ndarray, "a"]) -> Float[np.ndarray, "a"]:
        """Returns the action that `step` takes: clipped to the limits, or one-hot. Models learn from it."""
        if isinstance(self._actions, Discrete):
            one_hot = np.zeros_like(action)
            one_hot[np.argmax(action)] = 1
            return one_hot
        return np.clip(action, self._low, self._high)

    def draw(self) -> Frame | None:
        """Returns a picture of the system now, or None if the environment draws none."""
        if not self._draws:
            return None
        try:
            note = "no pictures are drawn, since rendering"
            with answering(lambda error: f"{note} {_raised(error)}"), chosen(self._backend):
                frame = np.asarray(self.env.render())
        except InputError as error:  # a missing screen or drawing package must not end a trial
            self._draws = False
            self.notes += (str(error),)
            return None
        return frame if frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3 else None

    def again(self) -> "GymnasiumEnv | None":
        """Returns a copy that does not draw, or None if it cannot be duplicated, as without a specification."""
        try:
            with answering(_raised):
                env = self._another()
        except InputError:  # a device that is held, a wrapper that keeps no record of itself
            return None
        if env is None:
            return None
        other = copy.copy(self)
        vars(other).update(env=env, _draws=False, _time=0, _closed=False)
        return other

    def close(self) -> None:
        """Release windows and devices. May be called again; what the environment raises becomes one of the `notes`."""
        if self._closed:
            return
        self._closed = True
        try:
            with answering(lambda error: f"closing the environment {_raised(error)}"):
                self.env.close()
        except InputError as error:
            self.notes += (str(error),)

    def _another(self) -> gymnasium.Env | None:
        spec = self.env.spec
        if spec is None:
            return None
        undrawn: dict[str, Any] = {"render_mode": None} if "render_mode" in spec.kwargs else {}
        return gymnasium.make(spec, disable_env_checker=True, **undrawn) if self._maker is None else self._maker()

    @property
    def _where(self) -> str:
        """The end of an error message: when it happened."""
        return f"at step {self._time} of a trial" if self._time else "at a reset"

    def _allowed(self, action: Float[np.ndarray, "a"]) -> Any:
        """The nearest allowed action, in the shape and type of the environment's action space."""
        space = self._actions
        if isinstance(space, Discrete):
            return space.start + np.argmax(action)
        return np.clip(np.asarray(action).reshape(space.shape).astype(space.dtype), space.low, space.high)

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        def sentence(error: BaseException) -> str:
            raised = f"{type(error).__name__} ({one_line(error)})"
            return f"{place_of(self._kind, error)}the environment raised {raised} {self._where}"

        with answering(sentence):
            return question()

    def _observed(self, raw: Any) -> Float[np.ndarray, "own"]:
        obs = _numbers(raw, self._dtype)
        if obs is None or obs.shape != (self._size,):
            raise InputError(
                f"the environment's observations must be {self._size} numbers, as its observation space says, got "
                f"{_described(raw)} {self._where}"
            )
        if not np.isfinite(obs).all():
            entry = int(np.argmin(np.isfinite(obs)))
            raise InputError(
                f"the environment's observations must be finite, got {obs[entry]} as {self.task.names[entry]!r} "
                f"{self._where}"
            )
        return obs

    def _paid(self, raw: Any) -> float:
        reward = _numbers(raw, self._dtype)
        if reward is None or reward.size != 1:
            raise InputError(f"the environment's reward must be one number, got {_described(raw)} {self._where}")
        if not math.isfinite(reward.item()):
            raise InputError(f"the environment's reward must be finite, got {reward.item()} {self._where}")
        return reward.item()

    def _flag(self, name: str, raw: Any) -> bool:
        if isinstance(raw, bool | np.bool_):
            return bool(raw)
        flag = _numbers(raw, self._dtype)
        if flag is None or flag.size != 1 or flag.item() not in {0.0, 1.0}:
            raise InputError(f"the environment's {name} must be one truth value, got {_described(raw)} {self._where}")
        return bool(flag.item())

    def _noted(self, info: Any, key: str) -> float:
        raw = info.get(key, "nothing") if isinstance(info, Mapping) else None
        value = _numbers(raw, self._dtype)
        if value is None or value.size != 1 or not math.isfinite(value.item()):
            got = _described(raw if isinstance(info, Mapping) else info)
            raise InputError(f"a step's info must hold one finite number as {key!r}, got {got} {self._where}")
        return value.item()

    def _augmented(
        self, obs: Float[np.ndarray, "own"], noted: list[float], reward: float, *, terminated: bool
    ) -> Float[np.ndarray, "o"]:
        learned = [reward] if self._learns_reward else []
        learned += [float(terminated)] if self._learns_end else []
        return np.append(obs, np.array([*noted, *learned], obs.dtype)) if noted or learned else obs


def _completed(env: gymnasium.Env, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments, with what is known of one of Gymnasium's tasks whose reward is replaced."""
    known = known_of(env)
    facts = {} if known is None else known.under_another_reward(env)
    if "names" in facts:
        facts["names"] += info_keys(given["info"])
    return given | {name: fact for name, fact in facts.items() if given[name] is None}


def _numbers(raw: Any, dtype: Any) -> np.ndarray | None:
    """Returns a copy as an array of real numbers, since the environment may overwrite its own; None if it is none."""
    try:
        with answering(_raised), np.errstate(over="ignore"):
            plain = np.asarray(raw)
            return np.array(plain, dtype) if plain.dtype.kind in "fiub" else None
    except InputError:
        return None


def _raised(error: BaseException) -> str:
    return f"raised {type(error).__name__}: {one_line(error)}"


def _described(value: Any) -> str:
    """What came in place of a number or numbers, briefly and whatever it is."""
    if isinstance(value, bool | int | float | str | np.generic):
        return repr(value)[:40]
    if isinstance(value, bytes | tuple | list | dict | set):
        return f"a {type(value).__name__} of {len(value)}"
    shape = getattr(value, "shape", None)
    return f"an array of shape {shape}" if isinstance(shape, tuple) else article(type(value).__name__)
