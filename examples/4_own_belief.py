"""Your own model: `handful train point-mass --model examples/4_own_belief.py:RandomFeatures`.

A learner fits a state to all transitions, and makes of it a belief: the next observation, and how uncertain it is.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

import handful
from handful import AbstractDynamics, AbstractLearner, Dataset, FitReport, Prediction, Task
from handful.fields import real


class Belief(AbstractDynamics):
    """Bayesian linear regression of the change on random cosines; also the state of its learner."""

    frequencies: Float[Array, "i k"]
    phases: Float[Array, "k"]
    scale: Float[Array, "i"]  # of the inputs
    weights: Float[Array, "k o"]
    covariance: Float[Array, "k k"]  # of each output's weights, in units of its noise
    noise: Float[Array, "o"]  # variance

    def features(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "k"]:
        inputs = jnp.concatenate([obs, action]) / self.scale
        return jnp.cos(inputs @ self.frequencies + self.phases) * (2 / self.phases.size) ** 0.5

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        phi = self.features(obs, action)
        return Prediction(obs + phi @ self.weights, self.noise, (phi @ self.covariance @ phi) * self.noise)


class RandomFeatures(AbstractLearner):
    """Fits in closed form, so it takes no steps and cannot diverge."""

    count: int = eqx.field(static=True, default=100)
    length: Float[Array, ""] = real(3.0)  # [stds of the inputs] over which the dynamics change
    ridge: Float[Array, ""] = real(1e-3)

    def init(self, key: PRNGKeyArray, task: Task) -> Belief:
        size, keys = task.obs_size + task.action_size, jax.random.split(key)
        frequencies = jax.random.normal(keys[0], (size, self.count)) / self.length
        phases = jax.random.uniform(keys[1], (self.count,), maxval=2 * jnp.pi)
        weights, noise = jnp.zeros((self.count, task.obs_size)), jnp.ones(task.obs_size)
        return Belief(frequencies, phases, jnp.ones(size), weights, jnp.eye(self.count) / self.ridge, noise)

    def update(self, key: PRNGKeyArray, state: Belief, data: Dataset) -> tuple[Belief, FitReport]:
        rows, valid = data.transitions, data.mask()[:, None]  # rows beyond the data are zero
        inputs = jnp.concatenate([rows.obs, rows.action], axis=1)
        scale = jnp.sqrt(jnp.sum(inputs**2, axis=0) / data.count) + 1e-6
        state = eqx.tree_at(lambda s: s.scale, state, scale)
        phi = jnp.where(valid, jax.vmap(state.features)(rows.obs, rows.action), 0.0)
        change = jnp.where(valid, rows.next_obs - rows.obs, 0.0)
        covariance = jnp.linalg.inv(phi.T @ phi + self.ridge * jnp.eye(self.count))
        weights = covariance @ (phi.T @ change)
        noise = jnp.sum((change - phi @ weights) ** 2, axis=0) / data.count + 1e-8
        fitted = eqx.tree_at(lambda s: (s.weights, s.covariance, s.noise), state, (weights, covariance, noise))
        return fitted, FitReport(noise, jnp.full_like(noise, jnp.nan), jnp.zeros((), int), jnp.zeros(noise.shape, bool))

    def model(self, state: Belief) -> Belief:
        return state


def main(trials: int = 3) -> None:
    """Learn the point mass with it, and print the returns."""
    agent = handful.MPCAgent(RandomFeatures(), handful.ICEM(horizon=15, candidates=60), handful.TSInf(5))
    learned = handful.learn(handful.PointMass(), agent, trials=trials)
    print("returns, the random trial first:", [round(each, 1) for each in learned.returns])


if __name__ == "__main__":
    main()
