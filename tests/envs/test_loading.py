"""Every way to name an environment, and one sentence for every way to get it wrong."""

import dataclasses
import importlib.util
import sys
import textwrap
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.loading import as_env, load
from handful.envs.physics import physics_of
from handful.envs.point_mass import PointMass
from handful.envs.registry import TASKS, info_of
from handful.errors import InputError

EXAMPLES = Path(__file__).parents[2] / "examples"

OWN = """
import gymnasium
import jax.numpy as jnp
import numpy as np
from handful.envs.base import AbstractEnv
from handful.envs.point_mass import PointMass

class Slide(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"]}
    action_space = gymnasium.spaces.Box(-1.0, 2.0, (1,), np.float64)
    observation_space = gymnasium.spaces.Box(-9.0, 9.0, (2,), np.float64)

    def __init__(self, gain=0.5, render_mode=None):
        self.gain, self.render_mode = gain, render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.normal(size=2)
        return self.state, {}

    def step(self, action):
        self.state = self.state + self.gain * action[0]
        return self.state, 1.0, False, False, {}

    def render(self):
        return np.zeros((3, 5, 3), np.uint8)

def make():
    return Slide(gain=0.25)

def make_pure():
    return PointMass(mass=(1.5, 0.7))

def needy(gain):
    return Slide(gain)

def broken():
    return {}["gear"]

def number():
    return 7

ready = Slide(gain=0.75)
heavy = PointMass(mass=(3.0, 4.0))
_hidden = Slide()
seven = 7
"""


GEAR = 1 + OWN.splitlines().index('    return {}["gear"]')


@pytest.fixture
def own(tmp_path):
    """Writes a user's file and gives its path."""

    def write(text=OWN, name="own.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.mark.parametrize("name", TASKS)
def test_every_built_in_task_loads_and_is_described(name):
    env = load(name)
    assert isinstance(env, AbstractEnv | GymnasiumEnv)


def test_a_gymnasium_id():
    env = load("gymnasium:MountainCarContinuous-v0")
    assert isinstance(env, GymnasiumEnv)
    assert env.task.names[-2:] == ("reward", "terminated")
    assert env.env.render_mode == "rgb_array"


def test_a_gymnasium_id_of_which_all_is_known():
    env = load("gymnasium:Pendulum-v1")
    assert env.notes == ()
    assert env.task.names == ("cos theta", "sin theta", "thetadot [rad/s]")


@pytest.mark.parametrize(("member", "gain"), [("Slide", 0.5), ("make", 0.25), ("ready", 0.75)])
def test_a_gymnasium_environment_in_a_file(own, member, gain):
    env = load(f"{own()}:{member}")
    assert isinstance(env, GymnasiumEnv)
    before = env.reset(seed=3)
    after, *_ = env.step(np.array([1.2], np.float32))
    np.testing.assert_allclose(after[:2] - before[:2], gain * 1.2, rtol=1e-6)
    assert (env.draw() is not None) == (member == "Slide")  # only a class says that it can draw


@pytest.mark.parametrize(("member", "mass"), [("heavy", (3, 4)), ("make_pure", (1.5, 0.7)), ("PointMass", (1, 2.5))])
def test_a_pure_environment_in_a_file(own, member, mass):
    env = load(f"{own()}:{member}")
    assert isinstance(env, AbstractEnv)
    np.testing.assert_allclose(env.mass, mass)


def test_what_stands_beside_is_picked_up(own):
    beside = """
    names = ["left", "right"]
    angles = [1]
    info = ()
    def reward(obs, action, next_obs): return next_obs[0] - 2 * obs[1] + action[0]
    def terminated(obs): return obs[1] > 3
    """
    env = load(f"{own(OWN + textwrap.dedent(beside))}:Slide")
    assert env.task.names == ("left", "right")
    assert (env.task.angles, env.task.memoryless) == ((1,), ())
    obs, action, after = jnp.array([0.3, 0.5]), jnp.array([0.7]), jnp.array([1.1, 3.2])
    np.testing.assert_allclose(env.task.reward(obs, action, after), 1.1 - 1.0 + 0.7, rtol=1e-6)
    assert bool(env.task.terminated(after))
    assert not bool(env.task.terminated(obs))
    assert not any("learned" in note for note in env.notes)


PHYSICS = """
from handful import Acceleration, Parameter, PhysicsLearner
physics = PhysicsLearner(Acceleration(lambda obs, action, p: p["gain"] * action), [Parameter("gain", 0.7, low=0.0)])
"""


def test_physics_beside_a_gymnasium_environment_is_picked_up(own):
    beside = PHYSICS + "def reward(obs, action, next_obs): return next_obs[0]\ndef terminated(obs): return obs[1] > 3\n"
    env = load(f"{own(OWN + beside)}:Slide")
    assert physics_of(env).parameters.names == ("gain",)
    np.testing.assert_allclose(
        physics_of(env, guess_error=1.3).parameters.guess, 1.3 * physics_of(env).parameters.guess
    )


def test_physics_does_not_predict_what_is_learned(own):
    env = load(f"{own(OWN + PHYSICS)}:Slide")
    with pytest.raises(InputError, match="physics cannot predict reward and terminated; write what is missing"):
        physics_of(env)


def test_a_file_may_import_its_neighbour_and_leaves_the_path_alone(own):
    own("SCALE = 3.5", "own_constants_for_a_test.py")
    before = list(sys.path)
    env = load(f"{own(OWN + 'from own_constants_for_a_test import SCALE' + chr(10) + 'fast = Slide(SCALE)')}:fast")
    assert env.env.gain == 3.5
    assert sys.path == before


LATE = """
class Late(Slide):
    def step(self, action):
        from own_helper_for_a_test import twice
        import own_package_for_a_test.part
        self.gain = twice(self.gain)
        return super().step(action)
"""


def test_a_neighbour_may_be_imported_as_late_as_in_a_step(own, tmp_path, monkeypatch):
    """From another directory too; one that is called like a module of the standard library hides none."""
    own("def twice(x): return 2 * x", "own_helper_for_a_test.py")
    (tmp_path / "own_package_for_a_test").mkdir()
    own("", "own_package_for_a_test/part.py")
    path = own(OWN + LATE + "import colorsys, wave\n")
    for name in ("colorsys", "wave"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        own("raise RuntimeError('not this one')", f"{name}.py")
    env = load(f"{path}:Late")
    monkeypatch.chdir(tmp_path.parent)
    env.reset(seed=1)
    env.step(np.ones(1, np.float32))
    assert env.env.gain == 1.0


def test_the_neighbours_of_a_file_that_raises_are_not_found(own):
    own("x = 1", "own_lonely_for_a_test.py")
    with pytest.raises(InputError):
        load(f"{own('1 / 0')}:Slide")
    assert importlib.util.find_spec("own_lonely_for_a_test") is None


def test_a_file_loaded_again_is_run_again(own):
    assert load(f"{own()}:ready").env.gain == 0.75
    assert load(f"{own(OWN.replace('0.75', '0.85'))}:ready").env.gain == 0.85


def test_the_examples_load_and_move():
    crane = load(f"{EXAMPLES / '2_own_gymnasium.py'}:Crane")
    assert isinstance(crane, GymnasiumEnv)
    assert crane.notes == ()
    obs = crane.reset(seed=6)
    after, paid, *_ = crane.step(np.array([1.7], np.float32))
    wanted = crane.task.reward(jnp.asarray(obs), jnp.array([1.7]), jnp.asarray(after))
    np.testing.assert_allclose(paid, wanted, rtol=1e-5)

    tanks = load(f"{EXAMPLES / '1_own_environment.py'}:TwoTanks")
    assert isinstance(tanks, AbstractEnv)
    state, obs = tanks.reset(jax.random.key(1))
    _, step = tanks.step(jax.random.key(2), state, jnp.array([0.9]))
    np.testing.assert_allclose(step.reward, tanks.task.reward(obs, jnp.array([0.9]), step.obs), rtol=1e-6)
    assert tanks.draw(np.asarray(obs)).shape == (200, 200, 3)


# Bad input: the sentence is part of the contract.


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("cartpole", "no task 'cartpole'; did you mean cartpole-v1 or cartpole-swingup.* `handful tasks` lists"),
        ("Pendullum", r"did you mean pendulum or pendulum-v1\?"),
        ("Reacher-v5", r"did you mean gymnasium:Reacher-v5\?"),
        ("zzz", "there is no task 'zzz'; `handful tasks` lists the built-in ones"),
        ("", "there is no task ''; `handful tasks` lists"),
        ("nowhere/own.py:Slide", "there is no file nowhere/own.py; name an environment as path/to/file.py:NAME"),
        ("nowhere/own.py", "there is no file nowhere/own.py"),
        ("x" * 300 + ".py:Slide", "there is no file x+.py; name an environment as"),
        ("x" * 300, "there is no task 'x+'"),
        (".:Slide", "there is no file .; name an environment"),
        ("\0.py:Slide", "there is no file \0.py"),
        ("gymnasium:Pendulumm-v1", "there is no Gymnasium environment 'Pendulumm-v1' .*Pendulum"),
        ("gymnasium:Pendulum-v0", r"there is no Gymnasium environment 'Pendulum-v0' \(.*Please use `Pendulum-v1`"),
        ("gymnasium:no_such_package:Thing-v0", "cannot be made: ModuleNotFoundError: .*no_such_package"),
        ("gymnasium:FrozenLake-v1", "gymnasium:FrozenLake-v1: the observation space must be a flat Box.*Discrete"),
        ("gymnasium:Pendulum", "there is no Gymnasium environment 'Pendulum' .*an id ends in its version"),
        ("gymnasium:", "there is no Gymnasium environment ''"),
    ],
)
def test_a_name_that_is_nothing(name, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        load(name)
    assert "\n" not in str(caught.value)


def test_without_mujoco_a_gymnasium_id_says_what_to_install(monkeypatch):
    for module in [name for name in sys.modules if name.startswith("gymnasium.envs.mujoco")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(
        InputError, match=r"^gymnasium:Hopper-v5 needs a package that is not installed: MuJoCo is not.*pip"
    ):
        load("gymnasium:Hopper-v5")


@pytest.mark.parametrize(
    ("member", "sentence"),
    [
        (":Slid", "own.py has no environment 'Slid', it has Slide, ready, heavy$"),
        ("", "own.py needs the name of an environment in it, as .*own.py:NAME; it has Slide, ready, heavy$"),
        (":", "own.py needs the name of an environment in it"),
        (
            ":seven",
            "own.py:seven is an int; it must be an AbstractEnv, or a gymnasium.Env class or a function that makes",
        ),
        (":number", "own.py:number makes an int; it must be an AbstractEnv"),
        (":needy", r"own.py:needy must be made without arguments, but takes \(gain\); give them defaults"),
        (":broken", f"own.py:broken raised KeyError when made, at line {GEAR}: 'gear'"),
        (":AbstractEnv", "own.py:AbstractEnv must be made without arguments|AbstractEnv raised TypeError when made"),
    ],
)
def test_a_member_that_is_no_environment(own, member, sentence):
    with pytest.raises(InputError, match=sentence):
        load(f"{own()}{member}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\ny = 1 / 0\n", "own.py raised ZeroDivisionError when imported, at line 2: division by zero$"),
        ("x = (1\n", "own.py raised SyntaxError when imported, at line 1: "),
        ("\n\nimport no_such_thing_at_all\n", "ModuleNotFoundError when imported, at line 3: No module named 'no_such"),
        ("def f():\n    raise ValueError('two\\nlines')\n\nf()\n", "ValueError when imported, at line 2: two lines$"),
        ("import sys\nsys.exit(3)\n", "own.py raised SystemExit when imported, at line 2: 3"),
        ("import sys\nsys.exit()\n", "own.py raised SystemExit when imported, at line 2: no message"),
        ("raise GeneratorExit('x')\n", "own.py raised GeneratorExit when imported, at line 1: x"),
        ("def __getattr__(name): raise RuntimeError(name)\n", "own.py has no environment 'Slide', it has nothing"),
        ("x = '\0'", "own.py raised .*Error when imported, at line 1: .*null bytes"),
        ("x = 1\n", "own.py has no environment 'Slide', it has nothing that looks like one"),
    ],
)
def test_a_file_that_cannot_be_used(own, text, sentence):
    path = own(text)
    with pytest.raises(InputError, match=sentence):
        load(f"{path}:Slide")
    assert str(path.parent) not in sys.path


def test_a_file_that_is_no_python(own):
    with pytest.raises(InputError, match=r"own.txt is no Python file"):
        load(f"{own(OWN, 'own.txt')}:Slide")


@pytest.mark.parametrize(
    ("beside", "sentence"),
    [
        (
            "def reward(obs, action): return 0.0",
            r"own.py: reward must take \(obs, action, next_obs\), got reward\(obs, action\)",
        ),
        ("def reward(obs, action, next_obs): return next_obs", r"own.py: reward must return one number"),
        ("def reward(obs, action, next_obs): return jnp.nan", "own.py: reward must be finite, got nan"),
        ("def terminated(obs): return obs > 1", "own.py: terminated must return one truth value"),
        ("names = ['one']", "own.py: names must be 2 strings"),
        ("angles = (2,)", "own.py: angles must be distinct indices from 0 to 1"),
        (
            "def crash(self, **_): 1 / 0\nSlide.reset = crash",
            r"^[^:]*own.py:\d+: the environment raised ZeroDivisionError \(division by zero\) at a reset$",
        ),
        ("Slide.action_space = None", "^[^:]*own.py: the action space must be a bounded Box"),
        (
            "Slide.metadata = {'render_modes': 5}\nSlide.observation_space = None",
            "own.py: the observation space must be",
        ),
    ],
)
def test_what_stands_beside_must_fit_and_the_file_is_named(own, beside, sentence):
    with pytest.raises(InputError, match=sentence):
        load(f"{own(OWN + beside)}:Slide")


def test_an_environment_that_is_refused_is_closed(own, tmp_path):
    closed = tmp_path / "closed"
    spoilt = """
Slide.action_space = None
def close(self):
    open(CLOSED, "w").close()
    raise OSError("stuck")
Slide.close = close
"""
    with pytest.raises(InputError, match="action space"):
        load(f"{own(OWN + spoilt + f'CLOSED = {str(closed)!r}')}:Slide")
    assert closed.exists()


def test_a_function_that_makes_and_changes_an_environment_makes_its_copies_too(own):
    text = """
import gymnasium

def light():
    env = gymnasium.make("Pendulum-v1")
    env.unwrapped.g = 1.6
    return env

changed = light()
"""
    path = own(text)
    assert load(f"{path}:light").again().env.unwrapped.g == 1.6
    assert load(f"{path}:changed").again().env.unwrapped.g == 10.0, "of one that stands there only its specification"


PURE = """
import jax.numpy as jnp
import numpy as np
from handful import AbstractEnv, Step, Task

class Own(AbstractEnv):
    task: Task
    def reset(self, key):
        return {begun}
    def step(self, key, state, action):
        return {stepped}
    def draw(self, obs):
        return np.zeros((2, 3, 3), np.uint8)

def wanted(obs, action, next_obs):
    return {wanted}

def over(obs):
    return {over}

low, high = jnp.array([-1.0]), jnp.array([1.5])
task = Task(reward=wanted, terminated=over, low=low, high=high, names=("a", "b"), dt=0.1, horizon=3)
env = Own(task)
"""
SOUND = {
    "first": "jnp.ones(2)",
    "after": "jnp.ones(2)",
    "reward": "jnp.asarray(1.0)",
    "end": "jnp.asarray(False)",
    "wanted": "obs[0]",
    "over": "obs[0] > 2",
    "kept": "state",
    "begun": "{first}, {first}",
    "stepped": "{kept}, Step({after}, {reward}, {end})",
}


def pure(**changed):
    """The file, with some of its parts in other words."""
    parts = SOUND | changed
    return PURE.format(
        **{name: text.format(**parts) if name in {"begun", "stepped"} else text for name, text in parts.items()}
    )


def test_a_sound_pure_environment_passes(own):
    assert load(f"{own(pure())}:env").task.horizon == 3


@pytest.mark.parametrize(
    ("part", "code", "sentence"),
    [
        ("first", "jnp.ones(3)", r"the first observation must have the shape \(2,\), got \(3,\)"),
        ("after", "jnp.ones(4)", r"an observation must have the shape \(2,\), got \(4,\)"),
        ("after", "jnp.array([1.0, jnp.nan])", r"an observation must be finite in a first step, got \[ 1. nan\]"),
        ("reward", "jnp.ones(1)", r"(a reward must have the shape \(\), got \(1,\)|it raised TypeCheckError)"),
        ("reward", "jnp.asarray(jnp.inf)", "a reward must be finite in a first step, got inf"),
        (
            "first",
            "jnp.ones(2, jnp.float16)",
            "(the first observation must be of type float32, got float16|.*TypeCheckE)",
        ),
        ("end", "jnp.asarray(0)", "(terminated must be of type bool, got int32|it raised TypeCheckError)"),
        ("reward", "{}['gear']", "it raised KeyError in a first step: 'gear'"),
        ("reward", "__import__('sys').exit(0)", "it raised SystemExit in a first step: 0"),
        ("reward", "None", "(a reward must be an array, got a NoneType|it raised TypeCheckError)"),
        ("wanted", "None", "the value of the task's reward function must be an array, got a NoneType"),
        ("over", "obs[0]", "the value of the task's terminated function must be of type bool, got float32"),
        ("over", "obs > 2", r"the value of the task's terminated function must have the shape \(\), got \(2,\)"),
        ("over", "None", "the value of the task's terminated function must be an array, got a NoneType"),
        ("kept", "(state, state)", "the state that its step returns must have the structure, shapes and types of"),
        ("kept", "jnp.ones(3)", "the state that its step returns must have the structure, shapes and types of"),
        (
            "kept",
            "1 + jnp.ones(2, int)",
            "the state that its step returns must have the structure, shapes and types of",
        ),
        ("stepped", "state", "its step must return .state, Step., got a DynamicJaxprTracer|its step must return"),
        ("stepped", "(state, state)", "its step must return .state, Step., got a .* in place of the Step"),
        ("stepped", "None", "its step must return .state, Step., got a NoneType"),
        ("begun", "jnp.ones(2)", "its reset must return .state, observation., got a"),
        ("wanted", "obs", r"the value of the task's reward function must have the shape \(\), got \(2,\)"),
    ],
)
def test_a_pure_environment_is_tried_before_it_is_used(own, part, code, sentence):
    path = own(pure(**{part: code}))
    with pytest.raises(InputError, match=f"own.py:env: {sentence}"):
        load(f"{path}:env")


def test_a_pure_environment_without_actions_or_task(own):
    text = pure()
    path = own(text.replace("[-1.0]", "[]").replace("[1.5]", "[]"))
    with pytest.raises(
        InputError, match=r"own.py:env: a task must have an action and an observation, got 0 actions and 2"
    ):
        load(f"{path}:env")
    path = own(text.replace("task: Task", "task: object").replace("Own(task)", "Own(3)"))
    with pytest.raises(InputError, match=r"own.py:env: its task must be a Task, got an int"):
        load(f"{path}:env")


# What `learn` takes for an environment.


def test_an_environment_or_a_name_stands_for_itself():
    mass, adapted = PointMass(), GymnasiumEnv(gymnasium.make("Pendulum-v1"))
    assert as_env(mass) is mass
    assert as_env(adapted) is adapted
    assert isinstance(as_env("point-mass"), PointMass)


def test_a_gymnasium_environment_is_adapted_with_all_that_is_known_of_it():
    env = as_env(gymnasium.make("Pendulum-v1"))
    assert env.task.names == ("cos theta", "sin theta", "thetadot [rad/s]")
    assert env.task_info.preset == info_of("pendulum-v1").preset
    assert env.again() is not None


@pytest.mark.parametrize(
    "make",
    [
        lambda: gymnasium.wrappers.TransformReward(gymnasium.make("Pendulum-v1"), lambda paid: 2 * paid),
        lambda: gymnasium.make("CartPole-v1", sutton_barto_reward=True),
        lambda: gymnasium.make("MountainCarContinuous-v0"),
    ],
)
def test_of_a_changed_or_unknown_environment_reward_and_end_are_learned(make):
    assert as_env(make()).task.names[-2:] == ("reward", "terminated")


class Misshapen(PointMass):
    def step(self, key, state, action):
        state, step = super().step(key, state, action)
        return state, dataclasses.replace(step, obs=step.obs[:3])


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        (PointMass, "a gymnasium.Env, got the class PointMass; make an instance of it$"),
        (None, "must be a task's name, an AbstractEnv or a gymnasium.Env, got a NoneType$"),
        ("pendullum", "did you mean pendulum"),
        (Misshapen(), r"^Misshapen: an observation must have the shape \(4,\), got \(3,\)"),
        (gymnasium.Env(), "^Env: the environment has no observation_space"),
    ],
)
def test_what_is_no_environment(env, sentence):
    with pytest.raises(InputError, match=sentence):
        as_env(env)
