"""The system that trials are run on: a pure environment in compiled pieces, or one on the host."""

from collections.abc import Callable, Collection
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray

from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.errors import InputError
from handful.policies.base import AbstractPolicy
from handful.training.host import Hosted
from handful.training.rollout import Cursor, Piece, advance, begin, episode, returned
from handful.training.seeds import ONE, Seeds, Spread, as_it_is, to_host


class Simulated:
    """A pure environment, with the trial in progress: each piece is one compiled call."""

    notes: tuple[str, ...] = ()  # sentences that a person should read
    drawing_s = 0.0  # [s] that the last `advance` spent on frames for films

    def __init__(self, env: AbstractEnv) -> None:
        self.env, self.task = env, env.task
        self._cursor: Cursor

    def start(self, keys: Any, states: Any, policy_of: Callable[..., Any] = as_it_is, seeds: Seeds = ONE) -> None:
        """Begin a trial, or one for each of `seeds`, whose keys and states have an axis s then.

        Who acts is `policy_of(key, state)`; without `policy_of`, states are policies.
        """
        self._keys, self._policy_of, self._seeds = keys, policy_of, seeds
        self._cursor = to_host(_begin(keys, self.env, policy_of, states, spread=seeds.spread))

    def advance(self, states: Any, *, steps: int, checked: Collection[int] | None = None) -> tuple[Piece, Any]:
        """Run `steps` steps; the piece always has that many rows. True if the trial is over.

        Raises `InputError` if anything is not finite in the trials of the seeds in `checked`, or in any trial.
        """
        before, seeds = self._cursor, self._seeds
        how = {"steps": steps, "spread": seeds.spread}
        self._cursor, piece = to_host(_advance(self._keys, self.env, self._policy_of, states, before, **how))
        for seed in seeds.seeds if checked is None else checked:
            times = (int(seeds.of(cursor.state.time, seed)) for cursor in (before, self._cursor))
            seeds.named(seed, _check, seeds.of(piece, seed), *times)
        return piece, self._cursor.over

    def close(self) -> None: ...


System = Simulated | Hosted


def _check(piece: Piece, before: int, time: int) -> None:
    """Raises `InputError` if any step of the piece, which took the trial from `before` to `time`, is not finite."""
    if int(piece.valid.sum()) < time - before:
        sane = bool(np.isfinite(piece.transitions.action[time - before - 1]).all())
        what = "the environment gave an observation or reward" if sane else "the policy gave an action"
        mend = "correct its step or reward" if sane else "correct the policy or its model"
        raise InputError(f"{what} that is not finite at step {time} of a trial; {mend}; earlier trials are kept")


@eqx.filter_jit
def _begin(keys: Key[Array, "*s"], env: AbstractEnv, policy_of: Any, states: Any, *, spread: Spread) -> Cursor:
    return spread(lambda key, state: begin(key, env, policy_of(key, state)), keys, states)


@eqx.filter_jit
def _advance(
    keys: Key[Array, "*s"], env: AbstractEnv, policy_of: Any, states: Any, cursors: Cursor,
    *, steps: int, spread: Spread,
) -> tuple[Cursor, Piece]:  # fmt: skip
    def one(key: PRNGKeyArray, state: Any, cursor: Cursor) -> tuple[Cursor, Piece]:
        return advance(key, env, policy_of(key, state), cursor, steps=steps)

    return spread(one, keys, states, cursors)


@eqx.filter_jit
def returns_of(keys: Key[Array, "n"], env: AbstractEnv, policy: AbstractPolicy) -> Float[Array, "n"]:
    """Returns of whole trials, one a key."""
    return jax.vmap(lambda key: returned(episode(key, env, policy)))(keys)


def facts_of(system: System) -> dict[str, Any]:
    """What figures and tables need to know of a system, so that reading a run needs none of the user's code."""
    task = system.task
    return {
        "names": list(task.names),
        "angles": list(task.angles),
        "dt": float(task.dt),
        "horizon": int(task.horizon),
        "discount": float(task.discount),
        "low": np.asarray(task.low).tolist(),
        "high": np.asarray(task.high).tolist(),
        "categorical": bool(task.categorical),
        "hosted": isinstance(system, Hosted),
    }


def system_for(env: AbstractEnv | GymnasiumEnv) -> System:
    """The system for an environment."""
    return Simulated(env) if isinstance(env, AbstractEnv) else Hosted(env)
