"""How a Gaussian process is fitted: rows chosen, hyperparameters searched, posterior factored."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.data.features import Features
from handful.data.scaling import Standardiser
from handful.errors import InputError
from handful.linalg import solve_positive
from handful.models.base import AbstractLearner, FitReport
from handful.models.gp.belief import GaussianProcess
from handful.models.gp.kernels import SquaredExponential
from handful.models.gp.marginal_likelihood import MakeKernel, Priors
from handful.models.gp.posterior import Posterior
from handful.models.gp.search import Search
from handful.models.gp.subset import spread_out
from handful.task import Task
from handful.types import Transition


class GPState(eqx.Module):
    """Everything that goes on from one fit to the next."""

    belief: GaussianProcess


class GPLearner(AbstractLearner):
    """The most probable hyperparameters of each output, and the exact posterior under them.

    Inputs and targets are standardised, and a linear trend is taken off the targets. Rows with anything that is not
    finite are left out. Past `most_points` rows a subset that covers the others is taken. The
    belief's arrays hold `most_points` rows from the start, so a planner compiled for the first belief takes all later
    ones; a fit works on no more rows than the dataset can hold.

    A fit in which an output finds no finite start, or whose posterior is not finite, leaves the state as it was. The
    report has one entry an output; `validation_nll` is leave-one-out, twice the mean less its constant, on
    standardised targets.

    Source: [Rasmussen06] section 5.4. Deviates: priors on the hyperparameters; the trend is fitted first and held; a
    subset of the data past `most_points`.
    """

    kernel: MakeKernel = eqx.field(static=True, default=SquaredExponential)
    most_points: int = eqx.field(static=True, default=400)
    world_features: int = eqx.field(static=True, default=128)
    priors: Priors = eqx.field(default_factory=Priors)
    search: Search = eqx.field(default_factory=Search)

    def __check_init__(self) -> None:
        if self.most_points < 1:
            raise InputError(f"most_points must be at least 1, got {self.most_points}")
        if self.world_features < 2 or self.world_features % 2:
            raise InputError(
                f"world_features come in pairs of cosine and sine: an even number, at least 2, "
                f"got {self.world_features}"
            )

    def init(self, key: PRNGKeyArray, task: Task) -> GPState:
        features = Features.of(task)
        medians = self.priors.medians(self.kernel, features.input_size)
        covariance = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (task.obs_size, *leaf.shape)), medians)
        input_scale, target_scale = (Standardiser.identity(size) for size in (features.input_size, task.obs_size))
        posterior = Posterior.empty(covariance, self.most_points)
        trend = jnp.zeros((features.input_size, task.obs_size))
        return GPState(GaussianProcess(posterior, trend, input_scale, target_scale, features, self.world_features))

    def model(self, state: GPState) -> GaussianProcess:
        return state.belief

    def fit(self, key: PRNGKeyArray, state: GPState, data: Dataset) -> tuple[GPState, FitReport]:
        old = state.belief
        fresh, rows = self._scaled(old, data)
        inputs, targets, mask = rows
        count = jnp.sum(mask).astype(int)
        steps = jnp.where(count > 0, self.search.steps, 0)
        covariance, cost = self.search(key, self.priors, old.posterior.covariance, rows, steps)
        posterior = Posterior.given(covariance, inputs, targets, mask)
        scaled = (fresh.input_scale, fresh.target_scale)  # not finite where the data's squares overflow
        finite = jnp.isfinite(cost) & posterior.finite() & jnp.isfinite(ravel_pytree(scaled)[0]).all()
        new = eqx.tree_at(lambda belief: belief.posterior, fresh, posterior.grown(self.most_points))
        usable = finite.all() & (count > 0)
        belief = jax.tree.map(lambda new, old: jnp.where(usable, new, old), new, old)
        score = jnp.where(count > 0, leave_one_out(posterior), jnp.nan)
        loss = jnp.where(count > 0, cost / jnp.maximum(count, 1), 0.0)
        return GPState(belief), FitReport(loss, score, steps, ~finite & (count > 0))

    def append(self, state: GPState, transitions: Transition) -> GPState:
        """The state given more transitions between fits, hyperparameters and scales as they are; O(N^2) each.

        What is not finite is left out; past `most_points` rows nothing more is taken until the next fit.
        """
        return GPState(state.belief.append(transitions.obs, transitions.action, transitions.next_obs))

    def _scaled(self, old: GaussianProcess, data: Dataset) -> tuple[GaussianProcess, tuple[Array, Array, Array]]:
        """The belief with the scales of today's data; and the chosen rows: inputs, targets and mask."""
        seen = data.transitions
        valid = data.mask() & _finite(seen.obs) & _finite(seen.action) & _finite(seen.next_obs)
        seen = jax.tree.map(lambda x: jnp.where(jnp.expand_dims(valid, tuple(range(1, x.ndim))), x, 0), seen)
        inputs = jax.vmap(old.features.inputs)(seen.obs, seen.action)
        targets = jax.vmap(old.features.target)(seen.obs, seen.next_obs)
        input_scale = Standardiser.fit(inputs, valid)
        inputs = input_scale(inputs)
        trend = ridge(inputs, targets, valid)
        target_scale = Standardiser.fit(targets, valid)  # what is left keeps its size beside the whole, for the priors
        targets = target_scale(targets - inputs @ trend)
        order, taken = spread_out(inputs, valid, min(self.most_points, data.capacity))
        parts = lambda belief: (belief.trend, belief.input_scale, belief.target_scale)  # noqa: E731
        fresh = eqx.tree_at(parts, old, (trend, input_scale, target_scale))
        pick = lambda values: jnp.where(taken[:, None], values[order], 0.0)  # noqa: E731
        return fresh, (pick(inputs), pick(targets), taken.astype(inputs.dtype))


def ridge(inputs: Float[Array, "b i"], targets: Float[Array, "b o"], valid: Bool[Array, "b"]) -> Float[Array, "i o"]:
    """Least squares of the centred targets on the inputs of valid rows, with one row's worth of shrinkage.

    A stationary kernel forgets what it has learned away from the rows; what is linear in the inputs it need not learn.
    """
    rows = jnp.where(valid[:, None], inputs, 0.0)
    mean = jnp.sum(jnp.where(valid[:, None], targets, 0.0), axis=0) / jnp.maximum(valid.sum(), 1)
    centred = jnp.where(valid[:, None], targets - mean, 0.0)
    square = jnp.matmul(rows.T, rows, precision="highest") + jnp.eye(rows.shape[1], dtype=rows.dtype)
    return solve_positive(square, jnp.matmul(rows.T, centred, precision="highest"))


def leave_one_out(posterior: Posterior) -> Float[Array, "o"]:
    """How well each row is predicted from the others: twice the mean NLL less its constant.

    With `P = K^-1` the error is `(P y)_i / P_ii`, its variance `1 / P_ii`.

    Source: [Rasmussen06] equations 5.10 to 5.12. Deviates: no.
    """
    precision = jnp.sum(posterior.inverse_cholesky**2, axis=1)
    each = posterior.weights**2 / precision - jnp.log(precision)
    return jnp.sum(each * posterior.mask, axis=1) / jnp.maximum(jnp.sum(posterior.mask), 1.0)


def _finite(values: Float[Array, "capacity d"]) -> Bool[Array, "capacity"]:
    return jnp.isfinite(values).all(axis=1)
