"""The commands that README and the pages show are run as they are written, at small size and without a network.

Training is replaced by a trace of one update and one action, since compiling it for all of them takes minutes; all that
comes before it is run. A resumed run is trained, without its report. Other commands are run whole.
"""

import dataclasses
import re
import shlex
import shutil
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.agents import pets_settings
from handful.cli import main as command_line
from handful.cli.configuration import built
from handful.policies.actor import AbstractActor
from handful.types import Batch, Transition
from pages import FENCED, PAGES, ROOT

STEPS = 6  # of each environment in the batch that an agent is traced with
PLACEHOLDERS = {
    "TASK": "point-mass",
    "RUN": "runs/cartpole",
    "RUN...": "runs/cartpole",
    "DATA": "log.csv",
    "MODEL": "linear",
    "NAME": "ppo",
    "FACTOR": "1.3",
}
SMALL = {  # options that keep a command small, after those of the page
    "bench plan": "--candidates 4 --horizon 2 --particles 5 --iterations 1 --layers 1 --width 8 --repeats 2",
    "bench fit": "--transitions 64 --batch 16 --steps 4 --layers 1 --width 8 --repeats 2",
    "check": "--trials 1 --steps 5",
    "evaluate": "--episodes 2",
    "fit": "--horizon 4 --particles 5",
}
TINY = "--agent mpc --model linear --trials 1 --candidates 8 --elites 2 --iterations 1 --horizon 3 --particles 2"
NO_ONE = {"handful train --agent trpo"}  # names no task


def commands():
    """Each line of a fenced block that begins with `handful`, and each with an option in `backticks`."""
    seen = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shown = [
            line for language, _, code in FENCED.findall(text) if language in {"", "bash"} for line in code.splitlines()
        ]
        for line in [*shown, *re.findall(r"`(handful \w+ [^`]*--[^`]*)`", FENCED.sub("", text))]:
            usage, _, description = re.sub(r" #.*", "", line).strip().partition("  ")
            for each in re.sub(r" ([|]) ", r"\n", usage).splitlines():
                if each.startswith(("handful ", "bench ")) and each not in seen | NO_ONE:
                    seen.add(each)
                    yield pytest.param(each.removeprefix("handful "), description, id=f"{page.stem}: {each}")


def traced(folder, config, seeds, **_):
    """In place of training: one update, unless it fits physics, and one action are traced, not compiled."""
    system, agent = built({**config, "seed": seeds[0]}, folder.path)
    task = system.task

    def once(key):
        state = agent.reserve(agent.init(key, task), 2 * STEPS * agent.num_envs)
        actor = agent.actor(task, state)
        obs = jnp.zeros(task.obs_size)
        action = actor.sample(key, obs) if isinstance(actor, AbstractActor) else (task.low + task.high) / 2
        row = Transition(obs, action, jnp.zeros(()), obs, jnp.zeros((), bool), jnp.zeros((), bool))
        steps = STEPS if agent.num_steps is None else agent.num_steps
        rows = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (steps, agent.num_envs, *leaf.shape)), row)
        if "physics" not in str(config["options"].get("model")):  # its fit takes ten seconds to trace
            state, _ = agent.update(key, task, state, Batch(rows, jnp.ones((steps, agent.num_envs), bool)))
        policy = agent.policy(task, state)
        return policy(key, obs, policy.init())[0]

    try:
        assert eqx.filter_eval_shape(once, jax.random.key(0)).shape == (task.action_size,)
    finally:
        system.close()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run and a finished group of two seeds, without their reports."""
    folder = tmp_path_factory.mktemp("documents")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("handful.reports.run_report.write_report", lambda _: None)
        patch.setattr("handful.cli.train.write_comparison", lambda *_: None)
        for name, seeds in {"run": [], "group": ["--seeds", "0,1"]}.items():
            words = ["train", "point-mass", *TINY.split(), *seeds, "--out", str(folder / name)]
            assert command_line.main(words) == 0
    return folder


@pytest.fixture
def place(finished, tmp_path, monkeypatch):
    """A folder in which the pages' files are found, and small settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("examples", "results"):
        Path(name).symlink_to(ROOT / name)
    for name, made in {"cartpole": "run", "ten": "group", "twenty": "group", "ppo": "run", "pets": "group"}.items():
        shutil.copytree(finished / made, Path("runs") / name)
    Path("path/to").mkdir(parents=True)
    Path("path/to/robot.py").write_text("from handful import Pendulum as Robot")
    rows = np.random.default_rng(8).normal(size=(10, 9, 3))
    lines = [",".join(map(str, [*row, trial])) for trial, each in enumerate(rows) for row in each]
    Path("log.csv").write_text("\n".join(["obs place,obs speed,action,trial", *lines]))
    trial = np.repeat(np.arange(10), 8)
    obs, after = rows[:, :-1, :2].reshape(-1, 2), rows[:, 1:, :2].reshape(-1, 2)
    np.savez("log.npz", obs=obs, action=rows[:, :-1, 2:].reshape(-1, 1), next_obs=after, trial=trial)
    for name, settings in pets_settings.SETTINGS.items():
        few = dataclasses.replace(settings, hidden=(4,), least_steps=1, most_steps=3)
        monkeypatch.setitem(pets_settings.SETTINGS, name, few)


@pytest.mark.parametrize(("line", "description"), list(commands()))
def test_a_command_of_the_pages_runs(line, description, place, monkeypatch, capsys):
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line.replace(" ...", ""))]
    words = [each for word in words for each in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
    name, _ = command_line._split(words)
    assert name, f"there is no command {line!r}"
    training = name == "train" and "--resume" not in words
    if name == "train":
        monkeypatch.setattr("handful.reports.run_report.write_report", lambda _: None)
        monkeypatch.setattr("handful.cli.train.write_comparison", lambda *_: Path("compare.html"))
    if training:  # into a new folder
        words = [word for index, word in enumerate(words) if "--out" not in words[max(0, index - 1) : index + 1]]
        monkeypatch.setattr("handful.cli.train._learn", traced)
    try:
        code = command_line.main([*words, *SMALL.get(name, "").split(), *(["--out", "new"] if training else [])])
    except SystemExit as stop:  # of --help
        code = stop.code or 0
    said = capsys.readouterr()
    assert said.err == ""
    assert code == 0 or (name == "check" and code == 1)  # where a check is off
    if "--" in description:  # a usage line names options in its description too: they must be options of the command
        with pytest.raises(SystemExit):
            command_line.main([*words, "--help"])
        assert set(re.findall(r"--[\w-]+", description)) <= set(re.findall(r"--[\w-]+", capsys.readouterr().out))
