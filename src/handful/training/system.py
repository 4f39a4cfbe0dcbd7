"""The system that trials are run on: a pure environment in compiled pieces, or one on the host."""

from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray

from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.errors import InputError
from handful.policies.base import AbstractPolicy
from handful.task import Task
from handful.training.host import Hosted
from handful.training.rollout import Cursor, Piece, advance, begin, episode, returned


@runtime_checkable
class System(Protocol):
    """A pure environment or one on the host, with the trial in progress."""

    task: Task
    drawing_s: float  # [s] that the last `advance` spent on frames for films

    def start(self, key: PRNGKeyArray, policy: AbstractPolicy) -> None:
        """Begin a trial."""
        ...

    def advance(self, policy: AbstractPolicy, *, steps: int) -> tuple[Piece, bool]:
        """Run `steps` steps; the piece always has that many rows. True if the trial is over."""
        ...

    def close(self) -> None:
        """Release what the system holds."""
        ...


class Simulated:
    """A pure environment: each piece is one compiled call."""

    drawing_s = 0.0

    def __init__(self, env: AbstractEnv) -> None:
        self.env, self.task = env, env.task
        self._key: PRNGKeyArray
        self._cursor: Cursor

    def start(self, key: PRNGKeyArray, policy: AbstractPolicy) -> None:
        self._key, self._cursor = key, jax.tree.map(np.asarray, _begin(key, self.env, policy))

    def advance(self, policy: AbstractPolicy, *, steps: int) -> tuple[Piece, bool]:
        before = int(self._cursor.state.time)
        # To the host, whatever devices computed it: arrays that stayed there would compile every next call again.
        self._cursor, piece = jax.tree.map(np.asarray, _advance(self._key, self.env, policy, self._cursor, steps=steps))
        check_piece(piece, before, int(self._cursor.state.time))
        return piece, bool(self._cursor.over)

    def close(self) -> None: ...


def check_piece(piece: Piece, before: int, time: int) -> None:
    """Raises `InputError` if any step of the piece, which took the trial from `before` to `time`, is not finite."""
    if int(piece.valid.sum()) < time - before:
        sane = bool(np.isfinite(piece.transitions.action[time - before - 1]).all())
        what = "the environment gave an observation or reward" if sane else "the policy gave an action"
        mend = "correct its step or reward" if sane else "correct the policy or its model"
        raise InputError(f"{what} that is not finite at step {time} of a trial; {mend}; earlier trials are kept")


@eqx.filter_jit
def _begin(key: PRNGKeyArray, env: AbstractEnv, policy: AbstractPolicy) -> Cursor:
    return begin(key, env, policy)


@eqx.filter_jit
def _advance(
    key: PRNGKeyArray, env: AbstractEnv, policy: AbstractPolicy, cursor: Cursor, *, steps: int
) -> tuple[Cursor, Piece]:
    return advance(key, env, policy, cursor, steps=steps)


@eqx.filter_jit
def returns_of(keys: Key[Array, "n"], env: AbstractEnv, policy: AbstractPolicy) -> Float[Array, "n"]:
    """Returns of whole trials, one a key."""
    return jax.vmap(lambda key: returned(episode(key, env, policy)))(keys)


def system_for(env: AbstractEnv | GymnasiumEnv) -> Simulated | Hosted:
    """The system for an environment."""
    return Simulated(env) if isinstance(env, AbstractEnv) else Hosted(env)
