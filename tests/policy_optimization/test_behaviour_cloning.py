"""Behaviour cloning finds the policy that was cloned, and is REINFORCE with weights of one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import zoo
from handful.errors import InputError
from handful.optimiser import Adam
from handful.policies.stochastic import StochasticPolicy
from handful.policy_optimization.behaviour_cloning import clone
from probes import task_of, unchecked

KEY, OTHER = jax.random.split(jax.random.key(8))
RNG = np.random.default_rng(6)
TASK = task_of(lambda o, a, n: o[0], 2, [-1.0, -0.8], [1.5, 0.4])


def test_a_linear_gaussian_policy_comes_back():
    """Least squares on the choices are its likeliest mean, the residuals' std its likeliest std."""
    obs = RNG.normal(size=(400, 2))
    within = (
        obs @ np.array([[0.2, -0.1], [0.1, 0.15]]) + np.array([0.1, -0.2]) + RNG.normal(size=(400, 2)) * [0.05, 0.1]
    )
    actions = np.array([0.25, -0.2]) + within * np.array([1.25, 0.6])
    policy = StochasticPolicy.gaussian(KEY, TASK, ())
    learned = jax.jit(
        lambda key, policy, obs, actions: clone(key, policy, obs, actions, adam=Adam(learning_rate=0.01))
    )(OTHER, policy, jnp.asarray(obs, jnp.float32), jnp.asarray(actions, jnp.float32))
    with_one = np.column_stack([obs, np.ones(400)])
    best, squares, *_ = np.linalg.lstsq(with_one, np.clip(within, -1, 1))
    np.testing.assert_allclose(np.vstack([learned.head.net.weights[0], learned.head.net.biases[0]]), best, atol=0.03)
    np.testing.assert_allclose(np.exp(learned.head.log_std), np.sqrt(squares / 400), rtol=0.15)


def test_categories_come_back_as_often_as_they_were_seen():
    """Two observations, at one of them the first category three times of four, at the other once in five."""
    obs = jnp.asarray([[1.0, 0.3, -0.5]] * 4 + [[-1.0, 2.0, 0.7]] * 5)
    actions = jnp.asarray(np.eye(2)[[0, 0, 1, 0, 1, 0, 1, 1, 1]], jnp.float32)
    policy = StochasticPolicy.categorical(KEY, zoo.CHOICE, ())
    learned = jax.jit(lambda key, policy: clone(key, policy, obs, actions, adam=Adam(learning_rate=0.02)))(
        OTHER, policy
    )
    for row, share in ((0, 0.75), (8, 0.2)):
        np.testing.assert_allclose(jax.nn.softmax(learned.distribution(obs[row]).logits)[0], share, atol=0.07)


def test_its_step_is_that_of_the_policy_gradient_where_every_step_counts_one():
    """One row, so every minibatch is that row; so large an epsilon makes Adam's first step the gradient itself."""
    obs, action = np.array([0.7, -1.3]), np.eye(3)[1]
    task = task_of(lambda o, a, n: o[0], 2, [0.0] * 3, [1.0] * 3, categorical=True)
    policy = StochasticPolicy.categorical(KEY, task, ())
    plain = Adam(learning_rate=1e5, max_grad_norm=jnp.inf, epsilon=1e5)
    rows = jnp.asarray(obs[None], jnp.float32), jnp.asarray(action[None], jnp.float32)
    learned = jax.jit(lambda key, policy: clone(key, policy, *rows, adam=plain, gradient_steps=1, batch_size=4))(
        OTHER, policy
    )
    net = policy.head.net
    score = action - scipy.special.softmax(obs @ np.asarray(net.weights[0]) + net.biases[0])
    moved = learned.head.net
    np.testing.assert_allclose(moved.weights[0] - net.weights[0], np.outer(obs, score), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(moved.biases[0], score, rtol=1e-3, atol=1e-4)


def test_rows_that_do_not_agree_are_none_or_are_not_finite():
    policy = StochasticPolicy.gaussian(KEY, zoo.TASK, ())
    obs, actions = jnp.zeros((5, zoo.TASK.obs_size)), jnp.zeros((5, zoo.TASK.action_size))
    for o, a, says in (
        (obs, actions[:3], "got 5 observations and 3 actions"),
        (obs[:0], actions[:0], "got 0 observations and 0 actions"),
        (obs.at[3, 1].set(jnp.nan), actions, "observations must be finite, got .*nan.* in row 3"),
        (obs, actions.at[2, 0].set(jnp.inf), "actions must be finite, got .*inf.* in row 2"),
    ):
        with pytest.raises(InputError, match=says):
            unchecked(clone)(OTHER, policy, o, a)
