"""How physics is fitted: the most probable parameters, then how sure they are."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.data.features import Features
from handful.data.scaling import Standardiser
from handful.errors import InputError
from handful.fields import Real, Whole, real, whole
from handful.models.base import AbstractLearner, FitReport
from handful.models.laplace import gaussian_at, lbfgs
from handful.models.physics import Physics
from handful.models.physics_laws import AbstractLaw, check_law
from handful.models.physics_parameters import Parameters
from handful.task import Task
from handful.types import Transition


class PhysicsState(eqx.Module):
    """What a fit leaves: the posterior of the parameters in free coordinates, and the noise."""

    centre: Float[Array, "q"]
    factor: Float[Array, "q q"]
    noise: Float[Array, "o"]  # std, in the units of the observation
    features: Features
    dt: float = eqx.field(static=True)


class PhysicsLearner(AbstractLearner):
    """The maximum of the posterior by L-BFGS, and a Gaussian around it.

    With z the free coordinates, e_j(z) the one-step errors of output j in stds of its change, N rows:

        minimise  |z|^2 / 2 + (N + 1) / 2 sum_j log(|e_j(z)|^2 + noise^2)

    That is the posterior with each output's noise variance at its best, `(|e_j|^2 + noise^2) / (N + 1)`: as if one more
    row had shown an error of `noise`. It starts from the guess and from the last fit, and keeps the better end. Then
    the noise is held and `laplace.gaussian_at` gives the covariance. Rows with a number that is not finite, and rows
    where the physics is not finite at the guess, are left out.

    >>> from handful import Acceleration, Parameter
    >>> pushed = Acceleration(lambda obs, action, p: (action - p["drag"] * obs[1:]) / p["mass"])
    >>> learner = PhysicsLearner(pushed, [Parameter("mass", guess=1.3, low=0.0), Parameter("drag", guess=0.2)])
    >>> learner.parameters.names
    ('mass', 'drag')

    Source: [MacKay92] for the approximation. Deviates: the noise's own uncertainty is left out, a share of 1 / N.
    """

    law: AbstractLaw
    parameters: Parameters = eqx.field(converter=Parameters.of)
    noise: Real = real(0.01)  # [std of the change] guess of the noise, worth one row
    steps: Whole = whole(300)  # of L-BFGS, at the most
    tolerance: Real = real(1e-3)  # largest entry of the gradient, at which it stops

    def __check_init__(self) -> None:
        if not isinstance(self.noise, Tracer) and not 0 < float(self.noise) < jnp.inf:
            raise InputError(f"the guessed noise must be finite and above zero, got {float(self.noise)}")

    def init(self, key: PRNGKeyArray, task: Task) -> PhysicsState:
        """Raises `InputError` where the physics function does not fit the task."""
        check_law(self.law, self.parameters, task)
        size = self.parameters.guess.shape[0]
        features = Features(task.obs_size, task.action_size, task.angles, ())
        noise = jnp.broadcast_to(self.noise, task.obs_size)
        return PhysicsState(jnp.zeros(size), jnp.eye(size), noise, features, task.dt)

    def model(self, state: PhysicsState) -> Physics:
        return Physics(self.law, self.parameters, state.centre, state.factor, state.noise, state.dt)

    def fit(self, key: PRNGKeyArray, state: PhysicsState, data: Dataset) -> tuple[PhysicsState, FitReport]:
        belief = self.model(state)
        rows, valid = _usable(belief, data)
        scale = Standardiser.fit(jax.vmap(state.features.target)(rows.obs, rows.next_obs), valid).std
        count = valid.sum()

        def errors(z: Float[Array, "q"]) -> Float[Array, "b o"]:
            means = jax.vmap(belief.at(z).mean)(rows.obs, rows.action)
            return jnp.where(valid[:, None], jax.vmap(state.features.target)(means, rows.next_obs) / scale, 0.0)

        def variances(z: Float[Array, "q"]) -> Float[Array, "o"]:
            return (jnp.sum(errors(z) ** 2, axis=0) + self.noise**2) / (count + 1)

        def objective(z: Float[Array, "q"]) -> Float[Array, ""]:
            return z @ z / 2 + (count + 1) / 2 * jnp.sum(jnp.log(variances(z)))

        starts = jnp.stack([jnp.zeros_like(state.centre), state.centre])
        ends = jax.lax.map(lambda start: lbfgs(objective, start, self.steps, self.tolerance), starts)
        centre = ends.point[jnp.argmin(jnp.where(jnp.isfinite(ends.value), ends.value, jnp.inf))]
        std = jnp.sqrt(variances(centre))
        factor = gaussian_at(lambda z: (errors(z) / std).ravel(), centre)
        new = PhysicsState(centre, factor, std * scale, state.features, state.dt)
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(new)]).all()
        kept = jax.tree.map(lambda new, old: jnp.where(finite & (count > 0), new, old), new, state)
        report = FitReport(
            loss=jnp.nanmin(ends.value)[None] / jnp.maximum(count, 1),
            validation_nll=jnp.full(1, jnp.nan, float),
            steps=jnp.where(count > 0, ends.steps.max(), 0),
            diverged=(~finite & (count > 0))[None],
        )
        return kept, report


def _usable(belief: Physics, data: Dataset) -> tuple[Transition, Bool[Array, "capacity"]]:
    """The rows, and which of them can be learned from; the others repeat the first of these, or are as they were."""
    rows = data.transitions
    seen = (rows.obs, rows.action, rows.next_obs)
    guessed = jax.vmap(belief.at(jnp.zeros_like(belief.centre)).mean)(rows.obs, rows.action)
    valid = data.mask()
    for values in (*seen, guessed):
        valid &= jnp.isfinite(values).all(axis=1)
    index = jnp.where(valid, jnp.arange(data.capacity), jnp.argmax(valid))
    return jax.tree.map(lambda leaf: leaf[index], rows), valid
