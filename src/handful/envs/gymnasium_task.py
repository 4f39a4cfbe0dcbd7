"""The task of a Gymnasium environment; a reward or termination that is not given is learned."""

import inspect
import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Array, Bool, Float

from handful.errors import InputError
from handful.task import MAX_ENTRIES, Task
from handful.user_code import answering, one_line, signature_of

DEFAULT_HORIZON = 1000  # [steps] of a trial without a time limit

UNCOMPILABLE = (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError)


class GivenReward(eqx.Module):
    """A reward that gets the first `size` entries only: the environment's own, and those from a step's info."""

    function: Any  # a user's, checked by `probe`
    size: int = eqx.field(static=True)

    def __call__(
        self, obs: Float[Array, "o"], action: Float[Array, "a"], next_obs: Float[Array, "o"]
    ) -> Float[Array, ""]:
        return jnp.asarray(self.function(obs[: self.size], action, next_obs[: self.size]), float)


class GivenTermination(eqx.Module):
    """A termination that gets the first `size` entries only."""

    function: Any
    size: int = eqx.field(static=True)

    def __call__(self, obs: Float[Array, "o"]) -> Bool[Array, ""]:
        return jnp.asarray(self.function(obs[: self.size]), bool)


class LearnedReward(eqx.Module):
    """The reward as an entry of the observation, so that a model predicts it."""

    index: int = eqx.field(static=True)

    def __call__(
        self, obs: Float[Array, "o"], action: Float[Array, "a"], next_obs: Float[Array, "o"]
    ) -> Float[Array, ""]:
        return next_obs[self.index]


class LearnedTermination(eqx.Module):
    """Termination as an entry of the observation, 0 or 1, so that a model predicts it."""

    index: int = eqx.field(static=True)

    def __call__(self, obs: Float[Array, "o"]) -> Bool[Array, ""]:
        return obs[self.index] > 0.5


def task_of(
    env: gymnasium.Env,
    *,
    reward: Any,
    terminated: Any,
    names: Any,
    angles: Any,
    info: Any = (),
    memoryless: tuple[int, ...] = (),
) -> Task:
    """Returns the task; `info`, and "reward" and "terminated" if learned, are appended to the observation.

    Raises `InputError` if spaces, names, angles or info cannot be used.
    """
    own, noted = _obs_size(env), info_keys(info)
    space = action_space(env)
    with np.errstate(over="ignore"):  # what is too great for the default type is infinite, which `Task` refuses
        low, high = (np.asarray(limit, jnp.result_type(float)) for limit in _limits(space))
    missing = [name for name, function in (("reward", reward), ("terminated", terminated)) if function is None]
    size = own + len(noted)
    end = size + len(missing)
    return Task(
        reward=LearnedReward(size) if reward is None else GivenReward(reward, size),
        terminated=LearnedTermination(end - 1) if terminated is None else GivenTermination(terminated, size),
        low=jnp.asarray(low),
        high=jnp.asarray(high),
        names=(*_names(names, own, noted), *missing),
        dt=_dt(env) or 1.0,
        horizon=_horizon(env) or DEFAULT_HORIZON,
        angles=_angles(angles, size),
        memoryless=(*memoryless, *range(own, end)),
        categorical=isinstance(space, Discrete),
    )


def notes_of(env: gymnasium.Env, task: Task) -> tuple[str, ...]:
    """Sentences on what is learned or assumed, because it is not given."""
    notes = {
        "the reward is learned from data, since no reward function is given": isinstance(task.reward, LearnedReward),
        "when a trial terminates is learned from data, since no terminated function is given": isinstance(
            task.terminated, LearnedTermination
        ),
        f"a trial lasts {DEFAULT_HORIZON} steps at most, since the environment sets no limit; wrap it in "
        "gymnasium.wrappers.TimeLimit to set one": _horizon(env) is None,
        "a control step is taken to last 1 s, since the environment has neither dt nor render_fps": _dt(env) is None,
    }
    return tuple(note for note, holds in notes.items() if holds)


def probe(task: Task, obs: Float[np.ndarray, "o"]) -> None:
    """Try the given functions as a planner will: compiled, on one observation and the middle of the actions.

    Raises `InputError` if one takes other arguments, cannot be compiled, raises, or returns anything but one finite
    number, or one truth value.
    """
    if isinstance(task.reward, GivenReward):
        raw = jnp.asarray(obs[: task.reward.size])
        action = (task.low + task.high) / 2
        value = _tried("reward", task.reward.function, obs=raw, action=action, next_obs=raw)
        if not (_is_kind(value, jnp.integer) or _is_kind(value, jnp.floating)) or jnp.shape(value) != ():
            raise InputError(f"reward must return one number, got {_described(value)}")
        if not math.isfinite(value):
            raise InputError(f"reward must be finite, got {float(value)} for the first observation {np.asarray(raw)}")
    if isinstance(task.terminated, GivenTermination):
        value = _tried("terminated", task.terminated.function, obs=jnp.asarray(obs[: task.terminated.size]))
        if not _is_kind(value, jnp.bool_) or jnp.shape(value) != ():
            raise InputError(f"terminated must return one truth value, got {_described(value)}")


def action_space(env: gymnasium.Env) -> Box | Discrete:
    """The action space. Raises `InputError` if it is neither a bounded box of real numbers nor discrete."""
    space = attribute(env, "action_space")
    if isinstance(space, Discrete):
        _check_size("categories of the action space", int(space.n))
        return space
    if not isinstance(space, Box) or not np.issubdtype(space.dtype, np.floating):
        raise InputError(
            f"the action space must be a bounded Box of real numbers or Discrete, got {_short(space)}; no other is "
            "supported"
        )
    if not space.is_bounded():
        raise InputError(
            f"the action space must be bounded, got {_short(space)}; give its Box finite limits for the planner to "
            "search in"
        )
    if not space.low.size:
        raise InputError(f"the action space must have at least one entry, got {_short(space)}")
    _check_size("entries of the action space", space.low.size)
    return space


def attribute(env: Any, name: str, *default: Any) -> Any:
    """An attribute of an environment. Raises `InputError` if it is missing and there is no default, or if it raises."""

    def sentence(error: BaseException) -> str:
        if isinstance(error, AttributeError):
            return f"the environment has no {name} ({one_line(error)})"
        return f"the environment's {name} raised {type(error).__name__}: {one_line(error)}"

    with answering(sentence):
        return getattr(env, name, *default)


def _check_size(what: str, size: int) -> None:
    if size > MAX_ENTRIES:
        raise InputError(f"there may be {MAX_ENTRIES} {what} at most, since learners keep rows of them, got {size}")


def _short(space: Any) -> str:
    return " ".join(str(space).split())[:200]


def _limits(space: Box | Discrete) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest action; discrete actions are one-hot."""
    if isinstance(space, Discrete):
        return np.zeros(int(space.n)), np.ones(int(space.n))
    return space.low.ravel(), space.high.ravel()


def _obs_size(env: gymnasium.Env) -> int:
    space = attribute(env, "observation_space")
    if not isinstance(space, Box) or len(space.shape) != 1 or not space.low.size:
        raise InputError(
            f"the observation space must be a flat Box, one number per entry, got {_short(space)}; images are not "
            "supported, anything else can be wrapped in gymnasium.wrappers.FlattenObservation"
        )
    _check_size("entries of the observation space", space.shape[0])
    return space.shape[0]


def info_keys(info: Any) -> tuple[str, ...]:
    """The entries of a step's info that are observed. Raises `InputError` if they are not distinct strings."""
    said = _listed(info)
    if not all(isinstance(key, str) for key in said) or len({*said}) < len(said):
        raise InputError(f"info must be distinct strings, entries of what a step returns as info, got {said}")
    return said


def _names(names: Any, own: int, noted: tuple[str, ...]) -> tuple[str, ...]:
    if names is None:
        return (*(f"obs {index}" for index in range(own)), *noted)
    said, size = _listed(names), own + len(noted)
    if len(said) != size or not all(isinstance(name, str) for name in said):
        raise InputError(
            f"names must be {size} strings, one per observation entry{' and one per entry of info' * bool(noted)}, "
            f"got {said}"
        )
    return said


def _listed(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)


def _angles(angles: Any, size: int) -> tuple[int, ...]:
    said = () if angles is None else _listed(angles)
    if not all(isinstance(index, int | np.integer) and 0 <= index < size for index in said) or len({*said}) < len(said):
        raise InputError(f"angles must be distinct indices from 0 to {size - 1}, got {said}")
    return tuple(int(index) for index in said)


def _dt(env: gymnasium.Env) -> float | None:
    """The duration of a control step [s], or None if it is unknown."""
    dt, metadata = attribute(attribute(env, "unwrapped"), "dt", None), attribute(env, "metadata")
    if not isinstance(metadata, Mapping):
        raise InputError(f"the environment's metadata must be a dictionary, got {metadata!r}")
    rate: Any = metadata.get("render_fps")
    if _is_positive(dt):
        return float(dt)
    return 1 / float(rate) if _is_positive(rate) else None


def _horizon(env: gymnasium.Env) -> int | None:
    """The time limit [steps], or None if there is none."""
    spec = attribute(env, "spec")
    said: list[Any] = [getattr(spec, "max_episode_steps", None)]
    layer: Any = env
    while True:  # from the outermost wrapper to the environment itself
        said += [attribute(layer, name, None) for name in ("_max_episode_steps", "max_episode_steps")]
        if not isinstance(layer, gymnasium.Wrapper):
            return next((int(steps) for steps in said if _is_positive(steps) and steps >= 1), None)
        layer = layer.env


def _is_positive(value: Any) -> bool:
    number = value.item() if isinstance(value, np.generic) else value
    return isinstance(number, int | float) and 0 < number <= sys.float_info.max


def _tried(name: str, function: Any, **arguments: Array) -> Any:
    """The value of the compiled function."""
    wanted = f"({', '.join(arguments)})"
    if not callable(function):
        raise InputError(f"{name} must be a function of {wanted}, got {_described(function)}")
    values = tuple(arguments.values())
    try:
        inspect.signature(function).bind(*values)
    except (TypeError, ValueError):
        raise InputError(f"{name} must take {wanted}, got {name}{signature_of(function)}") from None

    def sentence(error: BaseException) -> str:
        if isinstance(error, UNCOMPILABLE):
            return (
                f"{name} cannot be compiled ({type(error).__name__}); write it with jax.numpy in place of numpy and "
                "math, and with jnp.where in place of if"
            )
        return f"{name} raised {type(error).__name__} when tried: {one_line(error)}"

    with answering(sentence):
        return eqx.filter_jit(function)(*values)


def _is_kind(value: Any, kind: Any) -> bool:
    return eqx.is_array_like(value) and jnp.issubdtype(jnp.result_type(value), kind)


def _described(value: Any) -> str:
    if eqx.is_array(value):
        return f"an array of type {value.dtype} and shape {value.shape}"
    return f"{value!r}, a {type(value).__name__}"
