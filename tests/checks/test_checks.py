"""The checker on a cart that is spoilt in one way at a time: it names that, and nothing else."""

import re

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.checks import trials
from handful.checks.environment import findings
from handful.checks.explained import explained
from handful.checks.trials import Recording
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.point_mass import PointMass
from handful.errors import InputError

NAMES = ("x [m]", "y [m]", "xdot [m/s]", "ydot [m/s]")
CHECKS = ["reward", "reward follows from the observation", "termination", "actions", "step length", "determinism"]


def reward(obs, action, next_obs):
    return next_obs[0] - 0.3 * next_obs[1] ** 2 - 0.1 * action @ action


def terminated(obs):
    return obs[0] > 1.1


class Cart(gymnasium.Env):
    """Pushed along two axes; over once x passes the wall. Keywords spoil it."""

    action_space = gymnasium.spaces.Box(np.array([-1.0, -2.0]), np.array([1.5, 2.0]), dtype=np.float64)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)
    max_episode_steps = 60

    def __init__(self, *, wall=1.1, pays=reward, pushed=np.asarray, limit=None, seeded=True, noise=0.0, **attributes):
        self.wall, self.pays, self.pushed, self.limit = wall, pays, pushed, limit
        self.seeded, self.noise, self.taken, self.resets = seeded, noise, 0, 0
        for name, value in ({"dt": 0.1} | attributes).items():
            setattr(self, name, value)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        start = (self.np_random if self.seeded else np.random.default_rng()).normal(0.0, 0.2, 2)
        self.state, self.time, self.resets = np.append(start, [0.0, 0.0]), 0, self.resets + 1
        return self.state.copy(), {}

    def step(self, action):
        self.time, self.taken, before = self.time + 1, self.taken + 1, self.state
        push = self.pushed(action) + self.noise * np.random.default_rng().normal(size=2)
        speed = 0.9 * before[2:] + 0.1 * push
        self.state = np.append(before[:2] + 0.1 * speed, speed)
        over = bool(self.state[0] > self.wall or self.time == self.limit)
        return self.state.copy(), float(self.pays(before, action, self.state)), over, False, {}


def found_in(env):
    """The finding of each check."""
    found = findings(env, trials.run(env, trials=4, steps=60, seed=3))
    assert [finding.check for finding in found] == CHECKS
    return {finding.check: finding for finding in found}


def checked(given=None, **spoilt):
    return found_in(
        GymnasiumEnv(Cart(**spoilt), **({"reward": reward, "terminated": terminated, "names": NAMES} | (given or {})))
    )


def off(found):
    return [check for check, finding in found.items() if finding.verdict == "off"]


def test_a_sound_environment_passes():
    found = checked()
    assert [finding.verdict for finding in found.values()] == ["ok"] * 6
    assert re.match(r"[1-9] ends, each predicted", found["termination"].found)
    assert re.search(r"dt says 0.1 s; '([xy]) \[m\]' moves by 0.1 s x '\1dot \[m/s\]'", found["step length"].found)


def test_a_pure_environment_is_checked_too():
    found = found_in(PointMass())
    assert [finding.verdict for finding in found.values()] == ["ok"] * 6
    assert "moves by 0.1 s x 'vy [m/s]'" in found["step length"].found


@pytest.mark.parametrize(
    ("pays", "hint"),
    [
        (lambda o, a, n: 2.5 * reward(o, a, n), "it is 2.5 times the given"),
        (lambda o, a, n: reward(o, a, n) + 0.25, "it is the given and 0.25"),
        (lambda o, a, n: reward(o, a, n) - 0.3 * a @ a, "it is the given and -0.3 |action|^2"),
        (lambda o, a, n: reward(o, a, o), "it is that of the state before the step"),
        (lambda o, a, n: reward(o, a, n) - 5.0 * (n[0] > 1.1), "it differs on the steps that terminate"),
        (lambda o, a, n: reward(o, a, n) + max(n[1], 0.0), ""),
    ],
)
def test_a_reward_that_is_not_what_is_paid(pays, hint):
    found = checked(pays=pays)
    assert off(found) == ["reward"]
    said, _, likely = found["reward"].found.partition("; ")
    assert likely == hint
    count, of, paid, given = re.match(
        r"differs in (\d+) of (\d+) transitions, as (\S+) for a given (\S+)$", said
    ).groups()
    assert 0 < int(count) <= int(of)
    assert float(paid) != float(given)


def test_an_end_that_was_not_predicted_or_predicted_wrongly():
    found = checked(wall=0.6)
    assert off(found) == ["termination"]
    assert re.match(r"of [1-9] ends [1-9] were not predicted, and 0 were predicted wrongly", found["termination"].found)
    found = checked(wall=1.4)
    assert off(found) == ["termination"]
    assert re.search(r" 0 were not predicted, and [1-9]\d* were predicted", found["termination"].found)


def test_a_time_limit_that_is_told_as_an_end():
    found = checked(wall=9.0, limit=50, given={"terminated": lambda obs: obs[0] > 9.0})
    assert off(found) == ["termination"]
    assert found["termination"].found == "every trial terminated at step 50; a time limit must be reported as truncated"


@pytest.mark.parametrize(
    ("pushed", "sentence"),
    [
        (lambda a: a * [1.0, 0.0], "entry 1 has no effect within 10 steps"),
        (
            lambda a: np.minimum(a, [0.8, 9.0]),
            "entry 0 has the same effect at its upper limit as half way there: it is clipped",
        ),
        (lambda a: np.maximum(a, [-9.0, -0.9]), "entry 1 has the same effect at its lower limit as half way there"),
        (lambda a: np.array([a[1], a[1]]), "entry 0 has no effect within 10 steps"),
    ],
)
def test_actions_without_effect(pushed, sentence):
    found = checked(pushed=pushed)
    assert off(found) == ["actions"]
    assert found["actions"].found.startswith(sentence)
    assert ";" not in found["actions"].found


def test_wrappers_that_change_actions_are_told():
    low, high = np.array([-0.5, -0.5]), np.array([0.5, 0.5])
    wrapped = gymnasium.wrappers.RescaleAction(Cart(), low, high)
    found = found_in(GymnasiumEnv(wrapped, reward=reward, terminated=terminated))
    assert "RescaleAction transforms them" in found["actions"].found
    assert off(found) == ["reward"], "the given one sees the action before it is rescaled"


class Choosing(Cart):
    action_space = gymnasium.spaces.Discrete(3)
    ways = np.array([[0.3, -0.2], [-0.4, 0.5], [0.1, 0.7]])

    def step(self, action):
        return super().step(self.ways[action])


@pytest.mark.parametrize(("third", "verdict"), [([0.1, 0.7], "ok"), ([0.3, -0.2], "off")])
def test_categories_that_do_the_same(third, verdict):
    env = Choosing()
    env.ways = np.array([*env.ways[:2], third])
    found = found_in(GymnasiumEnv(env, terminated=terminated, names=NAMES))
    assert found["actions"].verdict == verdict
    assert ("categories 0 and 2 have the same effect" in found["actions"].found) == (verdict == "off")


@pytest.mark.parametrize(
    ("given", "spoilt", "sentence"),
    [
        ({}, {"dt": 0.2}, "the task declares 0.2 s; dt says 0.2 s; '[xy] .m.' moves by 0.1 s x '[xy]dot .m/s.'"),
        (
            {"names": None},
            {"dt": 0.05},
            "the task declares 0.05 s; dt says 0.05 s; 'obs [01]' moves by 0.1 s x 'obs [23]'",
        ),
        ({}, {"dt": None}, "the task declares 1 s; '[xy] .m.' moves by 0.1 s"),
        ({}, {"tau": 0.04}, "the task declares 0.1 s; dt says 0.1 s; tau says 0.04 s"),
    ],
)
def test_a_step_of_another_length(given, spoilt, sentence):
    found = checked(given=given, **spoilt)
    assert off(found) == ["step length"]
    assert re.match(sentence, found["step length"].found), found["step length"].found


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [
        ({"seeded": False}, "the same seed starts another trial; seed all randomness in reset"),
        ({"noise": 0.3}, "the same seed and actions give another trial from step 1 on"),
    ],
)
def test_a_seed_that_does_not_repeat_a_trial(spoilt, sentence):
    found = checked(**spoilt)
    assert off(found) == ["determinism"]
    assert found["determinism"].found.startswith(sentence)
    assert found["actions"].verdict == "unknown"


class Secret:
    """Pays for a goal that no observation shows, and that is another one each time it is asked."""

    def __init__(self):
        self.rng = np.random.default_rng(2)

    def __call__(self, obs, action, after):
        return -abs(after[0] - self.rng.normal())


def test_a_reward_that_depends_on_hidden_state():
    found = checked(given={"reward": None}, pays=Secret())
    assert set(off(found)) == {"reward follows from the observation", "determinism"}
    assert re.match(
        r"a regression on the observations explains [\d]+ % of the reward",
        found["reward follows from the observation"].found,
    )
    assert found["reward follows from the observation"].found.endswith(
        "so it depends on chance or on state that is not observed"
    )
    found = checked(pays=Secret())
    assert set(off(found)) == {"reward", "reward follows from the observation", "determinism"}


def test_a_learned_reward_that_is_seen():
    found = checked(given={"reward": None})
    assert off(found) == []
    assert found["reward"].verdict == "unknown"
    assert found["reward follows from the observation"].verdict == "ok"


@pytest.mark.parametrize(("share", "noise"), [(1.0, 0.0), (0.5, 1.0), (0.0, 30.0)])
def test_the_share_of_variance_is_that_of_the_signal(share, noise):
    """Of a smooth function with known noise. Over 20 other seeds: 0.98 to 0.99, 0.41 to 0.50, -0.07 to 0."""
    rng = np.random.default_rng(6)
    obs, action, after = rng.normal(size=(3, 400, 2)).astype(np.float32)
    signal = after[:, 0] - np.sin(after[:, 1]) + 0.5 * action[:, 0] ** 2
    paid = signal / signal.std() + noise * rng.normal(size=400)
    no = np.zeros(200, bool)
    halves = tuple(
        Recording(obs[part], action[part], after[part], paid[part], no) for part in (slice(0, 200), slice(200, 400))
    )
    assert explained(halves, (), 2) == pytest.approx(share, abs=0.12)


def test_nothing_is_explained_where_nothing_differs():
    one = Recording(*np.ones((3, 50, 2)), np.full(50, -1.0), np.zeros(50, bool))
    assert explained((one, one), (), 2) is None


def test_it_takes_no_step_more_than_it_announces():
    cart = Cart(wall=np.inf)
    env = GymnasiumEnv(cart, reward=reward, terminated=terminated)
    resets, sizes = cart.resets, {"trials": 2, "steps": 17}
    done = trials.run(env, **sizes, seed=1)
    assert cart.taken == done.steps == trials.most_steps(env.task, **sizes) == 3 * 17 + 9 * 10
    assert cart.resets - resets == 3 + 9


def test_a_pure_environment_that_leaves_the_numbers_is_refused():
    class Lost(PointMass.__mro__[1]):
        task = PointMass().task

        def reset(self, key):
            return jnp.ones(4), jnp.ones(4)

        def step(self, key, state, action):
            step = PointMass().step(key, state, action)[1]
            return state, jax.tree.map(lambda leaf: leaf * jnp.nan if leaf.ndim else leaf, step)

    with pytest.raises(InputError, match="an observation or a reward that is not finite"):
        trials.run(Lost(), trials=1, steps=3, seed=0)
