"""The report of a run by rounds: its words, its figures, and metrics of the agent."""

import html
import re

import numpy as np
import pytest
from PIL import Image

from handful.reports.record import read
from handful.reports.run_figures import learning_curve, other_metrics, wall_time
from handful.reports.run_report import headline, subtitle, table, verdict, write_report
from handful.reports.trial_figures import actions_of, traces
from handful.training.film import film_path, gif
from handful.training.run import Row, RunFolder

STEPS, UPDATES = 13, 4


def made(path, rounds, *, task="point-mass", sizes=(4, 2), metrics=("kl", "entropy"), spoil=None):
    """A run folder that no run has written, each round better than the one before, and worse again in the last."""
    rng = np.random.default_rng(17)
    folder = RunFolder.create(path, {"task": task, "seed": 3, "agent": "ppo", "updates": 4, "trials": rounds})
    rows = []
    for index in range(rounds + 1):
        obs = np.cumsum(rng.normal(size=(STEPS + 1, sizes[0])), axis=0).astype(np.float32)
        ends = np.arange(STEPS) == STEPS - 1
        arrays = {
            "obs": obs[:-1],
            "action": np.eye(sizes[1], dtype=np.float32)[rng.integers(0, sizes[1], STEPS)],
            "reward": rng.normal(0.3 * index, 0.5, STEPS).astype(np.float32),
            "next_obs": obs[1:],
            "terminated": np.zeros(STEPS, bool),
            "truncated": ends,
            "step_ms": np.array([0.25]),
        }
        if index:
            arrays |= {f"update_{name}": rng.normal(index, 1.0, UPDATES).astype(np.float32) for name in metrics}
        if spoil:
            spoil(index, arrays)
        folder.save_trial(index, arrays)
        return_ = 7.5 * index if index < rounds else 1.25
        steps, wall = 1000 * index, 2.0 + 0.5 * index
        rows.append(Row(index, steps, return_, {}, fit_s=0.25, wall_s=wall))
    folder.save_state({"weights": np.arange(3.0)}, rows, capacity=7)
    folder.write_summary({"solved_return": 14.0, "device": "an abacus", "baselines": {"random": [-3.0, 1.5]}})
    return folder


def text_of(folder):
    body = folder.report_path.read_text().split("<body>")[1]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", body)))


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    folder = made(tmp_path_factory.mktemp("rounds") / "run", 4)
    write_report(folder)
    return folder


def test_rounds_are_called_rounds(reported):
    text, record = text_of(reported), read(reported)
    assert subtitle(record) == "agent ppo, seed 3, 4 rounds after a trial of the untrained policy, on an abacus"
    assert verdict(record).startswith("Solved at round 2, after 2\N{THIN SPACE}000 steps")
    assert headline(record)[0] == ("best return", "22.5", "round 3")
    assert "The best round, number 3: a trial of the policy learned by its end, without exploration noise" in text
    assert "Each round shows a trial of the policy learned by its end" in text
    assert "Round 0 is one trial of the untrained policy. The flat lines are the same task without learning" in text
    assert "counts as learning. The last round made 2 000 steps a second." in text
    for wrong in ("random one", "acts at random", "fitting", "trial 3", "planner", "The best trial"):
        assert wrong not in text


def test_sections_of_models_and_plans_are_left_out(reported):
    titles = re.findall(r"<h2>(.*?)</h2>", reported.report_path.read_text())
    assert titles == [
        "Learning", "Metrics of the agent", "Control", "Best and last", "Computation time", "All metrics", "Settings",
        "Reproduce this run",
    ]  # fmt: skip
    figures = {path.stem for path in (reported.path / "figures").iterdir()}
    assert figures == {"learning-curve", "metrics", "traces-best", "traces-last", "wall-time"}


def test_columns_that_say_nothing_are_left_out_of_the_table(reported):
    columns, rows = table(read(reported))
    assert columns == ["trial", "env_steps", "return", "fit_s", "wall_s"]
    assert [row[1] for row in rows] == ["0", "1000", "2000", "3000", "4000"]
    assert (reported.path / "metrics.csv").read_text().splitlines()[0] == ",".join(columns)


def test_what_was_update_is_the_mean_over_the_updates_of_a_round(reported):
    metrics = read(reported).metrics
    assert list(metrics) == ["kl", "entropy"]
    for name, (steps, means) in metrics.items():
        assert steps.tolist() == [1000, 2000, 3000, 4000]
        expected = [reported.trial(index)[f"update_{name}"].mean() for index in range(1, 5)]
        np.testing.assert_allclose(means, expected, rtol=1e-6)


def test_panels_come_in_the_order_of_reading_and_strange_ones_last(tmp_path):
    """What is not finite is left out, a round of nothing else altogether."""

    def spoil(index, arrays):
        if index == 1:
            arrays["update_beta"][1] = np.nan
        if index == 2:
            arrays["update_beta"][:] = np.inf

    folder = made(tmp_path / "run", 3, metrics=("zeal", "explained_variance", "beta", "kl"), spoil=spoil)
    record = read(folder)
    metrics = record.metrics
    paragraph, picture = other_metrics(record)
    assert metrics["beta"][0].tolist() == [1000, 3000]
    assert metrics["beta"][1][0] == pytest.approx(folder.trial(1)["update_beta"][[0, 2, 3]].mean(), rel=1e-6)
    axes = picture.content.axes
    assert [ax.get_title(loc="left") for ax in axes] == [
        "KL divergence of an update [nats]",
        "weight of the KL penalty",
        "variance explained by the value",
        "zeal",
    ]
    np.testing.assert_allclose(axes[3].lines[0].get_ydata(), metrics["zeal"][1])
    said = picture.caption
    assert "mean over the updates of a round" in paragraph
    assert said.startswith("KL divergence of an update: how far")
    assert "zeal" not in said


def test_the_untrained_policy_alone(tmp_path):
    folder = made(tmp_path / "run", 0)
    write_report(folder)
    text = text_of(folder)
    assert "agent ppo, seed 3, a trial of the untrained policy, on an abacus" in text
    assert "The best round, number 0: a trial of the untrained policy, in real time" in text
    assert "Metrics of the agent" not in text
    assert "planner" not in text


def test_a_hosted_environment_shows_first_trials_and_their_films(tmp_path):
    folder = made(tmp_path / "run", 3, task="gymnasium:CartPole-v1")
    film_path(folder.path, 1).write_bytes(gif([np.full((9, 12, 3), 90, np.uint8)] * 2, [0, 4], 0.02))
    write_report(folder)
    text = text_of(folder)
    assert "Round 1: its first trial, with exploration noise; the best, 2, was not filmed" in text
    assert "Each round shows its first trial, with exploration noise." in text
    assert "Acting on a simulator" not in text
    assert "Green lines" not in text  # categories have no limits


def test_categories_are_drawn_as_one_number(tmp_path):
    record = read(made(tmp_path / "run", 1, task="cartpole-v1"))
    done = actions_of(record, record.trials[1])
    assert done.shape == (STEPS, 1)
    assert (record.trials[1]["action"][np.arange(STEPS), done[:, 0].astype(int)] == 1).all()
    continuous = read(made(tmp_path / "other", 1))
    assert actions_of(continuous, continuous.trials[1]).shape == (STEPS, 2)


def test_an_axis_of_interaction_counts_in_thousands(reported):
    (picture,) = learning_curve(read(reported))
    tick = picture.content.axes[0].xaxis.get_major_formatter()
    assert [tick(at) for at in (0, 500, 1000, 12_500, 1e6, 2.5e6)] == ["0", "500", "1k", "12.5k", "1M", "2.5M"]


def test_trials_keep_their_words(run):
    record = read(run)
    assert not record.by_rounds
    (curve,), (wall,) = learning_curve(record), wall_time(record)
    assert curve.caption.startswith("Blue is the return of each trial")
    assert "The first trials include compilation." in wall.caption
    assert "Each round" not in next(iter(traces(record)))


def test_the_figure_of_what_was_update_is_drawn(reported):
    with Image.open(reported.path / "figures" / "metrics.png") as image:
        image.load()
        assert image.width == 1040
        assert image.height == pytest.approx(200 * (0.9 + 2 * 1.12), abs=2)  # 1.12 inches a panel
