import jax.numpy as jnp
import numpy as np

from handful.data.angles import shorter_way


def test_angles_turn_the_shorter_way_and_the_rest_stays():
    change = np.array([[3.5, 3.5], [-6.2, -6.2], [2 * np.pi + 0.25, 1.0], [np.nan, np.nan]])
    turned = np.array([[3.5, 3.5 - 2 * np.pi], [-6.2, 2 * np.pi - 6.2], [2 * np.pi + 0.25, 1.0], [np.nan, np.nan]])
    np.testing.assert_allclose(shorter_way(change, (1,)), turned, atol=1e-12)
    np.testing.assert_allclose(shorter_way(jnp.asarray(change), (1,)), turned, atol=1e-6)


def test_numpy_keeps_its_double_precision():
    assert shorter_way(np.array([4.0]), (0,)).dtype == np.float64
    assert isinstance(shorter_way(np.array([4.0]), (0,)), np.ndarray)
