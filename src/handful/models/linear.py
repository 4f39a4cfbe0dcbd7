"""The linear belief: Bayesian least squares, in closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.data.features import Features
from handful.data.rows import Rows
from handful.data.scaling import Standardiser
from handful.errors import InputError
from handful.fields import Real, check_within, real
from handful.linalg import qr_factor, solve_triangular
from handful.models.base import AbstractDynamics, AbstractLearner, AbstractWorld, FitReport
from handful.task import Task
from handful.types import Prediction

# Of the squared norm of a standardised column. Its root, 1e-5, is above what rounding leaves of a column that is the
# sum of others (a few times 1e-7), and far below any effect that a fit looks for.
JITTER = 1e-10


class LinearMap(eqx.Module):
    """next_obs as a linear function of the standardised inputs and a constant one."""

    weights: Float[Array, "r o"]  # the last row belongs to the constant
    input_scale: Standardiser
    target_scale: Standardiser
    features: Features

    def regressors(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "r"]:
        return _with_one(self.input_scale(self.features.inputs(obs, action)))

    def next_obs(self, obs: Float[Array, "o"], regressors: Float[Array, "r"]) -> Float[Array, "o"]:
        return self.features.next_obs(obs, self.target_scale.inverse(regressors @ self.weights))

    def matrices(self) -> tuple[Float[Array, "o o"], Float[Array, "o a"], Float[Array, "o"]]:
        """A, B and c of next_obs = A obs + B action + c. Raises `InputError` if the task declares angles."""
        features = self.features
        if features.angles:
            raise InputError(
                "A, B and c exist only for tasks without angles, since sine and cosine are not linear; "
                f"got the angles {features.angles}"
            )
        o, a = features.obs_size, features.action_size
        slopes = self.weights[:-1] / self.input_scale.std[:, None] * self.target_scale.std
        c = self.target_scale.inverse(self.weights[-1]) - self.input_scale.mean @ slopes
        zero_obs, zero_action = jnp.zeros(o, c.dtype), jnp.zeros(a, c.dtype)
        # Inputs and next_obs are linear here, so their Jacobians map entries to rows.
        by_obs, by_action = jax.jacobian(features.inputs, argnums=(0, 1))(zero_obs, zero_action)
        kept = jax.jacobian(features.next_obs)(zero_obs, zero_obs)
        return kept + slopes.T @ by_obs, slopes.T @ by_action, c


class LinearWorld(AbstractWorld):
    """A linear map with process noise."""

    map: LinearMap
    var: Float[Array, "o"]  # of the noise on the standardised target

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        mean = self.map.next_obs(obs, self.map.regressors(obs, action))
        return Prediction(mean, self.var * self.map.target_scale.std**2, jnp.zeros_like(mean))


class BayesianLinear(AbstractDynamics):
    """Matrix-normal inverse-gamma posterior of the weights W and of each output's noise variance v_j.

        v_j ~ InverseGamma(a, b_j),   column j of W given v_j ~ Normal(mean_j, v_j root root')

    With phi the regressors, and all variances on the standardised target:

        aleatoric  E[v_j] = b_j / (a - 1)
        epistemic  E[v_j] |root' phi|^2

    Their sum is the variance of the predictive distribution, a Student t with 2 a degrees of freedom. Each world is a
    joint draw of v and W.

    Source: [Murphy12] section 7.6.3. Deviates: the regressors and the targets are standardised.
    """

    map: LinearMap  # its weights are the posterior mean, which is also the mode
    root: Float[Array, "r r"]  # the regressors' inverse precision is root root'
    noise_shape: Float[Array, ""]
    noise_scale: Float[Array, "o"]

    @property
    def noise_var(self) -> Float[Array, "o"]:
        """The posterior mean of the noise variance, on the standardised target."""
        return self.noise_scale / (self.noise_shape - 1)

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        regressors = self.map.regressors(obs, action)
        aleatoric = self.noise_var * self.map.target_scale.std**2
        epistemic = aleatoric * jnp.sum((regressors @ self.root) ** 2)
        return Prediction(self.map.next_obs(obs, regressors), aleatoric, epistemic)

    def worlds(self, key: PRNGKeyArray, count: int) -> LinearWorld:
        return eqx.filter_vmap(self._world)(jax.random.split(key, count))

    def matrices(self) -> tuple[Float[Array, "o o"], Float[Array, "o a"], Float[Array, "o"]]:
        """A, B and c of the mean, next_obs = A obs + B action + c, for LQR.

        Raises `InputError` if the task declares angles.
        """
        return self.map.matrices()

    def _world(self, key: PRNGKeyArray) -> LinearWorld:
        noise_key, weight_key = jax.random.split(key)
        mean = self.map.weights
        var = self.noise_scale / jax.random.gamma(noise_key, self.noise_shape, self.noise_scale.shape)
        off = self.root @ jax.random.normal(weight_key, mean.shape) * jnp.sqrt(var)
        return LinearWorld(eqx.tree_at(lambda m: m.weights, self.map, mean + off), var)


class LinearLearner(AbstractLearner):
    """The posterior of `BayesianLinear` from all rows at once; its state is the belief itself.

    With X the regressors and Y the targets of n rows, all standardised, the prior W_j ~ Normal(0, v_j / ridge) and
    v_j ~ InverseGamma(a, b):

        precision = X' X + ridge I,   mean = precision^-1 X' Y
        a_n = a + n / 2,   b_n,j = b + (|Y_j - X mean_j|^2 + ridge |mean_j|^2) / 2

    All of it follows from the triangular factor of the rows [X Y] above [sqrt(ridge) I 0], whose upper left block is
    the Cholesky factor of the precision. Rows that are not finite are left out; without rows the prior is returned.

    Raises `InputError` if the prior is not a distribution with a mean.

    Source: [Murphy12] section 7.6.3. Deviates: no precision is ever formed, so its condition is never squared.
    """

    ridge: Real = real(1e-3)  # precision of the prior on the weights, in units of one row's
    noise_shape: Real = real(2.0)  # of the prior on the noise variance; its mean is noise_scale / (noise_shape - 1)
    noise_scale: Real = real(1e-3)

    def __check_init__(self) -> None:
        for name, low in (("ridge", 0.0), ("noise_shape", 1.0), ("noise_scale", 0.0)):
            check_within(self, name, low, least_excluded=True)

    def init(self, key: PRNGKeyArray, task: Task) -> BayesianLinear:
        features = Features.of(task)
        i, o = features.input_size, features.obs_size
        return self._posterior(features, Rows(jnp.zeros((0, i)), jnp.zeros((0, o)), jnp.zeros(0, bool)))

    def update(self, key: PRNGKeyArray, state: BayesianLinear, data: Dataset) -> tuple[BayesianLinear, FitReport]:
        rows = Rows.of(state.map.features, data)
        fitted = self._posterior(state.map.features, rows)
        loss = _loss(fitted, rows)[None]
        return fitted, FitReport(loss, jnp.full_like(loss, jnp.nan), jnp.zeros((), int), jnp.zeros(1, bool))

    def model(self, state: BayesianLinear) -> BayesianLinear:
        return state

    def _posterior(self, features: Features, data: Rows) -> BayesianLinear:
        inputs, targets, valid = data.inputs, data.targets, data.valid
        input_scale, target_scale = Standardiser.fit(inputs, valid), Standardiser.fit(targets, valid)
        count = jnp.sum(valid).astype(inputs.dtype)
        rows = jnp.concatenate([_with_one(input_scale(inputs)), target_scale(targets)], axis=1)
        size = inputs.shape[1] + 1
        prior = jnp.sqrt(self.ridge + JITTER * count) * jnp.eye(size, rows.shape[1], dtype=rows.dtype)
        factor = qr_factor(jnp.concatenate([jnp.where(valid[:, None], rows, 0.0), prior]))
        factor = factor * jnp.where(jnp.diag(factor) < 0, -1.0, 1.0)[:, None]  # the signs of its rows are arbitrary
        left, right, rest = factor[:size, :size], factor[:size, size:], factor[size:, size:]
        root = solve_triangular(left, jnp.eye(size, dtype=left.dtype))
        weights = solve_triangular(left, right)
        return BayesianLinear(
            LinearMap(weights, input_scale, target_scale, features),
            root,
            self.noise_shape + count / 2,
            self.noise_scale + jnp.sum(rest**2, axis=0) / 2,
        )


def _with_one(inputs: Float[Array, "*b i"]) -> Float[Array, "*b r"]:
    return jnp.concatenate([inputs, jnp.ones((*inputs.shape[:-1], 1), inputs.dtype)], axis=-1)


def _loss(belief: BayesianLinear, rows: Rows) -> Float[Array, ""]:
    """Twice the Gaussian negative log-likelihood less its constant, mean over rows and outputs; 0 without rows."""
    mean = _with_one(belief.map.input_scale(rows.inputs)) @ belief.map.weights
    each = (belief.map.target_scale(rows.targets) - mean) ** 2 / belief.noise_var + jnp.log(belief.noise_var)
    return jnp.sum(jnp.where(rows.valid[:, None], each, 0.0)) / (jnp.maximum(rows.valid.sum(), 1) * mean.shape[1])
