"""What README and the pages show can be typed: Python blocks run, and commands have the options that are named."""

import ast
import builtins
import functools
import importlib
import re
import shlex
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import handful
from fitting import learner
from handful.cli import main as command_line

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [
    pytest.param(code, id=f"{page.name}-{index}")
    for page in PAGES
    for index, (language, code) in enumerate(FENCED.findall(page.read_text(encoding="utf-8")))
    if language == "python"
]
# What a page leaves to the reader, and something that may stand there.
PLACEHOLDERS = {"MODEL": "gp", "FACTOR": "1.3", "N": "3"}


def small_pets():
    planner = handful.CEM(horizon=3, candidates=6, elites=2, iterations=1)
    return handful.MPCAgent(handful.LinearLearner(), planner, handful.TSInf(2))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The same names with small sizes behind them, and a log where a page reads one."""
    from handful.models.gp import learner as gp
    from handful.training.learn import learn

    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(8).normal(size=(3, 9, 3))
    lines = [",".join(map(str, [*row, trial])) for trial, rows_of_trial in enumerate(rows) for row in rows_of_trial]
    Path("log.csv").write_text("\n".join(["obs place,obs speed,action,trial", *lines]))
    monkeypatch.setattr("handful.agents.pets.pets", small_pets)
    monkeypatch.setattr("handful.agents.pets.pets_learner", learner)
    few = functools.partial(gp.GPLearner, search=gp.Search(steps=2, starts=1, scout_rows=5))
    monkeypatch.setattr(gp, "GPLearner", lambda most_points: few(most_points=most_points // 20))

    def short(env, agent, **_):
        learned = learn(env, agent, trials=1)
        for trial in learned.trials:  # tests check annotations, and a record's NumPy rows are no JAX arrays
            trial.arrays.update({name: jnp.asarray(rows) for name, rows in trial.arrays.items()})
        return learned

    monkeypatch.setattr("handful.training.learn.learn", short)


@pytest.mark.parametrize("code", BLOCKS)
def test_python_blocks_define_what_they_use_and_run(code, small):
    tree = ast.parse(code)
    nodes = list(ast.walk(tree))
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {
        (alias.asname or alias.name).split(".")[0]
        for n in nodes
        if isinstance(n, (ast.Import, ast.ImportFrom))
        for alias in n.names
    }
    bound |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    assert used - bound - set(dir(builtins)) == set()
    exec(compile(tree, "block", "exec"), {})


def commands():
    """Each line of a fenced block without a language that begins with `handful`, and each in `backticks`."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fenced = [
            line for language, code in FENCED.findall(text) if language in {"", "bash"} for line in code.splitlines()
        ]
        inline = re.findall(r"`(handful \w+ [^`]*--[^`]*)`", FENCED.sub("", text))
        for line in [*fenced, *inline]:
            if line.startswith("handful "):
                yield pytest.param(line, id=f"{page.name}: {' '.join(line.split())[:60]}")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_have_the_options_that_a_page_gives_them(line, capsys):
    """A usage line names options in its description too: they must be options of the command."""
    usage, _, description = re.sub(r" #.*", "", line).strip().partition("  ")
    for each in re.sub(r" ([|]) ", r"\n", usage).splitlines():
        words = shlex.split(re.sub(r"\[.*?\]| \.\.\.", "", each.removeprefix("handful ")))
        words = [PLACEHOLDERS.get(word, word) for word in words]
        name, rest = command_line._split(words)
        assert name, f"there is no command {each!r}"
        options = importlib.import_module(command_line.COMMANDS[name][0]).Options
        command_line._parse(options, name, rest)
        with pytest.raises(SystemExit):
            command_line._parse(options, name, ["--help"])
        known = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
        assert set(re.findall(r"--[\w-]+", description)) <= known
