"""Run folders that no run has written: numbers of every size, made in milliseconds."""

import math

import numpy as np
import pytest

from handful.training.run import Row, RunFolder

STEPS, HORIZON, PARTICLES, FAN = 23, 6, 7, 5


def trial_arrays(rng, *, controlled, obs_size=4, action_size=2, steps=STEPS, terminated=False):
    obs = np.cumsum(rng.normal(size=(steps + 1, obs_size)), axis=0).astype(np.float32)
    ends = np.arange(steps) == steps - 1
    arrays = {
        "obs": obs[:-1],
        "action": rng.uniform(-3, 5, (steps, action_size)).astype(np.float32),
        "reward": rng.normal(1.5, 0.7, steps).astype(np.float32),
        "next_obs": obs[1:],
        "terminated": ends & terminated,
        "truncated": ends & (not terminated),
        "step_ms": rng.uniform(3, 9, -(-steps // 10)),
    }
    if controlled:
        starts = np.arange(0, steps - FAN + 1, FAN)
        around = np.stack([obs[start : start + FAN + 1] for start in starts])[:, None]
        noise = rng.normal(0.3, 0.9, (len(starts), PARTICLES, FAN + 1, obs_size))
        arrays |= {
            "planned_return": rng.normal(8, 2, steps).astype(np.float32),
            "planned_std": rng.uniform(0.2, 1, steps).astype(np.float32),
            "plan": rng.uniform(-3, 5, (steps, HORIZON, action_size)).astype(np.float32),
            "fan_starts": starts,
            "fan_obs": (around + noise).astype(np.float32),
        }
    return arrays


def row_of(trial, arrays, env_steps):
    planned = "planned_return" in arrays
    return Row(
        trial=trial,
        env_steps=env_steps,
        return_=float(arrays["reward"].sum()),
        metrics={
            "planned_return": float(arrays["planned_return"].sum() / HORIZON),
            "model_nll": 3.21 / (trial + 1) - 0.7,
            "model_rmse": 0.456 / (trial + 1),
            "plan_ms_p50": 7.25 + trial,
            "plan_ms_p99": 137.5 / (trial + 1),
        }
        if planned
        else {},
        fit_s=0.625 * trial,
        wall_s=2.375 * (trial + 1),
    )


def made(path, trials, *, task="point-mass", summary=True, edit=None, **sizes):
    """A run folder after `trials` controlled trials; `edit(trial, arrays)` may spoil what was recorded."""
    rng = np.random.default_rng(11)
    config = {"handful": "0.1.0", "task": task, "trials": trials, "seed": 5, "agent": "pets", "planner": None}
    folder = RunFolder.create(path, config)
    rows = []
    for trial in range(trials + 1):
        arrays = trial_arrays(rng, controlled=trial > 0, **sizes)
        if edit:
            edit(trial, arrays)
        folder.save_trial(trial, arrays)
        rows.append(row_of(trial, arrays, sum(row.env_steps for row in rows[-1:]) + len(arrays["reward"])))
    folder.save_state({"weights": np.arange(3.0)}, rows, capacity=7)
    if summary:
        folder.write_summary(
            {
                "baselines": {"zero action": [-3.5, -2.25, -4.75], "random": [-9.5, math.nan, -12.25]},
                "solved_return": 20.0,
                "compile_s": 1.5,
                "device": "an abacus, 13 beads",
                "versions": {"handful": "0.1.0", "jax": "0.0.7"},
            }
        )
    return folder


@pytest.fixture
def make_run():
    return made


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run of three controlled trials and its report, to look at and to leave as it is."""
    from handful.reports.run_report import write_report

    folder = made(tmp_path_factory.mktemp("run") / "of-three", 3)
    write_report(folder)
    return folder
