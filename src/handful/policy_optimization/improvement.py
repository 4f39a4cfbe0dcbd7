"""How long a policy is improved inside a belief before the system is asked again."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.envs import vector
from handful.fields import Real, Whole, check_within, real, whole
from handful.policies.base import AbstractPolicy
from handful.policies.learner import AbstractPolicyLearner
from handful.policy_optimization.imagined import Imagined
from handful.policy_optimization.training import Practice, several

_ANEW = 0.5  # of the trials that try a policy, the share that begins where one on the system began


class Improved(eqx.Module):
    """What came of an improvement."""

    returns: Float[Array, "w"]  # of the policy that was kept, in each world
    updates: Int[Array, ""]  # that were made
    kept: Int[Array, ""]  # how many of them the kept policy has seen


class Improvement(eqx.Module):
    """Updates in blocks; after each, the policy without its noise is tried in every world from the same starts.

    These trials last `length` steps, however short those are that the policy learns from; half of them begin where
    trials on the system began. A policy is kept where it returns more than the kept one in at least `share` of the
    worlds. After `patience` blocks in a row that were not kept, or after `blocks` in all, the last kept one is the
    result. A share of zero keeps all.

    Source: [Kurutach18] section 4.3. Deviates: patience; worlds are compared at the same starts, under the same noise.
    """

    updates: int = eqx.field(static=True, default=5)  # in a block
    tries: int = eqx.field(static=True, default=20)  # in each world
    length: int = eqx.field(static=True, default=200)  # [steps] of each
    blocks: Whole = whole(20)  # at the most
    share: Real = real(0.7)  # of the worlds
    patience: Whole = whole(2)  # blocks

    def __check_init__(self) -> None:
        for name in ("updates", "tries", "length", "patience"):
            check_within(self, name, 1.0)

    def __call__(
        self, key: PRNGKeyArray, env: Imagined, learner: AbstractPolicyLearner, state: Any
    ) -> tuple[Any, Improved]:
        """The learner's state, improved from `state`."""
        lane_key, practice_key, try_key = jax.random.split(key, 3)
        lanes = jax.vmap(lambda k: vector.reset(k, env))(jax.random.split(lane_key, learner.envs))
        tried = dataclasses.replace(env, task=dataclasses.replace(env.task, horizon=self.length), anew=_ANEW)
        none = jnp.zeros((), int)
        start = Practice(learner.on_reset(state), lanes, none)

        def goes_on(carry: tuple) -> Bool[Array, ""]:
            _, _, blocks, refused = carry
            return (blocks <= self.blocks) & (refused < self.patience)

        def block(carry: tuple) -> tuple:
            now, kept, blocks, refused = carry
            practised = lambda now: several(practice_key, env, learner, now, self.updates)[0]  # noqa: E731
            now = jax.lax.cond(blocks > 0, practised, lambda now: now, now)  # the first only tries what there was
            returns = returns_in(try_key, tried, learner.policy(now.learner), self.tries)
            better = (blocks == 0) | self.better(kept[1], returns)
            kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), (now.learner, returns, now.updates), kept)
            return now, kept, blocks + 1, jnp.where(better, 0, refused + 1)

        kept = (state, jnp.zeros(env.count), none)
        now, (kept, returns, at), _, _ = jax.lax.while_loop(goes_on, block, (start, kept, none, none))
        return kept, Improved(returns, now.updates, at)

    def better(self, before: Float[Array, "w"], after: Float[Array, "w"]) -> Bool[Array, ""]:
        """Whether returns rose in enough of the worlds."""
        return jnp.mean(after > before) >= self.share


def returns_in(key: PRNGKeyArray, env: Imagined, policy: AbstractPolicy, tries: int) -> Float[Array, "w"]:
    """What a policy returns in each world, in the mean over so many imagined trials: in all from the same starts."""

    def trial(key: PRNGKeyArray, env: Imagined) -> Float[Array, ""]:
        start_key, roll_key = jax.random.split(key)
        lane = vector.reset(start_key, env)

        def step(carry: tuple, key: PRNGKeyArray) -> tuple[tuple, None]:
            lane, memory, over, total = carry
            act_key, step_key = jax.random.split(key)
            action, memory = policy(act_key, lane.obs, memory)
            lane, met, ended = vector.step(step_key, env, lane, action)
            return (lane, memory, over | ended.over, total + jnp.where(over, 0.0, met.reward)), None

        start = (lane, policy.init(), jnp.zeros((), bool), jnp.zeros(()))
        return jax.lax.scan(step, start, jax.random.split(roll_key, env.task.horizon))[0][3]

    keys = jax.random.split(key, tries)
    in_world = lambda index: jax.vmap(lambda k: trial(k, env.world(index)))(keys).mean()  # noqa: E731
    return jax.vmap(in_world)(jnp.arange(env.count))
