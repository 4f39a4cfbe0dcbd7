"""Whole training in one compiled call: act in copies of a pure environment, learn, again.

`vmap` over keys trains many seeds at once, over learners many settings, since hyperparameters are leaves.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.envs import vector
from handful.envs.base import AbstractEnv
from handful.envs.vector import Ended, VectorState
from handful.policies.learner import AbstractActor, AbstractPolicyLearner
from handful.types import Transition


class Practice(eqx.Module):
    """Where training stands between two updates."""

    learner: Any  # the learner's state
    lanes: VectorState
    updates: Int[Array, ""]


class Told(eqx.Module):
    """What came of an update; on a leading axis u, of several."""

    steps: Int[Array, "*u"]  # of interaction that it cost
    trials: Int[Array, "*u"]  # that ended in it
    return_sum: Float[Array, "*u"]  # of those
    finite: Bool[Array, "*u"]  # whether all that the environment gave was
    logged: dict[str, Float[Array, "*u"]]


def begin(key: PRNGKeyArray, env: AbstractEnv, learner: AbstractPolicyLearner) -> Practice:
    """Before the first update."""
    learner_key, lane_key = jax.random.split(key)
    return Practice(learner.init(learner_key, env.task), _fresh(lane_key, env, learner.envs), jnp.zeros((), int))


def update(key: PRNGKeyArray, env: AbstractEnv, learner: AbstractPolicyLearner, now: Practice) -> tuple[Practice, Told]:
    """Act for `learner.length` steps in each copy, then learn. The same `key` serves a whole training."""
    lane_key, act_key, learn_key = jax.random.split(jax.random.fold_in(key, now.updates), 3)
    lanes = _fresh(lane_key, env, learner.envs) if learner.episodic else now.lanes
    lanes, met, ended = collect(act_key, env, learner.actor(now.learner), lanes, learner.length)
    counted = jnp.ones_like(ended.over)
    if learner.episodic:  # the first of each copy; what came after it is none
        counted = jnp.cumsum(ended.over, axis=0) - ended.over == 0
    state, logged = learner.update(learn_key, now.learner, met)
    over = ended.over & counted
    told = Told(
        steps=counted.sum(),
        trials=over.sum(),
        return_sum=jnp.sum(jnp.where(over, ended.return_, 0.0)),
        finite=(jnp.isfinite(met.next_obs).all(-1) & jnp.isfinite(met.reward) | ~counted).all(),
        logged=logged,
    )
    return Practice(state, lanes, now.updates + 1), told


def several(
    key: PRNGKeyArray, env: AbstractEnv, learner: AbstractPolicyLearner, now: Practice, updates: int
) -> tuple[Practice, Told]:
    """So many updates, in one scan."""
    return jax.lax.scan(lambda now, _: update(key, env, learner, now), now, None, length=updates)


def train(key: PRNGKeyArray, env: AbstractEnv, learner: AbstractPolicyLearner, updates: int) -> tuple[Any, Told]:
    """The learner's state after `updates`, and what came of each."""
    begin_key, key = jax.random.split(key)
    done, told = several(key, env, learner, begin(begin_key, env, learner), updates)
    return done.learner, told


def collect(
    key: PRNGKeyArray, env: AbstractEnv, actor: AbstractActor, lanes: VectorState, length: int
) -> tuple[VectorState, Transition, Ended]:
    """Act for `length` steps in each copy. Leading axes t n; the transitions' `action` is the choice."""

    def one(key: PRNGKeyArray, lane: VectorState) -> tuple[VectorState, tuple[Transition, Ended]]:
        draw_key, env_key = jax.random.split(key)
        choice = actor.draw(draw_key, lane.obs)
        lane, met, ended = vector.step(env_key, env, lane, actor.to_env_action(choice))
        return lane, (eqx.tree_at(lambda m: m.action, met, choice), ended)

    def step(lanes: VectorState, key: PRNGKeyArray) -> tuple[VectorState, tuple[Transition, Ended]]:
        return jax.vmap(one)(jax.random.split(key, lanes.time.shape[0]), lanes)

    lanes, (met, ended) = jax.lax.scan(step, lanes, jax.random.split(key, length))
    return lanes, met, ended


def _fresh(key: PRNGKeyArray, env: AbstractEnv, count: int) -> VectorState:
    return jax.vmap(lambda k: vector.reset(k, env))(jax.random.split(key, count))
