"""How long a policy is improved, and which one is kept: against sequences made by hand."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from handful.agent import AbstractAgent
from handful.data.dataset import Dataset
from handful.policies.actor import AbstractActor
from handful.policies.simple import ConstantPolicy
from handful.policy_optimization.imagined import Imagined
from handful.policy_optimization.improvement import Improvement, returns_in
from handful.types import Transition
from probes import Feedback, counted, linear_ensemble, task_of

KEY = jax.random.key(6)
TASK = task_of(lambda obs, action, next_obs: next_obs[0], 1, [-9.0], [9.0], horizon=30)
STARTS = np.array([0.5, -1.25], np.float32)


def seen(task=TASK):
    obs, no = jnp.asarray(STARTS)[:, None], jnp.zeros(2, bool)
    return Dataset.empty(task, 5).add(Transition(obs, 0 * obs, jnp.array([1.0, -2.0]), obs, no, no), 0)


def worlds(gains):
    """Member m adds its gain times the action."""
    m = len(gains)
    gains = np.asarray(gains)[:, None, None]
    return linear_ensemble(np.zeros((m, 1, 1)), gains, np.zeros((m, 1)), np.full((m, 1), -40.0))


def imagined(gains, task=TASK, length=1):
    return Imagined.of(KEY, task, worlds(gains), seen(task), length=length)


class Always(AbstractActor):
    """One choice."""

    action: Array

    def sample(self, key, obs):
        return self.action

    def to_env_action(self, raw_action):
        return raw_action


class Scripted(AbstractAgent):
    """Its state counts updates, and its policy takes the action that a script has for the count."""

    script: Array
    num_envs: int = 2
    num_steps: int = 1

    def init(self, key, task):
        return jnp.zeros((), int)

    def actor(self, task, state: Any):
        return Always(self.script[state][None])

    def update(self, key, task, state, batch):
        return state + 1, {}

    def policy(self, task, state: Any):
        return ConstantPolicy(self.script[state][None])


@pytest.fixture(scope="module")
def improved():
    """Blocks of two updates; in 3 of 4 worlds a greater action returns more, in the fourth a smaller one does."""
    env = imagined([1.0, 0.5, 2.0, -1.0])

    def run(rule, script):
        return rule(KEY, env, Scripted(script=script), jnp.zeros((), int))

    compiled, traces = counted(run)

    def of(script, **settings):
        padded = jnp.array(script + [0.0] * (13 - len(script)))
        kept, told = compiled(Improvement(updates=2, eval_episodes=4, length=2, **settings), padded)
        return int(kept), int(told.updates), int(told.kept), np.asarray(told.returns)

    yield of
    assert traces.count == 1  # whatever the share, the patience and the blocks


# What the policy does after 0, 2, 4, … updates; in between it does nothing that counts.
def after_blocks(*actions):
    return [value for action in actions for value in (action, -8.0)]


def test_goes_on_while_enough_worlds_gain(improved):
    """3 of 4 are 75 %: enough for 70. Three blocks gain; the fourth does not, nor does the fifth."""
    script = after_blocks(0.1, 0.3, 0.6, 0.7, 0.2, 0.5)
    assert improved(script, blocks=6, improved_fraction=0.7, patience=1)[:3] == (6, 8, 6)
    assert improved(script, blocks=6, improved_fraction=0.7, patience=2)[:3] == (6, 10, 6)


def test_patience_waits_for_a_gain_over_what_was_kept(improved):
    """The second block is worse than the first, and the third beats both."""
    script = after_blocks(0.1, 0.4, 0.2, 0.9, 0.3, 0.3)
    assert improved(script, blocks=6, improved_fraction=0.7, patience=1)[:3] == (2, 4, 2)
    assert improved(script, blocks=6, improved_fraction=0.7, patience=2)[:3] == (6, 10, 6)


def test_stops_where_too_few_worlds_gain(improved):
    """3 of 4 do not make 80 %."""
    script = after_blocks(0.1, 0.3, 0.6, 0.7, 0.2, 0.5)
    assert improved(script, blocks=6, improved_fraction=0.8, patience=1)[:3] == (0, 2, 0)


def test_with_a_share_of_zero_everything_is_kept(improved):
    script = after_blocks(0.1, 0.4, 0.2, 0.9, 0.3, -0.3)
    assert improved(script, blocks=3, improved_fraction=0.0, patience=1)[:3] == (6, 6, 6)
    assert improved(script, blocks=0, improved_fraction=0.0, patience=1)[:3] == (0, 0, 0)


def test_tells_what_the_kept_policy_returns_in_each_world(improved):
    """Two steps of action 0.4 from x: x + 0.4 g, then x + 0.8 g; all worlds begin at the same four starts."""
    returns = improved(after_blocks(0.1, 0.4, 0.2, 0.2), blocks=6, improved_fraction=0.7, patience=2)[3]
    gains = np.array([1.0, 0.5, 2.0, -1.0])
    start = (returns - 1.2 * gains) / 2
    np.testing.assert_allclose(start, start[0], atol=1e-5)
    shares = (start[0] - STARTS[1]) / (STARTS[0] - STARTS[1]) * 4
    np.testing.assert_allclose(shares, round(float(shares)), atol=1e-4)


def test_returns_against_numpy():
    """Feedback u = 0.5 x in worlds x' = x + g u from one start, until x exceeds 1.2; that step still counts."""
    task = task_of(
        lambda obs, action, next_obs: next_obs[0] - 0.1 * action[0],
        1,
        [-9.0],
        [9.0],
        terminated=lambda obs: obs[0] > 1.2,
    )
    gains, obs, no = (0.4, 1.5, -0.6), jnp.full((1, 1), 0.7), jnp.zeros(1, bool)
    data = Dataset.empty(task, 2).add(Transition(obs, 0 * obs, jnp.ones(1), obs, no, no), 0)
    env = Imagined.of(KEY, task, worlds(gains), data, length=5)
    returns = eqx.filter_jit(returns_in)(KEY, env, Feedback(jnp.array([[0.5]])), 3)
    expected = []
    for gain in gains:
        x, total = 0.7, 0.0
        for _ in range(5):
            u = 0.5 * x
            x = x + gain * u
            total += x - 0.1 * u
            if x > 1.2:
                break
        expected.append(total)
    np.testing.assert_allclose(returns, expected, rtol=1e-5)
