"""Rounds of several seeds at once on a pure environment: all of them act and learn in one compiled program."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Key

from handful.envs.base import AbstractEnv
from handful.errors import InputError
from handful.policies.learner import AbstractPolicyLearner
from handful.policy_optimization.training import Practice, Told, several
from handful.training.loop import Trial
from handful.training.practice import Round, check_finite, chunks
from handful.training.rounds import Rounds
from handful.training.run import Row
from handful.training.seeds import SeedsObserver, home, lanes_of, on_lanes, pure, seed_slice


@dataclasses.dataclass(frozen=True)
class Standing:
    """Where the round of a seed stands, as an observer of seeds asks for it."""

    steps: int
    return_: float
    planned: float | None = None


class RoundsTogether:
    """Runs the rounds of the loops of several seeds. The loops differ in nothing but their keys.

    No seed hears of another. Times are of all seeds together.
    """

    def __init__(self, loops: Mapping[int, Rounds]) -> None:
        self.loops, self.seeds = loops, list(loops)
        self.any = next(iter(loops.values()))
        self.env, self.learner = pure(self.any.system), self.any.agent
        self.mesh, self.lanes = lanes_of(self.seeds)

    def trial(
        self, index: int, states: Mapping[int, Any], rows: Mapping[int, list[Row]], observer: SeedsObserver
    ) -> dict[int, tuple[Any, Trial]]:
        """Run round `index`: new states and records of the seeds that lacked it.

        Raises `InputError` where a seed meets what is not finite; none of them has the round then.
        """
        going = [seed for seed in self.seeds if len(rows[seed]) == index]
        rounds = {seed: Round() for seed in going}
        after = dict(states)
        if index > 0:
            after = self._round(index, states, rounds, observer)
        done = {}
        for seed in going:
            loop, (show_key, _) = self.loops[seed], self.loops[seed].keys(index)
            done[seed] = after[seed], loop.finished(index, show_key, after[seed], rounds[seed], rows[seed])
        observer.finished({seed: trial for seed, (_, trial) in done.items()})
        return done

    def _round(
        self, index: int, states: Mapping[int, Any], rounds: dict[int, Round], observer: SeedsObserver
    ) -> dict[int, Any]:
        """The states after all updates of a round, which is written down in `rounds`."""
        keys = jnp.stack([self.loops[seed].keys(index)[1] for seed in self.lanes])
        now = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *(states[seed] for seed in self.lanes))
        for count in chunks(self.learner, self.any.updates):
            began = time.perf_counter()
            now, told = home(_several(keys, self.env, self.learner, now, updates=count, mesh=self.mesh))
            seconds = time.perf_counter() - began
            for seed, done in rounds.items():
                own = seed_slice(told, self.seeds.index(seed))
                try:
                    check_finite(own)
                except InputError as error:
                    raise InputError(f"seed {seed}: {error}") from error
                done.add(own, seconds)
            standing = {seed: Standing(done.steps, done.return_) for seed, done in rounds.items()}
            any_ = next(iter(rounds.values()))
            observer.stepped(index, standing, 1e3 * any_.seconds / max(any_.steps, 1))
        return {seed: seed_slice(now, place) for place, seed in enumerate(self.seeds)}


@eqx.filter_jit
def _several(
    keys: Key[Array, "s"], env: AbstractEnv, learner: AbstractPolicyLearner, now: Practice,
    *, updates: int, mesh: Mesh | None,
) -> tuple[Practice, Told]:  # fmt: skip
    def one(key: Key[Array, ""], now: Practice) -> tuple[Practice, Told]:
        return several(key, env, learner, now, updates)

    return on_lanes(mesh, one, keys, now)
