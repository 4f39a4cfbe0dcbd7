"""Trust region policy optimisation: a natural gradient step within a bound on the KL divergence."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.agent import Metrics
from handful.fields import Real, Whole, check_finite, check_within, real, whole
from handful.optimiser import Adam, linear_decay
from handful.policies.mlp import MLP
from handful.policies.stochastic import Head
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
from handful.task import Task
from handful.types import Batch

_ROUNDING = 1e-10  # of the squared size of the right-hand side: float32 resolves no more
_TINY = 1e-30


class TrustRegion(eqx.Module):
    """The size of a step, and the solver that finds it."""

    delta: Real = real(0.01)  # [nats] bound on the mean KL divergence of the first step
    decay_updates: Real = real(jnp.inf)  # number of updates in which delta decays to zero; inf: constant
    damping: Real = real(0.1)  # added to the Fisher matrix's diagonal
    cg_iterations: int = eqx.field(static=True, default=10)  # of conjugate gradients, one Fisher product each
    fisher_subsampling: int = eqx.field(static=True, default=1)  # every how many-th sample is used for Fisher products
    backtrack_coeff: Real = real(0.8)  # by which the line search multiplies a rejected step
    backtrack_iters: Whole = whole(10)  # steps that the line search tries at most

    def __check_init__(self) -> None:
        for name in ("cg_iterations", "fisher_subsampling", "backtrack_iters"):
            check_within(self, name, 1.0)
        for name in ("delta", "decay_updates"):
            check_within(self, name, 0.0, least_excluded=True)
        check_within(self, "damping", 0.0)
        check_finite(self, "delta", "damping")
        check_within(self, "backtrack_coeff", 0.0, 1.0, least_excluded=True)

    def delta_at(self, update: Array | float) -> Float[Array, ""]:
        """Delta after `update` updates."""
        return self.delta * linear_decay(update, self.decay_updates)


class TRPO(AbstractActorCritic):
    """`max E[ratio advantage] s.t. mean KL(old || new) <= delta`, one step for each batch.

    The direction is `F^-1 g` by conjugate gradients, with Fisher products in Gauss-Newton form: forward to the
    distribution's parameters, times their own Fisher information, and back. The step is as long as the quadratic model
    of the KL divergence allows. A line search shortens it until the surrogate improves and the true KL is within delta;
    if it never is, the policy is not changed. The value is fitted to the whole batch for several epochs. Its metrics:
    `kl` and `entropy` [nats], `explained_variance` of the value's targets, and `accepted`, 1 if the policy changed.

    >>> from handful.envs.pendulum import Pendulum
    >>> agent = TRPO(num_envs=2, num_steps=8)
    >>> state = agent.init(jax.random.key(3), Pendulum().task)

    Source: [Schulman15] algorithm 1, appendix C; advantages [Schulman16]. Deviates: Fisher products use all samples,
    where the paper uses a tenth (`fisher_subsampling=10`); delta may decay.
    """

    num_envs: int = eqx.field(static=True, default=8)
    num_steps: int = eqx.field(static=True, default=256)
    region: TrustRegion = eqx.field(default_factory=TrustRegion)
    advantages: GAE = eqx.field(default_factory=GAE)
    nets: ActorCriticNets = eqx.field(default_factory=ActorCriticNets)
    adam: Adam = eqx.field(default_factory=lambda: Adam(learning_rate=1e-3, max_grad_norm=jnp.inf))  # of the value
    value_epochs: int = eqx.field(static=True, default=10)
    value_minibatches: int = eqx.field(static=True, default=16)
    scale_rewards: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        for name in ("num_envs", "num_steps", "value_epochs"):
            check_within(self, name, 1.0)
        check_minibatches("value_minibatches", self.value_minibatches, self.num_envs, self.num_steps)

    def init(self, key: PRNGKeyArray, task: Task) -> ActorCriticState:
        state = self.start(key, task, None, self.adam)
        return eqx.tree_at(lambda s: s.opt_state, state, self.adam.init(state.value.net))

    def update(
        self, key: PRNGKeyArray, task: Task, state: ActorCriticState, batch: Batch
    ) -> tuple[ActorCriticState, Metrics]:
        samples, scale = self.samples(state, batch.transitions)
        values = jax.vmap(state.value.net)(samples.inputs)[:, 0]
        with jax.default_matmul_precision("highest"):
            head, accepted = self.trust_region_step(state.policy.head, samples, self.region.delta_at(state.updates))
        net, opt_state = self._fit_value(key, state, samples)
        after = jax.vmap(head)(samples.inputs)
        metrics = {
            "kl": samples.mean(jax.vmap(lambda old, new: old.kl(new))(samples.distribution, after)),
            "entropy": samples.mean(jax.vmap(lambda d: d.entropy())(after)),
            "explained_variance": explained_variance(values, samples.target, samples.valid),
            "accepted": accepted.astype(values.dtype),
        }
        carried = {"opt_state": opt_state, "surrogate_state": None, "reward_scale": scale}
        return self.next_state(state, batch.transitions, (head, net), **carried), metrics

    def trust_region_step(
        self, head: Head, samples: Samples, delta: Float[Array, ""] | float
    ) -> tuple[Head, Bool[Array, ""]]:
        """The policy head after a step of at most `delta` [nats], and whether the line search accepted one."""
        flat, unravel = jax.flatten_util.ravel_pytree(head)
        advantage = standardised(samples.advantage, samples.valid)

        def gain(weights: Float[Array, "w"]) -> Float[Array, ""]:
            now = jax.vmap(unravel(weights))(samples.inputs)
            log_prob = jax.vmap(lambda d, a: d.log_prob(a))(now, samples.raw_action)
            return samples.mean(jnp.exp(log_prob - samples.log_prob) * advantage)

        def divergence(weights: Float[Array, "w"]) -> Float[Array, ""]:
            now = jax.vmap(unravel(weights))(samples.inputs)
            return samples.mean(jax.vmap(lambda old, new: old.kl(new))(samples.distribution, now))

        before, gradient = jax.value_and_grad(gain)(flat)
        thinned = jax.tree.map(lambda leaf: leaf[:: self.region.fisher_subsampling], samples)
        fisher = fisher_products(head, thinned.inputs, thinned.valid)
        product = lambda v: fisher(v) + self.region.damping * v
        direction = conjugate_gradients(product, gradient, self.region.cg_iterations)
        curvature = direction @ gradient  # equals direction @ product(direction): the residual is orthogonal to it
        full_step = jnp.sqrt(2 * delta / jnp.maximum(curvature, 1e-12)) * direction

        def searching(carry: tuple) -> Bool[Array, ""]:
            tried, accepted = carry
            return ~accepted & (tried < self.region.backtrack_iters)

        def attempt(carry: tuple) -> tuple:
            tried, _ = carry
            step = flat + self.region.backtrack_coeff**tried * full_step
            return tried + 1, (gain(step) > before) & (divergence(step) <= delta)

        tried, accepted = jax.lax.while_loop(searching, attempt, (jnp.zeros((), int), jnp.zeros((), bool)))
        step = flat + self.region.backtrack_coeff ** (tried - 1) * full_step
        return unravel(jnp.where(accepted, step, flat)), accepted

    def _fit_value(self, key: PRNGKeyArray, state: ActorCriticState, samples: Samples) -> tuple:
        """The value net after `value_epochs` epochs, and the state of its optimiser."""

        def objective(net: MLP, rows: Array) -> Float[Array, ""]:
            drawn = jax.tree.map(lambda leaf: leaf[rows], samples)
            return -drawn.mean((jax.vmap(net)(drawn.inputs)[:, 0] - drawn.target) ** 2)

        def step(carry: tuple, rows: Array) -> tuple[tuple, None]:
            net, opt_state = carry
            return self.adam.ascend(net, opt_state, jax.grad(objective)(net, rows), state.updates), None

        order = shuffled(key, samples.target.size, self.value_epochs, self.value_minibatches)
        return jax.lax.scan(step, (state.value.net, state.opt_state), order)[0]


def conjugate_gradients(
    product: Callable[[Float[Array, "w"]], Float[Array, "w"]], target: Float[Array, "w"], iterations: int
) -> Float[Array, "w"]:
    """An approximate solution of `product(x) = target`, for a symmetric positive definite product.

    Not `jax.scipy.sparse.linalg.cg`, which returns NaN under `vmap`.

    Source: [Nocedal06] algorithm 5.2. Deviates: iterations change nothing once the residual is rounding error.
    """
    tolerance = _ROUNDING * target @ target

    def step(_: Array, carry: tuple) -> tuple:
        x, residual, direction, size = carry
        along = product(direction)
        length = size / jnp.maximum(direction @ along, _TINY)
        new_residual = residual - length * along
        new_size = new_residual @ new_residual
        new_direction = new_residual + new_size / jnp.maximum(size, _TINY) * direction
        moved = (x + length * direction, new_residual, new_direction, new_size)
        return jax.tree.map(lambda new, old: jnp.where(size > tolerance, new, old), moved, carry)

    start = (jnp.zeros_like(target), target, target, target @ target)
    return jax.lax.fori_loop(0, iterations, step, start)[0]


def fisher_products(
    head: Head, inputs: Float[Array, "b i"], valid: Bool[Array, "b"] | None = None
) -> Callable[[Float[Array, "w"]], Float[Array, "w"]]:
    """A function that multiplies a vector with the Fisher matrix of a policy head's weights, averaged over `inputs`.

    `F v = mean_b J_b^T M_b J_b v`, with J the Jacobian of the distribution's parameters by the weights and M the Fisher
    information of these parameters; the mean is over the valid rows. The net is evaluated and linearised once for all
    products.
    """
    flat, unravel = jax.flatten_util.ravel_pytree(head)
    now, forward = jax.linearize(lambda weights: jax.vmap(unravel(weights))(inputs), flat)
    back = jax.linear_transpose(forward, flat)
    share = jnp.ones(inputs.shape[0]) if valid is None else valid.astype(inputs.dtype)
    share = share / jnp.maximum(share.sum(), 1)

    def product(vector: Float[Array, "w"]) -> Float[Array, "w"]:
        def weighted(distribution: Any, tangent: Any, share: Float[Array, ""]) -> Any:
            return jax.tree.map(lambda leaf: share * leaf, distribution.fisher(tangent))

        return back(jax.vmap(weighted)(now, forward(vector), share))[0]

    return product
