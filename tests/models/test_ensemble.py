"""The mixture against brute force, and members that never get mixed up."""

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from probes import linear_ensemble


def test_total_variance_is_the_variance_of_the_mixture():
    """The law of total variance, on members that differ in everything; against integrals over their densities."""
    belief = zoo.ensemble()
    prediction = jax.jit(lambda b: b.predict(zoo.OBS, zoo.ACTION))(belief)
    each = [jax.tree.map(lambda leaf, i=i: leaf[i], belief.members).predict(zoo.OBS, zoo.ACTION) for i in range(3)]
    means = np.array([p.mean for p in each], float)
    variances = np.array([p.aleatoric for p in each], float)
    assert means.std(0).min() > 0.05
    assert (variances.std(0) / variances.mean(0)).min() > 0.01
    for entry in range(3):
        spread = np.sqrt(variances[:, entry]).max()
        grid = np.linspace(means[:, entry].min() - 9 * spread, means[:, entry].max() + 9 * spread, 20001)
        gap = grid[:, None] - means[:, entry]
        density = np.exp(-(gap**2) / (2 * variances[:, entry])) / np.sqrt(2 * np.pi * variances[:, entry])
        weight = density.mean(1) * (grid[1] - grid[0])
        mean = (weight * grid).sum()
        var = (weight * (grid - mean) ** 2).sum()
        np.testing.assert_allclose(weight.sum(), 1, atol=1e-6)  # the grid holds the whole mixture
        np.testing.assert_allclose(prediction.mean[entry], mean, rtol=1e-4, atol=1e-5)
        total = prediction.aleatoric[entry] + prediction.epistemic[entry]
        np.testing.assert_allclose(total, var, rtol=1e-4)
    np.testing.assert_allclose(prediction.aleatoric, variances.mean(0), rtol=1e-4)
    np.testing.assert_allclose(prediction.epistemic, means.var(0), rtol=1e-4)


OFFSETS, STDS = np.array([[100.0], [200.0], [400.0]]), np.array([[0.05], [1.0], [15.0]])


def signed_belief():
    """Members with distinct means and distinct stds: no mean goes with another member's std."""
    return linear_ensemble(np.zeros((3, 1, 1)), np.zeros((3, 1, 1)), OFFSETS, 2 * np.log(STDS))


def check_signatures(draws, share):
    """Draws near a member's mean have that member's std.

    300 draws a member know a std to 4 %: 25 % off happens in 1e-9 of runs. Shares by the binomial where random.
    """
    member = np.abs(draws[:, None] - OFFSETS[:, 0]).argmin(1)
    for m in range(3):
        mine = draws[member == m]
        np.testing.assert_allclose(len(mine) / len(draws), 1 / 3, atol=share)
        np.testing.assert_allclose(mine.std(), STDS[m, 0], rtol=0.25)
        np.testing.assert_allclose(mine.mean(), OFFSETS[m, 0], atol=0.35 * STDS[m, 0])


def test_a_draw_takes_mean_and_std_from_one_member():
    """900 draws: each member's share is off by more than 0.08 in 1e-6 of runs."""
    belief, keys = signed_belief(), jax.random.split(jax.random.key(1), 900)
    draws = jax.jit(jax.vmap(lambda key: belief.sample(key, jnp.zeros(1), jnp.ones(1))[0]))(keys)
    check_signatures(np.asarray(draws, float), share=0.08)


def test_trajectory_sampling_takes_mean_and_std_from_one_member():
    from handful.policies.simple import OpenLoop
    from handful.propagation.trajectory_sampling import TS1, TSInf

    for propagator in (TSInf(900), TS1(900)):
        plan = OpenLoop(jnp.ones((2, 1)))
        rollout = jax.jit(lambda p, plan=plan: p(jax.random.key(2), signed_belief(), plan, jnp.zeros(1), 2))(propagator)
        for step in np.diff(np.asarray(rollout.obs, float)[:, :, 0], axis=1).T:
            check_signatures(step, share=0)
