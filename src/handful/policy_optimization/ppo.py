"""Proximal policy optimisation: several epochs on the same samples, limited by clipping or by a KL penalty."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from handful.agent import Metrics
from handful.fields import Real, check_finite, check_within, real
from handful.optimiser import Adam
from handful.policy_optimization.base import (
    AbstractActorCritic,
    ActorCriticNets,
    ActorCriticState,
    Samples,
    explained_variance,
    standardised,
)
from handful.policy_optimization.minibatches import check_minibatches, shuffled
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.surrogate import AbstractSurrogate, Clipped
from handful.task import Task
from handful.types import Batch


class PPO(AbstractActorCritic):
    """Maximises `E[surrogate + entropy_coef entropy - value_coef (V - target)^2]` by minibatches.

    With `Clipped` it is PPO with clipping, with `Penalised` PPO with a KL penalty, and with `Importance`, one epoch and
    one minibatch the advantage actor-critic (see `a2c`). Its metrics: `kl` [nats] from the old to the new policy,
    `entropy` [nats], `explained_variance` of the value's targets, and `beta` with `Penalised`.

    >>> from handful.envs.pendulum import Pendulum
    >>> agent = PPO(num_envs=2, num_steps=8, minibatches=2)
    >>> state = agent.init(jax.random.key(3), Pendulum().task)

    Source: [Schulman17] algorithm 1. Deviates: the value's squared error is not clipped; the gradient's norm is.
    """

    num_envs: int = eqx.field(static=True, default=8)
    num_steps: int = eqx.field(static=True, default=128)
    epochs: int = eqx.field(static=True, default=10)
    minibatches: int = eqx.field(static=True, default=4)
    surrogate: AbstractSurrogate = eqx.field(default_factory=Clipped)
    advantages: GAE = eqx.field(default_factory=GAE)
    nets: ActorCriticNets = eqx.field(default_factory=ActorCriticNets)
    adam: Adam = eqx.field(default_factory=Adam)
    entropy_coef: Real = real(0.0)
    value_coef: Real = real(0.5)
    scale_rewards: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        for name in ("num_envs", "num_steps", "epochs"):
            check_within(self, name, 1.0)
        for name in ("entropy_coef", "value_coef"):
            check_within(self, name, 0.0)
        check_finite(self, "entropy_coef", "value_coef")
        check_minibatches("minibatches", self.minibatches, self.num_envs, self.num_steps)

    def init(self, key: PRNGKeyArray, task: Task) -> ActorCriticState:
        return self.start(key, task, self.surrogate.init(), self.adam)

    def update(
        self, key: PRNGKeyArray, task: Task, state: ActorCriticState, batch: Batch
    ) -> tuple[ActorCriticState, Metrics]:
        samples, scale = self.samples(state, batch.transitions)
        weights = (state.policy.head, state.value.net)
        values = jax.vmap(state.value.net)(samples.inputs)[:, 0]

        def step(carry: tuple, rows: Array) -> tuple[tuple, None]:
            weights, opt_state = carry
            minibatch = jax.tree.map(lambda leaf: leaf[rows], samples)
            gradient = jax.grad(self.objective)(weights, state.surrogate_state, minibatch)
            return self.adam.ascend(weights, opt_state, gradient, state.updates), None

        order = shuffled(key, samples.advantage.size, self.epochs, self.minibatches)
        (weights, opt_state), _ = jax.lax.scan(step, (weights, state.opt_state), order)
        after = jax.vmap(weights[0])(samples.inputs)
        kl = samples.mean(jax.vmap(lambda old, new: old.kl(new))(samples.distribution, after))
        surrogate_state = self.surrogate.after(state.surrogate_state, kl)
        metrics = {
            "kl": kl,
            "entropy": samples.mean(jax.vmap(lambda d: d.entropy())(after)),
            "explained_variance": explained_variance(values, samples.target, samples.valid),
            **({} if surrogate_state is None else {"beta": surrogate_state}),
        }
        carried = {"opt_state": opt_state, "surrogate_state": surrogate_state, "reward_scale": scale}
        return self.next_state(state, batch.transitions, weights, **carried), metrics

    def objective(self, weights: tuple, surrogate_state: object, samples: Samples) -> Float[Array, ""]:
        """The objective of a minibatch, whose advantages are standardised."""
        head, net = weights
        now = jax.vmap(head)(samples.inputs)
        log_ratio = jax.vmap(lambda d, a: d.log_prob(a))(now, samples.raw_action) - samples.log_prob
        kl = jax.vmap(lambda old, new: old.kl(new))(samples.distribution, now)
        advantage = standardised(samples.advantage, samples.valid)
        gain = jax.vmap(self.surrogate, in_axes=(None, 0, 0, 0))(surrogate_state, log_ratio, advantage, kl)
        error = (jax.vmap(net)(samples.inputs)[:, 0] - samples.target) ** 2
        entropy = jax.vmap(lambda d: d.entropy())(now)
        return samples.mean(gain + self.entropy_coef * entropy - self.value_coef * error)
