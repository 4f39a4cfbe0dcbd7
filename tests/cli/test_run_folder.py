"""What a finished run leaves behind, and what `--resume`, `evaluate` and `report` make of it."""

import csv
import itertools
import json
import random

import numpy as np
import pytest

import handful as library
from handful.errors import InputError
from handful.training import checkpoint
from handful.training.run import RunFolder

COLUMNS = "trial,env_steps,return,planned_return,model_nll,model_rmse,plan_ms_p50,plan_ms_p99,fit_s,wall_s"
KEYS = (
    "task agent seed trials env_steps returns best_return last_return solved_at_trial wall_s compile_s device versions"
)


@pytest.mark.smoke
def test_metrics(made):
    lines = (made / "metrics.csv").read_text().splitlines()
    assert lines[0] == COLUMNS
    rows = [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(lines)]
    assert [row["trial"] for row in rows] == [0, 1, 2]
    assert [row["env_steps"] for row in rows] == [50, 100, 150]
    assert lines[1].split(",")[3:8] == [""] * 5  # the random trial has no model and no plan
    assert all(np.isfinite(list(row.values())).all() for row in rows[1:])
    assert all(one["wall_s"] < other["wall_s"] for one, other in itertools.pairwise(rows))


def test_planned_return_is_the_mean_planned_reward_a_step_times_the_steps(made):
    folder = RunFolder.open(made)
    arrays = folder.trial(2)
    horizon = arrays["plan"].shape[1]
    assert horizon == 5
    expected = arrays["planned_return"].astype(float).mean() / horizon * len(arrays["reward"])
    assert folder.rows()[2].metrics["planned_return"] == pytest.approx(expected, rel=1e-6)


def test_summary(made):
    summary = json.loads((made / "summary.json").read_text())
    returns = [float(row["return"]) for row in csv.DictReader((made / "metrics.csv").read_text().splitlines())]
    assert set(KEYS.split()) <= set(summary)
    assert (summary["task"], summary["agent"], summary["seed"]) == ("point-mass", "pets", 0)
    assert (summary["trials"], summary["env_steps"], summary["solved_at_trial"]) == (2, 150, None)
    assert summary["returns"] == returns
    assert (summary["best_return"], summary["last_return"]) == (max(returns), returns[-1])
    assert {"handful", "python", "jax", "numpy"} <= set(summary["versions"])


def test_files(made):
    assert {path.name for path in made.iterdir()} == {
        "config.json", "metrics.csv", "summary.json", "checkpoints", "figures", "videos", "report.html"
    }  # fmt: skip
    assert {path.name for path in (made / "checkpoints").iterdir()} == {
        "state.npz", "trial-000.npz", "trial-001.npz", "trial-002.npz"
    }  # fmt: skip
    assert {path.suffix for path in (made / "figures").iterdir()} == {".png"}
    assert 'src="http' not in (made / "report.html").read_text()


def test_the_configuration_repeats_the_run(made, handful, tmp_path):
    config = json.loads((made / "config.json").read_text())
    words = words_of({"agent": config["agent"], "seed": 0, "trials": 2, **config["options"]})
    assert handful("train", config["task"], *words, "--out", tmp_path / "again").code == 0
    again = json.loads((tmp_path / "again" / "config.json").read_text())
    assert len(again.pop("given")) > len(config.pop("given"))
    assert again == config
    assert untimed(tmp_path / "again") == untimed(made)
    one, other = (checkpoint.load_arrays(run / "checkpoints" / "state.npz") for run in (made, tmp_path / "again"))
    assert one[0].keys() == other[0].keys()
    assert all(one[0][name].tobytes() == other[0][name].tobytes() for name in one[0])  # nothing of the clock is in it


def words_of(options):
    """A command line that gives each option, except those that are off."""
    flags = {f"--{name.replace('_', '-')}": value for name, value in options.items() if value is not None}
    words = []
    for flag, value in flags.items():
        if flag == "--paper":
            continue
        words += [flag, *map(str, value if isinstance(value, list) else [value])]
    return words


def test_a_finished_run_only_gets_its_report_again(finished, handful, contents):
    before = contents(finished)
    (finished / "report.html").unlink()
    said = handful("train", "--resume", finished)
    assert (said.code, said.err) == (0, "")
    after = contents(finished)
    assert (finished / "report.html").stat().st_size > 10_000
    kept = [name for name in before if name != "report.html" and not name.startswith(("figures", "videos"))]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


def test_report_is_made_again(finished, handful):
    (finished / "report.html").unlink()
    said = handful("report", finished)
    assert (said.code, said.out, said.err) == (0, f"{finished}/report.html\n", "")


def test_more_trials_go_on_from_the_last(finished, handful):
    before = (finished / "metrics.csv").read_text()
    said = handful("train", "--resume", finished, "--trials", 3)
    assert (said.code, said.err) == (0, "")
    assert "trial  3" in said.out
    assert "trial  2" not in said.out
    assert (finished / "metrics.csv").read_text().startswith(before)
    assert json.loads((finished / "summary.json").read_text())["trials"] == 3
    assert json.loads((finished / "config.json").read_text())["trials"] == 3


def test_evaluate_is_repeatable_and_changes_nothing(finished, handful, contents):
    before = contents(finished)
    one, other = (handful("evaluate", finished, "--episodes", 3) for _ in range(2))
    assert (one.code, one.err) == (0, "")
    assert one.out == other.out
    each = [float(word) for word in one.out.splitlines()[-1].removeprefix("each: ").split()]
    assert len(set(each)) == 3
    assert f"return {np.mean(each):.1f}" in one.out
    assert contents(finished) == before


def edited(change):
    def edit(run):
        path = run / "config.json"
        config = json.loads(path.read_text())
        change(config)
        path.write_text(json.dumps(config))

    return edit


def cut(run):
    path = run / "checkpoints" / "state.npz"
    path.write_bytes(path.read_bytes()[:-1000])


def flipped(run):
    path = run / "checkpoints" / "state.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


DAMAGES = {
    "another version": (edited(lambda c: c.update(handful="0.0.1")), ["0.0.1", "version"]),
    "no option": (edited(lambda c: c["options"].pop("horizon")), ["'horizon'", "config.json"]),
    "an option of another type": (edited(lambda c: c["options"].update(members="two")), ["'members'", "config.json"]),
    "no choice": (edited(lambda c: c["options"].update(propagation="on")), ["'propagation'", "config.json"]),
    "no planner": (
        edited(lambda c: c["options"].update(planner="nelder")),
        ["'planner' is 'nelder' there", "changed since"],
    ),
    "no agent": (edited(lambda c: c.update(agent="nelder")), ["'agent' is 'nelder' there", "changed since"]),
    "no options": (edited(lambda c: c.pop("options")), ["config.json"]),
    "another option": (edited(lambda c: c["options"].update(horizons=3)), ["'horizons'", "config.json"]),
    "another structure": (
        edited(lambda c: c["options"].update(members=1)),
        ["'members'", "changed since the run began"],
    ),
    "half a configuration": (lambda run: (run / "config.json").write_text('{"task": "poi'), ["config.json", "damaged"]),
    "a list": (lambda run: (run / "config.json").write_text("[1, 2]"), ["config.json", "damaged"]),
    "bytes": (lambda run: (run / "config.json").write_bytes(b"\xff\x00\xfe"), ["config.json", "damaged"]),
    "trials that are no number": (edited(lambda c: c.update(trials="x")), ["'trials'", "restore it"]),
    "no state": (lambda run: (run / "checkpoints" / "state.npz").unlink(), ["state.npz", "missing", "restore it"]),
    "half a state": (cut, ["state.npz", "damaged"]),
    "a flipped bit": (flipped, ["state.npz", "damaged"]),
    "an empty state": (lambda run: (run / "checkpoints" / "state.npz").write_bytes(b""), ["state.npz", "damaged"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_left_as_it_is(damage, finished, refused, contents):
    spoil, parts = DAMAGES[damage]
    spoil(finished)
    before = contents(finished)
    sentence = refused("train", "--resume", finished)
    assert all(part in sentence for part in parts), sentence
    assert contents(finished) == before


@pytest.mark.parametrize("command", [["evaluate"], ["train", "--resume"]])
def test_a_run_whose_agent_was_made_in_python_goes_on_there(command, refused, contents, tmp_path):
    agent = library.MPCAgent(library.LinearLearner(), library.CEM(horizon=2, candidates=10), library.TSInf(1))
    library.learn("point-mass", agent, trials=0, out=tmp_path / "run")
    before = contents(tmp_path)
    sentence = refused(*command, tmp_path / "run")
    assert f"the agent of {tmp_path}/run was made in Python" in sentence
    assert "load it there" in sentence
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--trials", "1"], "2 trials"),
        (["--horizon", "9"], "--horizon"),
        (["--fit-steps", "9", "--planner", "cem"], "--fit-steps, --planner"),
        (["--out", "elsewhere"], "--out"),
    ],
)
def test_a_run_goes_on_with_its_own_options(words, part, finished, refused, contents):
    before = contents(finished)
    assert part in refused("train", "--resume", finished, *words)
    assert contents(finished) == before


def test_any_flipped_bit_is_noticed_or_harmless(made, tmp_path):
    """240 flips, half of them in the zip's own tables at the end, where no checksum watches."""
    path = tmp_path / "state.npz"
    whole = (made / "checkpoints" / "state.npz").read_bytes()
    arrays, header = checkpoint.load_arrays(made / "checkpoints" / "state.npz")
    draw, noticed = random.Random(4), 0
    for index in range(240):
        place = draw.randrange(len(whole) if index % 2 else 4000)
        data = bytearray(whole)
        data[-1 - place] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        try:
            got, told = checkpoint.load_arrays(path)
        except InputError:
            noticed += 1
            continue
        assert told == header
        assert got.keys() == arrays.keys()
        assert all(got[name].tobytes() == arrays[name].tobytes() for name in arrays)
    assert noticed > 100


def untimed(run):
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    times = {"plan_ms_p50", "plan_ms_p99", "fit_s", "wall_s"}
    return [{name: value for name, value in row.items() if name not in times} for row in rows]
