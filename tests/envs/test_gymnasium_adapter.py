"""The adapter against manual loops over the same environments, and one complaint for each way to break the contract."""

import sys
from time import process_time

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.data.features import Features
from handful.envs import screen
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.errors import InputError

ACTIONS = np.random.default_rng(5).uniform(-0.9, 0.7, (9, 2))


class Drift(gymnasium.Env):
    """Three numbers pushed about by two; terminates when the first exceeds `end`. What it answers can be spoilt."""

    action_space = gymnasium.spaces.Box(np.array([-0.5, -1.0]), np.array([0.6, 0.8]), dtype=np.float64)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)

    def __init__(self, end=np.inf, spoil=None, **attributes):
        self.end, self.spoil, self.time, self.taken = end, spoil, 0, []
        for name, value in attributes.items():
            setattr(self, name, value)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.state = 0, self.np_random.normal(size=3)
        answer = self.state.copy(), {}
        return self.spoil("reset", 0, answer) if self.spoil else answer

    def step(self, action):
        self.taken.append(action)
        self.time += 1
        self.state = self.state * [0.9, 0.8, 1.1] + [action[0], action[1], 0.3 * action[0]]
        reward = float(self.state[1] - 0.5 * action[0] ** 2)
        answer = self.state.copy(), reward, bool(self.state[0] > self.end), False, {}
        return self.spoil("step", self.time, answer) if self.spoil else answer


def reward(obs, action, next_obs):
    assert obs.shape == next_obs.shape == (3,)
    return next_obs[1] - 0.5 * action[0] ** 2


def terminated(obs):
    assert obs.shape == (3,)
    return obs[0] > 0.2


def manual(env, seed, actions):
    """The rows (obs, reward, terminated, truncated) of a loop without the adapter."""
    first, _ = env.reset(seed=seed)
    return first, [env.step(np.clip(action, env.action_space.low, env.action_space.high))[:4] for action in actions]


def planned(task, *transition):
    """The reward that planners use."""
    return task.reward(*(jnp.asarray(value, float) for value in transition))


@pytest.mark.parametrize(
    ("given", "extra"),
    [
        ({}, ("reward", "terminated")),
        ({"reward": reward}, ("terminated",)),
        ({"terminated": terminated}, ("reward",)),
        ({"reward": reward, "terminated": terminated}, ()),
    ],
)
def test_steps_are_those_of_a_manual_loop(given, extra):
    """1e-6 is float32 against the environment's float64. What is learned stands behind the observation."""
    env = GymnasiumEnv(Drift(end=0.2), **given)
    assert env.task.names == ("obs 0", "obs 1", "obs 2", *extra)
    assert env.task.memoryless == tuple(range(3, 3 + len(extra)))
    first, rows = manual(Drift(end=0.2), 11, ACTIONS)
    obs = env.reset(seed=11)
    np.testing.assert_allclose(obs, [*first, *[0.0] * len(extra)], atol=1e-6)
    ends = []
    for action, (raw, paid, over, late) in zip(ACTIONS, rows, strict=True):
        after, got, is_over, is_late = env.step(action)
        learned = {"reward": paid, "terminated": over}
        np.testing.assert_allclose(after, [*raw, *(learned[name] for name in extra)], atol=1e-6)
        np.testing.assert_allclose(got, paid, atol=1e-6)
        assert (is_over, is_late) == (over, late)
        # planners use the same reward and termination
        inside = jnp.clip(jnp.asarray(action, float), env.task.low, env.task.high)
        np.testing.assert_allclose(env.task.reward(jnp.asarray(obs), inside, jnp.asarray(after)), paid, atol=1e-6)
        assert bool(env.task.terminated(jnp.asarray(after))) == over
        obs = after
        ends.append(over)
    assert len(set(ends)) == 2  # both outcomes occurred


def test_actions_beyond_the_limits_act_as_the_nearest_inside():
    raw = Drift()
    env = GymnasiumEnv(raw)
    env.reset(seed=1)
    env.step(np.array([-3.0, 7.0], np.float32))
    np.testing.assert_array_equal(raw.taken[-1], [-0.5, 0.8])
    assert raw.taken[-1].dtype == np.float64
    np.testing.assert_allclose(env.task.low, [-0.5, -1.0])
    np.testing.assert_allclose(env.task.high, [0.6, 0.8])


def test_pendulum_is_gymnasiums():
    env = GymnasiumEnv(gymnasium.make("Pendulum-v1"))
    reference = gymnasium.make("Pendulum-v1")
    np.testing.assert_array_equal(env.reset(seed=4)[:3], reference.reset(seed=4)[0])
    assert (env.task.dt, env.task.horizon, env.task.action_size) == (0.05, 200, 1)
    for time in range(1, 201):
        action = np.array([2 * np.sin(time)], np.float32)
        raw, paid, over, late, _ = reference.step(action)
        after, got, is_over, is_late = env.step(action)
        np.testing.assert_array_equal(after[:3], raw)
        np.testing.assert_allclose([after[3], got], float(paid), rtol=1e-6)
        assert (is_over, is_late) == (over, late) == (False, time == 200)


def test_a_model_is_asked_for_what_is_learned_and_never_sees_it():
    task = GymnasiumEnv(Drift(), angles=[1]).task
    features = Features.of(task)
    assert features.input_size == 2 + 2 + 2  # two plain, sine and cosine of one, two actions
    obs, after = jnp.array([0.3, 0.1, -0.4, 7.0, 1.0]), jnp.array([0.5, 0.3, -0.1, -2.0, 0.0])
    np.testing.assert_allclose(features.target(obs, after), [0.2, 0.2, 0.3, -2.0, 0.0], atol=1e-6)


def test_the_same_seed_starts_the_same_trial():
    env = GymnasiumEnv(Drift())
    first = env.reset(seed=31)
    env.step(ACTIONS[0])
    np.testing.assert_array_equal(env.reset(seed=31), first)
    assert not np.array_equal(env.reset(seed=32), first)


@pytest.mark.parametrize(
    ("env", "dt", "horizon"),
    [
        (Drift(dt=0.02, max_episode_steps=70), 0.02, 70),
        (Drift(metadata={"render_fps": 25}), 0.04, 1000),
        (gymnasium.wrappers.TimeLimit(Drift(), 37), 1.0, 37),
        (Drift(dt=np.float32(0.5), metadata={"render_fps": 25}), 0.5, 1000),
        (Drift(dt=-1.0, max_episode_steps=None), 1.0, 1000),
        (Drift(dt=10**400, max_episode_steps=0.5, spec="mine"), 1.0, 1000),
    ],
)
def test_dt_and_horizon_come_from_the_environment_or_are_noted(env, dt, horizon):
    adapter = GymnasiumEnv(env, reward=reward, terminated=terminated)
    assert (adapter.task.dt, adapter.task.horizon) == (dt, horizon)
    assert any("1000 steps at most" in note for note in adapter.notes) == (horizon == 1000)
    assert any("last 1 s" in note for note in adapter.notes) == (dt == 1.0)


def test_notes_say_what_is_learned():
    def notes(**given):
        return GymnasiumEnv(Drift(dt=0.1, max_episode_steps=5), **given).notes

    assert notes(reward=reward, terminated=terminated) == ()
    (note,) = notes(terminated=terminated)
    assert note == "the reward is learned from data, since no reward function is given"
    (note,) = notes(reward=reward)
    assert note == "when a trial terminates is learned from data, since no terminated function is given"
    assert len(notes()) == 2


def test_a_picture_where_there_is_one():
    class Seen(Drift):
        render_mode = "rgb_array"

        def render(self):
            return np.full((4, 6, 3), 200, np.uint8)

    class Blind(Drift):
        render_mode = "rgb_array"
        tried = 0

        def render(self):
            self.tried += 1
            raise gymnasium.error.DependencyNotInstalled("no screen")

    assert GymnasiumEnv(Seen()).draw().shape == (4, 6, 3)
    blind = Blind()
    env = GymnasiumEnv(blind)
    before = len(env.notes)
    assert env.draw() is env.draw() is None
    assert blind.tried == 1
    assert env.notes[before:] == ("no pictures are drawn, since rendering raised DependencyNotInstalled: no screen",)
    assert GymnasiumEnv(Drift()).draw() is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere MuJoCo needs no screen that could be missing")
def test_mujoco_is_not_asked_to_draw_where_that_would_abort_the_process(monkeypatch):
    def drawn(*, egl=False, **environ):
        monkeypatch.setattr(screen, "egl_draws", lambda: egl)
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        asked = []
        env = GymnasiumEnv(Drift(mujoco_renderer=None, render_mode="rgb_array", render=lambda: asked.append(True)))
        assert any("neither a screen nor EGL" in note for note in env.notes) == (not environ and not egl)
        env.draw()
        return bool(asked)

    assert not drawn()
    assert drawn(egl=True)
    assert drawn(DISPLAY=":0")
    assert drawn(MUJOCO_GL="egl")


class Speeding(Drift):
    """Drift, which says in its info how fast entry 0 went, and pays for that."""

    def step(self, action):
        before = self.state[0]
        obs, _, *rest, info = super().step(action)
        speed = (self.state[0] - before) / 0.1
        return obs, float(speed - 0.5 * action[0] ** 2), *rest, info | {"speed": speed, "other": "a word"}


def quick(obs, action, next_obs):
    assert obs.shape == next_obs.shape == (4,)
    return next_obs[3] - 0.5 * action[0] ** 2


@pytest.mark.parametrize("given", [{"reward": quick}, {}])
def test_what_the_observation_does_not_show_is_taken_from_the_info(given):
    """Behind the environment's own entries and before what is learned; zero at a reset."""
    env = GymnasiumEnv(Speeding(), info=["speed"], terminated=lambda obs: obs[3] > 1e3, **given)
    learned = () if given else ("reward",)
    assert env.task.names == ("obs 0", "obs 1", "obs 2", "speed", *learned)
    assert env.task.memoryless == tuple(range(3, 4 + len(learned)))
    obs = env.reset(seed=11)
    assert obs[3] == 0
    for action in ACTIONS:
        after, paid, *_ = env.step(action)
        np.testing.assert_allclose(after[3], (after[0] - obs[0]) / 0.1, atol=1e-5)
        inside = np.clip(action, env.task.low, env.task.high)
        np.testing.assert_allclose(planned(env.task, obs, inside, after), paid, atol=1e-5)
        obs = after


def test_names_cover_what_is_taken_from_the_info():
    names = ("x", "y", "z", "speed [m/s]")
    assert GymnasiumEnv(Speeding(), info=("speed",), names=names).task.names == (*names, "reward", "terminated")
    with pytest.raises(
        InputError, match="names must be 4 strings, one per observation entry and one per entry of info"
    ):
        GymnasiumEnv(Speeding(), info=("speed",), names=names[:3])


@pytest.mark.parametrize(
    ("info", "sentence"),
    [
        (("velocity",), "a step's info must hold one finite number as 'velocity', got 'nothing' at step 1 of a trial"),
        (("other",), "a step's info must hold one finite number as 'other', got 'a word' at step 1"),
    ],
)
def test_an_info_that_lacks_what_is_asked_of_it(info, sentence):
    env = GymnasiumEnv(Speeding(), info=info)
    env.reset(seed=1)
    with pytest.raises(InputError, match=sentence):
        env.step(ACTIONS[0])


class Choosing(Drift):
    """Drift, pushed one of three ways."""

    action_space = gymnasium.spaces.Discrete(3, start=-1)
    ways = np.array([[0.3, -0.2], [-0.4, 0.5], [0.1, 0.7]])

    def step(self, action):
        answer = super().step(self.ways[action + 1])
        self.taken[-1] = action
        return answer


def test_discrete_actions_are_one_hot_vectors():
    raw = Choosing()
    env = GymnasiumEnv(raw, reward=lambda o, a, n: n[1] - 0.5 * (a @ jnp.asarray(raw.ways[:, 0])) ** 2)
    assert env.task.categorical
    np.testing.assert_array_equal([env.task.low, env.task.high], [[0, 0, 0], [1, 1, 1]])
    obs = env.reset(seed=4)
    for category in (2, 0, 1, 1):
        action = np.eye(3, dtype=np.float32)[category]
        after, paid, *_ = env.step(action)
        assert raw.taken[-1] == category - 1
        assert raw.action_space.contains(raw.taken[-1])
        np.testing.assert_allclose(planned(env.task, obs, action, after), paid, atol=1e-6)
        obs = after
    for action, category in [([0.2, 0.3, 0.1], 1), ([0.0, 0.0, 0.0], 0), ([0.4, 0.1, 0.4], 0)]:
        env.step(np.array(action, np.float32))
        assert raw.taken[-1] == category - 1
        np.testing.assert_array_equal(env.to_env_action(np.array(action, np.float32)), np.eye(3)[category])


def test_many_categories_cost_no_table_of_them():
    """200 one-hot vectors of 4,000 entries take milliseconds; as rows of identity matrices it is half a minute."""

    class Many(Drift):
        action_space = gymnasium.spaces.Discrete(4_000)

        def step(self, action):
            return super().step([action / 4_000, 0.0])

    env = GymnasiumEnv(Many())
    action = np.random.default_rng(2).uniform(size=4_000).astype(np.float32)
    start = process_time()
    for _ in range(200):
        taken = env.to_env_action(action)
    assert process_time() - start < 5.0
    assert taken.dtype == np.float32
    np.testing.assert_array_equal(np.flatnonzero(taken), [action.argmax()])
    assert taken.max() == 1


def test_half_precision_is_widened():
    """Spaces, observations and rewards in float16 become what models learn from; actions become float16 again."""

    class Half(Drift):
        action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float16)
        observation_space = gymnasium.spaces.Box(-9, 9, (3,), np.float16)

        def step(self, action):
            obs, paid, *rest = super().step(action)
            return obs.astype(np.float16), np.float16(paid), *rest

    raw = Half()
    env = GymnasiumEnv(raw)
    env.reset(seed=1)
    obs, *_ = env.step(np.array([0.3, -0.2], np.float32))
    assert (obs.dtype, env.task.low.dtype, raw.taken[-1].dtype) == (np.float32, jnp.float32, np.float16)


def test_another_one_is_the_same_with_its_wrappers_and_does_not_draw():
    """One's steps are not the other's; the same seed and actions bring both to the same place."""
    made = gymnasium.make("Pendulum-v1", render_mode="rgb_array", max_episode_steps=7, disable_env_checker=True)
    env = GymnasiumEnv(
        gymnasium.wrappers.TransformReward(made, lambda paid: 2 * paid + 1), names=("cos", "sin", "speed")
    )
    another = env.again()
    assert another.task is env.task
    assert another.env.render_mode is None
    assert another.draw() is None
    np.testing.assert_array_equal(env.reset(seed=4), another.reset(seed=4))
    actions = np.random.default_rng(3).uniform(-2.0, 2.0, (7, 1)).astype(np.float32)
    steps = [env.step(action) for action in actions]
    for time, (action, (obs, *rest)) in enumerate(zip(actions, steps, strict=True), 1):
        next_obs, *others = another.step(action)
        np.testing.assert_array_equal(next_obs, obs)
        assert others == rest
        assert others[-1] == (time == 7)
    another.close()


def test_what_has_no_record_of_how_it_was_made_is_the_only_one():
    class Unrecorded(gymnasium.Wrapper):
        pass

    assert GymnasiumEnv(Drift()).again() is None
    assert GymnasiumEnv(Unrecorded(gymnasium.make("Pendulum-v1"))).again() is None


def test_closing_reaches_the_environment_once_after_each_use():
    closed = []
    env = GymnasiumEnv(Drift(close=lambda: closed.append(True)))
    env.close()
    env.close()
    assert closed == [True]
    env.reset(seed=1)
    env.close()
    assert closed == [True, True]


class Leaving(BaseException):
    """As `asyncio.CancelledError`, no `Exception`."""


def leaves(*_, **__):
    sys.exit(0)


def cancels(*_, **__):
    raise Leaving("gone")


@pytest.mark.parametrize(("close", "said"), [(leaves, "SystemExit: 0"), (cancels, "Leaving: gone")])
def test_what_closing_raises_is_a_note(close, said):
    env = GymnasiumEnv(Drift(close=close))
    env.close()
    env.close()
    assert env.notes[-1] == f"closing the environment raised {said}"


def test_no_part_of_an_environment_ends_the_process():
    """Neither what draws, nor what makes a copy; Ctrl-C alone passes."""
    env = GymnasiumEnv(Drift(render_mode="rgb_array", render=leaves))
    assert env.draw() is None
    assert env.notes[-1].endswith("rendering raised SystemExit: 0")
    assert GymnasiumEnv(gymnasium.make("Pendulum-v1"), maker=leaves).again() is None

    def pressed(*_):
        raise KeyboardInterrupt

    interrupted = GymnasiumEnv(spoilt("step", 1, pressed))
    interrupted.reset(seed=1)
    with pytest.raises(KeyboardInterrupt):
        interrupted.step(ACTIONS[0])


# Bad input: the sentence is part of the contract.

BOX = gymnasium.spaces.Box


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        (
            {"action_space": gymnasium.spaces.MultiDiscrete([3, 2])},
            r"bounded Box of real numbers or Discrete, got Multi",
        ),
        ({"action_space": BOX(0, 255, (2,), np.uint8)}, "action space must be a bounded Box of real numbers"),
        ({"action_space": BOX(-np.inf, 1.0, (2,))}, "action space must be bounded, got Box.*finite limits"),
        (
            {"observation_space": BOX(0, 255, (8, 6, 3), np.uint8)},
            "observation space must be a flat Box.*images are not",
        ),
        ({"observation_space": gymnasium.spaces.Dict(a=BOX(-1, 1, (2,)))}, "flat Box.*Dict.*FlattenObservation"),
        ({"observation_space": gymnasium.spaces.Discrete(4)}, "observation space must be a flat Box"),
        (
            {"observation_space": BOX(-1, 1, (0,))},
            "observation space must be a flat Box, one number per entry, got Box",
        ),
        ({"action_space": BOX(-1, 1, (0,))}, "the action space must have at least one entry, got Box"),
        ({"action_space": None}, "the action space must be a bounded Box of real numbers or Discrete, got None"),
        ({"metadata": None}, "the environment's metadata must be a dictionary, got None"),
        ({"metadata": 5}, "the environment's metadata must be a dictionary, got 5"),
        (
            {"action_space": gymnasium.spaces.Discrete(50_000)},
            "there may be 10000 categories of the action space at most, since learners keep rows of them, got 50000$",
        ),
        ({"action_space": gymnasium.spaces.Discrete(2**62)}, "10000 categories of the action space at most"),
        ({"action_space": BOX(-1, 1, (20_000,))}, "10000 entries of the action space at most"),
        ({"observation_space": BOX(-1, 1, (2_000_000,))}, "10000 entries of the observation space at most"),
        ({"action_space": BOX(-np.inf, 1.0, (3_000,))}, "^the action space must be bounded, got Box.*search in$"),
        ({"action_space": BOX(-3e38, 3e38, (2,))}, "low=-[0-9.e+]+ and high=[0-9.e+]+ of entry 0"),
        ({"action_space": BOX(-1e300, 1e300, (2,), np.float64)}, "action limits must be finite"),
        ({"max_episode_steps": 10**30}, "a trial may last 2147483647 steps at most, got horizon=1"),
        ({"observation_space": BOX(-1, 1, (4,))}, r"observations must be 4 numbers.*array of shape \(3,\) at a reset"),
    ],
)
def test_spaces_of_another_kind(attributes, sentence):
    with pytest.raises(InputError, match=sentence):
        GymnasiumEnv(Drift(**attributes))


class Spaceless(gymnasium.Env):
    def reset(self, *, seed=None, options=None):
        return np.zeros(3), {}


class Actionless(Spaceless):
    observation_space = BOX(-1, 1, (3,))


def raising(name):
    """Drift, whose attribute `name` raises."""
    return type("Raising", (Drift,), {name: property(lambda self: 1 / 0)})()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (Spaceless, "^the environment has no observation_space .*'Spaceless' object has no attribute"),
        (Actionless, "^the environment has no action_space .*'Actionless' object has no attribute"),
        (lambda: gymnasium.wrappers.TimeLimit(Actionless(), 5), "^the environment has no action_space"),
        *(
            (lambda name=name: raising(name), f"^the environment's {name} raised ZeroDivisionError: division by zero$")
            for name in (
                "dt",
                "metadata",
                "spec",
                "render_mode",
                "max_episode_steps",
                "action_space",
                "mujoco_renderer",
                "unwrapped",
            )
        ),
        (
            type("Departing", (Drift,), {"dt": property(leaves)}),
            "^the environment's dt raised SystemExit: 0$",
        ),
    ],
)
def test_an_attribute_that_is_missing_or_raises_is_named(make, sentence):
    with pytest.raises(InputError, match=sentence):
        GymnasiumEnv(make())


@pytest.mark.parametrize("attribute", ["max_episode_steps", "_max_episode_steps"])
def test_the_horizon_is_found_beneath_wrappers(attribute):
    """The outermost limit counts, under either name."""
    wrapped = gymnasium.wrappers.TransformReward(Drift(**{attribute: 23}), lambda paid: paid)
    assert GymnasiumEnv(wrapped).task.horizon == 23
    assert GymnasiumEnv(gymnasium.wrappers.TimeLimit(wrapped, 7)).task.horizon == 7


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"names": ("a", "b")}, r"names must be 3 strings, one per observation entry, got \('a', 'b'\)"),
        ({"names": "abc"}, "names must be 3 strings"),
        ({"names": (1, 2, 3)}, "names must be 3 strings"),
        ({"info": (1,)}, r"info must be distinct strings, entries of what a step returns as info, got \(1,\)"),
        ({"info": ("a", "a")}, "info must be distinct strings"),
        ({"angles": (3,)}, r"angles must be distinct indices from 0 to 2, got \(3,\)"),
        ({"angles": (1, 1)}, "angles must be distinct"),
        ({"angles": ("x",)}, "angles must be distinct indices from 0 to 2, got"),
        ({"angles": 1.5}, "angles must be distinct indices from 0 to 2, got"),
        ({"reward": 3.0}, r"reward must be a function of \(obs, action, next_obs\), got 3.0, a float"),
        (
            {"reward": lambda obs, action: 0.0},
            r"reward must take \(obs, action, next_obs\), got reward\(obs, acti",
        ),
        (
            {"reward": lambda o, a, n: n},
            r"reward must return one number, got an array of type float32 and shape \(3,\)",
        ),
        ({"reward": lambda o, a, n: None}, "reward must return one number, got None, a NoneType"),
        ({"reward": lambda o, a, n: n[0] > 0}, "reward must return one number, got an array of type bool"),
        (
            {"reward": lambda o, a, n: jnp.log(-jnp.abs(n[0]))},
            "reward must be finite, got nan for the first observation",
        ),
        ({"reward": lambda o, a, n: np.sin(n[0])}, r"reward cannot be compiled \(TracerArray.*jax.numpy"),
        ({"reward": lambda o, a, n: 1.0 if n[0] > 0 else 0.0}, r"reward cannot be compiled \(TracerBool.*jnp.where"),
        ({"reward": leaves}, "reward raised SystemExit when tried: 0"),
        ({"reward": lambda o, a, n: n[0] * 1j}, "reward must return one number, got an array of type complex64"),
        ({"reward": min}, r"reward must take \(obs, action, next_obs\), got rewardarguments|reward raised"),
        ({"reward": lambda o, a, n: {}["k"]}, "reward raised KeyError when tried: 'k'"),
        ({"terminated": lambda o, a: True}, r"terminated must take \(obs\), got terminated\(o, a\)"),
        (
            {"terminated": lambda o: o > 1},
            r"terminated must return one truth value, got an array of type bool and shape",
        ),
        ({"terminated": lambda o: o[0]}, "terminated must return one truth value, got an array of type float32"),
    ],
)
def test_what_is_given_must_fit(given, sentence):
    with pytest.raises(InputError, match=sentence):
        GymnasiumEnv(Drift(), **given)


class Broken:
    """Raises whatever is asked of it."""

    def __array__(self, *_, **__):
        raise RuntimeError("no array")

    def __len__(self):
        raise RuntimeError("no length")


def spoilt(call, time, spoil):
    def change(now, when, answer):
        return spoil(*answer) if (now, when) == (call, time) else answer

    return Drift(spoil=change)


def boom(*_):
    raise ZeroDivisionError("the gear\nbroke.")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            boom,
            r"the environment raised ZeroDivisionError \(the gear broke\) at step 4 of a trial$",
        ),
        (
            lambda o, r, *_: (o, r, False, {}),
            "must return .obs, reward, terminated, truncated, info., got a tuple of 4 at",
        ),
        (lambda o, *rest: (o * [1, np.nan, 1], *rest), "observations must be finite, got nan as 'obs 1' at step 4"),
        (lambda o, *rest: (o * 1e300, *rest), "observations must be finite, got -?inf as 'obs 0' at step 4"),
        (lambda o, *rest: (o[:2], *rest), r"observations must be 3 numbers, .* got an array of shape \(2,\) at step 4"),
        (lambda o, *rest: ({"a": 1}, *rest), "observations must be 3 numbers, .* got a dict of 1 at step 4"),
        (lambda o, r, *rest: (o, np.inf, *rest), "reward must be finite, got inf at step 4 of a trial"),
        (
            lambda o, r, *rest: (o, None, *rest),
            "reward must be finite, got nan|reward must be one number, got a NoneType",
        ),
        (lambda o, r, *rest: (o, o, *rest), r"reward must be one number, got an array of shape \(3,\) at step 4"),
        (
            lambda o, r, end, *rest: (o, r, np.array([end, end]), *rest),
            r"terminated must be one truth value, got an array of shape \(2,\) at step 4",
        ),
        (
            lambda o, r, end, late, info: (o, r, end, [late, late], info),
            "truncated must be one truth value, got a list of 2 at step 4",
        ),
        (leaves, r"the environment raised SystemExit \(0\) at step 4 of a trial"),
        (cancels, r"the environment raised Leaving \(gone\) at step 4 of a trial"),
        *(
            (
                lambda o, r, end, *rest, flag=flag: (o, r, flag, *rest),
                f"terminated must be one truth value, got {said} at step 4",
            )
            for flag, said in [
                (None, "a NoneType"),
                (np.nan, "nan"),
                (0.3, "0.3"),
                (2, "2"),
                ("False", "'False'"),
                ("0", "'0'"),
                ([], "a list of 0"),
                (jnp.zeros(2), r"an array of shape \(2,\)"),
            ]
        ),
        *(
            (lambda o, r, *rest, paid=paid: (o, paid, *rest), f"reward must be .*, got {said} at step 4")
            for paid, said in [
                ("3.0", "'3.0'"),
                (10**400, "1000*"),
                (1 + 2j, "a complex"),
                (np.array([1 + 2j]), r"an array of shape \(1,\)"),
                ({"reward": 1.0}, "a dict of 1"),
                (np.empty(0), r"an array of shape \(0,\)"),
                (1e300, "inf"),
            ]
        ),
        *(
            (lambda o, *rest, seen=seen: (seen, *rest), f"observations must be 3 numbers, .* got {said} at step 4")
            for seen, said in [
                (None, "a NoneType"),
                (3.0, "3.0"),
                (jnp.float32(3.0), r"an array of shape \(\)"),
                ("abc", "'abc'"),
                (["1", "2", "3"], "a list of 3"),
                ([1.0, None, 2.0], "a list of 3"),
                ([1.0, [2.0], 3.0], "a list of 3"),
                (np.ones(3, complex), r"an array of shape \(3,\)"),
                (np.ones((1, 3)), r"an array of shape \(1, 3\)"),
                (Broken(), "a Broken"),
            ]
        ),
    ],
)
def test_a_step_that_goes_wrong_is_named(spoil, sentence):
    env = GymnasiumEnv(spoilt("step", 4, spoil))
    for _ in range(2):  # the count starts again with each trial
        env.reset(seed=2)
        for action in ACTIONS[:3]:
            env.step(action)
        with pytest.raises(InputError, match=sentence):
            env.step(ACTIONS[3])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (boom, r"the environment raised ZeroDivisionError \(the gear broke\) at a reset$"),
        (leaves, r"the environment raised SystemExit \(0\) at a reset$"),
        (lambda o, info: None, r"reset must return \(obs, info\), got a NoneType"),
        (lambda o, info: (o,), r"reset must return \(obs, info\), got a tuple of 1"),
        (lambda o, info: (info, o), "observations must be 3 numbers, .* got a dict of 0 at a reset"),
        (lambda o, info: o, r"reset must return \(obs, info\), got an array of shape \(3,\)"),
        (lambda o, info: (o / 0.0, info), "observations must be finite, got -?inf as 'obs 0' at a reset"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_reset_that_goes_wrong_is_named_at_once(spoil, sentence):
    with pytest.raises(InputError, match=sentence):
        GymnasiumEnv(spoilt("reset", 0, spoil))


@pytest.mark.parametrize("flag", [1.0, np.float16(1), 1, np.bool_(True), jnp.asarray(True), np.array([1.0])])
def test_a_flag_may_be_a_number_that_is_zero_or_one(flag):
    env = GymnasiumEnv(spoilt("step", 1, lambda o, r, end, late, info: (o, r, flag, flag, info)))
    env.reset(seed=1)
    assert env.step(ACTIONS[0])[2:] == (True, True)


def test_what_the_environments_own_code_raises_names_its_file_and_line():
    class Cable(Drift):
        def step(self, action):
            raise OSError("cable out")

    env = GymnasiumEnv(Cable())
    env.reset(seed=1)
    line = Cable.step.__code__.co_firstlineno + 1
    with pytest.raises(
        InputError, match=rf"^{__file__}:{line}: the environment raised OSError \(cable out\) at step 1"
    ):
        env.step(ACTIONS[0])


def test_a_reward_of_ones_own_replaces_that_of_gymnasiums_task():
    """Returns are of it, and what else is known of the task stays known; of a user's own class they stay its own."""
    forward = lambda obs, action, next_obs: 3.0 - next_obs[1] - action @ action
    env = GymnasiumEnv(gymnasium.make("Pendulum-v1"), reward=forward)
    assert env.task.names == ("cos theta", "sin theta", "thetadot [rad/s]")  # nothing is learned
    assert any("in place of the environment's own" in note for note in env.notes)
    env.reset(seed=3)
    for _ in range(2):
        obs, paid, *_ = env.step(np.array([5.0], np.float32))
        np.testing.assert_allclose(paid, 3.0 - obs[1] - 4.0, rtol=1e-5)  # of the action within the limits

    pole = GymnasiumEnv(gymnasium.make("CartPole-v1"), reward=forward, names=("a", "b", "c", "d"))
    assert pole.task.names == ("a", "b", "c", "d")
    assert [bool(pole.task.terminated(jnp.array([x, 0, 0, 0.0]))) for x in (1.0, 3.0)] == [False, True]
    learned = GymnasiumEnv(gymnasium.make("CartPole-v1"))
    assert learned.task.names[-2:] == ("reward", "terminated")

    changed = GymnasiumEnv(gymnasium.wrappers.TransformReward(gymnasium.make("Pendulum-v1"), abs), reward=forward)
    changed.reset(seed=3)
    assert changed.step(np.array([5.0], np.float32))[1] > 0  # what the wrapper pays


def test_given_functions_run_inside_a_compiled_planner():
    """Under jit and vmap, on the grown observation."""
    task = GymnasiumEnv(Drift(), reward=reward).task  # one entry is learned
    rng = np.random.default_rng(8)
    obs, after = (jnp.asarray(rng.normal(size=(6, 4)), float) for _ in range(2))
    action = jnp.asarray(rng.normal(size=(6, 2)), float)
    got = jax.jit(jax.vmap(task.reward))(obs, action, after)
    np.testing.assert_allclose(got, after[:, 1] - 0.5 * action[:, 0] ** 2, rtol=1e-6)
    np.testing.assert_array_equal(jax.jit(jax.vmap(task.terminated))(after), after[:, 3] > 0.5)
