"""One trial on a pure environment: what is recorded, and how it ends."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from handful.data.dataset import Dataset
from handful.envs.base import AbstractEnv
from handful.errors import InputError
from handful.models.ensemble_learner import EnsembleLearner
from handful.planning.cem import CEM
from handful.planning.mpc import MPC
from handful.planning.problem import Problem
from handful.policies.base import AbstractPolicy
from handful.policies.simple import ConstantPolicy, UniformPolicy
from handful.propagation.trajectory_sampling import TSInf
from handful.task import Task
from handful.training.rollout import advance, begin, episode, returned
from handful.training.system import Simulated, returns_of
from handful.types import Step, Transition
from probes import same, task_of

HORIZON = 14


def reward(obs, action, next_obs):
    return next_obs[0] - 0.2 * action @ action


class Slide(AbstractEnv):
    """A noisy slide that ends the trial past `wall` and breaks past `cliff`."""

    task: Task = eqx.field(
        default_factory=lambda: task_of(reward, 3, [-1.0, -0.5], [1.5, 2.0], horizon=HORIZON, discount=0.9)
    )
    wall: Float[Array, ""] = eqx.field(default_factory=lambda: jnp.asarray(jnp.inf))
    cliff: Float[Array, ""] = eqx.field(default_factory=lambda: jnp.asarray(jnp.inf))

    def reset(self, key):
        obs = jax.random.normal(key, (3,))
        return obs, obs.at[2].set(0.0)

    def step(self, key, state, action):
        pushed = jnp.stack([0.5 + 0.1 * action[0], 0.1 * action[1], 1.0])
        obs = state.at[2].set(0.0) + pushed + 0.01 * jax.random.normal(key, (3,))
        time = state[2] + 1
        seen = jnp.where(obs[0] > self.cliff, jnp.nan, obs)
        return obs.at[2].set(time), Step(seen, self.task.reward(state, action, seen), obs[0] > self.wall)

    def draw(self, obs):
        return np.zeros((2, 3, 3), np.uint8)


class Counter(AbstractPolicy):
    """Acts by how often it was asked since `init`."""

    rate: Float[Array, ""] = eqx.field(default_factory=lambda: jnp.asarray(0.1))

    def init(self) -> Any:
        return jnp.zeros((), int)

    def __call__(self, key, obs, carry):
        return jnp.stack([self.rate * carry, 0.05 * jax.random.normal(key)]), carry + 1

    def info(self, carry):
        return {"count": carry}


def pieces_of(env, steps, policy, key=5):
    """All pieces of a trial, put together, padding and all."""
    system, pieces, over = Simulated(env), [], False
    system.start(jax.random.key(key), policy)
    while not over:
        piece, over = system.advance(policy, steps=steps)
        pieces.append(piece)
    return jax.tree.map(lambda *parts: np.concatenate(parts), *pieces)


def kept(piece):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[np.asarray(piece.valid)], piece)


@pytest.mark.parametrize("policy", [UniformPolicy(jnp.array([-1.0, -0.5]), jnp.array([1.5, 2.0])), Counter()])
@pytest.mark.parametrize("wall", [jnp.inf, 3.0])
def test_the_pieces_that_a_trial_is_cut_into_change_nothing(policy, wall):
    """To 1e-6 of values of size one: programs of different lengths may round differently; decisions are the same."""
    env = Slide(wall=jnp.asarray(wall))
    expected = kept(pieces_of(env, HORIZON, policy))
    for steps in (1, 7, 5):
        got = kept(pieces_of(env, steps, policy))
        for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_a_trial_is_a_chain_of_steps_with_keys_by_time():
    env, key = Slide(), jax.random.key(5)
    got = kept(pieces_of(env, 7, Counter()))
    state, obs = env.reset(jax.random.fold_in(key, 0))
    for time in range(HORIZON):
        policy_key, env_key = jax.random.split(jax.random.fold_in(key, time + 1))
        action, _ = Counter()(policy_key, obs, jnp.asarray(time))
        state, step = env.step(env_key, state, action)
        row = jax.tree.map(lambda leaf, time=time: leaf[time], got.transitions)
        for one, other in [(row.obs, obs), (row.action, action), (row.reward, step.reward), (row.next_obs, step.obs)]:
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
        obs = step.obs


def test_time_limit_is_truncation():
    rows = kept(pieces_of(Slide(), 5, Counter())).transitions
    assert len(rows.reward) == HORIZON
    assert not rows.terminated.any()
    np.testing.assert_array_equal(rows.truncated, np.arange(HORIZON) == HORIZON - 1)


def test_termination_inside_a_piece_ends_the_trial():
    whole = pieces_of(Slide(wall=jnp.asarray(3.0)), 5, Counter())
    rows = kept(whole).transitions
    count = len(rows.reward)
    assert count % 5 not in {0, 4}
    assert whole.valid[:count].all()
    assert not whole.valid[count:].any()
    np.testing.assert_array_equal(rows.terminated, np.arange(count) == count - 1)
    assert not rows.truncated.any()
    assert rows.next_obs[-1, 0] > 3.0
    assert (rows.next_obs[:-1, 0] <= 3.0).all()


def test_rows_after_the_end_do_not_count():
    env, key = Slide(wall=jnp.asarray(3.0)), jax.random.key(5)
    piece = episode(key, env, Counter())
    rows = kept(pieces_of(env, 5, Counter())).transitions
    np.testing.assert_allclose(returned(piece), rows.reward.sum(), rtol=1e-6)
    np.testing.assert_allclose(returns_of(key[None], env, Counter())[0], rows.reward.sum(), rtol=1e-6)
    data = Dataset.empty(env.task, 40).add(piece.transitions, 3, piece.valid.sum())
    assert int(data.count) == len(rows.reward)
    same(jax.tree.map(lambda leaf: leaf[: int(data.count)], data.transitions).next_obs, rows.next_obs)
    assert not data.transitions.next_obs[int(data.count) :].any()


def test_termination_on_the_last_step_is_no_truncation():
    free = kept(pieces_of(Slide(), 7, Counter())).transitions
    edge = float(free.next_obs[-2:, 0].mean())
    rows = kept(pieces_of(Slide(wall=jnp.asarray(edge)), 7, Counter())).transitions
    assert len(rows.reward) == HORIZON
    assert rows.terminated[-1]
    assert not rows.truncated[-1]


@pytest.mark.parametrize("steps", [1, 5, 7, HORIZON])
@pytest.mark.parametrize("at", [1, 6, HORIZON])
def test_an_observation_that_is_not_finite_is_an_error_that_names_the_step(steps, at):
    """Also on the last step, where the trial would have ended anyway."""
    free = kept(pieces_of(Slide(), 7, Counter())).transitions
    before = free.next_obs[at - 2, 0] if at > 1 else -9.0
    edge = float((before + free.next_obs[at - 1, 0]) / 2)
    with pytest.raises(InputError, match=f"observation or reward that is not finite at step {at} of a trial"):
        pieces_of(Slide(cliff=jnp.asarray(edge)), steps, Counter())


def test_an_action_that_is_not_finite_is_the_policys():
    with pytest.raises(InputError, match="the policy gave an action that is not finite at step 1 of"):
        pieces_of(Slide(), 5, ConstantPolicy(jnp.array([jnp.nan, 0.0])))


def test_each_trial_begins_with_a_fresh_carry():
    system, policy = Simulated(Slide()), Counter()
    for key in (1, 2):
        system.start(jax.random.key(key), policy)
        piece, _ = system.advance(policy, steps=3)
        np.testing.assert_array_equal(piece.info["count"], [1, 2, 3])
    system.start(jax.random.key(3), policy)
    system.advance(policy, steps=3)
    changed, _ = system.advance(Counter(rate=jnp.asarray(0.7)), steps=2)
    np.testing.assert_array_equal(
        changed.info["count"], [4, 5]
    )  # a new policy in mid trial goes on where the old one was


def test_a_wrong_shape_is_refused_before_anything_runs():
    env, key = Slide(), jax.random.key(0)
    policy = ConstantPolicy(jnp.array([0.1, 0.2, 0.3]))
    with pytest.raises(InputError, match=r"an action of this task must have the shape \(2,\), got \(3,\)"):
        advance(key, env, policy, begin(key, env, policy), steps=2)

    learner = EnsembleLearner(hidden=(4,), weight_decay=jnp.zeros(2), members=2)
    model = learner.model(learner.init(key, env.task))
    controller = MPC(CEM(3, candidates=4, elites=2, iterations=1), Problem(env.task, model, TSInf(2)))
    with pytest.raises(InputError, match=r"an observation of this task must have the shape \(3,\), got \(4,\)"):
        controller(key, jnp.zeros(4), controller.init())
    with pytest.raises(InputError, match=r"observations of shape \(3,\) and actions of shape \(2,\), got \(3,\) and"):
        model.predict(jnp.zeros(3), jnp.zeros(1))

    flags = jnp.zeros(2, bool)
    rows = Transition(jnp.zeros((2, 3)), jnp.zeros((2, 1)), jnp.zeros(2), jnp.zeros((2, 3)), flags, flags)
    with pytest.raises(InputError, match=r"action of each .* this dataset's shape \(2,\), got \(1,\)"):
        Dataset.empty(env.task, 9).add(rows, 0)


class Short(Slide):
    """Forgets an entry after its first step."""

    def step(self, key, state, action):
        state, step = super().step(key, state, action)
        return state, Step(step.obs[:2], step.reward, step.terminated)


def test_an_environment_of_another_size_than_its_task_is_refused():
    with pytest.raises(InputError, match=r"an observation of this task must have the shape \(3,\), got \(2,\)"):
        episode(jax.random.key(0), Short(), Counter())
