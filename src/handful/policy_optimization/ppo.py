"""Proximal policy optimisation: several epochs on the same samples, held back by a clip or by a KL penalty."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.fields import Real, check_within, real
from handful.policies.learner import Logged
from handful.policy_optimization.base import (
    AbstractActorCritic,
    ActorCriticState,
    Nets,
    Samples,
    explained,
    standardised,
)
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.steps import Adam, check_minibatches, shuffled
from handful.policy_optimization.surrogate import AbstractSurrogate, Clipped
from handful.task import Task
from handful.types import Transition

VALUE_WEIGHT = 0.5  # of the value's squared error in the objective


class PPO(AbstractActorCritic):
    """Maximises the surrogate, less half the value's squared error, plus an entropy bonus, by minibatches.

    With `Clipped` it is PPO with clipping, with `Penalised` PPO with a KL penalty, and with `Importance`, one epoch and
    one minibatch the advantage actor-critic.

    >>> from handful.envs.pendulum import Pendulum
    >>> learner = PPO(envs=2, length=8, minibatches=2)
    >>> state = learner.init(jax.random.key(3), Pendulum().task)

    Source: [Schulman17] algorithm 1. Deviates: the squared error of the value is not clipped; the norm of the gradient
    is.
    """

    envs: int = eqx.field(static=True, default=8)
    length: int = eqx.field(static=True, default=128)
    epochs: int = eqx.field(static=True, default=10)
    minibatches: int = eqx.field(static=True, default=4)
    surrogate: AbstractSurrogate = eqx.field(default_factory=Clipped)
    advantages: GAE = eqx.field(default_factory=GAE)
    nets: Nets = eqx.field(default_factory=Nets)
    adam: Adam = eqx.field(default_factory=Adam)
    entropy: Real = real(0.0)  # what a nat of it is worth
    scale_rewards: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        check_within(self, "epochs", 1.0)
        check_minibatches("minibatches", self.minibatches, self.envs, self.length)

    def init(self, key: PRNGKeyArray, task: Task) -> ActorCriticState:
        return self.start(key, task, self.surrogate.init(), self.adam)

    def update(self, key: PRNGKeyArray, state: ActorCriticState, batch: Transition) -> tuple[ActorCriticState, Logged]:
        samples, scale = self.samples(state, batch)
        weights = (state.policy.head, state.value.net)
        values = jax.vmap(state.value.net)(samples.seen)[:, 0]

        def step(carry: tuple, rows: Array) -> tuple[tuple, None]:
            weights, memory = carry
            minibatch = jax.tree.map(lambda leaf: leaf[rows], samples)
            gradient = jax.grad(self.objective)(weights, state.surrogate, minibatch)
            return self.adam.ascend(weights, memory, gradient, state.updates), None

        order = shuffled(key, samples.advantage.size, self.epochs, self.minibatches)
        (weights, memory), _ = jax.lax.scan(step, (weights, state.memory), order)
        after = jax.vmap(weights[0])(samples.seen)
        kl = jnp.mean(jax.vmap(lambda old, new: old.kl(new))(samples.before, after))
        surrogate = self.surrogate.after(state.surrogate, kl)
        logged = {
            "kl": kl,
            "entropy": jnp.mean(jax.vmap(lambda d: d.entropy())(after)),
            "explained": explained(values, samples.target),
            **({} if surrogate is None else {"beta": surrogate}),
        }
        return self.moved_on(state, batch, weights, memory=memory, surrogate=surrogate, rewards=scale), logged

    def objective(self, weights: tuple, memory: object, samples: Samples) -> Float[Array, ""]:
        """What a minibatch ascends; its advantages are standardised."""
        head, net = weights
        now = jax.vmap(head)(samples.seen)
        log_ratio = jax.vmap(lambda d, c: d.log_prob(c))(now, samples.choice) - samples.log_prob
        kl = jax.vmap(lambda old, new: old.kl(new))(samples.before, now)
        advantage = standardised(samples.advantage)
        gain = jax.vmap(self.surrogate, in_axes=(None, 0, 0, 0))(memory, log_ratio, advantage, kl)
        error = (jax.vmap(net)(samples.seen)[:, 0] - samples.target) ** 2
        entropy = jax.vmap(lambda d: d.entropy())(now)
        return jnp.mean(gain + self.entropy * entropy - VALUE_WEIGHT * error)
