"""What a person sees who asks: help, version, the list of tasks."""

import dataclasses
import os
import subprocess
import sys

import pytest

from handful import __version__
from handful.agents.catalogue import AGENTS
from handful.cli.main import COMMANDS
from handful.cli.options import OPTIONS
from handful.cli.train_options import TrialWise
from handful.envs.registry import TASKS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_option(command, handful, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = handful(*command.split(), "--help")
    assert (said.code, said.err) == (0, "")
    for field in dataclasses.fields({**OPTIONS, "train": TrialWise}[command]):
        positional = "Positional" in str(field.type)
        assert (field.name.upper() in said.out or "PATH" in said.out) if positional else option(field) in said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_is(command, handful, monkeypatch):
    """The parser puts the help text beside the option, or on the line below it."""
    monkeypatch.setenv("COLUMNS", "200")
    lines = [line.strip("│ ") for line in handful(*command.split(), "--help").out.splitlines()]
    for index, line in enumerate(lines):
        if line.startswith("--") and line.strip("-"):  # a rule of dashes is no option
            words = " ".join(lines[index : index + 2]).split("(default")[0].replace("{None}|", "").split()
            assert sum(word.islower() for word in words) >= 3, line


@pytest.mark.parametrize("agent", AGENTS)
def test_help_of_an_agent_names_its_options_and_no_others(agent, handful, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = handful("train", "pendulum", "--agent", agent, "--help")
    assert (said.code, said.err) == (0, "")
    own = {field.name for field in dataclasses.fields(AGENTS[agent].options)}
    others = {field.name for entry in AGENTS.values() for field in dataclasses.fields(entry.options)} - own
    shown = {word.strip("│ ").split()[0] for word in said.out.splitlines() if word.strip("│ ").startswith("--")}
    flags = {f"--{name.replace('_', '-')}" for name in own}
    assert flags <= {name.replace("--no-", "--") for name in shown}
    assert not {f"--{name.replace('_', '-')}" for name in others} & shown
    assert ("--refit-every" in shown) == (AGENTS[agent].kind == "trials")
    assert "None" not in said.out


def test_ppo_has_what_a_practitioner_turns_and_nothing_of_planners(handful):
    said = handful("train", "pendulum", "--help", "--agent=ppo").out
    for name in ("learning-rate", "clip-eps", "gae-lambda", "minibatch-size", "discount", "entropy-coef", "hidden",
                 "epochs", "num-envs", "num-steps", "max-grad-norm", "steps"):  # fmt: skip
        assert f"--{name} " in said
    for name in ("planner", "horizon", "members", "candidates", "particles"):
        assert f"--{name}" not in said


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["help"]])
def test_overview_names_every_command(words, handful):
    said = handful(*words)
    assert (said.code, said.err) == (0, "")
    assert all(f"handful {command} " in said.out for command in COMMANDS)


def test_version(handful):
    assert handful("--version").out == f"handful {__version__}\n"


def test_tasks_are_listed_with_their_sizes(handful):
    said = handful("tasks")
    assert (said.code, said.err) == (0, "")
    assert all(f"{name}\n" in said.out for name in TASKS)
    assert "4 observations, 2 actions, 50 steps of 0.1 s a trial" in said.out


def test_no_help_needs_jax():
    """Help must answer at once, and importing JAX takes a second."""
    program = (
        "import sys, contextlib\nfrom handful.cli.main import main, COMMANDS\n"
        "from handful.agents.catalogue import AGENTS\n"
        "for command in [*COMMANDS, *(f'train --agent {agent}' for agent in AGENTS)]:\n"
        "    with contextlib.suppress(SystemExit):\n        main([*command.split(), '--help'])\n"
        "sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def test_output_that_nobody_reads_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "handful.cli.main", "tasks"]
    with os.fdopen(writing, "wb") as nobody:
        ended = subprocess.run(command, stdout=nobody, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


def option(field) -> str:
    return f"--{field.name.replace('_', '-')}"
