"""The stochastic policy: what its choices stand for, and back; what its distribution sees."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from handful.errors import InputError
from handful.policies.stochastic import Mode, StochasticPolicy, Value
from probes import shaken

KEY = jax.random.key(6)
HALF = np.array([1.25, 0.6])  # half the range of actions
CENTRE = np.array([0.25, -0.2])


def policy(**settings):
    made = StochasticPolicy.gaussian(KEY, zoo.TASK, (5,), log_std=jnp.array([-0.4, 0.2]), **settings)
    return eqx.tree_at(lambda p: p.head, made, shaken(made.head))


@pytest.mark.parametrize("squash", [False, True])
def test_a_choice_spans_the_limits(squash):
    within = np.array([0.3, -0.7])
    one = policy(squash=squash)
    bent = np.tanh(within) if squash else within
    np.testing.assert_allclose(one.to_env_action(jnp.asarray(within)), CENTRE + bent * HALF, rtol=1e-5)
    far = one.to_env_action(jnp.array([40.0, -40.0]))
    np.testing.assert_allclose(far, [1.5, -0.8], rtol=1e-6)
    assert (far <= zoo.TASK.high).all()
    assert (far >= zoo.TASK.low).all()


@pytest.mark.parametrize(("squash", "lost"), [(False, 1e-6), (True, 1.001e-3)])
def test_an_action_comes_back_from_a_choice_that_it_can_have_come_from(squash, lost):
    """A tanh never reaches a limit, so a squashed choice gives up a thousandth of half the range."""
    one = policy(squash=squash)
    there = jax.jit(jax.vmap(lambda action: one.to_env_action(one.choice_of(action))))
    actions = zoo.TASK.low + (zoo.TASK.high - zoo.TASK.low) * jnp.linspace(0, 1, 14).reshape(7, 2)
    assert (np.abs(there(actions) - actions) <= lost * HALF + 1e-6).all()
    assert jnp.isfinite(one.choice_of(jnp.array([9.0, -9.0]))).all(), "beyond the limits too"


def test_categories_are_their_own_choices():
    one = StochasticPolicy.categorical(KEY, zoo.CHOICE, (5,))
    for row in jnp.eye(2):
        np.testing.assert_array_equal(one.to_env_action(row), row)
        np.testing.assert_array_equal(one.choice_of(row), row)


def test_each_kind_refuses_the_other_s_actions():
    with pytest.raises(InputError, match="Gaussian policy has continuous actions"):
        StochasticPolicy.gaussian(KEY, zoo.CHOICE, (5,))
    with pytest.raises(InputError, match="chooses among categories"):
        StochasticPolicy.categorical(KEY, zoo.TASK, (5,))


def test_the_distribution_is_the_net_s_of_standardised_inputs_and_the_mode_its_mean():
    one = policy()
    seen = jnp.stack([zoo.OBS + 0.1, 3 * zoo.OBS, zoo.OBS - 0.7])
    one = eqx.tree_at(lambda p: p.inputs, one, one.inputs.seeing(seen))
    raw = np.stack([seen[:, 0], seen[:, 2], np.sin(seen[:, 1]), np.cos(seen[:, 1])], axis=1)
    x = (np.array([0.4, -1.3, np.sin(2.7), np.cos(2.7)]) - raw.mean(0)) / raw.std(0)
    net = one.head.net
    mean = np.tanh(x @ net.weights[0] + net.biases[0]) @ net.weights[1] + net.biases[1]
    told = one.distribution(zoo.OBS)
    np.testing.assert_allclose(told.mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(told.log_std, one.head.log_std)
    action, _ = Mode(one)(KEY, zoo.OBS, None)
    np.testing.assert_allclose(action, CENTRE + np.clip(mean, -1, 1) * HALF, rtol=1e-4)


def test_what_is_drawn_is_not_clipped():
    """Only so does it have the probability that the distribution gives it."""
    one = policy()
    choices = jax.jit(jax.vmap(lambda key: one.draw(key, zoo.OBS)))(jax.random.split(KEY, 200))
    assert (jnp.abs(choices) > 1).any()


def test_first_choices_are_almost_equally_likely():
    one = StochasticPolicy.categorical(KEY, zoo.CHOICE, (5,))
    np.testing.assert_allclose(jax.nn.softmax(one.distribution(zoo.OBS).logits), 0.5, atol=0.02)


def test_a_value_is_one_number():
    value = Value.init(KEY, zoo.TASK, (5,))
    np.testing.assert_array_equal(value(zoo.OBS), value.net(value.inputs(zoo.OBS))[0])
