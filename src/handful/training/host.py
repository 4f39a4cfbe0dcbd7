"""Trials of Gymnasium environments: Python steps the environment, compiled code acts."""

from time import perf_counter
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.errors import InputError
from handful.policies.base import AbstractPolicy
from handful.training.film import Film
from handful.training.rollout import Piece
from handful.types import Transition

Tree = TypeVar("Tree")


class HostTrial:
    """One environment on the host and its trial in progress: what `vector.advance` is for pure environments."""

    def __init__(self, env: GymnasiumEnv) -> None:
        self.env = env
        self.obs: np.ndarray
        self.time, self.return_, self.over = 0, 0.0, True

    def reset(self, seed: int) -> None:
        """Begin a trial."""
        self.obs = self.env.reset(seed)
        self.time, self.return_, self.over = 0, 0.0, False

    def step(self, action: np.ndarray) -> dict[str, Any]:
        """Act once. Returns the fields of the transition; `action` is the one that the environment took.

        Raises `InputError` where the action is not finite; the environment does not see it.
        """
        obs = self.obs
        self.time += 1
        if not np.isfinite(action).all():
            raise InputError(
                f"the policy gave the action {action} at step {self.time} of a trial, which is not finite and was not "
                "sent to the environment; what was learned and recorded before is kept"
            )
        self.obs, reward, terminated, truncated = self.env.step(action)
        truncated = (truncated or self.time >= self.env.task.horizon) and not terminated
        self.return_ += reward
        self.over = terminated or truncated
        return {
            "obs": obs,
            "action": self.env.to_env_action(action),
            "reward": reward,
            "next_obs": self.obs,
            "terminated": terminated,
            "truncated": truncated,
        }


class Hosted:
    """A Gymnasium environment as a `System`.

    A trial's reset is seeded by its key and each step's key by its time, so a trial that is repeated from its start
    gives the same data where the environment itself does. Trials are filmed while `filming` is set and the environment
    can render.
    """

    def __init__(self, env: GymnasiumEnv) -> None:
        self.env, self.task = env, env.task
        self._copies = [env]
        self._trial = HostTrial(env)
        self._key: PRNGKeyArray
        self._carry: Any  # the policy's
        self.filming = False  # whether the trials that begin from now on are filmed
        self.film: Film | None = None  # of the trial in progress, or the last one
        self.drawing_s = 0.0  # [s] spent on frames in the last `advance`

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a person should read."""
        return self.env.notes

    def copies(self, count: int) -> list[GymnasiumEnv]:
        """The environment and `count - 1` copies of it; it alone if it cannot be duplicated."""
        while len(self._copies) < count and (another := self.env.again()) is not None:
            self._copies.append(another)
        return self._copies[: count if len(self._copies) >= count else 1]

    def close(self) -> None:
        """Close the environment and its copies."""
        for env in self._copies:
            env.close()

    def start(self, key: PRNGKeyArray, policy: AbstractPolicy) -> None:
        """Begin a trial."""
        self.begin_film()
        self._key, self._carry = key, _init(policy)
        self._trial.reset(seed_of(key))

    def advance(self, policy: AbstractPolicy, *, steps: int) -> tuple[Piece, bool]:
        """Run `steps` steps, or fewer if the trial ends; the piece always has that many rows."""
        trial = self._trial
        if trial.over:
            raise RuntimeError("the trial is over: begin another one with start()")
        rows, infos = empty_rows(steps, self.task.obs_size, self.task.action_size, trial.obs.dtype), []
        self.drawing_s = 0.0
        self.shoot(trial.time, over=trial.over)
        while len(infos) < steps and not trial.over:
            obs, time = jnp.asarray(trial.obs), jnp.asarray(trial.time)
            action, self._carry, info = _act(policy, obs, self._carry, key=self._key, time=time)
            put(rows, len(infos), trial.step(np.asarray(action)))
            infos.append(info)
            self.shoot(trial.time, over=trial.over)
        valid = jnp.arange(steps) < len(infos)
        infos += [infos[-1]] * (steps - len(infos))
        stacked = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *infos)
        return Piece(Transition(**{name: jnp.asarray(rows[name]) for name in rows}), valid, stacked), trial.over

    def begin_film(self) -> None:
        """Film the trial that begins now, if trials are filmed."""
        self.film = Film(self.task.horizon) if self.filming else None

    def shoot(self, time: int, *, over: bool) -> None:
        """Take a frame if one is due."""
        if self.film is None or not self.film.wants(time, over=over):
            return
        began = perf_counter()
        frame = self.env.draw()
        if frame is not None:
            self.film.add(time, frame)
        self.drawing_s += perf_counter() - began


def seed_of(key: PRNGKeyArray, reset: int = 0) -> int:
    """The seed of a reset: number `reset` of those that a key gives."""
    return int(_bits(key, reset)) >> 1  # 31 bits: what every generator takes


def empty_rows(steps: int, obs_size: int, action_size: int, dtype: Any) -> dict[str, np.ndarray]:
    """Zeros for the fields of `steps` transitions."""
    return {
        "obs": np.zeros((steps, obs_size), dtype),
        "action": np.zeros((steps, action_size), dtype),
        "reward": np.zeros(steps, dtype),
        "next_obs": np.zeros((steps, obs_size), dtype),
        "terminated": np.zeros(steps, bool),
        "truncated": np.zeros(steps, bool),
    }


def put(rows: dict[str, np.ndarray], row: int, step: dict[str, Any]) -> None:
    """Write a transition's fields into a row."""
    for name, value in step.items():
        rows[name][row] = value


@jax.jit
def _bits(key: PRNGKeyArray, number: Int[Array, ""]) -> UInt32[Array, ""]:
    return jax.random.bits(jax.random.fold_in(key, number))


@eqx.filter_jit
def _init(policy: AbstractPolicy) -> Any:
    return _strongly_typed(policy.init())


@eqx.filter_jit
def _act(
    policy: AbstractPolicy, obs: Float[Array, "o"], carry: Any, *, key: PRNGKeyArray, time: Int[Array, ""]
) -> tuple[Float[Array, "a"], Any, dict[str, Array]]:
    """One action, with the key that `rollout.advance` would use."""
    policy_key, _ = jax.random.split(jax.random.fold_in(key, time + 1))
    action, carry = policy(policy_key, obs, carry)
    carry = _strongly_typed(carry)
    return action, carry, policy.info(carry)


def _strongly_typed(carry: Tree) -> Tree:
    """Numbers as arrays of a definite type: a weakly typed first carry would compile `_act` twice."""

    def typed(leaf: Any) -> Any:
        return jnp.asarray(leaf, jnp.result_type(leaf)) if eqx.is_array_like(leaf) else leaf

    return jax.tree.map(typed, carry)
