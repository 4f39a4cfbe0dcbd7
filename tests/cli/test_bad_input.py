"""Bad input: one line on stderr that names what was expected and what came, exit code 2, and nothing half-made."""

import shutil

import pytest

import handful as library

USER = """
import jax.numpy as jnp
from handful.envs.point_mass import PointMass
import dataclasses

def poor(obs, action, next_obs):
    return jnp.where(next_obs[0] > -9, jnp.nan, 0.0)

def wide(obs, action, next_obs):
    return next_obs[:2]

def late(obs, action, next_obs):
    return jnp.where(obs[0] == START[0], -1.0, jnp.nan)

START = PointMass().reset(__import__("jax").random.key(0))[1]
def with_reward(reward):
    env = PointMass()
    return dataclasses.replace(env, task=dataclasses.replace(env.task, reward=reward))

Poor = with_reward(poor)
Wide = with_reward(wide)
"""

FAULTS = """
import dataclasses, gymnasium, numpy as np, jax.numpy as jnp
from handful.envs.point_mass import PointMass
from handful.models.physics_laws import Map
from handful.models.physics_learner import PhysicsLearner
from handful.models.physics_parameters import Parameter

class Slide(gymnasium.Env):
    action_space = gymnasium.spaces.Box(-1.0, 2.0, (1,), np.float64)
    observation_space = gymnasium.spaces.Box(-9.0, 9.0, (2,), np.float64)
    first = np.array([0.3, -0.7])
    def reset(self, *, seed=None, options=None):
        return self.first, {}
    def step(self, action):
        return self.first + action[0], 1.0, False, False, {}

class Long(Slide):
    first = np.array([0.3, -0.7, 1.1])

class Lost(Slide):
    first = np.array([0.3, np.nan])

class Short(PointMass):
    def reset(self, key):
        state, obs = super().reset(key)
        return state, obs[:3]

class Blind(PointMass):
    def reset(self, key):
        state, obs = super().reset(key)
        return state, obs.at[1].set(jnp.nan)

class Twofold(PointMass):
    def step(self, key, state, action):
        return super().step(key, state, jnp.eye(3)[:2] @ action)

def reward(obs, action, next_obs): return -next_obs[0] ** 2
def terminated(obs): return False
pairs = dataclasses.replace(Short(), task=dataclasses.replace(PointMass().task, reward=reward))
physics = PhysicsLearner(Map(lambda obs, action, p: obs[:1] * p["gain"]), [Parameter("gain", 1.3, low=0.0)])
"""

OPTIONS = {  # words after `train`, what the sentence must name
    "cartpole-swingpu": ["'cartpole-swingpu'", "cartpole-swingup", "handful tasks"],
    "CartPole-v1": ["gymnasium:CartPole-v1"],
    "pendulum --fast": ["--fast", "--help"],
    "pendulum --trial 3": ["--trial", "--trials"],
    "pendulum --trials many": ["--trials", "INT", "many"],
    "pendulum --planner nelder": ["--planner", "nelder", "icem"],
    "pendulum --trials -2": ["--trials", "-2"],
    "pendulum --trials": ["--trials"],
    "pendulum --trials 1000000000": ["transitions", "take fewer trials"],
    "pendulum --agent dp --trials 100000000000000": ["--trials must be at most 2147483647"],
    "pendulum --candidates 3000000000": ["--candidates must be at most 2147483647"],
    "pendulum --candidates 2000000000 --elites 3": ["--candidates 2000000000 and --particles 5 need about", "GiB"],
    "pendulum --members 900000": ["--members 900000 and --hidden", "GiB", "are free"],
    "pendulum --model gp --max-points 2000000": ["--max-points 2000000 need"],
    "pendulum --agent ppo --num-envs 100000000": ["--num-envs 100000000", "GiB"],
    "pendulum --step-limit 0": ["--step-limit must be finite and above zero, got 0"],
    "pendulum --trust": ["--trust is for --resume"],
    "nowhere/rig.py:Rig": ["there is no file nowhere/rig.py"],
    "": ["task", "--resume"],
    "pendulum --resume runs/x": ["not both"],
    "pendulum --horizon 0": ["--horizon", "at least 1", "got 0"],
    "pendulum --horizon 201": ["--horizon", "200 steps", "got 201"],
    "pendulum --iterations 0": ["--iterations", "at least 1", "got 0"],
    "pendulum --candidates 2": ["--candidates", "at least 3", "got 2"],
    "pendulum --planner cem --candidates 0": ["--candidates", "at least 1", "got 0"],
    "pendulum --members 0": ["member", "got 0"],
    "pendulum --particles 7": ["--particles", "multiple", "5 members", "got 7"],
    "pendulum --particles 0": ["--particles", "got 0"],
    "pendulum --propagation ts1 --members 3 --particles 4": ["--particles", "3 members", "got 4"],
    "pendulum --propagation expectation --particles 5": ["--particles", "expectation"],
    "pendulum --fit-steps 0": ["--fit-steps", "at least 1", "got 0"],
    "pendulum --recalibrate 0": ["--recalibrate", "above zero", "got 0"],
    "pendulum --model gp --precision bf16": ["--precision", "networks", "--model gp"],
    "pendulum --agent mbpo --precision bf16": ["--precision", "--agent mbpo"],
    "pendulum --planner gradient --precision bf16": ["--precision bf16", "derivatives", "--planner gradient"],
    "pendulum --precision bf8": ["--precision", "bf8", "bf16"],
    "pendulum --model gps": ["--model", "gps", "linear"],
    "pendulum --model gp --members 3": ["--members", "networks", "--model gp"],
    "pendulum --model linear --fit-steps 9": ["--fit-steps", "networks"],
    "pendulum --model physics --paper": ["--paper", "--model", "physics"],
    "pendulum --model gp --particles 0": ["--particles", "at least 1", "got 0"],
    "pendulum --agent pilco --planner cem": ["--planner", "pilco"],
    "pendulum --agent pilco --horizon 300": ["--horizon", "200 steps", "got 300"],
    "pendulum --planner ilqr --candidates 9": ["--candidates", "ilqr"],
    "gymnasium:CartPole-v1 --planner icem": ["categories", "--planner categorical-cem", "got icem"],
    "gymnasium:CartPole-v1 --agent pilco": ["pilco", "categories"],
    "gymnasium:CartPole-v1 --candidates 2": ["--candidates", "at least 3", "got 2"],
    "pendulum --planner categorical-cem": ["continuous", "--planner icem", "got categorical-cem"],
    "user.py:Poor --model physics": ["user.py:Poor", "reward"],
    "pendulum --guess-error 1.3 --model linear": ["--guess-error", "physics", "--model linear"],
    "pendulum --guess-error 0 --model physics": ["--guess-error", "above zero", "got 0"],
    "faults.py:Slide --model physics": ["physics", "2"],
    "faults.py:Long": ["faults.py", "observations", "2 numbers", "3"],
    "faults.py:Lost": ["faults.py", "finite", "nan"],
    "faults.py:pairs": ["faults.py:pairs", "observation", "(4,)", "(3,)"],
    "faults.py:Blind": ["faults.py:Blind", "observation", "finite", "nan"],
    "faults.py:Twofold": ["faults.py:Twofold", "TypeError"],
    "pendulum --risk nan": ["--risk", "finite", "nan"],
    "pendulum --agent nelder": ["--agent nelder", "pets", "ppo", "path/to/file.py:NAME"],
    "pendulum --agent pp": ["did you mean ppo?"],
    "pendulum --agent ppo --clip-eps": ["--clip-eps"],
    "pendulum --clip-eps 0.1": ["--clip-eps is not an option of --agent pets, but of", "mbpo", "ppo"],
    "pendulum --agent ppo --learning-rate -1": ["--learning-rate", "at least 0", "got -1"],
    "pendulum --agent ppo --minibatch-size 100000": ["--minibatch-size", "1024 steps", "got 100000"],
    "pendulum --agent ppo --minibatch-size 0": ["--minibatch-size", "got 0"],
    "pendulum --agent ppo --gae-lambda 1.5": ["--gae-lambda", "from 0 to 1", "got 1.5"],
    "pendulum --agent ppo --value-coef -1": ["--value-coef", "at least 0", "got -1"],
    "pendulum --agent ppo --epochs 0": ["--epochs", "at least 1", "got 0"],
    "pendulum --agent ppo --num-envs 0": ["--num-envs", "at least 1", "got 0"],
    "pendulum --agent mbpo --policy-learning-rate -1": ["--policy-learning-rate", "at least 0", "got -1"],
    "pendulum --agent trpo --delta 0": ["--delta", "above 0", "got 0"],
    "pendulum --agent dqn --capacity 10": ["capacity", "10"],
    "pendulum --agent dqn --epsilon 1.5": ["--epsilon", "from 0 to 1", "got 1.5"],
    "pendulum --agent dp --discount 1.5": ["--discount", "from 0 to 1", "got 1.5"],
    "pendulum --agent pilco --starts 0": ["--starts", "at least 1", "got 0"],
    "pendulum --elites 90": ["--elites", "candidates", "got 90"],
    "pendulum --temperature 0.3": ["--temperature is not an option of --planner icem"],
    "pendulum --hidden 64 64 --weight-decay 0.1 0.2": ["hidden layers need 3 weight decays", "(2,)"],
    "pendulum --seed -1": ["--seed", "between 0 and", "-1"],
    "pendulum --seed 4294967296": ["--seed", "4294967295", "4294967296"],
    "pendulum --refit-every 0": ["--refit-every", "at least 1", "got 0"],
    "gymnasium:NoSuch-v0": ["NoSuch-v0"],
    "nowhere.py:Env": ["nowhere.py"],
    "user.py:Nothing": ["'Nothing'", "Poor"],
    "user.py:Poor": ["reward", "finite", "nan"],
    "user.py:Wide": ["user.py:Wide", "reward"],
    "raises.py:Env": ["raises.py", "RuntimeError", "line 2", "cable out"],
}


@pytest.mark.parametrize("words", OPTIONS)
def test_train_refuses(words, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "faults.py").write_text(FAULTS)
    (tmp_path / "raises.py").write_text("x = 1\nraise RuntimeError('cable out\\nand more')\n")
    out = [] if "--resume" in words else ["--out", "made/here"]
    sentence = refused("train", *words.split(), *out)
    assert all(part in sentence for part in OPTIONS[words]), sentence
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    {
        "juggle": ["'juggle'", "train", "bench plan"],
        "bench": ["'bench'", "bench plan"],
        "bench juggle": ["'bench'", "bench plan"],
        "evaluate": ["PATH", "handful evaluate --help"],
        "report": ["PATH", "handful report --help"],
        "evaluate nowhere": ["nowhere", "no run folder", "handful train"],
        "report nowhere": ["nowhere", "no run folder", "handful train"],
        "report nowhere either": ["either"],
        "evaluate nowhere --episodes 0": ["--episodes", "got 0"],
        "evaluate nowhere --seed -3": ["--seed", "got -3"],
        "tasks all": ["all"],
        "bench plan --candidates 0": ["--candidates", "got 0"],
        "bench plan --members 2 --particles 3": ["particles", "2 members", "got 3"],
        "bench fit --model forest": ["--model", "forest", "gp"],
        "bench fit --model gp --points 0": ["--points", "got 0"],
        "fit nowhere.npz": ["nowhere.npz"],
        "fit nowhere.npz --model forest": ["--model", "forest", "linear"],
        "bench fit --steps -1": ["--steps", "got -1"],
    }.items(),
)
def test_other_commands_refuse(words, parts, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sentence = refused(*words.split())
    assert all(part in sentence for part in parts), sentence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("out", "parts"),
    [
        ("file/below", ["file/below", "--out"]),
        ("/proc/nowhere/run", ["/proc/nowhere/run", "--out"]),
        ("n" * 300, ["cannot be made", "--out"]),
        ("file", ["file", "--out"]),
    ],
)
def test_a_place_that_cannot_be_written_is_named(out, parts, *, refused, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    sentence = refused("train", "point-mass", *tiny, "--out", out)
    assert all(part in sentence for part in parts), sentence
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


def test_a_folder_that_holds_a_run_is_not_written_over(refused, tiny, finished, contents):
    before = contents(finished)
    sentence = refused("train", "point-mass", *tiny, "--seed", 5, "--out", finished)
    assert f"--resume {finished}" in sentence
    assert contents(finished) == before


def test_a_folder_without_a_controller_cannot_be_evaluated(refused, made, tmp_path):
    shutil.copy(made / "config.json", tmp_path)
    assert f"handful train --resume {tmp_path}" in refused("evaluate", tmp_path)
    assert f"handful train --resume {tmp_path}" in refused("report", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_an_environment_that_fails_on_the_way_is_named_with_its_step(refused, handful, tiny, tmp_path, contents):
    """It pays for its first two trials and not a number ever after; what those trials taught is kept."""
    env = tmp_path / "late.py"
    env.write_text(
        "import dataclasses, jax, jax.numpy as jnp\nfrom handful.envs.point_mass import PointMass\n"
        "class Late(PointMass):\n"
        "    def step(self, key, state, action):\n"
        "        state, step = super().step(key, state, action)\n"
        "        broken = (abs(action) > 1.0).any() & {broken}\n"
        "        return state, dataclasses.replace(step, reward=jnp.where(broken, jnp.nan, step.reward))\n"
    )
    text = env.read_text()
    env.write_text(text.replace("{broken}", "False"))
    run, task = tmp_path / "run", f"{env}:Late"
    assert handful("train", task, *tiny, "--trials", 0, "--out", run).code == 0
    kept = contents(run)
    env.write_text(text.replace("{broken}", "True"))
    assert "changed since the run began; give --trust" in handful("train", "--resume", run, "--trials", 1).err
    said = handful("train", "--resume", run, "--trials", 1, "--trust")
    assert said.code == 2
    assert said.err.startswith("handful: the environment gave an observation or reward that is not finite at step ")
    assert said.err.count("\n") == 1
    after = contents(run)
    assert {name: kept[name] for name in kept if name != "config.json"} == {
        name: after[name] for name in kept if name != "config.json"
    }
    env.write_text(text.replace("{broken}", "False"))
    assert handful("train", "--resume", run, "--trust").code == 0


def test_library_and_command_line_agree_on_the_version(handful):
    assert library.__version__ in handful("--version").out
