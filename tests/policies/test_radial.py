"""The radial policy: its formula, its limits, where its centres lie."""

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from handful.policies.radial import RadialPolicy

KEY = jax.random.key(3)


def policy(obs=None, mask=None, size=4):
    obs = zoo.OBS + jnp.arange(18.0).reshape(6, 3) * jnp.array([0.3, -0.5, 2.0]) if obs is None else obs
    return RadialPolicy.covering(KEY, zoo.TASK, obs, jnp.ones(len(obs), bool) if mask is None else mask, size)


def test_the_formula_by_numpy():
    one = policy()
    seen = np.array([zoo.OBS[0], zoo.OBS[2], np.sin(zoo.OBS[1]), np.cos(zoo.OBS[1])])
    lengths = np.exp(np.asarray(one.log_scales, float))
    apart = (seen - np.asarray(one.centres, float)) / lengths
    u = np.exp(-0.5 * (apart**2).sum(1)) @ np.asarray(one.weights, float)
    squashed = (9 * np.sin(u) + np.sin(3 * u)) / 8
    expected = np.array([0.25, -0.2]) + squashed * np.array([1.25, 0.6])
    action, _ = one(KEY, zoo.OBS, one.init())
    np.testing.assert_allclose(action, expected, rtol=1e-5, atol=1e-6)


def test_actions_keep_to_the_limits_whatever_the_weights():
    for factor in (-1e4, 30.0, 1e4):
        one = policy()
        wild = RadialPolicy(
            one.centres, factor * one.weights, one.log_scales, zoo.TASK.low, zoo.TASK.high, one.features
        )
        actions = jax.vmap(lambda obs, one=wild: one(KEY, obs, None)[0])(
            zoo.OBS + jnp.linspace(-3, 3, 60).reshape(20, 3)
        )
        assert (actions >= zoo.TASK.low).all()
        assert (actions <= zoo.TASK.high).all()
        assert np.ptp(actions[:, 0]) > 0.1


def test_centres_lie_as_the_data_do_and_padding_does_not_count():
    """Mean and std of 4000 normal centres: five standard errors, a false alarm in a million."""
    rng = np.random.default_rng(5)
    obs = jnp.asarray(rng.normal([3.0, 0.4, -20.0], [0.5, 0.1, 7.0], (50, 3)), jnp.float32)
    padded = jnp.concatenate([obs, jnp.full((30, 3), 1e3)])
    one = policy(padded, jnp.arange(80) < 50, size=4000)
    for column, entry in ((0, 0), (1, 2)):
        mean, std = float(obs[:, entry].mean()), float(obs[:, entry].std())
        assert abs(one.centres[:, column].mean() - mean) < 5 * std / np.sqrt(4000)
        assert abs(one.centres[:, column].std() / std - 1) < 5 / np.sqrt(8000)
    assert np.isfinite(policy(padded, jnp.zeros(80, bool)).centres).all()
