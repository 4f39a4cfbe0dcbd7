"""REINFORCE: what counts, its gradient as an explicit sum, what it refuses."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from handful.errors import InputError
from handful.optimiser import Adam
from handful.policy_optimization.base import ActorCriticNets
from handful.policy_optimization.baselines import BatchMean, LearnedValue, NoBaseline
from handful.policy_optimization.reinforce import Reinforce, whole
from handful.types import Batch, Transition
from probes import close, differ, same, task_of

KEY = jax.random.key(5)
RNG = np.random.default_rng(3)
T, N = 5, 3
TASK = task_of(lambda o, a, n: o[0], 2, [0.0] * 3, [1.0] * 3, horizon=4, categorical=True)
PLAIN = Adam(
    learning_rate=1e5, max_grad_norm=jnp.inf, epsilon=1e5
)  # so large an epsilon makes a first step the gradient itself
OBS, FOLLOWING = RNG.normal(size=(2, T, N, 2))
CHOICE = np.eye(3)[RNG.integers(0, 3, (T, N))]
REWARD = RNG.normal(size=(T, N))
# The first trial ends by itself and another follows, the second by time, the third never.
TERMINATED, TRUNCATED = np.zeros((2, T, N), bool)
TERMINATED[1, 0] = TRUNCATED[3, 0] = TRUNCATED[3, 1] = True
COUNTED = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
ROWS = Transition(
    *(jnp.asarray(each, jnp.float32) for each in (OBS, CHOICE, REWARD, FOLLOWING)),
    jnp.asarray(TERMINATED),
    jnp.asarray(TRUNCATED),
)
VALID = np.cumsum(TERMINATED | TRUNCATED, axis=0) - (TERMINATED | TRUNCATED) == 0  # the first trial of each environment
BATCH = Batch(ROWS, jnp.asarray(VALID))


def learner(baseline, *, standardise=False):
    nets = ActorCriticNets(hidden=(), standardise=standardise)
    return Reinforce(N, T, discount=0.8, baseline=baseline, nets=nets, adam=PLAIN)


@eqx.filter_jit
def started(learner):
    return learner.init(KEY, TASK)


@eqx.filter_jit
def updated(learner, state, batch):
    return learner.update(KEY, TASK, state, batch)


def test_only_first_trials_that_come_to_their_end_count():
    np.testing.assert_array_equal(whole(jnp.asarray(VALID), jnp.asarray(TERMINATED | TRUNCATED)), COUNTED)
    np.testing.assert_array_equal(
        whole(jnp.array([[True, True], [False, True]]), jnp.ones((2, 2), bool)), [[True, True], [False, True]]
    )


@pytest.mark.parametrize("baseline", [NoBaseline(), BatchMean()])
def test_the_step_is_the_explicit_sum_of_scores_and_rewards_to_go(baseline):
    """`sum (onehot - p) x' (G - b) / count`, advantages brought to a mean square of one."""
    one = learner(baseline)
    state = started(one)
    after, metrics = updated(one, state, BATCH)
    to_go = np.array([[np.nan] * N] * T)
    for env, end in ((0, 2), (1, 4)):
        for t in range(end):
            to_go[t, env] = sum(0.8 ** (k - t) * REWARD[k, env] for k in range(t, end))
    advantage = to_go[COUNTED] - (to_go[COUNTED].mean() if isinstance(baseline, BatchMean) else 0.0)
    advantage /= np.sqrt((advantage**2).mean())
    net = state.policy.head.net
    p = scipy.special.softmax(OBS[COUNTED] @ np.asarray(net.weights[0]) + net.biases[0], axis=1)
    score = (CHOICE[COUNTED] - p) * advantage[:, None] / COUNTED.sum()
    moved = after.policy.head.net
    np.testing.assert_allclose(moved.weights[0] - net.weights[0], OBS[COUNTED].T @ score, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(moved.biases[0], score.sum(0), rtol=1e-3, atol=1e-4)
    after_p = scipy.special.softmax(OBS[COUNTED] @ np.asarray(moved.weights[0]) + moved.biases[0], axis=1)
    entropy = scipy.stats.entropy(after_p, axis=1).mean()
    np.testing.assert_allclose(metrics["entropy"], entropy, rtol=1e-4)


def test_what_does_not_count_makes_no_difference():
    """Neither its rewards nor what was seen, which on a system of its own is nothing at all."""
    one = learner(LearnedValue((4,), gradient_steps=3, batch_size=4), standardise=True)
    state = started(one)
    noise = jnp.asarray(np.where(COUNTED, REWARD, RNG.normal(size=(T, N)) * 50), jnp.float32)
    seen = jnp.asarray(np.where(COUNTED[..., None], OBS, 0.0), jnp.float32)
    other = eqx.tree_at(lambda b: (b.transitions.reward, b.transitions.obs), BATCH, (noise, seen))
    after, _ = updated(one, state, other)
    same(updated(one, state, BATCH)[0], after)
    assert after.policy.inputs.moments.count == COUNTED.sum()
    np.testing.assert_allclose(after.policy.inputs.moments.mean, OBS[COUNTED].mean(0), rtol=1e-4)


@pytest.mark.parametrize("where", [(1, 1), (4, 2)])
@pytest.mark.parametrize(
    ("field", "poison"), [("obs", np.nan), ("obs", np.inf), ("next_obs", -np.inf), ("reward", np.inf)]
)
def test_a_trial_that_is_not_finite_does_not_count(field, poison, where):
    """As if it had not come to its end; what does not count anyway may be anything."""
    one = learner(LearnedValue((), gradient_steps=2, batch_size=4), standardise=True)
    state = started(one)
    bad = dataclasses.replace(ROWS, **{field: getattr(ROWS, field).at[where].set(poison)})
    spoilt = updated(one, state, Batch(bad, BATCH.valid))
    without = BATCH if where == (4, 2) else Batch(ROWS, BATCH.valid.at[:, 1].set(False))
    close(spoilt, updated(one, state, without))
    assert differ(spoilt[0].policy.head, state.policy.head)


def test_no_whole_trial_no_step():
    one = learner(LearnedValue((4,), gradient_steps=3, batch_size=4))
    state = started(one)
    endless = eqx.tree_at(
        lambda b: (b.transitions.terminated, b.transitions.truncated), BATCH, (jnp.zeros((T, N), bool),) * 2
    )
    after, _ = updated(one, state, endless)
    same(after.policy, state.policy)
    same(after.baseline.net, state.baseline.net)


def test_trials_longer_than_an_update_are_refused():
    with pytest.raises(InputError, match="may last 4 steps: num_steps must be at least that, got 3"):
        Reinforce(num_steps=3).init(KEY, TASK)
