"""A model from a log, and the account of it: as a command and as functions."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from fitting import learner
from handful.cli import early, fit
from handful.data.loaders import load_log
from handful.errors import InputError
from handful.reports.model_report import calibrated, coarse, verdict, write_model_report
from handful.training.model_fit import ModelFolder, fit_model, plain_task, split_of
from probes import close

HORIZON = 5


def write_log(path, trials=4, steps=20):
    """Trials of a damped, pushed pair of numbers with noise, as a table."""
    rng = np.random.default_rng(9)
    lines = ["obs place [m],obs speed [m/s],action,trial"]
    for trial in range(trials):
        obs = rng.normal(0.3, 1.0, 2)
        for _ in range(steps + 1):
            action = rng.uniform(-1, 1.5)
            lines.append(",".join(map(str, [*obs, action, trial])))
            obs = obs + np.array([0.3 * obs[1], -0.2 * obs[0] + 0.8 * action]) + rng.normal(0, [0.05, 0.2])
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return write_log(tmp_path_factory.mktemp("log") / "pairs.csv")


@pytest.fixture(scope="module")
def made(log):
    """A fit, and its folder with the report."""
    data = load_log(log)
    one = fit_model(jax.random.key(1), learner(), plain_task(data), data.trials, horizon=HORIZON, particles=9)
    folder = ModelFolder(log.parent / "model")
    folder.save(one, {"model": "ensemble", "data": "pairs.csv", "timed": False, "notes": ["Said by the log."]})
    write_model_report(folder)
    return one, folder


def test_splits_are_whole_trials():
    assert dataclasses.astuple(split_of(range(11))) == ((0, 1, 2, 3, 5, 6, 7, 8), (10,), (4, 9))
    assert dataclasses.astuple(split_of([8, 2, 5])) == ((2,), (5,), (8,))
    assert dataclasses.astuple(split_of([8, 2])) == ((2,), (), (8,))
    assert dataclasses.astuple(split_of([8, 2, 5, 6], [2, 5])) == ((6,), (8,), (2, 5))
    for numbers, held_out, said in (([3], [], "one trial besides those"), ([1, 2], [5], r"among \[1, 2\], got \[5\]")):
        with pytest.raises(InputError, match=said):
            split_of(numbers, held_out)


def test_the_plain_task_is_read_off_the_log(log):
    task = plain_task(load_log(log))
    assert task.names == ("place [m]", "speed [m/s]")
    assert (task.horizon, task.dt, task.angles) == (20, 1.0, ())
    assert -1 <= task.low[0] < task.high[0] <= 1.5


def test_scores_of_the_folder_are_those_of_the_fit(made):
    one, folder = made
    told = folder.scores()
    assert told["split"] == {"training": [0, 1], "calibration": [2], "held_out": [3]}
    assert told["calibration"]["factor"] == one.calibration.factor
    assert float(one.model.factor) == pytest.approx(one.calibration.factor)
    for when, scores in (("before", one.before), ("after", one.after)):
        assert told[when]["one_step"]["nll"]["mean"] == pytest.approx(float(scores.one_step.nll.mean()))
        assert told[when]["one_step"]["coverage90"]["entries"] == scores.one_step.coverage[1].tolist()
        rollout = told[when]["rollout"]
        assert rollout["steps"] == [1, HORIZON]
        assert rollout["nrmse"]["entries"] == scores.rollout.nrmse[np.array([0, HORIZON - 1])].tolist()
        assert rollout["trust_horizon"] == one.trust(scores).steps <= scores.rollout.trust_horizon
    # One factor moves the spread by itself and leaves the mean one step ahead alone.
    before, after = one.before.one_step, one.after.one_step
    np.testing.assert_allclose(after.sharpness, one.calibration.factor * before.sharpness, rtol=1e-5)
    np.testing.assert_allclose(after.nrmse, before.nrmse, rtol=1e-5)


def test_the_held_out_trials_are_not_fitted_nor_calibrated_on(log, made):
    """Another held-out trial changes no weight and no factor."""
    data = load_log(log)
    trials = dict(data.trials)
    trials[3] = jax.tree.map(lambda leaf: leaf[::-1], trials[2])
    trials[3] = type(trials[3])(**(vars(trials[2]) | {"reward": trials[2].reward + 1}))
    again = fit_model(jax.random.key(1), learner(), plain_task(data), trials, horizon=HORIZON, particles=9)
    close(again.model, made[0].model, rtol=0, atol=0)
    assert not np.allclose(again.before.one_step.nll, made[0].before.one_step.nll)


def test_the_model_comes_back(log, made):
    one, folder = made
    back = folder.load(learner(), plain_task(load_log(log)))
    close(back, one.model, rtol=0, atol=0)
    with pytest.raises(InputError, match="another structure"):
        folder.load(learner(members=2), plain_task(load_log(log)))


def test_report(made):
    _, folder = made
    page = folder.report_path.read_text()
    pictures = ["calibration", "coverage", "forecast", "growth", "ranks", "uncertainty"]
    assert sorted(path.stem for path in (folder.path / "figures").iterdir()) == pictures
    for text in ("trust horizon", "Said by the log.", "ensemble of pairs.csv", "scored on trial 3", "speed [m/s]"):
        assert text in page
    assert 'src="http' not in page


def test_a_model_folder_is_told_from_others(made, tmp_path):
    assert ModelFolder.is_one(made[1].path)
    assert not ModelFolder.is_one(tmp_path)
    for text in ('{"task": "point-mass"}', "[1]", "{"):
        (tmp_path / "config.json").write_text(text)
        assert not ModelFolder.is_one(tmp_path)
    with pytest.raises(InputError, match="already holds a run or a model"):
        ModelFolder.check_free(tmp_path)


def test_the_verdict_names_the_limb_that_failed(made):
    told = made[1].scores()
    told["after"]["rollout"] |= {"trust_horizon": 2}
    for failed, entry, said in [
        (["coverage"], None, "contains less than 80% of the measurements"),
        (["unchanged"], 1, "predicts less than 50% of the squared change of speed [m/s]"),
        (["linear"], 0, "a linear model fitted to the same trials predicts more of the change of place [m]"),
    ]:
        told["after"]["rollout"]["trust"] = {"steps": 2, "failed": failed, "entry": entry}
        text = verdict(told, ("place [m]", "speed [m/s]"))
        assert text.startswith("To be trusted 2 steps ahead: 3 steps ahead ")
        assert said in text


def test_a_factor_at_the_limit_of_its_search_is_told(made):
    told = made[1].scores()
    assert "ran into its limit" not in calibrated(told)
    told["calibration"] |= {"factor": 0.1, "coverage": 1.0, "at_limit": True}
    assert "ran into its limit (0.1 to 10): the 90% band still contains 100% of trial 2" in calibrated(told)
    told["calibration"] = None
    assert calibrated(told) == ""


def test_a_note_says_what_few_particles_hide():
    assert coarse({"particles": 19}) == []
    assert (
        "of 9 particles are coarse: the 90% band counts 50% of the measurements beyond" in coarse({"particles": 9})[0]
    )


@pytest.mark.parametrize(("steps", "said"), [(0, "Not to be trusted"), (3, "To be trusted 3 steps"), (5, "over all 5")])
def test_verdict(made, steps, said):
    told = made[1].scores()
    told["after"]["rollout"]["trust_horizon"] = steps
    told["after"]["rollout"]["nrmse"]["mean"] = [0.4, 0.9]
    assert said in verdict(told)
    assert "its mean is no better" not in verdict(told)
    told["after"]["rollout"]["nrmse"]["mean"] = [1.2, None]
    assert ("From step 1 on its mean is no better" in verdict(told)) == (steps > 0)


def test_two_trials_are_scored_without_recalibration(tmp_path):
    data = load_log(write_log(tmp_path / "two.csv", trials=2))
    one = fit_model(jax.random.key(1), learner(), plain_task(data), data.trials, horizon=HORIZON, particles=9)
    assert one.calibration is None
    assert one.after is None
    assert float(one.model.factor) == 1
    folder = ModelFolder(tmp_path / "model")
    folder.save(one, {"model": "ensemble", "data": "two.csv", "timed": False, "notes": []})
    write_model_report(folder)
    assert "No trial was left to recalibrate on" in folder.report_path.read_text()
    assert folder.scores()["after"] is None


def test_scores_that_are_not_finite_are_told(made, tmp_path):
    """Null in the file, words in the report, and still a report."""
    import dataclasses

    import equinox as eqx

    one, _ = made
    bad = eqx.tree_at(lambda s: (s.nrmse, s.finite), one.after.rollout, (np.full((5, 2), np.inf), np.full(5, 0.75)))
    spoilt = dataclasses.replace(one, after=dataclasses.replace(one.after, rollout=bad))
    folder = ModelFolder(tmp_path / "model")
    folder.save(spoilt, {"model": "ensemble", "data": "x", "timed": True, "notes": []})
    assert folder.scores()["after"]["rollout"]["nrmse"]["mean"] == [None, None]
    write_model_report(folder)
    assert "25% of the particles became infinite or NaN" in folder.report_path.read_text()


def test_command(log, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fit, "_learner", lambda name, task: learner())
    options = fit.Fit(log, horizon=HORIZON, particles=9, seed=3, out=tmp_path / "out")
    fit.run(options)
    said = capsys.readouterr().out
    for text in ("one step ahead", "steps", "Every std was multiplied by", f"Report:       {tmp_path}/out/report.html"):
        assert text in said
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["kind"], config["seed"], config["horizon"], config["task"]) == ("model", 3, HORIZON, None)
    assert config["notes"] == ["No task is given, so no entry is treated as an angle, and time is counted in steps."]
    with pytest.raises(InputError, match="already holds"):
        fit.run(options)
    _, config = fit.fitted(dataclasses.replace(options, model="truth"), load_log(log))
    assert config["notes"][1:] == [fit.NOISELESS], "scores of a model without noise"


@pytest.mark.parametrize("model", ["linear", "gp"])
def test_a_model_is_fitted_told_and_no_run(model, handful, refused, tmp_path, contents):
    """The command itself: its folder, its report again, and the commands that want a run."""
    log, folder = write_log(tmp_path / "log.csv", trials=2, steps=8), tmp_path / "model"
    said = handful("fit", log, "--model", model, "--horizon", 3, "--particles", 4, "--out", folder)
    assert (said.code, said.err) == (0, "")
    assert f"Report:       {folder}/report.html" in said.out
    assert json.loads((folder / "config.json").read_text())["model"] == model
    assert all(np.isfinite(ModelFolder(folder).scores()["before"]["one_step"]["nll"]["entries"]))
    (folder / "report.html").unlink()
    said = handful("report", folder)
    assert (said.code, said.out, said.err) == (0, f"{folder}/report.html\n", "")
    assert f"{model} of" in (folder / "report.html").read_text()
    before = contents(folder)
    for words in (["evaluate", folder], ["train", "--resume", folder]):
        assert f"{folder} holds a model that `handful fit` made and no run" in refused(*words)
    assert contents(folder) == before


@pytest.mark.parametrize(("options", "said"), [
    ({"horizon": 0}, "--horizon must be at least 1"),
    ({"particles": 3}, "--particles must be at least 4"),
    ({"seed": -1}, "--seed must be between"),
    ({"task": "cartpole-swingup"}, "4 observations and 1 actions, and the data have 2 and 1"),
    ({"task": "nothing-known"}, "there is no task 'nothing-known'"),
    ({"held_out": (17,)}, r"among \[0, 1, 2, 3\], got \[17\]"),
    ({"model": "physics"}, "needs the equations of a task: give one with --task"),
])  # fmt: skip
def test_bad_options_are_refused_and_leave_nothing(log, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        fit.run(fit.Fit(log, out=tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()


def places(tmp_path):
    """Names that cannot be a folder to write into, with a part of what is said of each."""
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "figures").write_text("in the way")
    return {
        tmp_path / "file": "exists",
        tmp_path / "file" / "below": "Not a directory",
        tmp_path / ("x" * 300): "too long",
        tmp_path / "a\0b": "null",
        tmp_path / "inner": "in the way",
    }


def test_a_place_that_cannot_hold_a_model_is_refused_before_any_work(log, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "load_log", lambda path: pytest.fail("the data were read"))
    for place, said in places(tmp_path).items():
        with pytest.raises(InputError, match=said) as caught:
            fit.run(fit.Fit(log, out=place))
        assert "--out" in str(caught.value)
        assert "--resume" not in str(caught.value)
    before = sorted(tmp_path.iterdir())
    early.check(fit.Fit(log, out=tmp_path / "new" / "deep"))
    assert sorted(tmp_path.iterdir()) == before


def test_a_disk_that_fills_up_is_told_with_advice_for_a_fit(made, tmp_path, monkeypatch):
    def full(*arguments):
        raise InputError("x cannot be written; go on with --resume") from OSError(28, "No space left on device")

    monkeypatch.setattr("handful.training.model_fit.write_json", full)
    with pytest.raises(InputError, match=r"\(No space left on device\); make room, or fit again with another --out"):
        ModelFolder(tmp_path / "model").save(made[0], {"notes": []})


@pytest.mark.parametrize("words", [
    ["nothing.csv"], ["other.csv"], ["notes.txt"], ["pairs.csv", "--particles", "3"], ["pairs.csv", "--horizon", "0"],
    ["pairs.csv", "--out", "other.csv"], ["pairs.csv", "--model", "gpx"], ["pairs.csv", "--seed", "-1"],
])  # fmt: skip
def test_plain_faults_are_told_before_jax_is_imported(words, log, tmp_path):
    write_log(tmp_path / "pairs.csv", trials=2, steps=3)
    (tmp_path / "other.csv").write_text("time,place\n1,2\n")
    (tmp_path / "notes.txt").write_text("obs")
    script = (
        f"import os, sys; os.chdir({str(tmp_path)!r}); from handful.cli.main import main\n"
        f"try: code = main({['fit', *words]!r})\nexcept SystemExit as stop: code = stop.code\n"
        "print(code, 'jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    assert done.stderr.startswith("handful: ")
    assert done.stderr.count("\n") == 1


def test_fitted_parameters_are_printed(made, capsys, monkeypatch):
    _, folder = made
    parameters = {"mass [kg]": {"guess": 1.5, "prior_std": 0.45, "fitted": 1.25, "std": None}}
    monkeypatch.setattr(folder, "scores", lambda: made[1].__class__.scores(folder) | {"parameters": parameters})
    fit._present(folder)
    assert re.search(r"mass \[kg\] +1.5 +0.45 +1.25 +none", capsys.readouterr().out)


@pytest.mark.parametrize(("name", "spoil"), [
    ("scores.json", lambda content: content | {"split": [1]}),
    ("scores.json", lambda content: content | {"before": None}),
    ("scores.json", lambda content: {name: content[name] for name in content if name != "errors"}),
    ("scores.json", lambda content: content | {"trusted_coverage": "much"}),
    ("scores.json", lambda content: content | {"errors": content["errors"] | {"linear": [[1.0]]}}),
    ("config.json", lambda content: content | {"names": ["one"]}),
    ("config.json", lambda content: content | {"dt": [[]]}),
])  # fmt: skip
def test_a_model_folder_of_another_form_is_one_sentence(name, spoil, made, tmp_path):
    folder = ModelFolder(Path(shutil.copytree(made[1].path, tmp_path / "model")))
    content = json.loads((folder.path / name).read_text())
    (folder.path / name).write_text(json.dumps(spoil(content)))
    with pytest.raises(InputError, match="fit the model again"):
        write_model_report(folder)


def test_brackets_nested_without_end_are_damage(made, tmp_path):
    folder = ModelFolder(Path(shutil.copytree(made[1].path, tmp_path / "model")))
    (folder.path / "scores.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="missing or damaged"):
        write_model_report(folder)
    folder.config_path.write_text("[" * 100_000)
    assert not ModelFolder.is_one(folder.path)
