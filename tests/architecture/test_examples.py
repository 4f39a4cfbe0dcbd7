"""The examples in docstrings and in `examples/` are run, and show what they say."""

import doctest
import importlib
import importlib.util
import sys
from pathlib import Path

import pytest

from handful.envs.loading import load

ROOT = Path(__file__).parents[2] / "src"
SHOWING = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted(ROOT.rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.smoke
@pytest.mark.parametrize("name", SHOWING)
def test_the_examples_of_a_module_give_what_they_say(name):
    module = importlib.import_module(name)
    found = [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]
    assert found, f"{name} shows an example where no docstring can be found"
    said = []
    for test in found:
        doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert said == [], "".join(said)


EXAMPLES = sorted((ROOT.parent / "examples").glob("[0-9]*.py"))
SMALL = {"5_own_agent": {"steps": 1600}, "8_train_in_one_call": {"updates": 5}}  # arguments of `main`
ENVIRONMENTS = {"1_own_environment": "TwoTanks", "2_own_gymnasium": "Crane"}


def test_examples_are_numbered_and_short():
    assert [path.stem.split("_")[0] for path in EXAMPLES] == [str(number + 1) for number in range(len(EXAMPLES))]
    assert [path.name for path in EXAMPLES if len(path.read_text().splitlines()) >= 80] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, capsys):
    if path.stem in ENVIRONMENTS:
        load(f"{path}:{ENVIRONMENTS[path.stem]}")  # which takes a first step
        return
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    module.main(**SMALL.get(path.stem, {"trials": 1}))
    out = capsys.readouterr().out
    assert out
    assert "nan" not in out
