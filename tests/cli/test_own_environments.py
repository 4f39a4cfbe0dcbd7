"""A newcomer's own environment learns by one command, and nothing is lost when it fails on the way."""

import csv
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "2_own_gymnasium.py"
SMALL = ["--model", "linear", "--horizon", "12", "--candidates", "40", "--iterations", "2", "--trials", "1"]

FAILING = """

class Failing(Crane):
    trial, time = -2, 0  # the first reset tries the functions beside it

    def reset(self, **rest):
        self.trial, self.time = self.trial + 1, 0
        return super().reset(**rest)

    def step(self, action):
        self.time += 1
        if self.trial == 1 and self.time == 57:
            raise OSError("cable out")
        return super().step(action)
"""


def test_the_example_is_short():
    assert len(EXAMPLE.read_text().splitlines()) <= 40


@pytest.mark.compiles(150)
def test_the_example_learns_and_what_it_learned_outlives_a_step_that_raises(handful, tmp_path):
    """Step 57 of its first controlled trial raises; the run goes on from what it has, and learns."""
    run, own = tmp_path / "run", tmp_path / "own.py"
    own.write_text(EXAMPLE.read_text() + FAILING)
    said = handful("train", f"{own}:Failing", *SMALL, "--out", run)
    assert said.code == 2
    line = 1 + own.read_text().splitlines().index('            raise OSError("cable out")')
    assert said.err.startswith(
        f"handful: {own}:{line}: the environment raised OSError (cable out) at step 57 of a trial; the steps up to "
        f"there are kept in {run}/checkpoints/interrupted-000.csv"
    )
    assert len((run / "checkpoints" / "interrupted-000.csv").read_text().splitlines()) == 1 + 56
    kept = rows(run)
    data = (run / "checkpoints" / "trial-000.npz").read_bytes()
    assert len(kept) == 1  # the random trial
    assert handful("train", "--resume", run).code == 0  # its next trial is the first after a reset: it does not raise
    random, learned = rows(run)
    assert random.items() >= kept[0].items()
    assert (run / "checkpoints" / "trial-000.npz").read_bytes() == data
    assert (
        float(learned["return"]) > float(random["return"]) + 20
    )  # of about 85 that can be had, where nothing earns 2 and random actions 17


def rows(run):
    return list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
