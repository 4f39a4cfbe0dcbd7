"""PPO: the ratio, the objective by NumPy, frozen statistics, beta in earnest."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import zoo
from handful.optimiser import Adam
from handful.policy_optimization.actor_critic import a2c
from handful.policy_optimization.base import ActorCriticNets, explained_variance, standardised
from handful.policy_optimization.penalty import Doubling, DualDescent
from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.surrogate import Clipped, Penalised
from handful.policy_optimization.trpo import TRPO
from handful.types import Batch, Transition
from probes import close, differ, same

KEY, OTHER = jax.random.split(jax.random.key(3))
ADVANTAGES = GAE(discount=0.9, gae_lambda=0.7)
PPO_ = PPO(
    num_envs=2,
    num_steps=6,
    epochs=2,
    minibatches=3,
    advantages=ADVANTAGES,
    surrogate=Penalised(Doubling(beta=0.7, target=0.02)),
    nets=ActorCriticNets((5,), log_std=-0.3, standardise=True),
    entropy_coef=0.3,
    adam=Adam(learning_rate=0.02),
)


def met(key, learner, state):
    keys = jax.random.split(key, 5)
    shape = (learner.num_steps, learner.num_envs)
    obs, following = (jax.random.normal(k, (*shape, 3)) * 3 + zoo.OBS for k in keys[:2])
    choice = jax.vmap(jax.vmap(learner.actor(zoo.TASK, state).sample))(jax.random.split(keys[2], shape), obs)
    flag = jax.random.uniform(keys[3], shape)
    return Transition(obs, choice, jax.random.normal(keys[4], shape), following, flag < 0.2, flag > 0.8)


def whole(rows):
    """A batch whose rows all count."""
    return Batch(rows, jnp.ones(rows.reward.shape, bool))


@eqx.filter_jit
def started(learner):
    """After an update, so that nothing is at its first value."""
    state = learner.init(KEY, zoo.TASK)
    state, metrics = learner.update(KEY, zoo.TASK, state, whole(met(OTHER, learner, state)))
    batch = met(KEY, learner, state)
    after, metrics = learner.update(OTHER, zoo.TASK, state, whole(batch))
    return state, batch, learner.samples(state, batch)[0], after, metrics


@pytest.fixture(scope="module")
def update():
    return started(PPO_)


def test_before_the_first_step_the_ratio_is_one_also_where_inputs_are_standardised(update):
    """The probabilities that samples carry are those of the actor that drew them."""
    state, batch, samples, _, _ = update
    actor = PPO_.actor(zoo.TASK, state)
    assert actor.inputs.moments.count == 12
    log_prob = jax.jit(jax.vmap(jax.vmap(lambda o, c: actor.distribution(o).log_prob(c))))(batch.obs, batch.action)
    np.testing.assert_allclose(samples.log_prob, log_prob.reshape(-1), rtol=1e-5, atol=1e-5)


def test_statistics_move_after_an_update_and_policy_and_value_see_the_same(update):
    state, batch, samples, after, _ = update
    close(after.policy.inputs, state.policy.inputs.update_normaliser(batch.obs))
    same(after.policy.inputs, after.value.inputs)
    assert differ(after.policy.inputs, state.policy.inputs)
    seen = jax.vmap(state.policy.inputs)(batch.obs.reshape(-1, 3))
    np.testing.assert_allclose(samples.inputs, seen, rtol=1e-5, atol=1e-6)


POISONS = [("obs", np.nan), ("obs", -np.inf), ("next_obs", np.inf), ("reward", np.nan), ("reward", np.inf)]


@pytest.fixture(scope="module", params=["ppo", "trpo"])
def spoilt_update(request):
    """The state before, and a function to the state after an update whose row (3, 1) has a field spoilt."""
    nets = ActorCriticNets((4,), standardise=True)
    agent = {
        "ppo": PPO(2, 6, epochs=2, minibatches=2, nets=nets, scale_rewards=True),
        "trpo": TRPO(2, 6, value_epochs=2, value_minibatches=2, nets=nets, scale_rewards=True),
    }[request.param]
    update = eqx.filter_jit(lambda state, batch: agent.update(KEY, zoo.TASK, state, batch))
    state = eqx.filter_jit(agent.init)(KEY, zoo.TASK)
    state, _ = update(state, whole(met(OTHER, agent, state)))
    batch = met(KEY, agent, state)

    def after(field, value):
        rows = dataclasses.replace(batch, **{field: getattr(batch, field).at[3, 1].set(value)})
        return update(state, whole(rows))

    return state, after


def test_a_row_that_is_not_finite_is_left_out_and_the_others_are_learned_from(spoilt_update):
    """Whatever of it is spoilt, and though inputs and rewards are clipped, which makes infinity a finite number."""
    state, after = spoilt_update
    outcomes = [after(*poison) for poison in POISONS]
    for changed, metrics in outcomes:
        same((changed, metrics), outcomes[0])
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(eqx.filter((changed, metrics), eqx.is_array)))
    assert differ(outcomes[0][0].policy.head, state.policy.head)
    assert differ(outcomes[0][0].value.net, state.value.net)
    assert float(outcomes[0][0].policy.inputs.moments.count) == 23.0


def test_advantages_and_targets_are_gae_s_one_environment_at_a_time(update):
    state, batch, samples, _, _ = update
    each = jax.jit(jax.vmap(jax.vmap(state.value)))
    values, following = each(batch.obs), each(batch.next_obs)
    for env in range(2):
        rows = (leaf[:, env] for leaf in (batch.reward, values, following, batch.terminated, batch.truncated))
        advantage = ADVANTAGES(*rows)
        np.testing.assert_allclose(samples.advantage.reshape(6, 2)[:, env], advantage, rtol=1e-4, atol=1e-5)
        target = samples.target.reshape(6, 2)[:, env]
        np.testing.assert_allclose(target, advantage + values[:, env], rtol=1e-4, atol=1e-5)


def numpy_gaussian(head, seen):
    net = head.net
    mean = np.tanh(seen @ net.weights[0] + net.biases[0]) @ net.weights[1] + net.biases[1]
    return mean, np.exp(np.asarray(head.log_std, float))


@pytest.mark.parametrize("clipped", [False, True])
def test_the_objective_by_numpy_away_from_the_old_policy(update, clipped):
    _, _, samples, after, _ = update
    surrogate = Clipped(clip_eps=0.1) if clipped else PPO_.surrogate
    learner = eqx.tree_at(lambda p: p.surrogate, PPO_, surrogate)
    memory = None if clipped else jnp.asarray(1.9)
    worth = jax.jit(lambda weights: learner.objective(weights, memory, samples))((after.policy.head, after.value.net))

    (old, old_std), (new, std) = (
        (np.asarray(samples.distribution.mean, float), np.exp(np.asarray(samples.distribution.log_std, float))),
        numpy_gaussian(after.policy.head, np.asarray(samples.inputs, float)),
    )
    log = lambda mean, std: (-(((samples.raw_action - mean) / std) ** 2) / 2 - np.log(std)).sum(1)
    ratio = np.exp(log(new, std) - log(old, old_std))
    assert np.abs(ratio - 1).max() > 0.1, "some are clipped"
    advantage = (samples.advantage - samples.advantage.mean()) / samples.advantage.std()
    kl = (np.log(std / old_std) + (old_std**2 + (old - new) ** 2) / (2 * std**2) - 0.5).sum(1)
    gain = np.minimum(ratio * advantage, np.clip(ratio, 0.9, 1.1) * advantage)
    gain = gain if clipped else ratio * advantage - 1.9 * (kl - 0.02)
    net = after.value.net
    value = (np.tanh(samples.inputs @ net.weights[0] + net.biases[0]) @ net.weights[1] + net.biases[1])[:, 0]
    entropy = (np.log(std) + 0.5 * np.log(2 * np.pi * np.e)).sum()
    expected = gain.mean() + 0.3 * entropy - 0.5 * ((value - samples.target) ** 2).mean()
    np.testing.assert_allclose(worth, expected, rtol=1e-4)


def test_what_is_metrics(update):
    state, _, samples, after, metrics = update
    old, old_std = np.asarray(samples.distribution.mean, float), np.exp(np.asarray(samples.distribution.log_std, float))
    new, std = numpy_gaussian(after.policy.head, np.asarray(samples.inputs, float))
    kl = (np.log(std / old_std) + (old_std**2 + (old - new) ** 2) / (2 * std**2) - 0.5).sum(1).mean()
    np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(metrics["entropy"], (np.log(std) + 0.5 * np.log(2 * np.pi * np.e)).sum(), rtol=1e-4)
    values = jax.vmap(state.value.net)(samples.inputs)[:, 0]
    np.testing.assert_allclose(
        metrics["explained_variance"], 1 - np.var(samples.target - values) / np.var(samples.target), rtol=1e-3
    )
    np.testing.assert_allclose(metrics["beta"], PPO_.surrogate.penalty(state.surrogate_state, metrics["kl"]), rtol=1e-6)
    assert metrics["beta"] == after.surrogate_state


def test_explained_by_hand():
    targets = jnp.array([1.0, 2.0, 6.0])
    np.testing.assert_allclose(
        explained_variance(targets + jnp.array([0.0, 0.0, 3.0]), targets), 1 - 2 / (14 / 3), rtol=1e-6
    )
    for constant in (4.0, 1234.567, 0.1, -3.3):  # whose means in float32 are not always they themselves
        assert explained_variance(jnp.linspace(0.0, 1.0, 1000), jnp.full(1000, constant)) == 0


def test_advantages_without_spread_give_the_policy_no_gradient():
    """Not by the rounding of their mean either, which an adaptive rate would make a whole step of."""
    np.testing.assert_array_equal(standardised(jnp.full(7, 1234.567)), np.zeros(7))
    np.testing.assert_allclose(
        standardised(jnp.array([1.0, 2.0, 6.0])), np.array([-2, -1, 3]) / np.sqrt(14 / 3), rtol=1e-6
    )
    flags = jnp.ones((6, 2), bool), jnp.zeros((6, 2), bool)
    for learner in (
        PPO(2, 6, 2, 3, nets=ActorCriticNets((5,))),
        TRPO(2, 6, nets=ActorCriticNets((5,)), value_minibatches=3),
    ):

        def updated(key, learner=learner):
            state = learner.init(key, zoo.TASK)
            met_ = met(key, learner, state)
            obs = jnp.broadcast_to(zoo.OBS, met_.obs.shape)
            dull = Transition(obs, met_.action, jnp.full((6, 2), 1234.567), met_.next_obs, *flags)
            return state, learner.update(key, zoo.TASK, state, whole(dull))[0]

        before, after = eqx.filter_jit(updated)(KEY)
        close(before.policy.head, after.policy.head, atol=1e-6)
        assert differ(before.value.net, after.value.net), "the value learns all the same"


def test_rewards_are_scaled_by_what_was_seen_of_this_batch_too():
    learner = PPO(
        2, 6, 2, 3, nets=ActorCriticNets((5,)), advantages=GAE(discount=0.9, gae_lambda=0.0), scale_rewards=True
    )

    @eqx.filter_jit
    def sampled(key):
        state = learner.init(key, zoo.TASK)
        batch = met(key, learner, state)
        return state, batch, *learner.samples(state, batch)

    state, batch, samples, scale = sampled(KEY)
    each = jax.vmap(jax.vmap(state.value))
    following = jnp.where(batch.terminated, 0.0, each(batch.next_obs))
    expected = batch.reward / jnp.sqrt(scale.moments.var) + 0.9 * following - each(batch.obs)
    np.testing.assert_allclose(samples.advantage.reshape(6, 2), expected, rtol=1e-4, atol=1e-4)
    assert scale.moments.count == 12


@pytest.mark.parametrize("penalty", [DualDescent(beta=30.0, target=0.01), Doubling(beta=30.0, target=0.01)])
def test_beta_brings_the_divergence_of_updates_to_its_target(penalty):
    """On rewards that are noise there is always as much to gain. 60 updates, of which the last 40 are looked at."""
    learner = PPO(4, 6, 6, 2, Penalised(penalty), ADVANTAGES, ActorCriticNets((5,)), Adam(learning_rate=0.01))

    def update(state, key):
        return learner.update(key, zoo.TASK, state, whole(met(key, learner, state)))

    run = eqx.filter_jit(lambda key: jax.lax.scan(update, learner.init(key, zoo.TASK), jax.random.split(key, 60))[1])
    metrics = run(KEY)
    mean = metrics["kl"][20:].mean() / penalty.target
    assert 0.7 < mean < 1.4
    assert (metrics["beta"][20:] > 0.01).all()
    assert (metrics["beta"][20:] < 1000).all()


def test_a2c_takes_one_step_of_the_policy_gradient():
    """`mean A (onehot - p) x'`, without hidden layers; so large an epsilon makes Adam's first step the gradient."""
    plain = Adam(learning_rate=1e5, max_grad_norm=jnp.inf, epsilon=1e5)
    learner = eqx.tree_at(lambda one: one.adam, a2c(num_envs=2, num_steps=6, nets=ActorCriticNets(())), plain)

    @eqx.filter_jit
    def updated(key):
        state = learner.init(key, zoo.CHOICE)
        batch = met(key, learner, state)
        return state, learner.samples(state, batch)[0], learner.update(key, zoo.CHOICE, state, whole(batch))[0]

    before, samples, after = updated(KEY)
    net, moved = before.policy.head.net, after.policy.head.net
    p = scipy.special.softmax(samples.inputs @ net.weights[0] + net.biases[0], axis=1)
    advantage = (samples.advantage - samples.advantage.mean()) / samples.advantage.std()
    score = (samples.raw_action - p) * advantage[:, None] / 12
    np.testing.assert_allclose(moved.weights[0] - net.weights[0], samples.inputs.T @ score, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(moved.biases[0], score.sum(0), rtol=1e-3, atol=1e-4)


def test_a_std_that_depends_on_the_state_is_learned():
    """An option of the nets; at two observations the log std moves, and not alike."""
    nets = ActorCriticNets((5,), log_std=-0.3, state_dependent_std=True)
    learner = PPO(2, 6, 2, 3, nets=nets, adam=Adam(learning_rate=0.005))

    @eqx.filter_jit
    def updated(key):
        state = learner.init(key, zoo.TASK)
        after, metrics = learner.update(key, zoo.TASK, state, whole(met(key, learner, state)))
        places = jnp.stack([zoo.OBS, -zoo.OBS])
        return [jax.vmap(lambda o, s=s: s.policy.distribution(o).log_std)(places) for s in (state, after)], metrics

    (before, after), metrics = updated(KEY)
    np.testing.assert_allclose(before, -0.3, atol=0.05)
    moves = np.abs(after - before)
    assert (moves > 1e-3).all()
    assert np.abs(moves[0] - moves[1]).max() > 1e-3
    assert 0 < metrics["kl"] < 1
