"""What README and the pages show works: Python blocks run, and excerpts are those of the files. See `test_commands`."""

import ast
import builtins
import functools
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import handful
from fitting import learner
from pages import FENCED, PAGES, ROOT

BLOCKS = [
    pytest.param(code, file, id=f"{page.name}-{index}")
    for page in PAGES
    for index, (language, file, code) in enumerate(FENCED.findall(page.read_text(encoding="utf-8")))
    if language == "python"
]


def small_pets():
    planner = handful.CEM(horizon=3, candidates=6, elites=2, iterations=1)
    return handful.MPCAgent(handful.LinearLearner(), planner, handful.TSInf(2))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The same names with small sizes behind them, and a log where a page reads one."""
    from handful.learning import learn
    from handful.models.gp import learner as gp

    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(8).normal(size=(3, 9, 3))
    lines = [",".join(map(str, [*row, trial])) for trial, rows_of_trial in enumerate(rows) for row in rows_of_trial]
    Path("log.csv").write_text("\n".join(["obs place,obs speed,action,trial", *lines]))
    monkeypatch.setattr("handful.agents.pets.pets", small_pets)
    monkeypatch.setattr("handful.agents.pets.pets_learner", learner)
    few = functools.partial(gp.GPLearner, search=gp.Search(steps=2, starts=1, scout_rows=5))
    monkeypatch.setattr(gp, "GPLearner", lambda max_points: few(max_points=max_points // 20))

    def short(env, agent, **_):
        learned = learn(env, agent, trials=1, steps=2000)
        for trial in learned.trials:  # tests check annotations, and a record's NumPy rows are no JAX arrays
            trial.arrays.update({name: jnp.asarray(rows) for name, rows in trial.arrays.items()})
        return learned

    monkeypatch.setattr("handful.learning.learn", short)


@pytest.mark.parametrize(("code", "file"), [block for block in BLOCKS if block.values[1]])
def test_excerpts_are_those_of_their_files(code, file):
    """Apart from white space: ruff moves what can be parsed to the margin."""
    assert "".join(code.split()) in "".join((ROOT / file).read_text(encoding="utf-8").split())


@pytest.mark.compiles(200)  # pages compute without `jit`
@pytest.mark.parametrize(("code", "file"), [block for block in BLOCKS if not block.values[1]])
def test_python_blocks_define_what_they_use_and_run(code, file, small):
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


def test_the_tests_that_the_changes_name_are_there():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    there = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    names = re.findall(r"`(test_\w+)`", text)
    assert len(names) > 20
    assert [name for name in names if f"def {name}(" not in there] == []
    assert [
        path for path in re.findall(r"`((?:tests|benchmarks)/[\w/]+\.py)`", text) if not (ROOT / path).is_file()
    ] == []
