"""The stochastic policy: what its choices stand for, and back; what its distribution sees."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from handful.errors import InputError
from handful.policies.mlp import MLP
from handful.policies.stochastic import Mode, StateDependentGaussianHead, StochasticPolicy, Value
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
    there = jax.jit(jax.vmap(lambda action: one.to_env_action(one.from_env_action(action))))
    actions = zoo.TASK.low + (zoo.TASK.high - zoo.TASK.low) * jnp.linspace(0, 1, 14).reshape(7, 2)
    assert (np.abs(there(actions) - actions) <= lost * HALF + 1e-6).all()
    assert jnp.isfinite(one.from_env_action(jnp.array([9.0, -9.0]))).all(), "beyond the limits too"


def test_categories_are_their_own_choices():
    one = StochasticPolicy.categorical(KEY, zoo.CHOICE, (5,))
    for row in jnp.eye(2):
        np.testing.assert_array_equal(one.to_env_action(row), row)
        np.testing.assert_array_equal(one.from_env_action(row), row)


def test_each_kind_refuses_the_other_s_actions():
    with pytest.raises(InputError, match="Gaussian policy needs continuous actions"):
        StochasticPolicy.gaussian(KEY, zoo.CHOICE, (5,))
    with pytest.raises(InputError, match="categorical policy needs categories"):
        StochasticPolicy.categorical(KEY, zoo.TASK, (5,))


def test_the_distribution_is_the_net_s_of_standardised_inputs_and_the_mode_its_mean():
    one = policy()
    seen = jnp.stack([zoo.OBS + 0.1, 3 * zoo.OBS, zoo.OBS - 0.7])
    one = eqx.tree_at(lambda p: p.inputs, one, one.inputs.update_normaliser(seen))
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
    choices = jax.jit(jax.vmap(lambda key: one.sample(key, zoo.OBS)))(jax.random.split(KEY, 200))
    assert (jnp.abs(choices) > 1).any()


def test_first_choices_are_almost_equally_likely():
    one = StochasticPolicy.categorical(KEY, zoo.CHOICE, (5,))
    np.testing.assert_allclose(jax.nn.softmax(one.distribution(zoo.OBS).logits), 0.5, atol=0.02)


def test_a_value_is_one_number():
    value = Value.init(KEY, zoo.TASK, (5,))
    np.testing.assert_array_equal(value(zoo.OBS), value.net(value.inputs(zoo.OBS))[0])


BOUNDS = (-1.5, 0.9)


@pytest.mark.parametrize("log_std", [-0.7, np.array([0.4, -1.2])])
def test_a_std_that_depends_on_the_state_begins_as_it_is_asked_to(log_std):
    """Up to what the first weights, small ones, make of the observation."""
    one = StochasticPolicy.gaussian(KEY, zoo.TASK, (5,), log_std=jnp.asarray(log_std), state_dependent_std=True)
    np.testing.assert_allclose(one.distribution(zoo.OBS).log_std, np.broadcast_to(log_std, 2), atol=0.05)


def test_mean_and_bounded_log_std_by_numpy():
    net = shaken(MLP.init(KEY, (3, 5, 4)), 0.6)
    head, x = StateDependentGaussianHead(net, BOUNDS), np.array([0.7, -1.9, 0.4])
    out = np.tanh(x @ net.weights[0] + net.biases[0]) @ net.weights[1] + net.biases[1]
    found = head(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found.mean, out[:2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.log_std, -1.5 + 2.4 * (np.tanh(out[2:]) + 1) / 2, rtol=1e-4, atol=1e-5)
    other = head(jnp.asarray(-x, jnp.float32))
    assert (np.abs(other.log_std - found.log_std) > 1e-2).all(), "another std at another observation"
    for far in (1e4, -1e4):
        wide = head(jnp.full(3, far)).log_std
        assert ((wide >= BOUNDS[0]) & (wide <= BOUNDS[1])).all()


def test_an_initial_std_beyond_the_bounds_begins_just_inside():
    net = MLP.init(KEY, (3, 4), final_scale=0.0)
    head = StateDependentGaussianHead.init(net, jnp.array([-9.0, 9.0]), BOUNDS)
    log_std = head(zoo.OBS).log_std
    np.testing.assert_allclose(log_std, BOUNDS, atol=2e-3)
    gradient = jax.grad(lambda head: head(zoo.OBS).log_std.sum())(head)
    assert (gradient.net.biases[0][2:] > 0).all(), "and can move"
