"""What a person reads while a run goes on."""

import io
import types

import numpy as np
import pytest
from rich.console import Console

from handful.training.loop import Stage
from handful.training.progress import LiveProgress, PlainProgress, observer_for
from handful.training.run import Row
from handful.training.tally import Tally

CLOCK = "handful.training.progress.time"


def trial(index, return_):
    metrics = {"planned_return": return_ + 7.25, "model_nll": -1.375, "model_rmse": 0.1}
    metrics |= {"plan_ms_p50": 3.25, "plan_ms_p99": 4.0}
    row = Row(
        trial=index,
        env_steps=50 * (index + 1),
        return_=return_,
        metrics=metrics if index else {},
        fit_s=1.5 if index else 0.0,
        wall_s=2.0 * index + 1,
    )
    return Stage(row, {})


def tally(steps, return_, planned):
    made = Tally()
    made.steps, made.planned, made.episodes, made.episode_return_sum = steps, planned, 1, return_
    return made


@pytest.fixture
def clock(monkeypatch):
    """Time that a test turns by hand."""
    now = types.SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(CLOCK, types.SimpleNamespace(perf_counter=lambda: now.seconds))
    return now


def watched(kind, tmp_path, clock, **settings):
    console = Console(file=io.StringIO(), width=100, **settings)
    with kind(console, tmp_path, "point-mass", 3, 50) as observer:
        yield observer
        for index, (value, seconds) in enumerate([(-500.5, 1.0), (-80.25, 9.0), (-60.0, 4.0), (-90.0, 2.0)]):
            if index:
                observer.fitting(index)
                observer.fitted(index, {0: {"diverged": np.array([False, index == 2])}}, 1.5)
            observer.stepped(index, {0: tally(30, value / 2, None if index == 0 else -12.5)}, 3.25)
            yield observer
            clock.seconds += seconds
            observer.finished({0: trial(index, value)})
    yield console.file.getvalue()


def test_plain_lines_are_one_a_trial(tmp_path, clock):
    *_, text = watched(PlainProgress, tmp_path, clock)
    lines = text.splitlines()
    assert lines[0] == f"point-mass: 3 trials after a random one, into {tmp_path}"
    assert lines[1].split() == ["trial", "0", "return", "-500.5", "random", "actions"]
    expected = "trial  1  return    -80.2  planned    -73.0  model NLL  -1.38  fit  1.5 s    3.2 ms a plan"
    assert lines[2].startswith(expected)
    assert lines[3] == "trial 2: the fit of member 1 diverged; its last good weights are kept"
    assert lines[-1].endswith("ms a plan")
    assert "\x1b" not in text


def test_time_left_is_told_from_trials_that_did_not_compile(tmp_path, clock):
    """Trials took 9 (it compiled), 4 and 2 seconds."""
    *_, text = watched(PlainProgress, tmp_path, clock)
    left = [line.split("ms a plan")[1].strip() for line in text.splitlines() if "ms a plan" in line]
    assert left == ["", "4 s left", ""]


def test_live_display_shows_the_trial_in_progress(tmp_path, clock):
    steps = watched(LiveProgress, tmp_path, clock, force_terminal=True, color_system=None)
    observer = next(steps)
    next(steps)
    assert shown(observer)[:2] == ["trial 0/3 step 30/50", "return so far -250.2 random actions"]
    next(steps)
    first, second, third = shown(observer)
    assert first == "trial 1/3 step 30/50"
    assert second == "return so far -40.1 planned for the next steps -12.5 3.2 ms a plan"
    assert third == "returns ▁ best -500.5"
    next(steps)
    first, second, third = shown(observer)
    assert first == "trial 2/3 step 30/50"
    assert second.endswith("model NLL -1.38")
    assert third == "returns ▁█ best -80.2"
    *_, text = steps
    assert text.count("trial  1  return    -80.2") == 1
    assert text.index("trial  1  return") < text.index("trial  3  return")
    assert text.endswith("\x1b[?25h") or "\x1b[?25h" in text[-80:]  # the cursor is back


def test_live_display_says_that_it_learns(tmp_path):
    observer = LiveProgress(Console(file=io.StringIO(), force_terminal=True), tmp_path, "point-mass", 3, 50)
    observer.fitting(2)
    assert "trial 2/3 learning from the data so far" in " ".join(shown(observer))


@pytest.mark.parametrize("returns", [[-3.0, np.nan, 5.0], [2.0], [1.5, 1.5], [np.inf, np.nan]])
def test_returns_that_are_not_finite_do_not_stop_the_display(returns, tmp_path):
    observer = LiveProgress(Console(file=io.StringIO(), force_terminal=True), tmp_path, "point-mass", 3, 50)
    for index, value in enumerate(returns):
        observer.finished({0: trial(index, value)})
    assert len(shown(observer)[-1].split()[1]) == len(returns)


def test_seeds_side_by_side_are_told_by_their_mean_and_the_least_of_them(tmp_path, clock):
    console = Console(file=io.StringIO(), width=110, force_terminal=True, color_system=None)
    observer = LiveProgress(console, tmp_path, "point-mass, 2 seeds side by side", 3, 50)
    observer.fitting(1)
    diverged = {3: {"diverged": np.array([False, True])}, 11: {"diverged": np.zeros(2, bool)}}
    observer.fitted(1, diverged, 1.5)
    observer.stepped(1, {3: tally(20, -40.5, -3.0), 11: tally(30, -33.5, -4.0)}, 3.25)
    assert shown(observer) == [
        "trial 1/3 step 30/50",
        "return so far -37.0 mean, -40.5 least of 2 planned for the next steps -3.5 3.2 ms a plan",
    ]
    observer.finished({3: trial(1, -80.0), 11: trial(1, -60.5)})
    text = console.file.getvalue()
    assert "trial 1, seed 3: the fit of member 1 diverged" in text
    assert "seed 11" not in text
    assert "trial  1  return    -70.2 mean, -80.0 least of 2  planned    -63.0  model NLL  -1.38" in text
    assert shown(observer)[-1] == "returns ▁ best -70.2"


def test_a_file_gets_plain_lines(tmp_path, capsys):
    with observer_for(tmp_path, "point-mass", 3, 50) as observer:
        assert type(observer) is PlainProgress
        observer.say("[bold] is no markup, and a long line is not broken " + "x" * 300)
    assert "[bold] is no markup, and a long line is not broken " + "x" * 300 + "\n" in capsys.readouterr().out


def shown(observer) -> list[str]:
    """The lines of the live display as it stands, without bars of progress, spaces squeezed."""
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(observer._view())
    lines = console.file.getvalue().replace("━", "").replace("╸", "").replace("╺", "").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]
