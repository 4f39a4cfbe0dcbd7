"""What every learner that improves a policy from its own interaction keeps to."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from handful.types import Transition
from probes import Traces, close, counted, differ, same, shaken

KEY, OTHER = jax.random.split(jax.random.key(9))


class Case(NamedTuple):
    """A learner, where it begins, something to learn from, and its compiled update."""

    learner: Any
    state: Any
    batch: Transition
    update: Any  # of key, learner, state, batch
    traces: Traces


def task_of(name):
    return zoo.TASK if name in zoo.CONTINUOUS else zoo.CHOICE


def met(key, learner, state) -> Transition:
    """Steps that its actor might have made: t n on the leading axes, both flags on some of them."""
    obs_key, next_key, draw_key, reward_key, flag_key = jax.random.split(key, 5)
    shape = (learner.length, learner.envs)
    obs, following = (jax.random.normal(k, (*shape, 3)) + zoo.OBS for k in (obs_key, next_key))
    keys = jax.random.split(draw_key, shape)
    choice = jax.vmap(jax.vmap(learner.actor(state).draw))(keys, obs)
    flag = jax.random.uniform(flag_key, shape)
    return Transition(obs, choice, jax.random.normal(reward_key, shape), following, flag < 0.2, flag > 0.7)


def update(key, learner, state, batch):
    return learner.update(key, state, batch)


@pytest.fixture(scope="module", params=list(zoo.LEARNERS))
def case(request) -> Case:
    learner = zoo.LEARNERS[request.param](task_of(request.param))
    init = eqx.filter_jit(lambda key, learner, task: (state := learner.init(key, task), met(key, learner, state)))
    state, batch = init(KEY, learner, task_of(request.param))
    compiled, traces = counted(update)
    return Case(learner, state, batch, compiled, traces)


def weights(learner, state):
    """Of the policies, by which learners act and are judged."""
    return [
        leaf for leaf in jax.tree.leaves((learner.actor(state), learner.policy(state))) if eqx.is_inexact_array(leaf)
    ]


def all_finite(leaves) -> bool:
    return all(np.isfinite(leaf).all() for leaf in leaves)


def test_the_same_key_and_data_give_the_same_and_other_data_something_else(case):
    one, again = (case.update(KEY, case.learner, case.state, case.batch) for _ in range(2))
    same(one, again)
    assert all_finite(jax.tree.leaves(one[1]))
    assert all(value.shape == () for value in one[1].values())
    paid = eqx.tree_at(lambda b: b.reward, case.batch, case.batch.reward[::-1] + 0.3)
    other, _ = case.update(KEY, case.learner, case.state, paid)
    assert differ(weights(case.learner, one[0]), weights(case.learner, case.state))
    assert differ(weights(case.learner, one[0]), weights(case.learner, other))


def test_going_on_with_other_hyperparameters_recompiles_nothing(case):
    state, _ = case.update(KEY, case.learner, case.state, case.batch)
    assert jax.tree.structure(state) == jax.tree.structure(case.state)
    here, _ = case.update(OTHER, case.learner, state, case.batch)
    there, _ = case.update(OTHER, shaken(case.learner), state, case.batch)
    assert case.traces.count == 1
    assert differ(weights(case.learner, here), weights(case.learner, there))


def test_it_survives_flattening(case):
    leaves, structure = jax.tree.flatten((case.learner, case.state))
    learner, state = jax.tree.unflatten(structure, leaves)
    assert eqx.tree_equal((learner, state), (case.learner, case.state))
    same(case.update(KEY, learner, state, case.batch), case.update(KEY, case.learner, case.state, case.batch))
    assert case.traces.count == 1


def test_many_seeds_under_vmap_are_a_loop_over_seeds(case):
    keys = jnp.stack([KEY, OTHER])
    batches = [case.batch, eqx.tree_at(lambda b: b.reward, case.batch, -case.batch.reward)]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
    many = eqx.filter_jit(eqx.filter_vmap(update, in_axes=(0, None, None, 0)))
    both = many(keys, case.learner, case.state, together)
    for index, (key, batch) in enumerate(zip(keys, batches, strict=True)):
        alone = case.update(key, case.learner, case.state, batch)
        close(jax.tree.map(lambda leaf, i=index: leaf[i], both), alone, rtol=2e-3, atol=2e-4)


def test_rewards_that_are_all_the_same_leave_everything_finite(case):
    dull = eqx.tree_at(lambda b: b.reward, case.batch, jnp.full_like(case.batch.reward, 1.7))
    state, logged = case.update(KEY, case.learner, case.state, dull)
    state, _ = case.update(OTHER, case.learner, state, dull)
    assert all_finite([*weights(case.learner, state), *logged.values()])


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_a_reward_that_is_no_number_harms_nothing_and_learning_goes_on(case, value):
    bad = eqx.tree_at(lambda b: b.reward, case.batch, case.batch.reward.at[1, 0].set(value))
    state, _ = case.update(KEY, case.learner, case.state, bad)
    assert all_finite(weights(case.learner, state))
    after, logged = case.update(OTHER, case.learner, state, case.batch)
    assert all_finite([*weights(case.learner, after), *logged.values()])
    assert differ(weights(case.learner, state), weights(case.learner, after))


def test_its_actor_s_choices_can_be_carried_out(case, request):
    task = task_of(request.node.callspec.params["case"])
    actor = case.learner.actor(case.state)
    draw = jax.jit(jax.vmap(lambda key: (choice := actor.draw(key, zoo.OBS), actor.to_env_action(choice))))
    choices, actions = draw(jax.random.split(KEY, 50))
    assert actions.shape == (50, task.action_size)
    assert choices.shape[1:] == case.batch.action.shape[2:]
    assert (actions >= task.low).all()
    assert (actions <= task.high).all()
    assert differ(choices[0], choices[1:].mean(0)), "it tries things"
