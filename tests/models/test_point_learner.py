"""Nets that predict a point: trained by squared error, scored by their residuals, planned through without noise."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fitting import FIT, KEY, MEMBERS, TASK, TRAIN, learner, recorded
from handful.data.dataset import Dataset
from handful.models.point_learner import PointLearner
from handful.policies.simple import OpenLoop
from handful.propagation.distribution_sampling import DistributionSampling
from handful.propagation.epistemic_only import EpistemicOnly, MeanDynamics
from handful.propagation.trajectory_sampling import TSInf

DATA = recorded([5, 4, 3, 6], 22)  # four rows of padding
POINT = PointLearner.of(learner(minibatches={"batch_size": 4, "epochs": 40.0}))


def fitted(data=DATA):
    return FIT(POINT, TRAIN, POINT.init(KEY, TASK), data)


def test_the_gradient_is_that_of_the_squared_error_whatever_the_noise():
    """In the weights and biases of the means; decay aside, which both have."""
    ensemble = dataclasses.replace(POINT.ensemble, weight_decay=jnp.zeros(2))
    net = jax.tree.map(lambda leaf: leaf[1], POINT.init(KEY, TASK).members.net)
    net = eqx.tree_at(lambda net: net.biases[-1], net, jnp.array([0.3, -0.2, -4.0, 1.7]))  # means, then log-variances
    rng = np.random.default_rng(4)
    batch = (jnp.asarray(rng.normal(size=(6, 3)), jnp.float32), jnp.asarray(rng.normal(size=(6, 2)), jnp.float32))

    def squared(net):
        return jnp.mean((jax.vmap(net)(batch[0])[0] - batch[1]) ** 2)

    ours, wanted = eqx.filter_jit(lambda net: (ensemble.gradient(net, batch)[1], jax.grad(squared)(net)))(net)
    for got, expected in zip(ours.weights, wanted.weights, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(ours.biases[0], wanted.biases[0], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(ours.biases[1][:2], wanted.biases[1][:2], rtol=1e-4, atol=1e-6)
    assert np.abs(wanted.biases[1][:2]).max() > 0.1


def test_each_member_is_as_sure_as_it_came_near_all_data():
    state, report = fitted()
    rows = jax.tree.map(lambda leaf: np.asarray(leaf[:18]), DATA.transitions)

    @eqx.filter_jit
    def predicted(members):
        return eqx.filter_vmap(lambda member: jax.vmap(member.predict)(rows.obs, rows.action))(members)

    reported, scales = predicted(state.members), np.asarray(state.members.target_scale.std)
    for index in range(MEMBERS):
        residuals = np.mean((np.asarray(reported.mean[index]) - rows.next_obs) ** 2, axis=0)
        np.testing.assert_allclose(reported.aleatoric[index], np.broadcast_to(residuals, (18, 2)), rtol=1e-3)
        np.testing.assert_allclose(report.loss[index], np.mean(residuals / scales[index] ** 2), rtol=1e-3)
    assert len(np.unique(report.loss)) == MEMBERS


def test_rows_that_are_not_finite_do_not_count():
    spoilt = dataclasses.replace(DATA.transitions, next_obs=DATA.transitions.next_obs.at[3, 1].set(jnp.nan))
    state, report = fitted(dataclasses.replace(DATA, transitions=spoilt))
    assert np.isfinite(report.loss).all()
    assert np.isfinite(state.members.net.biases[-1]).all()


def test_without_data_the_noise_stays_what_it_was():
    state, _ = fitted(Dataset.empty(TASK, 22))
    np.testing.assert_array_equal(state.members.net.biases[-1], POINT.init(KEY, TASK).members.net.biases[-1])


def test_plans_meet_points_and_doubt_and_no_noise():
    """Each particle goes where its member's mean does; distribution sampling draws from the members' spread alone."""
    belief = POINT.model(fitted()[0])
    obs, plan = jnp.array([0.7, -1.1]), jnp.array([[0.4], [-0.9], [1.2]])
    particles, drawn, reported = eqx.filter_jit(
        lambda key: (
            EpistemicOnly(TSInf(MEMBERS))(key, belief, OpenLoop(plan), obs, 3).obs,
            EpistemicOnly(DistributionSampling(4000))(key, belief, OpenLoop(plan[:1]), obs, 1).obs[:, 1],
            belief.predict(obs, plan[0]),
        )
    )(jax.random.key(6))
    for index, particle in enumerate(particles):
        world, at = jax.tree.map(lambda leaf, index=index: leaf[index], belief.members), obs
        for step, action in enumerate(plan):
            at = world.predict(at, action).mean
            np.testing.assert_allclose(particle[step + 1], at, rtol=1e-5)
    assert np.ptp(particles[:, 1], axis=0).min() > 1e-3
    assert (reported.aleatoric > 0).all()
    # Within four and a half standard errors of the variance of 4000 normal draws.
    np.testing.assert_allclose(drawn.var(0), reported.epistemic, rtol=0.1)
    assert MeanDynamics(belief).worlds(KEY, MEMBERS).belief is belief.members
