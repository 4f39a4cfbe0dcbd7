"""The report of a run by rounds: its words, its figures, and what the optimiser told."""

import html
import re

import numpy as np
import pytest
from PIL import Image

from handful.evaluation import by_round, captions
from handful.evaluation.facts import headline, subtitle, table, verdict
from handful.evaluation.record import read
from handful.evaluation.report import write_report
from handful.evaluation.within_trial import done_in
from handful.training.film import film_path, gif
from handful.training.run import COLUMNS, Row, RunFolder

STEPS, UPDATES = 13, 4


def made(path, rounds, *, task="point-mass", sizes=(4, 2), told=("kl", "entropy"), spoil=None):
    """A run folder that no run has written, each round better than the one before, and worse again in the last."""
    rng = np.random.default_rng(17)
    folder = RunFolder.create(path, {"task": task, "seed": 3, "agent": "ppo", "steps": 4000, "trials": rounds})
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
            arrays |= {f"told_{name}": rng.normal(index, 1.0, UPDATES).astype(np.float32) for name in told}
        if spoil:
            spoil(index, arrays)
        folder.save_trial(index, arrays)
        return_ = 7.5 * index if index < rounds else 1.25
        steps, wall = 1000 * index, 2.0 + 0.5 * index
        rows.append(Row(index, steps, return_, None, None, None, None, None, fit_s=0.25, wall_s=wall))
    folder.save_state({"weights": np.arange(3.0)}, rows)
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
    assert "The best round, number 3: a trial under what was learned by its end, without the noise" in text
    assert "Each round shows a trial under what was learned by its end" in text
    assert "Round 0 is one trial of the untrained policy. The flat lines are the same task without learning" in text
    assert "counts as that. The last round made 2 000 steps a second." in text
    for wrong in ("random one", "acts at random", "fitting", "trial 3", "planner", "The best trial"):
        assert wrong not in text


def test_sections_of_models_and_plans_are_left_out(reported):
    titles = re.findall(r"<h2>(.*?)</h2>", reported.report_path.read_text())
    assert titles == [
        "What it learned", "How it learned", "What the policy did in the best round and in the last",
        "How long it took", "All numbers", "To repeat this run",
    ]  # fmt: skip
    figures = {path.stem for path in (reported.path / "figures").iterdir()}
    assert figures == {"learning-curve", "told", "traces-best", "traces-last", "wall-time"}


def test_columns_that_say_nothing_are_left_out_of_the_table(reported):
    columns, rows = table(read(reported))
    assert columns == ["trial", "env_steps", "return", "fit_s", "wall_s"]
    assert [row[1] for row in rows] == ["0", "1000", "2000", "3000", "4000"]
    assert (reported.path / "metrics.csv").read_text().splitlines()[0] == ",".join(COLUMNS)


def test_what_was_told_is_the_mean_over_the_updates_of_a_round(reported):
    told = by_round.told(read(reported))
    assert list(told) == ["kl", "entropy"]
    for name, (steps, means) in told.items():
        assert steps.tolist() == [1000, 2000, 3000, 4000]
        expected = [reported.trial(index)[f"told_{name}"].mean() for index in range(1, 5)]
        np.testing.assert_allclose(means, expected, rtol=1e-6)


def test_panels_come_in_the_order_of_reading_and_strange_ones_last(tmp_path):
    """What is not finite is left out, a round of nothing else altogether."""

    def spoil(index, arrays):
        if index == 1:
            arrays["told_beta"][1] = np.nan
        if index == 2:
            arrays["told_beta"][:] = np.inf

    folder = made(tmp_path / "run", 3, told=("zeal", "explained", "beta", "kl"), spoil=spoil)
    record = read(folder)
    told = by_round.told(record)
    assert list(told) == ["kl", "beta", "explained", "zeal"]
    assert told["beta"][0].tolist() == [1000, 3000]
    assert told["beta"][1][0] == pytest.approx(folder.trial(1)["told_beta"][[0, 2, 3]].mean(), rel=1e-6)
    axes = by_round.learning(record).axes
    assert [ax.get_title(loc="left") for ax in axes][1:] == [
        "weight of the KL penalty",
        "variance explained by the value",
        "zeal",
    ]
    np.testing.assert_allclose(axes[3].lines[0].get_ydata(), told["zeal"][1])
    said = by_round.caption(record)
    assert said.startswith("KL divergence of an update: how far")
    assert "zeal" not in said


def test_the_untrained_policy_alone(tmp_path):
    folder = made(tmp_path / "run", 0)
    write_report(folder)
    text = text_of(folder)
    assert "agent ppo, seed 3, a trial of the untrained policy, on an abacus" in text
    assert "The best round, number 0: a trial of the untrained policy, at the speed" in text
    assert "How it learned" not in text
    assert "planner" not in text


def test_a_hosted_environment_shows_first_trials_and_their_films(tmp_path):
    folder = made(tmp_path / "run", 3, task="gymnasium:CartPole-v1")
    film_path(folder.path, 1).write_bytes(gif([np.full((9, 12, 3), 90, np.uint8)] * 2, [0, 4], 0.02))
    write_report(folder)
    text = text_of(folder)
    assert "Round 1: its first trial, noise of exploring included; of the best, 2, there is no film" in text
    assert "Each round shows its first trial, noise of exploring included." in text
    assert "Acting on a simulator" not in text
    assert "Green lines" not in text  # categories have no limits


def test_categories_are_drawn_as_one_number(tmp_path):
    record = read(made(tmp_path / "run", 1, task="cartpole-v1"))
    done = done_in(record, record.trials[1])
    assert done.shape == (STEPS, 1)
    assert (record.trials[1]["action"][np.arange(STEPS), done[:, 0].astype(int)] == 1).all()
    continuous = read(made(tmp_path / "other", 1))
    assert done_in(continuous, continuous.trials[1]).shape == (STEPS, 2)


@pytest.mark.parametrize(
    ("steps", "said"), [(0, "0"), (500, "500"), (1000, "1k"), (12_500, "12.5k"), (1e6, "1M"), (2.5e6, "2.5M")]
)
def test_an_axis_of_interaction_counts_in_thousands(steps, said):
    assert by_round._counted(steps) == said


def test_trials_keep_their_words(run):
    record = read(run)
    assert not record.by_rounds
    assert captions.curve(record).startswith("Blue is the return that each trial achieved")
    assert captions.traces(record)[0] == "What happened in the best trial and in the last"
    assert "The first trials also hold the compiling." in captions.wall_time(record)


def test_the_figure_of_what_was_told_is_drawn(reported):
    with Image.open(reported.path / "figures" / "told.png") as image:
        image.load()
        assert image.width == 1040
        assert image.height == pytest.approx(200 * (0.9 + 2 * 1.12), abs=2)  # 1.12 inches a panel
