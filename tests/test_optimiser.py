"""Adam by hand, and what it leaves alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.errors import InputError
from handful.optimiser import Adam
from probes import same

WEIGHTS = {"one": jnp.array([0.3, -1.2]), "two": jnp.array(0.7)}
GRADIENTS = [{"one": np.array([0.4, -0.9]), "two": np.array(2.0)}, {"one": np.array([-0.1, 0.3]), "two": np.array(0.2)}]
ascend = jax.jit(lambda adam, *rest: adam.ascend(*rest))
descend = jax.jit(lambda adam, *rest: adam.descend(*rest))


def as_jax(gradient):
    return jax.tree.map(lambda g: jnp.asarray(g, jnp.float32), gradient)


@pytest.mark.parametrize(("step", "sign"), [(ascend, 1.0), (descend, -1.0)])
def test_two_steps_by_hand(step, sign):
    """The first gradient is cut from norm 2.23 to 1.5; the second step comes in update 3 of 4."""
    adam = Adam(learning_rate=0.1, decay_updates=4, max_grad_norm=1.5, epsilon=1e-3)
    weights, opt_state = WEIGHTS, adam.init(WEIGHTS)
    for gradient, update in zip(GRADIENTS, (0.0, 3.0), strict=True):
        weights, opt_state = step(adam, weights, opt_state, as_jax(gradient), jnp.asarray(update))

    expected = np.array([0.3, -1.2, 0.7])
    mean, square = np.zeros(3), np.zeros(3)
    for count, (gradient, rate) in enumerate(zip(GRADIENTS, (0.1, 0.025), strict=True), start=1):
        g = np.append(gradient["one"], gradient["two"])
        g = g * min(1.0, 1.5 / np.sqrt(g @ g))
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g**2
        expected = expected + sign * rate * mean / (1 - 0.9**count) / (np.sqrt(square / (1 - 0.999**count)) + 1e-3)
    np.testing.assert_allclose(np.append(weights["one"], weights["two"]), expected, rtol=1e-5)


def test_past_its_last_update_nothing_moves():
    adam = Adam(learning_rate=0.1, decay_updates=4)
    weights, _ = ascend(adam, WEIGHTS, adam.init(WEIGHTS), as_jax(GRADIENTS[0]), jnp.asarray(9.0))
    same(weights, WEIGHTS)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_moves_neither_weights_nor_state(value):
    adam = Adam(learning_rate=0.1)
    weights, opt_state = ascend(adam, WEIGHTS, adam.init(WEIGHTS), as_jax(GRADIENTS[1]), jnp.asarray(0.0))
    bad = as_jax({"one": np.array([0.1, value]), "two": np.array(0.2)})
    for step in (ascend, descend):
        same(step(adam, weights, opt_state, bad, jnp.asarray(1.0)), (weights, opt_state))


def test_hyperparameters_may_be_many_and_each_is_looked_at():
    """A leading axis for vmap over them; and what is traced is let through."""
    assert Adam(learning_rate=jnp.array([0.1, 0.2])).learning_rate.shape == (2,)
    with pytest.raises(InputError, match="got"):
        Adam(learning_rate=jnp.array([0.1, -0.2]))
    assert jax.jit(lambda rate: Adam(learning_rate=rate).learning_rate)(0.5) == 0.5
