"""The examples in docstrings are run, and say what they show."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src"
SHOWING = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted(ROOT.rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", SHOWING)
def test_the_examples_of_a_module_give_what_they_say(name):
    module = importlib.import_module(name)
    found = [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]
    assert found, f"{name} shows an example where no docstring can be found"
    said = []
    for test in found:
        doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert said == [], "".join(said)
