"""A hosted run that draws: what it keeps of its films, and what they must not change."""

from types import SimpleNamespace

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from handful.agents.mpc_agent import MPCAgent
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.models.linear import LinearLearner
from handful.planning.cem import CEM
from handful.propagation.trajectory_sampling import TSInf
from handful.task import never
from handful.training.film import LINGER_MS
from handful.training.host import Hosted
from handful.training.loop import Observer
from handful.training.run import RunFolder
from handful.training.session import Session

SLOW = 7.0  # [s] to draw a frame, by a clock that only drawing moves on
clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
AGENT = MPCAgent(LinearLearner(), CEM(horizon=3, candidates=10, elites=2, iterations=1), TSInf(2))


class Clock(gymnasium.Env):
    """A point that is pushed about, and draws its time, slowly."""

    action_space = gymnasium.spaces.Box(-1.0, 1.5, (1,), np.float64)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    dt, max_episode_steps = 0.1, 20

    def __init__(self, render_mode):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.state = 0, self.np_random.normal(size=2)
        return self.state, {}

    def step(self, action):
        self.time += 1
        self.state = 0.9 * self.state + 0.3 * action + 0.1 * self.np_random.normal(size=2)
        return self.state, float(-self.state @ self.state), False, False, {}

    def render(self):
        clock.now += SLOW
        return np.full((20, 30, 3), 10 * self.time, np.uint8)


def reward(obs, action, next_obs):
    return -jnp.sum(next_obs**2)


def trained(path, trials, *, drawn):
    """A run in `path`, begun or gone on with."""
    config = {"task": "clock", "agent": "mpc", "seed": 4, "trials": trials, "refit_every": None}
    folder = RunFolder(path) if path.exists() else RunFolder.create(path, config)
    env = GymnasiumEnv(Clock("rgb_array" if drawn else None), reward=reward, terminated=never)
    Session(folder, Hosted(env), AGENT, config).train(Observer())
    return folder


def seconds(path):
    with Image.open(path) as film:
        total = 0
        for index in range(film.n_frames):
            film.seek(index)
            total += film.info["duration"]
    return total / 1e3


def test_a_run_is_filmed_resumed_and_otherwise_the_same(tmp_path, monkeypatch):
    """Stopped and resumed with a camera, and in one go without one: the same metrics but for times."""
    for module in ("trials", "tally"):
        monkeypatch.setattr(f"handful.training.{module}.time", clock)
    monkeypatch.setattr("handful.training.host.perf_counter", clock.perf_counter)
    drawn, blind = tmp_path / "drawn", tmp_path / "blind"
    for trials in (1, 3):
        folder = trained(drawn, trials, drawn=True)
    trained(blind, 3, drawn=False)
    one, other = (
        [line.split(",")[:6] for line in (path / "metrics.csv").read_text().splitlines()] for path in (drawn, blind)
    )
    assert len(one) == 5
    assert one == other

    best = max(folder.rows(), key=lambda row: row.return_).trial
    names = {path.name for path in (drawn / "videos").iterdir()}
    assert names == {f"trial-{best:03d}.gif", "trial-003.gif"}
    assert list((blind / "videos").iterdir()) == []
    assert seconds(drawn / "videos" / "trial-003.gif") == pytest.approx(20 * 0.1 + LINGER_MS / 1e3)
    assert clock.now >= 3 * 20 * SLOW, "every step was drawn"
    assert [folder.rows()[3].metrics[f"plan_ms_p{share}"] for share in (50, 99)] == [0.0, 0.0], (
        "and none of it was planning"
    )
