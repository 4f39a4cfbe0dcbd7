"""Running moments against NumPy on everything at once."""

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from handful.policies.inputs import Inputs
from probes import same

OBS = np.random.default_rng(7).normal([300.0, 1.0, -0.2], [20.0, 2.0, 0.01], (60, 3))
SEEN = np.stack([OBS[:, 0], OBS[:, 2], np.sin(OBS[:, 1]), np.cos(OBS[:, 1])], axis=1)
see = jax.jit(Inputs.update_normaliser)


def test_moments_of_batches_of_unequal_sizes_are_those_of_all():
    inputs = Inputs.of(zoo.TASK)
    for batch in (OBS[:7].reshape(7, 1, 3), OBS[7:19].reshape(4, 3, 3), OBS[19:].reshape(41, 1, 3)):
        inputs = see(inputs, jnp.asarray(batch, jnp.float32))
    np.testing.assert_allclose(inputs.moments.mean, SEEN.mean(0), rtol=1e-5)
    np.testing.assert_allclose(inputs.moments.var, SEEN.var(0), rtol=1e-3)  # of 300 +- 20 in float32
    expected = (SEEN[3] - SEEN.mean(0)) / SEEN.std(0)
    np.testing.assert_allclose(inputs(jnp.asarray(OBS[3], jnp.float32)), expected, rtol=1e-3, atol=1e-3)
    far = inputs(jnp.array([1e5, 0.3, -50.0]))
    np.testing.assert_array_equal(far[:2], [10.0, -10.0])


def test_without_statistics_only_angles_change():
    inputs = Inputs.of(zoo.TASK)
    assert inputs.size == 4
    seen = inputs(jnp.array([300.0, 2.7, -1.3]))
    np.testing.assert_allclose(seen, [300.0, -1.3, np.sin(2.7), np.cos(2.7)], rtol=1e-6)


def test_what_is_not_a_number_leaves_the_statistics():
    inputs = see(Inputs.of(zoo.TASK), jnp.asarray(OBS[:7], jnp.float32))
    bad = jnp.asarray(OBS[:7], jnp.float32).at[4, 2].set(jnp.nan)
    same(see(inputs, bad), inputs)


def test_an_observation_whose_square_overflows_leaves_the_statistics():
    inputs = see(Inputs.of(zoo.TASK), jnp.asarray(OBS[:7], jnp.float32))
    same(see(inputs, jnp.asarray(OBS[:7], jnp.float32).at[4, 2].set(1e30)), inputs)


def test_an_entry_that_never_changes_maps_to_zero():
    inputs = see(Inputs.of(zoo.TASK), jnp.asarray(OBS[:7], jnp.float32).at[:, 0].set(0.7))
    assert abs(inputs(jnp.array([0.7, 1.0, -0.2]))[0]) < 1e-2
