"""Fits physics: the most probable parameters, then their covariance."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.data.features import Features
from handful.data.rows import Rows, finite_rows
from handful.data.scaling import Standardiser
from handful.fields import Real, Whole, check_within, real, whole
from handful.models.base import AbstractLearner, FitReport
from handful.models.finite import where
from handful.models.laplace import gaussian_at, lbfgs
from handful.models.physics import Physics
from handful.models.physics_laws import AbstractLaw, check_law
from handful.models.physics_parameters import Parameters
from handful.task import Task
from handful.types import Transition


class PhysicsState(eqx.Module):
    """The posterior of the parameters in free coordinates, and the noise."""

    centre: Float[Array, "q"]
    factor: Float[Array, "q q"]
    noise: Float[Array, "o"]  # std, in the units of the observation
    features: Features
    dt: float = eqx.field(static=True)


class PhysicsLearner(AbstractLearner):
    """The maximum of the posterior by L-BFGS, and a Gaussian around it.

    With z the free coordinates, e_j(z) the one-step errors of output j in stds of its change, N rows:

        minimise  |z|^2 / 2 + (N + 1) / 2 sum_j log(|e_j(z)|^2 + noise^2)

    That is the negative log posterior with each output's noise variance at its most probable value,
    `(|e_j|^2 + noise^2) / (N + 1)`: as if one more row had an error of `noise`. The search starts from the guess and
    from the last fit, and the better result is kept. Then the noise is held and `laplace.gaussian_at` gives the
    covariance. Rows that are not finite, and rows where the physics is not finite at the guess, are left out.

    >>> from handful import Acceleration, Parameter
    >>> pushed = Acceleration(lambda obs, action, p: (action - p["drag"] * obs[1:]) / p["mass"])
    >>> learner = PhysicsLearner(pushed, [Parameter("mass", guess=1.3, low=0.0), Parameter("drag", guess=0.2)])
    >>> learner.parameters.names
    ('mass', 'drag')

    Source: [MacKay92] for the approximation. Deviates: the uncertainty of the noise is neglected, which is of order 1 /
    N.
    """

    law: AbstractLaw
    parameters: Parameters = eqx.field(converter=Parameters.of)
    noise: Real = real(0.01)  # [std of the change] guess of the noise, with the weight of one row
    steps: Whole = whole(300)  # of L-BFGS at most
    tolerance: Real = real(1e-3)  # stops once no entry of the gradient is larger

    def __check_init__(self) -> None:
        for name in ("noise", "tolerance"):
            check_within(self, name, 0.0, finite=True, least_excluded=True)
        check_within(self, "steps", 1.0)

    def init(self, key: PRNGKeyArray, task: Task) -> PhysicsState:
        """Raises `InputError` if the physics function does not fit the task."""
        check_law(self.law, self.parameters, task)
        size = self.parameters.guess.shape[0]
        features = Features(task.obs_size, task.action_size, task.angles, ())
        noise = jnp.broadcast_to(self.noise, task.obs_size)
        return PhysicsState(jnp.zeros(size), jnp.eye(size), noise, features, task.dt)

    def model(self, state: PhysicsState) -> Physics:
        return Physics(self.law, self.parameters, state.centre, state.factor, state.noise, state.dt)

    def update(self, key: PRNGKeyArray, state: PhysicsState, data: Dataset) -> tuple[PhysicsState, FitReport]:
        belief = self.model(state)
        rows, valid = _usable(belief, state.features, data)
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
        report = FitReport(
            loss=jnp.nanmin(ends.value)[None] / jnp.maximum(count, 1),
            validation_nll=jnp.full(1, jnp.nan, float),
            steps=jnp.where(count > 0, ends.steps.max(), 0),
            diverged=jnp.zeros(1, bool),
        )
        return where(count > 0, new, state), report


def _usable(belief: Physics, features: Features, data: Dataset) -> tuple[Transition, Bool[Array, "capacity"]]:
    """The rows, and which of them can be learned from; the others repeat the first of these, if there is one."""
    rows = data.transitions
    guessed = jax.vmap(belief.at(jnp.zeros_like(belief.centre)).mean)(rows.obs, rows.action)
    valid = Rows.of(features, data).valid & finite_rows(guessed)
    index = jnp.where(valid, jnp.arange(data.capacity), jnp.argmax(valid))
    return jax.tree.map(lambda leaf: leaf[index], rows), valid
