import base64
import dataclasses
import html
import io
import json
import math
import re
import shlex

import numpy as np
import pytest
from PIL import Image

from handful.agents.catalogue import AGENTS
from handful.envs.point_mass import PointMass
from handful.errors import InputError
from handful.reports import canvas, run_report
from handful.reports.moving_picture import moving_picture
from handful.reports.page import Picture
from handful.reports.record import read
from handful.reports.run_figures import learning_curve, other_metrics
from handful.reports.run_report import command, write_report
from handful.reports.trial_figures import traces
from handful.reports.wording import number
from handful.training.film import film_path, gif
from handful.training.run import Row, RunFolder, columns_of, table_of

FIGURES = {
    "learning-curve", "planned-first", "planned-best", "planned-last", "planned-by-trial", "traces-best", "traces-last",
    "forecast-first", "forecast-last", "coverage", "model-scores", "planning-time", "wall-time",
}  # fmt: skip


def page_of(folder):
    return folder.report_path.read_text()


def text_of(folder):
    """What a reader reads."""
    body = page_of(folder).split("<body>")[1]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", body)))


def files_of(folder):
    return sorted(str(path.relative_to(folder.path)) for path in folder.path.rglob("*") if path.is_file())


def figures_of(folder):
    return {path.stem for path in (folder.path / "figures").iterdir()}


def reported(folder):
    write_report(folder)
    return folder


def test_nothing_on_the_page_comes_from_elsewhere(run):
    page = page_of(run)
    assert "http:" not in page
    assert "https:" not in page
    assert not re.search(r"<(script|link|iframe|object|embed)\b|@import|url\(|srcset", page)
    sources = re.findall(r"""src=["']?([^"'>]{0,30})""", page)
    assert len(sources) == len(figures_of(run)) + 1
    assert all(source.startswith(("data:image/png;base64,", "data:image/gif;base64,")) for source in sources)


def test_every_picture_is_a_file_and_the_same_on_the_page(run):
    best = max(range(4), key=lambda trial: run.trial(trial)["reward"].sum())
    missing = {"planned-best"} if best == 1 else {"planned-last", "traces-last"} if best == 3 else set()
    missing |= {"planned-best"} if best == 0 else set()
    assert figures_of(run) >= FIGURES - missing
    found = re.findall(r'<figure id="([^"]+)"><img alt="([^"]+)" src="data:image/(\w+);base64,([^"]+)"', page_of(run))
    assert len(found) == len(figures_of(run)) + 1
    for name, alternative, kind, data in found:
        folder = "videos" if kind == "gif" else "figures"
        written = (run.path / folder / f"{name}.{kind}").read_bytes()
        assert base64.b64decode(data) == written
        assert alternative
        image = Image.open(io.BytesIO(written))
        image.load()
        # a figure is 520 CSS pixels wide, at two of its own to each
        assert image.width == (320 if kind == "gif" else 1040)
        assert len(np.unique(np.asarray(image.convert("L")))) > 5  # something is drawn


def test_the_animation_is_of_the_best_trial(run):
    best = max(range(4), key=lambda trial: run.trial(trial)["reward"].sum())
    with Image.open(run.path / "videos" / "best-trial.gif") as image:
        assert image.n_frames == len(run.trial(best)["reward"]) + 1
        image.seek(image.n_frames - 1)
        shown = np.asarray(image.convert("RGB"), int)
    differences = [
        np.abs(shown - PointMass().draw(run.trial(trial)["next_obs"][-1]).astype(int)).mean() for trial in range(4)
    ]
    assert np.argmin(differences) == best


def test_all_metrics_are_in_the_table(run):
    table = page_of(run).split("<table>")[1].split("</table>")[0]
    rows = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in table.split("<tr>")[1:]]
    assert rows[0] == [
        "trial",
        "env_steps",
        "return",
        "planned_return",
        "model_nll",
        "model_rmse",
        "plan_ms_p50",
        "plan_ms_p99",
        "fit_s",
        "wall_s",
    ]
    assert len(rows) == 5
    for cells, line in zip(rows[1:], table_of(run.rows())[1], strict=True):
        for cell, value in zip(cells, line, strict=True):
            if value is None:
                assert cell == ""
            else:
                assert float(cell.replace("\N{MINUS SIGN}", "-")) == pytest.approx(value, rel=5.1e-4)  # four figures


def test_the_headline_says_how_it_went(run):
    rows, text = run.rows(), text_of(run)
    returns = [row.return_ for row in rows]
    first = next(row for row in rows if row.return_ >= 20.0)
    assert f"Solved at trial {first.trial}, after {first.env_steps} steps ({number(first.env_steps * 0.1)} s of" in text
    assert f"best return {number(max(returns))} trial {np.argmax(returns)}" in text
    assert f"last return {number(returns[-1])} trial 3" in text
    assert "interaction 92 steps 9.2 s" in text
    assert "wall time 9.5 s the last session compiled for 1.5 s" in text
    assert "agent pets, seed 5, 3 trials after a random trial, on an abacus, 13 beads" in text
    assert "jax 0.0.7" in text


def test_twice_is_the_same(run, make_run, tmp_path):
    again = reported(make_run(tmp_path / "again", 3))
    before = files_of(again)
    pictures = {path.name: path.read_bytes() for path in (again.path / "figures").iterdir()}
    write_report(again)
    assert files_of(again) == before
    assert {path.name: path.read_bytes() for path in (again.path / "figures").iterdir()} == pictures


def test_a_run_of_the_random_trial_alone(make_run, tmp_path):
    folder = reported(make_run(tmp_path / "run", 0))
    assert figures_of(folder) == {"learning-curve", "traces-best", "wall-time"}
    assert (folder.path / "videos" / "best-trial.gif").exists()
    assert "No trial was controlled by a planner yet" in text_of(folder)
    assert "a random trial" in text_of(folder)


def test_a_run_of_one_trial(make_run, tmp_path):
    def better(trial, arrays):
        arrays["reward"] += 3 * trial

    folder = reported(make_run(tmp_path / "run", 1, edit=better))
    # the trial is the first, the best and the last one, and is drawn once
    assert figures_of(folder) == FIGURES - {"planned-best", "planned-last", "traces-last", "forecast-last"}
    assert "1 trial after a random trial" in text_of(folder)


def test_an_interrupted_run(make_run, tmp_path):
    folder = make_run(tmp_path / "run", 2, summary=False)
    folder.trial_path(1).write_bytes(b"half of a file")
    folder.save_trial(3, folder.trial(2))  # begun, not finished
    text = text_of(reported(folder))
    assert f"handful train --resume {folder.path}" in text
    assert "Trial 1 is in the metrics only" in text
    assert "not recorded" in text
    assert "zero action" not in text
    assert "Solved at trial 0" in text  # by what the library knows of the task
    assert "3 trials" not in text


def test_no_trial_yet(tmp_path):
    folder = RunFolder.create(tmp_path / "run", {"task": "point-mass", "seed": 0})
    before = files_of(folder)
    with pytest.raises(InputError, match="no finished trial yet"):
        write_report(folder)
    assert files_of(folder) == before


def test_numbers_that_are_not_finite(make_run, tmp_path):
    def spoil(trial, arrays):
        arrays["obs"][4, 1] = np.nan
        arrays["next_obs"][-1, 2] = np.inf
        if trial == 0:
            arrays["reward"][3] = np.nan
        if trial == 1:
            arrays["fan_obs"][1, 2] = np.inf
            arrays["fan_obs"][2] = np.nan
            arrays["planned_return"][2:5] = -np.inf
            arrays["planned_std"][:] = np.nan
        if trial == 2:
            arrays["fan_obs"][:] = np.nan
            arrays["planned_return"][:] = -np.inf

    folder = reported(make_run(tmp_path / "run", 2, edit=spoil))
    assert {"forecast-first", "forecast-last", "planned-by-trial", "coverage"} <= figures_of(folder)
    assert "not finite" in text_of(folder)
    assert read(folder).best.trial != 0


def test_every_forecast_lost(make_run, tmp_path):
    def early(trial, arrays):
        if trial:
            arrays["fan_starts"], arrays["fan_obs"] = arrays["fan_starts"][:0], arrays["fan_obs"][:0]

    folder = reported(make_run(tmp_path / "run", 2, edit=early, terminated=True))
    assert not {"forecast-first", "coverage"} & figures_of(folder)
    assert "model-scores" in figures_of(folder)
    assert "No trial holds forecasts" in text_of(folder)


@pytest.mark.parametrize("obs_size", [1, 20])
def test_a_task_that_cannot_be_loaded_any_more(obs_size, make_run, tmp_path):
    name = str(tmp_path / "gone.py:Thing")
    folder = reported(make_run(tmp_path / "run", 2, task=name, summary=False, obs_size=obs_size, action_size=8))
    text = text_of(folder)
    assert "The task cannot be loaded here" in text
    assert "No solved threshold is defined for this task" in text
    assert "There is no animation" in text
    assert "Of 8 actions the first 6 are shown" in text
    assert ("Of 20 entries the first 12 are shown" in text) == (obs_size == 20)
    assert text.startswith(" gone.py:Thing")
    assert not (folder.path / "videos" / "best-trial.gif").exists()
    panels = min(obs_size, 12)
    with Image.open(folder.path / "figures" / "forecast-first.png") as image:
        assert image.height == pytest.approx(200 * (1.13 + panels * 1.39), abs=2)  # 1.39 inches a panel


def test_a_hosted_environment_has_no_animation(make_run, tmp_path):
    folder = reported(make_run(tmp_path / "run", 1, task="gymnasium:Pendulum-v1", obs_size=3, action_size=1))
    text = text_of(folder)
    assert "cannot be drawn" in text
    assert not (folder.path / "videos" / "best-trial.gif").exists()
    assert "sizes" not in text
    assert "interaction 46 steps 2.3 s" in text  # 46 steps of 0.05 s


def test_a_hosted_environment_shows_the_film_that_was_taken(make_run, tmp_path):
    """Of the best trial, and of another only where there is none of that."""
    folder = make_run(tmp_path / "run", 2, task="gymnasium:Pendulum-v1", obs_size=3, action_size=1)
    best = read(folder).best.trial
    other = (best + 1) % 3
    films = {trial: gif([np.full((9, 12, 3), 60 * trial, np.uint8)] * 2, [0, 4], 0.05) for trial in (best, other)}
    film_path(folder.path, other).write_bytes(films[other])
    (picture,) = moving_picture(read(folder))
    assert picture.data == films[other]
    assert picture.caption.startswith(f"Trial {other}; the best, {best}, was not filmed")
    film_path(folder.path, best).write_bytes(films[best])
    assert "The best trial, number" in text_of(reported(folder))
    assert base64.b64encode(films[best]).decode() in page_of(folder)
    assert film_path(folder.path, best).read_bytes() == films[best]


def test_a_task_that_has_changed_since(make_run, tmp_path):
    text = text_of(reported(make_run(tmp_path / "run", 1, obs_size=5)))
    assert "The task has other sizes now" in text
    assert "There is no animation" in text


def test_what_cannot_be_written_is_refused(make_run, tmp_path):
    folder = make_run(tmp_path / "run", 1)
    (folder.path / "figures").rmdir()
    (folder.path / "figures").write_text("in the way")
    with pytest.raises(InputError, match="figures"):
        write_report(folder)
    assert not folder.report_path.exists()


def test_names_are_escaped(make_run, tmp_path):
    folder = reported(make_run(tmp_path / "run", 0, task="<b>&\"'.py:Env"))
    assert "<b>" not in page_of(folder)
    assert '"task": "<b>&\\"' in text_of(folder)


def test_the_command_makes_the_same_configuration():
    from handful.cli.main import _parse
    from handful.cli.train_options import given_of, options_for

    for agent, own in {
        "pets": {"members": 3, "propagation": "ts1", "paper": True, "risk": -0.5, "bootstrap": False},
        "ppo": {"hidden": (8, 4), "anneal_learning_rate": False, "normalise_obs": True, "steps": 300},
    }.items():
        kind, of_agent = options_for(["--agent", agent]), AGENTS[agent].options(**own)
        assert given_of(of_agent) == own
        options = kind(task="a task.py:Env", agent=agent, trials=3, seed=7, float64=True, own=of_agent)
        config = {
            "handful": "0.1.0",
            **vars(options),
            "own": None,
            "given": own,
            "options": dataclasses.asdict(of_agent),
        }
        words = shlex.split(command(json.loads(json.dumps(config))))
        assert words[:2] == ["handful", "train"]
        assert _parse(kind, "train", words[2:]) == options
        assert ("--agent" in words) == (agent != "pets")
        assert "--planner" not in words


def test_numbers_in_words():
    assert [number(value) for value in (None, math.nan, -math.inf, -12.3456, 0.00012346)] == [
        "none", "not finite", "not finite", "\N{MINUS SIGN}12.35", "0.0001235",
    ]  # fmt: skip


def test_a_figure_is_a_function_and_a_line(make_run, tmp_path, monkeypatch):
    def rewards(record):
        figure, (ax,) = canvas.sheet("Rewards of the last trial", [""], record.labels.time)
        ax.plot(record.trials[record.last.trial]["reward"])
        yield Picture.drawn("rewards", figure, "One figure more.")

    monkeypatch.setitem(run_report.SECTIONS, "More", (rewards,))
    folder = reported(make_run(tmp_path / "run", 1))
    assert "rewards" in figures_of(folder)
    assert "One figure more." in text_of(folder)


def test_metrics_of_any_name_have_a_curve_over_trials(make_run, tmp_path):
    """Of an agent that learns trial by trial, whatever it reports of its updates; those with figures are left out."""

    def told(trial, arrays):
        arrays["update_zeal"] = np.array([1.5, 4.5]) * trial
        arrays["update_model_nll"] = np.array([9.0])

    record = read(make_run(tmp_path / "run", 2, edit=told))
    _, picture = other_metrics(record)
    (ax,) = picture.content.axes
    assert ax.get_title(loc="left") == "zeal"
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0, 0], [1, 3], [2, 6]])


def test_columns_are_those_that_the_agent_declares():
    row = Row(trial=3, env_steps=50, return_=1.5, metrics={"zeal": 2.5, "kl": None}, fit_s=0.5, wall_s=7.0)
    assert list(columns_of(row).items()) == [
        ("trial", 3), ("env_steps", 50), ("return", 1.5), ("zeal", 2.5), ("kl", None), ("fit_s", 0.5), ("wall_s", 7.0)
    ]  # fmt: skip


SYSTEM = {
    "names": ["place [m]", "tilt [rad]", "speed [m/s]", "turn [rad/s]"], "angles": [1], "dt": 0.25, "horizon": 23,
    "discount": 0.9, "low": [-4.0, None], "high": [4.5, 6.0], "categorical": False, "hosted": False,
}  # fmt: skip


def recorded(folder, **system):
    """The run with what its system is in its configuration, as training leaves it."""
    folder.write_config(folder.config() | {"system": SYSTEM | system})
    return folder


def rig(tmp_path):
    """The name of a task whose file says that it was run."""
    (tmp_path / "rig.py").write_text("raise SystemExit('the code of a run was executed')")
    return f"{tmp_path}/rig.py:Rig"


def test_a_report_knows_the_system_from_the_run_and_runs_no_code_of_the_user(make_run, tmp_path):
    folder = recorded(make_run(tmp_path / "run", 2, task=rig(tmp_path)))
    (folder.path / "videos" / "best-trial.gif").write_bytes(gif([np.full((9, 12, 3), 70, np.uint8)] * 2, [0, 4], 0.25))
    kept = (folder.path / "videos" / "best-trial.gif").read_bytes()
    record = read(reported(folder))
    assert (record.labels.names, record.labels.angles, record.labels.unit) == (tuple(SYSTEM["names"]), (1,), "s")
    assert (record.discount, record.categorical, record.hosted) == (0.9, False, False)
    assert (record.system.low, record.system.high) == ((-4.0, -math.inf), (4.5, 6.0))
    assert record.notes == []
    assert "interaction 69 steps 17.25 s" in text_of(folder)
    assert "There is no animation" not in text_of(folder)
    assert (folder.path / "videos" / "best-trial.gif").read_bytes() == kept
    assert base64.b64encode(kept).decode() in page_of(folder)


def test_a_report_from_elsewhere_is_the_same(make_run, tmp_path, monkeypatch):
    """The task is named by a path that only leads somewhere from the first directory."""
    rig(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    folder = recorded(make_run(tmp_path / "run", 1, task="rig.py:Rig"))
    monkeypatch.chdir(tmp_path)
    before = page_of(reported(folder))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert page_of(reported(folder)) == before


def test_a_better_report_is_not_written_over(make_run, tmp_path):
    folder = make_run(tmp_path / "run", 1, task=rig(tmp_path))
    folder.report_path.write_text("made where the task was known")
    with pytest.raises(InputError, match="is kept as it is"):
        write_report(folder)
    assert page_of(folder) == "made where the task was known"


@pytest.mark.parametrize("wrong", [
    {"names": "x"}, {"names": [1, 2, 3, 4]}, {"angles": [9]}, {"dt": 0}, {"dt": "0.1"}, {"low": [1.0]}, {"hosted": 1},
    {"categorical": None}, {"horizon": 1.5}, {"low": [[1.0], 2.0]},
])  # fmt: skip
def test_a_system_of_another_form_is_one_sentence(wrong, make_run, tmp_path):
    folder = recorded(make_run(tmp_path / "run", 0), **wrong)
    with pytest.raises(InputError, match=r"'system' of config\.json"):
        write_report(folder)


def reshaped(name, value):
    def edit(trial, arrays):
        if trial == 1:
            arrays[name] = value(arrays[name])

    return edit


@pytest.mark.parametrize("edit", [
    reshaped("obs", lambda x: x[:, 0]),
    reshaped("obs", lambda x: x[:5]),
    reshaped("obs", lambda x: x[:, :0]),
    reshaped("action", lambda x: x[..., None]),
    reshaped("reward", lambda x: x[:, None]),
    reshaped("next_obs", lambda x: x.astype(str)),
    reshaped("terminated", lambda x: x[:1]),
    reshaped("plan", lambda x: x[0]),
    reshaped("plan", lambda x: x[:, :0]),
    reshaped("planned_std", lambda x: x[:2]),
    reshaped("fan_obs", lambda x: x[:, :, 0]),
    reshaped("fan_obs", lambda x: x[:, :0]),
    reshaped("fan_starts", lambda x: x + 1000),
    reshaped("fan_starts", lambda x: x - 1),
    reshaped("fan_starts", lambda x: x.astype(float)),
])  # fmt: skip
def test_a_trial_of_another_shape_is_left_out_with_a_note(edit, make_run, tmp_path):
    record = read(make_run(tmp_path / "run", 2, edit=edit))
    assert sorted(record.trials) == [0, 2]
    (note,) = record.notes
    assert note.startswith("Trial 1 is in the metrics only: ")


def test_trials_of_other_sizes_than_most_are_left_out(make_run, tmp_path):
    folder = make_run(tmp_path / "run", 2)
    folder.save_trial(2, make_run(tmp_path / "other", 2, obs_size=7).trial(2))
    record = read(reported(folder))
    assert sorted(record.trials) == [0, 1]
    assert "Trial 2 is in the metrics only" in record.notes[0]


@pytest.mark.parametrize(("file", "content"), [
    ("config.json", {"task": 5}), ("config.json", {"task": "point-mass", "updates": "many"}),
    ("config.json", {"task": "point-mass", "options": [1]}), ("summary.json", {"baselines": [1, 2]}),
    ("summary.json", {"baselines": {"random": [[1]]}}), ("summary.json", {"solved_return": "high"}),
    ("summary.json", {"parameters": {"mass": 3}}), ("summary.json", {"versions": "all"}),
])  # fmt: skip
def test_a_file_of_another_form_is_one_sentence(file, content, make_run, tmp_path):
    folder = make_run(tmp_path / "run", 1)
    (folder.path / file).write_text(json.dumps(content))
    with pytest.raises(InputError, match=file):
        write_report(folder)


@pytest.mark.parametrize("file", ["config.json", "summary.json"])
def test_brackets_nested_without_end_are_damage(file, make_run, tmp_path):
    folder = make_run(tmp_path / "run", 0)
    (folder.path / file).write_text("[" * 100_000)
    with pytest.raises(InputError, match="missing or damaged"):
        write_report(folder)


def test_a_value_that_is_far_too_large_leaves_the_others_to_be_seen(make_run, tmp_path):
    def spoil(trial, arrays):
        if trial == 1:
            arrays["reward"][3], arrays["obs"][4, 1], arrays["next_obs"][3, 1] = 3e38, 1e30, 1e30

    record = read(make_run(tmp_path / "run", 5, edit=spoil))
    (curve,) = learning_curve(record)
    curve.data  # noqa: B018 -- drawn
    low, high = curve.content.axes[0].get_ylim()
    assert -300 < low < high < 300
    assert "1 value beyond the axis" in [text.get_text() for text in curve.content.axes[0].texts]
    best, _ = (block for block in traces(record) if isinstance(block, Picture))
    best.data  # noqa: B018
    assert all(np.abs(ax.get_ylim()).max() < 1e4 for ax in best.content.axes)


def test_every_json_file_is_json(make_run, tmp_path):
    folder = make_run(tmp_path / "run", 0)
    folder.write_summary({"returns": [1.5, math.inf, -math.inf, math.nan], "inner": {"x": (2, math.nan)}})
    text = (folder.path / "summary.json").read_text()
    content = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert content == {"returns": [1.5, None, None, None], "inner": {"x": [2, None]}}


def test_the_outer_label_of_an_axis_reaches_the_data():
    for values in ([-9.0, 217.0], [-217.0, 3.0], [0.0, 0.00217], [1.0, 1e6]):
        _, (ax,) = canvas.sheet("title", [""], "x", height=1.0)
        ax.plot(values)
        canvas.fit_vertical(ax)
        ticks = [tick for tick in ax.get_yticks() if ax.get_ylim()[0] <= tick <= ax.get_ylim()[1]]
        span = max(values) - min(values)
        assert max(ticks) > max(values) - 0.11 * span
        assert min(ticks) < min(values) + 0.11 * span


def test_constant_metrics_are_a_sentence(make_run, tmp_path):
    def told(trial, arrays):
        arrays["update_diverged"], arrays["update_zeal"] = np.zeros(3), np.full(2, 1.5 + trial)

    record = read(make_run(tmp_path / "run", 2, edit=told))
    said, _, picture = other_metrics(record)
    assert "diverged: 0" in said
    assert [ax.get_title(loc="left") for ax in picture.content.axes] == ["zeal"]


def test_pace_chatter_settings_and_errors_are_on_the_page(make_run, tmp_path):
    folder = recorded(make_run(tmp_path / "run", 2))
    folder.write_config(folder.config() | {"options": {"horizon": 6, "risk": None}, "given": {"horizon": 6}})
    text = text_of(reported(folder))
    row = folder.rows()[-1].metrics
    assert f"an action took {number(row['plan_ms_p50'])} ms in the median and {number(row['plan_ms_p99'])} ms" in text
    assert f"{number(row['plan_ms_p99'] / 2.5)} % of the step's length, so the controller keeps up" in text
    change = float(np.abs(np.diff(folder.trial(2)["action"][:, 0].astype(float))).mean())
    assert f"mean change of action 0 a step, mean |\N{GREEK CAPITAL LETTER DELTA}u| {number(change)}" in text
    assert f"{number(change)}, {100 * change / 8.5:.2g} % of its range" in text
    assert "<tr><th>horizon</th><td><b>6</b></td></tr>" in page_of(folder)
    assert "<tr><th>risk</th>" not in page_of(folder)
    arrays = folder.trial(2)
    error = arrays["fan_obs"][:, :, 1, 2].mean(1) - arrays["next_obs"][arrays["fan_starts"], 2]
    assert f"speed [m/s], model {number(float(np.sqrt(np.mean(error**2))))}" in text


def test_without_a_threshold_no_tile_says_solved(make_run, tmp_path):
    folder = make_run(tmp_path / "run", 1)
    folder.write_summary(folder.summary() | {"solved_return": None})
    labels = [label for label, _, _ in run_report.headline(read(folder))]
    assert labels == ["best return", "last return", "interaction", "wall time"]
