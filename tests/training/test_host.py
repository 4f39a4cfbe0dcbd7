"""Hosted trials against a manual loop, and against the same system run as a pure environment."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.pendulum import Pendulum
from handful.errors import InputError
from handful.policies.base import AbstractPolicy
from handful.policies.simple import UniformPolicy
from handful.training.host import Hosted, seed_of
from handful.training.rollout import begin
from handful.training.system import Simulated, system_for


class Noisy(AbstractPolicy):
    """Feedback, noise, and a carry that starts weakly typed: whatever could make a step compile again."""

    gain: Float[Array, "a o"]

    def init(self):
        return {"count": jnp.asarray(0), "sum": jnp.asarray(0.0), "python": 1.5}

    def __call__(self, key, obs, carry):
        action = self.gain @ obs + 0.3 * jax.random.normal(key, (self.gain.shape[0],)) + 0.01 * carry["sum"]
        return action, {"count": carry["count"] + 1, "sum": carry["sum"] + obs[0], "python": carry["python"] * 0.5}

    def info(self, carry):
        return {"count": carry["count"]}


class Walk(gymnasium.Env):
    """A point that is pushed: terminates past `wall`, or is stopped by the environment after `limit` steps."""

    action_space = gymnasium.spaces.Box(-1.0, 1.5, (1,), np.float64)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    dt = 0.1

    def __init__(self, wall=np.inf, limit=None, max_episode_steps=7, fail=None):
        self.wall, self.limit, self.max_episode_steps, self.fail = wall, limit, max_episode_steps, fail
        self.seeds = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.time, self.state = 0, self.np_random.normal(0.0, 0.02, 2)
        return self.state.copy(), {}

    def step(self, action):
        self.time += 1
        if self.time == self.fail:
            raise OSError("cable out")
        self.state = self.state + np.array([0.3 + 0.1 * action[0], action[0]])
        over, late = self.state[0] > self.wall, self.limit is not None and self.time >= self.limit
        return self.state.copy(), float(self.state[1] - self.time), bool(over), bool(late), {}


def reward(obs, action, next_obs):
    return next_obs[1] - obs[0]


def policy(scale=0.2):
    return Noisy(jnp.array([[0.7, -1.1]]) * scale)


def grown(scale=0.2):
    """For an observation with reward and termination behind."""
    return Noisy(jnp.array([[0.7, -1.1, 0.0, 0.0]]) * scale)


def run(system, policy, steps, key=3):
    """All pieces of a trial."""
    system.start(jax.random.key(key), policy)
    pieces, over = [], False
    while not over:
        piece, over = system.advance(policy, steps=steps)
        pieces.append(jax.tree.map(np.asarray, piece))
    return pieces


def joined(pieces):
    return jax.tree.map(lambda *parts: np.concatenate(parts), *pieces)


def test_transitions_are_those_of_a_manual_loop():
    (piece,) = run(Hosted(GymnasiumEnv(Walk())), grown(), 7)
    env, key = Walk(), jax.random.key(3)
    raw, _ = env.reset(seed=seed_of(key))
    obs = np.array([*raw, 0.0, 0.0])
    carry = grown().init()
    for time in range(7):
        policy_key, _ = jax.random.split(jax.random.fold_in(key, time + 1))
        action, carry = grown()(policy_key, jnp.asarray(obs, float), carry)
        done = np.clip(np.asarray(action, np.float64), -1.0, 1.5)
        raw, paid, *_ = env.step(done)
        after = np.array([*raw, paid, 0.0])
        row = jax.tree.map(lambda leaf, time=time: leaf[time], piece.transitions)
        np.testing.assert_allclose(row.obs, obs, atol=1e-5)
        np.testing.assert_allclose(row.action, done, atol=1e-5)
        np.testing.assert_allclose(row.next_obs, after, atol=1e-5)
        np.testing.assert_allclose(row.reward, paid, atol=1e-5)
        obs = after
    assert piece.valid.all()
    assert np.ptp(piece.transitions.action) > 0.1


class Hollow(gymnasium.Env):
    """Our pure pendulum behind Gymnasium's interface."""

    action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    max_episode_steps = 200

    def __init__(self, start):
        self.pure, self.start = Pendulum(), start

    def reset(self, *, seed=None, options=None):
        self.state = self.start
        return np.asarray(self.state), {}

    def step(self, action):
        self.state, step = self.pure.step(jax.random.key(0), self.state, jnp.asarray(action))
        return np.asarray(step.obs), float(step.reward), False, False, {}


def test_a_trial_is_that_of_the_same_system_simulated():
    """Same key, same policy noise. 1e-3 after 40 steps is float32 in another order of operations."""
    pure, key = Pendulum(), jax.random.key(3)
    hosted = Hosted(
        GymnasiumEnv(
            Hollow(begin(key, pure, policy()).state.obs),
            reward=pure.task.reward,
            terminated=lambda obs: jnp.asarray(False),
        )
    )
    simulated = Simulated(pure)
    for system in (hosted, simulated):
        system.start(key, policy())
    for _ in range(2):
        (ours, over), (theirs, _) = (each.advance(policy(), steps=20) for each in (hosted, simulated))
        assert not over
        for got, expected in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
            np.testing.assert_allclose(got, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("steps", [1, 3, 5, 7])
def test_the_pieces_that_a_trial_is_cut_into_change_nothing(steps):
    whole = joined(run(Hosted(GymnasiumEnv(Walk())), grown(), 7))
    cut = joined(run(Hosted(GymnasiumEnv(Walk())), grown(), steps))
    assert len(cut.valid) % steps == 0
    for got, expected in zip(jax.tree.leaves(cut.transitions), jax.tree.leaves(whole.transitions), strict=True):
        np.testing.assert_array_equal(got[cut.valid], expected)


def test_a_trial_run_again_with_its_key_gives_the_same_data():
    env = Walk()
    system = Hosted(GymnasiumEnv(env))
    first, other, again = (joined(run(system, grown(), 7, key=key)) for key in (3, 4, 3))
    np.testing.assert_array_equal(first.transitions.next_obs, again.transitions.next_obs)
    assert not np.array_equal(first.transitions.next_obs, other.transitions.next_obs)
    assert env.seeds[1] == env.seeds[3] != env.seeds[2]  # the first reset of all is the adapter's own
    assert all(type(seed) is int and 0 <= seed < 2**31 for seed in env.seeds)


def ends(**attributes):
    piece = joined(run(Hosted(GymnasiumEnv(Walk(**attributes), reward=reward)), Noisy(jnp.zeros((1, 3))), 4))
    rows = piece.transitions
    return int(piece.valid.sum()), list(np.flatnonzero(rows.terminated)), list(np.flatnonzero(rows.truncated)), piece


def test_terminated_and_truncated_are_two_things():
    assert ends(wall=0.75)[:3] == (3, [2], [])
    assert ends(limit=5)[:3] == (5, [], [4])
    assert ends(max_episode_steps=6)[:3] == (6, [], [5])
    assert ends(wall=0.75, limit=3)[:3] == (3, [2], [])  # on the same step: nothing follows, so no value counts


def test_the_last_observation_is_the_true_one():
    """Before any reset: it lies past the wall, and what is learned of it says so."""
    count, _, _, piece = ends(wall=0.75)
    last = piece.transitions.next_obs[count - 1]
    assert last[0] > 0.75
    assert last[2] == 1.0
    np.testing.assert_array_equal(piece.transitions.obs[1:count], piece.transitions.next_obs[: count - 1])


def test_rows_after_the_end_are_zero_and_invalid():
    system = Hosted(GymnasiumEnv(Walk(limit=5), reward=reward))
    _, piece = run(system, Noisy(jnp.full((1, 3), 0.4)), 4)
    np.testing.assert_array_equal(piece.valid, [True, False, False, False])
    np.testing.assert_array_equal(piece.info["count"], [5, 5, 5, 5])  # held, for whoever displays the last row
    for leaf in jax.tree.leaves(piece.transitions):
        assert np.any(leaf[0]) or leaf.dtype == bool
        assert not np.any(leaf[1:])


def test_advancing_past_the_end_is_refused():
    system = Hosted(GymnasiumEnv(Walk(limit=2)))
    with pytest.raises(RuntimeError, match="the trial is over"):
        system.advance(grown(), steps=2)
    run(system, grown(), 2)
    with pytest.raises(RuntimeError, match="the trial is over"):
        system.advance(grown(), steps=2)


def test_one_compile_for_all_trials_and_all_weights():
    traces = []

    class Counted(AbstractPolicy):
        noisy: Noisy

        def init(self):
            return self.noisy.init()

        def __call__(self, key, obs, carry):
            traces.append(obs.shape)
            return self.noisy(key, obs, carry)

    system = Hosted(GymnasiumEnv(Walk(max_episode_steps=9)))
    wide = Counted(grown(0.4))
    before = joined(run(system, wide, 3))
    assert len(traces) == 1
    heavier = eqx.tree_at(lambda policy: policy.noisy.gain, wide, wide.noisy.gain * -2.0)
    after = joined(run(system, heavier, 3, key=4))
    assert len(traces) == 1
    assert not np.allclose(before.transitions.action, after.transitions.action)


def test_new_weights_within_a_trial_keep_the_carry():
    system = Hosted(GymnasiumEnv(Walk()))
    system.start(jax.random.key(3), grown())
    first, _ = system.advance(grown(), steps=2)
    second, _ = system.advance(grown(-3.0), steps=2)
    np.testing.assert_array_equal(np.concatenate([first.info["count"], second.info["count"]]), [1, 2, 3, 4])
    np.testing.assert_array_equal(second.transitions.obs[0], first.transitions.next_obs[1])


def test_an_environment_that_fails_is_named_with_its_step():
    system = Hosted(GymnasiumEnv(Walk(fail=4)))
    with pytest.raises(InputError, match=r"raised OSError \(cable out\) at step 4 of a trial$"):
        run(system, grown(), 2)


def test_an_action_that_is_not_finite_never_reaches_the_system():
    env = Walk()
    system = Hosted(GymnasiumEnv(env))
    system.start(jax.random.key(3), grown())
    system.advance(grown(), steps=2)
    with pytest.raises(InputError, match=r"gave the action \[nan\] at step 3 of a trial, which is not finite"):
        system.advance(grown(jnp.nan), steps=2)
    assert env.time == 2


def test_an_environment_finds_its_system():
    assert isinstance(system_for(Pendulum()), Simulated)
    env = GymnasiumEnv(Walk())
    system = system_for(env)
    assert isinstance(system, Hosted)
    system.start(jax.random.key(0), UniformPolicy.of(env.task))
    piece, over = system.advance(UniformPolicy.of(env.task), steps=7)
    assert over
    assert piece.info == {}
