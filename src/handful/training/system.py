"""The system that trials are run on, as the loop sees it: something to start and to advance."""

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
from handful.training.collect import Cursor, Piece, Watch, advance, begin, episode, returned
from handful.training.hosted import Hosted


@runtime_checkable
class System(Protocol):
    """A pure environment or a real one. It holds the trial in progress."""

    task: Task

    def start(self, key: PRNGKeyArray, policy: AbstractPolicy) -> None:
        """Begin a trial."""
        ...

    def advance(self, policy: AbstractPolicy, *, steps: int, watch: Watch) -> tuple[Piece, bool]:
        """Run `steps` steps; the piece always has that many rows. True when the trial is over."""
        ...


class Simulated:
    """A pure environment: each piece is one compiled call."""

    def __init__(self, env: AbstractEnv) -> None:
        self.env, self.task = env, env.task
        self._key: PRNGKeyArray
        self._cursor: Cursor

    def start(self, key: PRNGKeyArray, policy: AbstractPolicy) -> None:
        self._key, self._cursor = key, jax.tree.map(np.asarray, _begin(key, self.env, policy))

    def advance(self, policy: AbstractPolicy, *, steps: int, watch: Watch) -> tuple[Piece, bool]:
        before = int(self._cursor.time)
        done = _advance(self._key, self.env, policy, self._cursor, steps=steps, watch=watch)
        # Home from however many devices computed it: arrays that stayed there would compile every next call anew.
        self._cursor, piece = jax.tree.map(np.asarray, done)
        check_finite(piece, before, int(self._cursor.time))
        return piece, bool(self._cursor.over)


def check_finite(piece: Piece, before: int, time: int) -> None:
    """Raises `InputError` where the trial came to step `time` in this piece, and not all of that can be used."""
    if int(piece.valid.sum()) < time - before:
        sane = bool(np.isfinite(piece.transitions.action[time - before - 1]).all())
        what = "the environment gave an observation or reward" if sane else "the policy gave an action"
        mend = "mend its step or reward" if sane else "mend the policy or its model"
        raise InputError(
            f"{what} that is not finite at step {time} of a trial; {mend}; trials before this one are kept"
        )


@eqx.filter_jit
def _begin(key: PRNGKeyArray, env: AbstractEnv, policy: AbstractPolicy) -> Cursor:
    return begin(key, env, policy)


@eqx.filter_jit
def _advance(
    key: PRNGKeyArray, env: AbstractEnv, policy: AbstractPolicy, cursor: Cursor, *, steps: int, watch: Watch
) -> tuple[Cursor, Piece]:
    return advance(key, env, policy, cursor, steps=steps, watch=watch)


@eqx.filter_jit
def returns_of(keys: Key[Array, "n"], env: AbstractEnv, policy: AbstractPolicy) -> Float[Array, "n"]:
    """Returns of whole trials, one a key, side by side."""
    return jax.vmap(lambda key: returned(episode(key, env, policy)))(keys)


def system_for(env: AbstractEnv | GymnasiumEnv) -> Simulated | Hosted:
    """The loop's view of an environment."""
    return Simulated(env) if isinstance(env, AbstractEnv) else Hosted(env)
