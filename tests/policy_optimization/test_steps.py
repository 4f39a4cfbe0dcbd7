"""Adam by hand, what it refuses, and how rows are dealt out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.agents.dynamic_programming import DPAgent
from handful.errors import InputError
from handful.policy_optimization.improvement import Improvement
from handful.policy_optimization.penalty import Doubling, DualDescent
from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.steps import Adam, shuffled
from handful.policy_optimization.trpo import TRPO, TrustRegion
from handful.values.dqn import DQN
from handful.values.grid import Grid
from probes import same

PLACES = Grid.of_states(3)
WEIGHTS = {"one": jnp.array([0.3, -1.2]), "two": jnp.array(0.7)}
GRADIENTS = [{"one": np.array([0.4, -0.9]), "two": np.array(2.0)}, {"one": np.array([-0.1, 0.3]), "two": np.array(0.2)}]
ascend = jax.jit(lambda adam, *rest: adam.ascend(*rest))


def as_jax(gradient):
    return jax.tree.map(lambda g: jnp.asarray(g, jnp.float32), gradient)


def test_two_steps_by_hand():
    """The first gradient is cut from norm 2.23 to 1.5; the second step comes in update 3 of 4."""
    adam = Adam(rate=0.1, updates=4, longest=1.5, epsilon=1e-3)
    weights, memory = WEIGHTS, adam.init(WEIGHTS)
    for gradient, update in zip(GRADIENTS, (0.0, 3.0), strict=True):
        weights, memory = ascend(adam, weights, memory, as_jax(gradient), jnp.asarray(update))

    expected = np.array([0.3, -1.2, 0.7])
    mean, square = np.zeros(3), np.zeros(3)
    for count, (gradient, rate) in enumerate(zip(GRADIENTS, (0.1, 0.025), strict=True), start=1):
        g = np.append(gradient["one"], gradient["two"])
        g = g * min(1.0, 1.5 / np.sqrt(g @ g))
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g**2
        expected = expected + rate * mean / (1 - 0.9**count) / (np.sqrt(square / (1 - 0.999**count)) + 1e-3)
    np.testing.assert_allclose(np.append(weights["one"], weights["two"]), expected, rtol=1e-5)


def test_past_its_last_update_nothing_moves():
    adam = Adam(rate=0.1, updates=4)
    weights, _ = ascend(adam, WEIGHTS, adam.init(WEIGHTS), as_jax(GRADIENTS[0]), jnp.asarray(9.0))
    same(weights, WEIGHTS)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_moves_neither_weights_nor_memory(value):
    adam = Adam(rate=0.1)
    weights, memory = ascend(adam, WEIGHTS, adam.init(WEIGHTS), as_jax(GRADIENTS[1]), jnp.asarray(0.0))
    bad = as_jax({"one": np.array([0.1, value]), "two": np.array(0.2)})
    same(ascend(adam, weights, memory, bad, jnp.asarray(1.0)), (weights, memory))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Adam(rate=np.nan), "rate must be at least 0, got nan"),
        (lambda: Adam(updates=0), "updates must be above 0, got 0"),
        (lambda: Adam(longest=0.0), "longest must be above 0, got 0"),
        (lambda: PPO(epochs=0), "epochs must be at least 1, got 0"),
        (lambda: TrustRegion(every=0), "every must be at least 1, got 0"),
        (lambda: TrustRegion(delta=0.0), "delta must be above 0, got 0"),
        (lambda: TRPO(value_epochs=0), "value_epochs must be at least 1, got 0"),
        (lambda: GAE(discount=1.5), "discount must be from 0 to 1, got 1.5"),
        (lambda: GAE(decay=-0.1), "decay must be from 0 to 1, got -0.1"),
        (lambda: DualDescent(target=0.0), "target must be above 0, got 0"),
        (lambda: Doubling(target=-1.0), "target must be above 0, got -1"),
        (lambda: Improvement(tries=0), "tries must be at least 1, got 0"),
        (lambda: DQN(discount=1.5), "discount must be from 0 to 1, got 1.5"),
        (lambda: DQN(target_update_every=0), "target_update_every must be at least 1, got 0"),
        (lambda: DPAgent(PLACES, discount=1.2), "discount must be from 0 to 1, got 1.2"),
    ],
)
def test_hyperparameters_with_which_nothing_could_be_learned(make, says):
    with pytest.raises(InputError, match=f"^{says}"):
        make()


def test_hyperparameters_may_be_many_and_each_is_looked_at():
    """A leading axis for vmap over them; and what is traced is let through."""
    assert Adam(rate=jnp.array([0.1, 0.2])).rate.shape == (2,)
    with pytest.raises(InputError, match="got"):
        Adam(rate=jnp.array([0.1, -0.2]))
    assert jax.jit(lambda rate: Adam(rate=rate).rate)(0.5) == 0.5


def test_every_epoch_deals_out_every_row_once():
    rows = np.asarray(shuffled(jax.random.key(2), 12, 3, 4))
    assert rows.shape == (12, 3)
    epochs = rows.reshape(3, 12)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(12), (3, 1)))
    assert (epochs[0] != epochs[1]).any()


def test_rows_that_do_not_come_out_even_sit_out_an_epoch_each_time_others():
    """One of 11 sits out. That in 40 epochs no more than 6 ever do has a chance of C(11, 6) (6/11)^40, one in 10^8."""
    epochs = np.asarray(shuffled(jax.random.key(2), 11, 40, 5)).reshape(40, 10)
    assert all(len(set(epoch)) == 10 for epoch in epochs)
    out = {(set(range(11)) - set(epoch)).pop() for epoch in epochs}
    assert len(out) > 6


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PPO(envs=2, length=3, minibatches=7), "minibatches must be between 1 and the 6 steps .* got 7"),
        (lambda: PPO(envs=2, length=3, minibatches=0), "got 0"),
        (lambda: TRPO(envs=3, length=5), "value_minibatches must be between 1 and the 15 steps .* got 16"),
    ],
)
def test_more_minibatches_than_steps_are_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()
