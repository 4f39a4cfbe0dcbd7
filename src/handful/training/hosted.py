"""Trials on a system that lives on the host: the policy is compiled, the loop around it is Python's."""

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
from handful.training.collect import Piece, Watch
from handful.training.film import Film
from handful.types import Transition

Tree = TypeVar("Tree")


class Hosted:
    """A Gymnasium environment as a `System`.

    The start of a trial is seeded by its key and each step's key by its time, so a trial that is run again from its
    start gives the same data where the environment itself does.

    Trials are filmed where somebody asks for it and the environment draws itself.
    """

    def __init__(self, env: GymnasiumEnv) -> None:
        self.env, self.task = env, env.task
        self._copies = [env]
        self._key: PRNGKeyArray
        self._obs: np.ndarray
        self._carry: Any  # the policy's
        self._time = 0  # [steps] since the reset
        self._over = True
        self.filming = False  # whether the trials that begin from now on are filmed
        self.film: Film | None = None  # of the trial in progress, or the last one
        self.drawing_s = 0.0  # [s] of the last `advance`, which were no time of the policy's

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a person should hear."""
        return self.env.notes

    def side_by_side(self, count: int) -> list[GymnasiumEnv]:
        """The environment and copies of it, so many together; it alone where it cannot be made again."""
        while len(self._copies) < count and (another := self.env.again()) is not None:
            self._copies.append(another)
        return self._copies[: count if len(self._copies) >= count else 1]

    def close(self) -> None:
        """Let go of the environment and its copies."""
        for env in self._copies:
            env.close()

    def start(self, key: PRNGKeyArray, policy: AbstractPolicy) -> None:
        """Begin a trial."""
        self.begin_film()
        self._key, self._carry, self._time, self._over = key, _init(policy), 0, False
        self._obs = self.env.reset(seed_of(key))

    def advance(self, policy: AbstractPolicy, *, steps: int, watch: Watch) -> tuple[Piece, bool]:
        """Run `steps` steps, or fewer where the trial ends; the piece always has that many rows."""
        if self._over:
            raise RuntimeError("the trial is over: begin another one with start()")
        rows, watched = empty_rows(steps, self.task.obs_size, self.task.action_size, self._obs.dtype), []
        self.drawing_s = 0.0
        self.shoot(self._time, over=self._over)
        while len(watched) < steps and not self._over:
            seen = self._step(policy, watch, rows, len(watched))
            watched.append(seen)
            self.shoot(self._time, over=self._over)
        valid = jnp.arange(steps) < len(watched)
        watched += [watched[-1]] * (steps - len(watched))  # the last row is what a display shows
        stacked = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *watched)
        return Piece(Transition(**{name: jnp.asarray(rows[name]) for name in rows}), valid, stacked), self._over

    def _step(self, policy: AbstractPolicy, watch: Watch, rows: dict[str, np.ndarray], row: int) -> Any:
        """Act once and write down what came of it. Returns what is watched."""
        obs, time = jnp.asarray(self._obs), jnp.asarray(self._time)
        decided, self._carry, seen = _act(policy, obs, self._carry, key=self._key, time=time, watch=watch)
        action = np.asarray(decided)
        self._time += 1
        if not np.isfinite(action).all():
            raise InputError(
                f"the policy gave the action {action} at step {self._time} of a trial, which is not finite and was not "
                "carried out; trials before this one are kept"
            )
        next_obs, reward, terminated, truncated = self.env.step(action)
        truncated = (truncated or self._time >= self.task.horizon) and not terminated
        happened = {
            "obs": self._obs,
            "action": self.env.to_env_action(action),
            "reward": reward,
            "next_obs": next_obs,
            "terminated": terminated,
            "truncated": truncated,
        }
        for name, value in happened.items():
            rows[name][row] = value
        self._obs, self._over = next_obs, terminated or truncated
        return seen

    def begin_film(self) -> None:
        """Film the trial that begins now, where trials are filmed."""
        self.film = Film(self.task.horizon) if self.filming else None

    def shoot(self, time: int, *, over: bool) -> None:
        """Take a frame, if it is time for one in the trial that is filmed."""
        if self.film is None or not self.film.wants(time, over=over):
            return
        began = perf_counter()
        frame = self.env.draw()
        if frame is not None:
            self.film.add(time, frame)
        self.drawing_s += perf_counter() - began


def seed_of(key: PRNGKeyArray, reset: int = 0) -> int:
    """The seed of a reset, one of those that a key stands for."""
    return int(_bits(key, reset)) >> 1  # 31 bits: what every generator takes


def empty_rows(steps: int, obs_size: int, action_size: int, dtype: Any) -> dict[str, np.ndarray]:
    """Room for so many transitions, field by field."""
    return {
        "obs": np.zeros((steps, obs_size), dtype),
        "action": np.zeros((steps, action_size), dtype),
        "reward": np.zeros(steps, dtype),
        "next_obs": np.zeros((steps, obs_size), dtype),
        "terminated": np.zeros(steps, bool),
        "truncated": np.zeros(steps, bool),
    }


@jax.jit
def _bits(key: PRNGKeyArray, number: Int[Array, ""]) -> UInt32[Array, ""]:
    return jax.random.bits(jax.random.fold_in(key, number))


@eqx.filter_jit
def _init(policy: AbstractPolicy) -> Any:
    return _settled(policy.init())


@eqx.filter_jit
def _act(
    policy: AbstractPolicy, obs: Float[Array, "o"], carry: Any, *, key: PRNGKeyArray, time: Int[Array, ""], watch: Watch
) -> tuple[Float[Array, "a"], Any, Any]:
    """One decision, with the keys that `collect.advance` would use."""
    policy_key, _ = jax.random.split(jax.random.fold_in(key, time + 1))
    action, carry = policy(policy_key, obs, carry)
    carry = _settled(carry)
    return action, carry, watch(carry)


def _settled(carry: Tree) -> Tree:
    """Numbers as arrays with firm types: a weakly typed first carry would compile `_act` twice."""

    def settle(leaf: Any) -> Any:
        return jnp.asarray(leaf, jnp.result_type(leaf)) if eqx.is_array_like(leaf) else leaf

    return jax.tree.map(settle, carry)
