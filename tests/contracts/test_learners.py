"""What every learner that improves a policy from its own interaction keeps to."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from handful.types import Batch, Transition
from probes import Traces, close, counted, differ, same, shaken

KEY, OTHER = jax.random.split(jax.random.key(9))


class Case(NamedTuple):
    """A learner, where it begins, something to learn from, and its compiled update."""

    learner: Any
    state: Any
    batch: Batch
    update: Any  # of key, learner, task, state, batch
    task: Any
    traces: Traces


def task_of(name):
    return zoo.TASK if name in zoo.CONTINUOUS else zoo.CHOICE


def met(key, learner, task, state) -> Batch:
    """Steps that its actor might have made: t n on the leading axes, both flags on some of them.

    Rows count as `interaction` has it: of whole trials, those of each environment's first one.
    """
    obs_key, next_key, draw_key, reward_key, flag_key = jax.random.split(key, 5)
    shape = (learner.num_steps, learner.num_envs)
    obs, following = (jax.random.normal(k, (*shape, 3)) + zoo.OBS for k in (obs_key, next_key))
    keys = jax.random.split(draw_key, shape)
    choice = jax.vmap(jax.vmap(learner.actor(task, state).sample))(keys, obs)
    flag = jax.random.uniform(flag_key, shape)
    rows = Transition(obs, choice, jax.random.normal(reward_key, shape), following, flag < 0.2, flag > 0.7)
    over = rows.terminated | rows.truncated
    first = jnp.cumsum(over, axis=0) - over == 0
    return Batch(rows, first if learner.episodic else jnp.ones(shape, bool))


def update(key, learner, task, state, batch):
    return learner.update(key, task, state, batch)


@pytest.fixture(scope="module", params=list(zoo.LEARNERS))
def case(request) -> Case:
    task = task_of(request.param)
    learner = zoo.LEARNERS[request.param](task)
    init = eqx.filter_jit(lambda key, learner, task: (state := learner.init(key, task), met(key, learner, task, state)))
    state, batch = init(KEY, learner, task)
    compiled, traces = counted(update)
    return Case(learner, state, batch, compiled, task, traces)


def weights(case, state):
    """Of the policies, by which learners act and are judged."""
    policies = case.learner.actor(case.task, state), case.learner.policy(case.task, state)
    return [leaf for leaf in jax.tree.leaves(policies) if eqx.is_inexact_array(leaf)]


def paying(batch, reward) -> Batch:
    """The same batch with another reward."""
    return eqx.tree_at(lambda b: b.transitions.reward, batch, reward)


def all_finite(leaves) -> bool:
    return all(np.isfinite(leaf).all() for leaf in leaves)


@pytest.mark.smoke
def test_the_same_key_and_data_give_the_same_and_other_data_something_else(case):
    one, again = (case.update(KEY, case.learner, case.task, case.state, case.batch) for _ in range(2))
    same(one, again)
    assert all_finite(jax.tree.leaves(one[1]))
    assert all(value.shape == () for value in one[1].values())
    paid = paying(case.batch, case.batch.transitions.reward[::-1] + 0.3)
    other, _ = case.update(KEY, case.learner, case.task, case.state, paid)
    assert differ(weights(case, one[0]), weights(case, case.state))
    assert differ(weights(case, one[0]), weights(case, other))


def test_going_on_with_other_hyperparameters_recompiles_nothing(case):
    state, _ = case.update(KEY, case.learner, case.task, case.state, case.batch)
    assert jax.tree.structure(state) == jax.tree.structure(case.state)
    here, _ = case.update(OTHER, case.learner, case.task, state, case.batch)
    there, _ = case.update(OTHER, shaken(case.learner), case.task, state, case.batch)
    assert case.traces.count == 1
    assert differ(weights(case, here), weights(case, there))


def test_it_survives_flattening(case):
    leaves, structure = jax.tree.flatten((case.learner, case.state))
    learner, state = jax.tree.unflatten(structure, leaves)
    assert eqx.tree_equal((learner, state), (case.learner, case.state))
    same(
        case.update(KEY, learner, case.task, state, case.batch),
        case.update(KEY, case.learner, case.task, case.state, case.batch),
    )
    assert case.traces.count == 1


def test_many_seeds_under_vmap_are_a_loop_over_seeds(case):
    keys = jnp.stack([KEY, OTHER])
    batches = [case.batch, paying(case.batch, -case.batch.transitions.reward)]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
    many = eqx.filter_jit(eqx.filter_vmap(update, in_axes=(0, None, None, None, 0)))
    both = many(keys, case.learner, case.task, case.state, together)
    for index, (key, batch) in enumerate(zip(keys, batches, strict=True)):
        alone = case.update(key, case.learner, case.task, case.state, batch)
        close(jax.tree.map(lambda leaf, i=index: leaf[i], both), alone, rtol=2e-3, atol=2e-4)


def test_rewards_that_are_all_the_same_leave_everything_finite(case):
    dull = paying(case.batch, jnp.full_like(case.batch.transitions.reward, 1.7))
    state, metrics = case.update(KEY, case.learner, case.task, case.state, dull)
    state, _ = case.update(OTHER, case.learner, case.task, state, dull)
    assert all_finite([*weights(case, state), *metrics.values()])


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_a_reward_that_is_no_number_harms_nothing_and_learning_goes_on(case, value):
    bad = paying(case.batch, case.batch.transitions.reward.at[1, 0].set(value))
    state, _ = case.update(KEY, case.learner, case.task, case.state, bad)
    assert all_finite(weights(case, state))
    after, metrics = case.update(OTHER, case.learner, case.task, state, case.batch)
    assert all_finite([*weights(case, after), *metrics.values()])
    assert differ(weights(case, state), weights(case, after))


def test_its_actor_s_raw_actions_become_actions_of_the_task(case):
    task, actor = case.task, case.learner.actor(case.task, case.state)
    sample = jax.jit(jax.vmap(lambda key: (raw := actor.sample(key, zoo.OBS), actor.to_env_action(raw))))
    raw_actions, actions = sample(jax.random.split(KEY, 50))
    assert actions.shape == (50, task.action_size)
    assert raw_actions.shape[1:] == case.batch.transitions.action.shape[2:]
    assert (actions >= task.low).all()
    assert (actions <= task.high).all()
    assert differ(raw_actions[0], raw_actions[1:].mean(0)), "it tries things"
