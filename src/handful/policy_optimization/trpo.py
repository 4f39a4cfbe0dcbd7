"""Trust region policy optimisation: the natural gradient, as far as the KL divergence allows."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.fields import Real, Whole, check_within, real, whole
from handful.policies.learner import Logged
from handful.policies.mlp import MLP
from handful.policies.stochastic import CategoricalHead, GaussianHead
from handful.policy_optimization.base import (
    AbstractActorCritic,
    ActorCriticState,
    Nets,
    Samples,
    explained,
    standardised,
)
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.steps import Adam, check_minibatches, left, shuffled
from handful.task import Task
from handful.types import Transition

Head = GaussianHead | CategoricalHead

_ROUNDING = 1e-10  # of the squared size of what is solved for: float32 tells no more apart
_TINY = 1e-30


class TrustRegion(eqx.Module):
    """How far a step may go, and how it is found."""

    delta: Real = real(0.01)  # [nats] greatest mean KL divergence of a step, at first
    updates: Real = real(jnp.inf)  # in which delta falls to zero; infinite: it stays
    damping: Real = real(0.1)  # added to the Fisher matrix's diagonal
    products: int = eqx.field(static=True, default=10)  # with the Fisher matrix, of conjugate gradients
    every: int = eqx.field(static=True, default=1)  # of so many steps one counts in the Fisher matrix
    shrink: Real = real(0.8)  # of the step, each time the line search refuses it
    tries: Whole = whole(10)

    def __check_init__(self) -> None:
        for name in ("products", "every"):
            check_within(self, name, 1.0)
        for name in ("delta", "updates"):
            check_within(self, name, 0.0, least_excluded=True)

    def reach(self, update: Array | float) -> Float[Array, ""]:
        """Delta in the given update of all."""
        return self.delta * left(update, self.updates)


class TRPO(AbstractActorCritic):
    """`max E[ratio advantage] s.t. mean KL(old || new) <= delta`, one step for each batch.

    The direction is `F^-1 g` by conjugate gradients, with Fisher products in Gauss-Newton form: forward to the
    distribution's parameters, times their own Fisher information, and back. Its length is the greatest that the
    quadratic model of KL allows. A line search shortens it until the surrogate gains and the true KL is within delta;
    where it never is, the old policy stays. The value is fitted to the whole batch for several epochs.

    >>> from handful.envs.pendulum import Pendulum
    >>> learner = TRPO(envs=2, length=8)
    >>> state = learner.init(jax.random.key(3), Pendulum().task)

    Source: [Schulman15] algorithm 1, appendix C; advantages [Schulman16]. Deviates: the Fisher matrix is that of all
    steps, unless `every` thins them out as the paper does (10); delta may fall.
    """

    envs: int = eqx.field(static=True, default=8)
    length: int = eqx.field(static=True, default=256)
    region: TrustRegion = eqx.field(default_factory=TrustRegion)
    advantages: GAE = eqx.field(default_factory=GAE)
    nets: Nets = eqx.field(default_factory=Nets)
    adam: Adam = eqx.field(default_factory=lambda: Adam(rate=1e-3, longest=jnp.inf))  # of the value
    value_epochs: int = eqx.field(static=True, default=10)
    value_minibatches: int = eqx.field(static=True, default=16)
    scale_rewards: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        check_within(self, "value_epochs", 1.0)
        check_minibatches("value_minibatches", self.value_minibatches, self.envs, self.length)

    def init(self, key: PRNGKeyArray, task: Task) -> ActorCriticState:
        state = self.start(key, task, None, self.adam)
        return eqx.tree_at(lambda s: s.memory, state, self.adam.init(state.value.net))

    def update(self, key: PRNGKeyArray, state: ActorCriticState, batch: Transition) -> tuple[ActorCriticState, Logged]:
        samples, scale = self.samples(state, batch)
        values = jax.vmap(state.value.net)(samples.seen)[:, 0]
        with jax.default_matmul_precision("highest"):
            head, accepted = self.improved(state.policy.head, samples, self.region.reach(state.updates))
        net, memory = self._value(key, state, samples)
        after = jax.vmap(head)(samples.seen)
        logged = {
            "kl": jnp.mean(jax.vmap(lambda old, new: old.kl(new))(samples.before, after)),
            "entropy": jnp.mean(jax.vmap(lambda d: d.entropy())(after)),
            "explained": explained(values, samples.target),
            "accepted": accepted.astype(values.dtype),
        }
        return self.moved_on(state, batch, (head, net), memory=memory, surrogate=None, rewards=scale), logged

    def improved(self, head: Head, samples: Samples, delta: Float[Array, ""] | float) -> tuple[Head, Bool[Array, ""]]:
        """The policy after one step of at most `delta` [nats], and whether the line search found one."""
        flat, unravel = jax.flatten_util.ravel_pytree(head)
        advantage = standardised(samples.advantage)

        def gain(weights: Float[Array, "w"]) -> Float[Array, ""]:
            now = jax.vmap(unravel(weights))(samples.seen)
            log_prob = jax.vmap(lambda d, c: d.log_prob(c))(now, samples.choice)
            return jnp.mean(jnp.exp(log_prob - samples.log_prob) * advantage)

        def divergence(weights: Float[Array, "w"]) -> Float[Array, ""]:
            now = jax.vmap(unravel(weights))(samples.seen)
            return jnp.mean(jax.vmap(lambda old, new: old.kl(new))(samples.before, now))

        before, gradient = jax.value_and_grad(gain)(flat)
        fisher = fisher_products(head, samples.seen[:: self.region.every])
        product = lambda v: fisher(v) + self.region.damping * v  # noqa: E731
        direction = conjugate_gradients(product, gradient, self.region.products)
        curvature = direction @ gradient  # as direction @ product(direction): what is left is at right angles to it
        longest = jnp.sqrt(2 * delta / jnp.maximum(curvature, 1e-12)) * direction

        def refused(carry: tuple) -> Bool[Array, ""]:
            tried, accepted = carry
            return ~accepted & (tried < self.region.tries)

        def attempt(carry: tuple) -> tuple:
            tried, _ = carry
            step = flat + self.region.shrink**tried * longest
            return tried + 1, (gain(step) > before) & (divergence(step) <= delta)

        tried, accepted = jax.lax.while_loop(refused, attempt, (jnp.zeros((), int), jnp.zeros((), bool)))
        step = flat + self.region.shrink ** (tried - 1) * longest
        return unravel(jnp.where(accepted, step, flat)), accepted

    def _value(self, key: PRNGKeyArray, state: ActorCriticState, samples: Samples) -> tuple:
        """The value's net after its epochs, and its optimiser's memory."""

        def fitness(net: MLP, rows: Array) -> Float[Array, ""]:
            return -jnp.mean((jax.vmap(net)(samples.seen[rows])[:, 0] - samples.target[rows]) ** 2)

        def step(carry: tuple, rows: Array) -> tuple[tuple, None]:
            net, memory = carry
            return self.adam.ascend(net, memory, jax.grad(fitness)(net, rows), state.updates), None

        order = shuffled(key, samples.target.size, self.value_epochs, self.value_minibatches)
        return jax.lax.scan(step, (state.value.net, state.memory), order)[0]


def conjugate_gradients(
    product: Callable[[Float[Array, "w"]], Float[Array, "w"]], target: Float[Array, "w"], iterations: int
) -> Float[Array, "w"]:
    """An approximate solution of `product(x) = target`, for a symmetric positive definite product.

    Our own, because that of `jax.scipy` gives numbers that are none under `vmap`.

    Source: [Nocedal06] algorithm 5.2. Deviates: it stands still once the residual is rounding.
    """
    enough = _ROUNDING * target @ target

    def step(_: Array, carry: tuple) -> tuple:
        x, residual, direction, size = carry
        along = product(direction)
        length = size / jnp.maximum(direction @ along, _TINY)
        smaller = residual - length * along
        following = smaller @ smaller
        turned = smaller + following / jnp.maximum(size, _TINY) * direction
        moved = (x + length * direction, smaller, turned, following)
        return jax.tree.map(lambda new, old: jnp.where(size > enough, new, old), moved, carry)

    start = (jnp.zeros_like(target), target, target, target @ target)
    return jax.lax.fori_loop(0, iterations, step, start)[0]


def fisher_products(head: Head, seen: Float[Array, "b i"]) -> Callable[[Float[Array, "w"]], Float[Array, "w"]]:
    """What multiplies a vector with the Fisher matrix of a policy's weights, averaged over what it sees.

    `F v = mean_b J_b^T M_b J_b v`, J the distribution's parameters by the weights, M their own Fisher information. The
    net is run and linearised once for all products.
    """
    flat, unravel = jax.flatten_util.ravel_pytree(head)
    now, forward = jax.linearize(lambda weights: jax.vmap(unravel(weights))(seen), flat)
    back = jax.linear_transpose(forward, flat)

    def product(vector: Float[Array, "w"]) -> Float[Array, "w"]:
        return back(jax.vmap(lambda d, t: d.fisher(t))(now, forward(vector)))[0] / seen.shape[0]

    return product
