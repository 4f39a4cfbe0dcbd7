import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from handful.errors import InputError
from handful.types import Batch, Transition
from handful.values.dqn import DQN
from handful.values.transitions import DiscreteTransition
from probes import close, counted, differ, same, shaken, task_of

TASK = task_of(zoo.reward, 3, [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], angles=(1,), categorical=True)
SMALL = DQN(
    num_envs=2, num_steps=3, hidden=(7, 5), capacity=11, batch_size=5, gradient_steps=4, double=False,
    learning_starts=0, target_update_every=3,
)  # fmt: skip
KEY = jax.random.key(5)
begin = eqx.filter_jit(DQN.init)


def nets_of(learner, task=TASK):
    """Both networks moved off their beginning, each its own way, after 4 gradient steps."""
    nets = begin(learner, KEY, task).nets
    target = shaken(nets.target, 0.7)
    return eqx.tree_at(lambda n: (n.online, n.target, n.steps), nets, (shaken(nets.online), target, jnp.array(4)))


def met(t=3, n=2, terminated=(4,), truncated=(2,)):
    number = jnp.arange(1.0, t * n + 1).reshape(t, n)
    obs = jnp.sin(number[..., None] + jnp.array([0.1, 1.7, 2.9]))
    choice = jax.nn.one_hot((number * 3 % 4).astype(int), 4)
    ends = [jnp.isin(number, jnp.array(which)) for which in (terminated, truncated)]
    rows = Transition(obs, choice, 0.4 * number - 0.9, jnp.cos(obs * 3), *ends)
    return Batch(rows, jnp.ones((t, n), bool))


def by_hand(network, obs):
    """The network in NumPy: entry 1 is an angle."""
    x = np.stack([obs[:, 0], obs[:, 2], np.sin(obs[:, 1]), np.cos(obs[:, 1])], axis=1)
    weights, biases = ([np.asarray(leaf) for leaf in leaves] for leaves in (network.net.weights, network.net.biases))
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = np.maximum(x @ weight + bias, 0)
    return x @ weights[-1] + biases[-1]


@pytest.fixture(scope="module")
def compiled():
    return {
        "target": eqx.filter_jit(jax.vmap(DQN.target, in_axes=(None, None, 0))),
        "gradient_step": eqx.filter_jit(DQN.gradient_step),
        "update": eqx.filter_jit(DQN.update),
    }


@pytest.mark.parametrize("double", [False, True])
def test_targets_by_hand(compiled, double):
    """Row 4 of 6 terminated, and only its sum ends; row 2 merely ran out of time."""
    learner = dataclasses.replace(SMALL, double=double, discount=0.83)
    nets, batch = nets_of(learner), DiscreteTransition.of(met())[0]
    found = compiled["target"](learner, nets, batch)
    after = np.asarray(batch.next_obs)
    judged, picking = by_hand(nets.target, after), by_hand(nets.online, after)
    best = (picking if double else judged).argmax(1)
    assert (judged.argmax(1) != picking.argmax(1)).any(), "or the two targets are the same"
    going_on = np.array([1, 1, 1, 0, 1, 1])
    expected = np.asarray(batch.reward) + 0.83 * going_on * judged[np.arange(6), best]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_loss_is_the_mean_huber_loss(compiled):
    """Errors on both sides of `huber_delta`, where the square becomes a line."""
    learner = dataclasses.replace(SMALL, discount=0.83, huber_delta=1.6)
    nets, batch = nets_of(learner), DiscreteTransition.of(met())[0]
    batch = eqx.tree_at(lambda b: b.reward, batch, batch.reward * jnp.array([1.0, 9.0, 0.3, 2.0, -4.0, 0.6]))
    _, (loss, value) = compiled["gradient_step"](learner, nets, batch)
    values = by_hand(nets.online, np.asarray(batch.obs))[np.arange(6), np.asarray(batch.action)]
    error = np.abs(values - np.asarray(compiled["target"](learner, nets, batch)))
    assert (error < 1.6).any()
    assert (error > 1.6).any()
    np.testing.assert_allclose(loss, np.where(error < 1.6, error**2 / 2, 1.6 * (error - 0.8)).mean(), rtol=1e-5)
    np.testing.assert_allclose(value, values.mean(), rtol=1e-5)


def test_the_first_step_of_adam_goes_against_the_sign_of_the_gradient(compiled):
    """At its first step Adam moves each weight by the rate; with half the way faded, by half of it."""
    learner = dataclasses.replace(SMALL, learning_rate=0.02, lr_decay_steps=8.0)
    nets, batch = nets_of(learner), DiscreteTransition.of(met())[0]
    moved, _ = compiled["gradient_step"](learner, nets, batch)
    moves = jax.tree.leaves(jax.tree.map(lambda new, old: np.abs(np.ravel(new - old)), moved.online, nets.online))
    sizes = np.concatenate(moves)
    sizes = sizes[sizes > 1e-7]
    assert sizes.size > 20
    np.testing.assert_allclose(np.median(sizes), 0.01, rtol=1e-3)


@pytest.mark.parametrize(("tau", "steps", "share"), [(1.0, 4, 0.0), (1.0, 5, 1.0), (0.3, 5, 0.3), (0.3, 4, 0.0)])
def test_the_target_moves_every_third_step_by_its_share(compiled, tau, steps, share):
    """After `steps` + 1 gradient steps; a share of one is a copy to the last bit."""
    learner = dataclasses.replace(SMALL, tau=tau)
    nets = eqx.tree_at(lambda n: n.steps, nets_of(learner), jnp.array(steps))
    moved, _ = compiled["gradient_step"](learner, nets, DiscreteTransition.of(met())[0])
    assert differ(moved.online, nets.online)
    if share in {0.0, 1.0}:
        same(moved.target, moved.online if share else nets.target)
    else:
        close(moved.target, jax.tree.map(lambda t, q: t + share * (q - t), nets.target, moved.online))


def test_nothing_is_learned_before_there_is_enough(compiled):
    """A batch of 5 first fits into the second block of 3; the start at 10 memories comes with the fourth."""
    for starts, trained in ((0, [0, 1, 1, 1]), (10, [0, 0, 0, 1])):
        learner = dataclasses.replace(SMALL, num_envs=1, learning_starts=starts)
        state, found = begin(learner, KEY, TASK), []
        for index in range(4):
            before = state
            state, metrics = compiled["update"](learner, jax.random.fold_in(KEY, index), TASK, state, met(n=1))
            found.append(int(metrics["trained"]))
            assert differ(state.nets, before.nets) == bool(metrics["trained"])
            assert float(metrics["replay"]) == min(3 * (index + 1), 11)
        assert found == trained


def test_what_is_not_finite_is_neither_kept_nor_learned(compiled):
    batch = met()
    broken = eqx.tree_at(lambda b: b.transitions.reward, batch, batch.transitions.reward.at[1, 0].set(jnp.nan))
    state, metrics = compiled["update"](SMALL, KEY, TASK, begin(SMALL, KEY, TASK), broken)
    assert (int(state.replay.added), float(metrics["trained"])) == (5, 1.0)
    hopeless = dataclasses.replace(SMALL, learning_rate=jnp.inf)
    kept, metrics = compiled["update"](hopeless, KEY, TASK, state, batch)
    assert float(metrics["trained"]) == 0.0
    same(kept.nets, state.nets)
    assert int(kept.replay.added) == 11


def test_epsilon_falls_with_what_was_met():
    learner = dataclasses.replace(SMALL, exploration_steps=20, epsilon=0.1)
    state = begin(learner, KEY, TASK)
    for added, expected in ((0, 1.0), (5, 0.775), (20, 0.1), (90, 0.1)):
        state = eqx.tree_at(lambda s: s.replay.added, state, jnp.array(added))
        np.testing.assert_allclose(learner.actor(TASK, state).epsilon, expected, rtol=1e-6)
    assert float(learner.policy(TASK, state).epsilon) == 0.0


def test_settings_recompile_nothing_and_vmap_equals_a_loop():
    rates, keys = jnp.array([0.01, 0.003, 0.05]), jax.random.split(KEY, 3)
    update, traces = counted(DQN.update)
    make = lambda rate: dataclasses.replace(SMALL, learning_rate=rate, discount=1 - rate, learning_starts=rate * 100)
    singles = [
        update(make(rate), KEY, TASK, begin(make(rate), key, TASK), met())
        for rate, key in zip(rates, keys, strict=True)
    ]
    assert traces.count == 1

    def one(rate, key):
        return make(rate).update(KEY, TASK, make(rate).init(key, TASK), met())

    together = eqx.filter_jit(jax.vmap(one))(rates, keys)
    for index, single in enumerate(singles):
        close(jax.tree.map(lambda leaf, i=index: leaf[i], together), single, rtol=1e-4)


def test_a_chain_with_known_values_is_learned():
    """Three places in a row. Choice 1 goes on and pays 0.5 at the end, which is one; choice 0 stays and pays -0.2.

    With discount 0.8 going on is worth 0.32, 0.4, 0.5 and staying -0.2 + 0.8 times that. All six steps are met, the
    staying ones cut short by time, which must change nothing.
    """
    choice = task_of(zoo.reward, 2, [0.0, 0.0], [1.0, 1.0], categorical=True)
    learner = DQN(
        num_envs=3, num_steps=2, hidden=(16,), capacity=6, batch_size=6, gradient_steps=500, learning_starts=0,
        learning_rate=0.02, lr_decay_steps=1500.0, discount=0.8, target_update_every=10,
    )  # fmt: skip
    places = jnp.array([[1.0, 0.3], [-0.4, 1.2], [0.2, -0.9]])
    obs = jnp.stack([places, places])
    following = jnp.stack([places, jnp.roll(places, -1, axis=0)])
    last = jnp.array([[0, 0, 0], [0, 0, 1]], bool)
    reward = jnp.array([[-0.2, -0.2, -0.2], [0.0, 0.0, 0.5]])
    action = jnp.broadcast_to(jnp.eye(2)[:, None], (2, 3, 2))
    batch = Batch(Transition(obs, action, reward, following, last, ~last & (reward < 0)), jnp.ones((2, 3), bool))
    update, state = eqx.filter_jit(learner.update), begin(learner, KEY, choice)
    for index in range(3):
        state, _ = update(jax.random.fold_in(KEY, index), choice, state, batch)
    found = jax.vmap(state.nets.online)(places)
    np.testing.assert_allclose(found, [[0.056, 0.32], [0.12, 0.4], [0.2, 0.5]], atol=0.01)


def test_continuous_actions_are_chosen_from_a_grid():
    learner = dataclasses.replace(SMALL, bins_per_dim=3)
    state = begin(learner, KEY, zoo.TASK)
    actor = dataclasses.replace(learner.policy(zoo.TASK, state), values=lambda obs: -jnp.abs(jnp.arange(9.0) - 5))
    action, _ = actor(KEY, zoo.OBS, None)
    np.testing.assert_allclose(action, [0.25, 0.4], rtol=1e-6)
    with pytest.raises(InputError, match=r"bins_per_dim, .* must be at least 2"):
        SMALL.init(KEY, zoo.TASK)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"capacity": 63}, "must hold a batch of 64 transitions, got a capacity of 63"),
        ({"capacity": 100}, "must hold the 8 x 32 transitions of a rollout, got a capacity of 100"),
        ({"gradient_steps": 0}, "gradient_steps must be at least 1, got 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings, says):
    with pytest.raises(InputError, match=says):
        DQN(**settings)
