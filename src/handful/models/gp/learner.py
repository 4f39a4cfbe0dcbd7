"""Fits a Gaussian process: selects rows, searches hyperparameters, and computes the posterior."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.data.features import Features
from handful.data.rows import Rows
from handful.data.scaling import Standardiser
from handful.errors import InputError
from handful.linalg import solve_positive
from handful.models.base import AbstractLearner, FitReport
from handful.models.finite import where
from handful.models.gp.belief import GaussianProcess
from handful.models.gp.kernels import SquaredExponential
from handful.models.gp.marginal_likelihood import MakeKernel, Priors, Search
from handful.models.gp.posterior import Posterior
from handful.task import Task
from handful.types import Transition


class GPState(eqx.Module):
    """The state from one fit to the next."""

    belief: GaussianProcess


class GPLearner(AbstractLearner):
    """The most probable hyperparameters of each output, and the exact posterior under them.

    Inputs and targets are standardised, and a linear trend is subtracted from the targets. Rows that are not finite are
    left out. Beyond `max_points` rows, a subset that covers the others is used. The arrays of the belief have
    `max_points` rows from the start, so that a planner compiled for the first belief takes all later ones; a fit uses
    no more rows than the capacity of the dataset.

    If an output has no finite start, or the posterior is not finite, the state stays as it was. The report has one
    entry per output; `validation_nll` is leave-one-out, twice the mean without its constant, on standardised targets.

    Source: [Rasmussen06] section 5.4. Deviates: priors on the hyperparameters; the trend is fitted first and held; a
    subset of the data beyond `max_points`.
    """

    kernel: MakeKernel = eqx.field(static=True, default=SquaredExponential)
    max_points: int = eqx.field(static=True, default=400)
    world_features: int = eqx.field(static=True, default=128)
    priors: Priors = eqx.field(default_factory=Priors)
    search: Search = eqx.field(default_factory=Search)

    def __check_init__(self) -> None:
        if self.max_points < 1:
            raise InputError(f"max_points must be at least 1, got {self.max_points}")
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
        posterior = Posterior.empty(covariance, self.max_points)
        trend = jnp.zeros((features.input_size, task.obs_size))
        return GPState(GaussianProcess(posterior, trend, input_scale, target_scale, features, self.world_features))

    def model(self, state: GPState) -> GaussianProcess:
        return state.belief

    def update(self, key: PRNGKeyArray, state: GPState, data: Dataset) -> tuple[GPState, FitReport]:
        old = state.belief
        rescaled, rows = self._rescaled(old, data)
        inputs, targets, mask = rows
        count = jnp.sum(mask).astype(int)
        steps = jnp.where(count > 0, self.search.steps, 0)
        covariance, cost = self.search(key, self.priors, old.posterior.covariance, rows, steps)
        posterior = Posterior.given(covariance, inputs, targets, mask)
        scaled = (rescaled.input_scale, rescaled.target_scale)  # not finite if squares of the data overflow
        finite = jnp.isfinite(cost) & posterior.finite() & jnp.isfinite(ravel_pytree(scaled)[0]).all()
        new = eqx.tree_at(lambda belief: belief.posterior, rescaled, posterior.grown(self.max_points))
        usable = finite.all() & (count > 0)
        belief = where(usable, new, old)
        score = jnp.where(count > 0, leave_one_out(posterior), jnp.nan)
        loss = jnp.where(count > 0, cost / jnp.maximum(count, 1), 0.0)
        return GPState(belief), FitReport(loss, score, steps, ~finite & (count > 0))

    def append(self, state: GPState, transitions: Transition) -> GPState:
        """The state given more transitions between fits, with the same hyperparameters and scales; O(N^2) each.

        Rows that are not finite are left out; beyond `max_points` rows all are, until the next fit.
        """
        return GPState(state.belief.append(transitions.obs, transitions.action, transitions.next_obs))

    def _rescaled(self, old: GaussianProcess, data: Dataset) -> tuple[GaussianProcess, tuple[Array, Array, Array]]:
        """The belief with the scales of the data; and the selected rows: inputs, targets and mask."""
        rows = Rows.of(old.features, data)
        inputs, targets, valid = rows.inputs, rows.targets, rows.valid
        input_scale = Standardiser.fit(inputs, valid)
        inputs = input_scale(inputs)
        trend = ridge(inputs, targets, valid)
        target_scale = Standardiser.fit(targets, valid)  # so that the priors see how large the remainder is
        targets = target_scale(targets - inputs @ trend)
        order, taken = spread_out(inputs, valid, min(self.max_points, data.capacity))
        parts = lambda belief: (belief.trend, belief.input_scale, belief.target_scale)
        rescaled = eqx.tree_at(parts, old, (trend, input_scale, target_scale))
        pick = lambda values: jnp.where(taken[:, None], values[order], 0.0)
        return rescaled, (pick(inputs), pick(targets), taken.astype(inputs.dtype))


def ridge(inputs: Float[Array, "b i"], targets: Float[Array, "b o"], valid: Bool[Array, "b"]) -> Float[Array, "i o"]:
    """Least squares of the centred targets on the inputs of valid rows, with a ridge penalty of one row.

    Away from the rows a stationary kernel returns to zero; the trend extrapolates.
    """
    rows = jnp.where(valid[:, None], inputs, 0.0)
    mean = jnp.sum(jnp.where(valid[:, None], targets, 0.0), axis=0) / jnp.maximum(valid.sum(), 1)
    centred = jnp.where(valid[:, None], targets - mean, 0.0)
    square = jnp.matmul(rows.T, rows, precision="highest") + jnp.eye(rows.shape[1], dtype=rows.dtype)
    return solve_positive(square, jnp.matmul(rows.T, centred, precision="highest"))


def leave_one_out(posterior: Posterior) -> Float[Array, "o"]:
    """Twice the mean NLL of each row given the others, without its constant.

    With `P = K^-1` the error is `(P y)_i / P_ii`, its variance `1 / P_ii`.

    Source: [Rasmussen06] equations 5.10 to 5.12. Deviates: no.
    """
    precision = jnp.sum(posterior.inverse_cholesky**2, axis=1)
    each = posterior.weights**2 / precision - jnp.log(precision)
    return jnp.sum(each * posterior.mask, axis=1) / jnp.maximum(jnp.sum(posterior.mask), 1.0)


def spread_out(
    inputs: Float[Array, "capacity i"], valid: Bool[Array, "capacity"], count: int
) -> tuple[Int[Array, "{count}"], Bool[Array, "{count}"]]:
    """The indices of `count` valid rows that cover the others, best first, and which of these indices hold a row.

    The first is the row farthest from the centre; each next one is the row farthest from all taken before, the first
    among ties. So duplicates come last, and any number of first rows is itself spread out. With `count` rows or fewer
    all are taken.

    Source: [Gonzalez85]. Deviates: starts at the outermost row instead of any.
    """
    centre = jnp.sum(jnp.where(valid[:, None], inputs, 0.0), axis=0) / jnp.maximum(valid.sum(), 1)
    outermost = jnp.argmax(jnp.where(valid, jnp.sum((inputs - centre) ** 2, axis=1), -jnp.inf))

    def take(index: Int[Array, ""], carry: tuple) -> tuple:
        gap, order = carry
        row = jnp.where(index == 0, outermost, jnp.argmax(gap))
        square = jnp.sum((inputs - inputs[row]) ** 2, axis=1)
        return jnp.minimum(gap, square).at[row].set(-jnp.inf), order.at[index].set(row)

    # Minus infinity marks rows that are not valid or taken already.
    gap = jnp.where(valid, jnp.inf, -jnp.inf).astype(inputs.dtype)
    _, order = jax.lax.fori_loop(0, count, take, (gap, jnp.zeros(count, int)))
    return order, jnp.arange(count) < valid.sum()
