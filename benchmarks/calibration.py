"""Coverage of 90 % bands up to 25 steps ahead on unseen trials; our models and mbrl-lib's ensemble.

    python benchmarks/calibration.py --seeds 5 --peer PEER_PYTHON --out results/calibration

Cart-pole: a run of PETS of ten trials per seed; the models are fitted to trials 0, 1, 2, 4, 6 and 8, recalibrated on 3
and 7, and scored on 5 and 9. Linear: a noisy linear system under random actions, ten trials of 100 steps, split in the
same way. Without --peer the table has no line for mbrl-lib.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from handful import CartPoleSwingUp, Dataset, GPLearner, LinearLearner, Task, Transition, learn, pets, pets_learner
from handful.models.recalibrated import Recalibrated
from handful.scores.model_score import recalibrate, rollout_score
from handful.scores.windows import cut
from handful.training import machine
from handful.training.model_fit import scores_of

TRAINING, CALIBRATION, JUDGED = (0, 1, 2, 4, 6, 8), (3, 7), (5, 9)
HORIZON, PARTICLES = 25, 60
Trials = Mapping[int, Transition]


def main() -> None:
    """Score every model on every seed; write the raw figures and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peer")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in range(options.seeds):
        for system, (task, trials) in {"cart-pole": cartpole(seed), "linear": linear(seed)}.items():
            learners = (
                {"PE": pets_learner(), "GP": GPLearner()} if system == "cart-pole" else {"linear": LinearLearner()}
            )
            for name, learner in learners.items():
                rows.append({"system": system, "model": name, "seed": seed, **judged(seed, learner, task, trials)})
            if options.peer and system == "cart-pole":
                rows.append(
                    {"system": system, "model": "mbrl-lib", "seed": seed, **peer(options.peer, seed, task, trials)}
                )
            sys.stdout.write(f"{system} seed {seed}\n")
            sys.stdout.flush()
        write(rows, options.out)


def write(rows: list[dict[str, Any]], out: Path) -> None:
    """The raw figures and the table, of the seeds so far."""
    out.mkdir(parents=True, exist_ok=True)
    facts = {"command": " ".join(["python", *sys.argv]), "device": machine.device(), "versions": machine.versions()}
    (out / "scores.json").write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
    (out / "README.md").write_text(table(rows, facts))


def cartpole(seed: int) -> tuple[Task, Trials]:
    """The trials of a learning run."""
    data = learn(CartPoleSwingUp(), pets(), trials=9, seed=seed).state.data
    number = np.asarray(data.trial)
    return CartPoleSwingUp().task, {k: jax.tree.map(lambda x, k=k: x[number == k], data.transitions) for k in range(10)}


def linear(seed: int) -> tuple[Task, Trials]:
    """A damped spring, pushed at random, with noise on both entries."""
    A, B, std = jnp.array([[1.0, 0.1], [-0.1, 0.9]]), jnp.array([0.005, 0.1]), jnp.array([0.01, 0.05])
    limit = jnp.array([3.0])
    task = Task(lambda obs, action, next_obs: next_obs[0], -limit, limit, ("place", "speed"), dt=0.1, horizon=100)

    def step(obs: jax.Array, key: jax.Array) -> tuple[jax.Array, Transition]:
        action_key, noise_key = jax.random.split(key)
        action = jax.random.uniform(action_key, (1,), minval=-3.0, maxval=3.0)
        following = A @ obs + B * action + std * jax.random.normal(noise_key, (2,))
        no = jnp.asarray(False)
        return following, Transition(obs, action, following[0], following, no, no)

    roll = jax.jit(lambda key: jax.lax.scan(step, jnp.array([1.0, -0.5]), jax.random.split(key, 100))[1])
    return task, {k: roll(jax.random.fold_in(jax.random.key(seed), k)) for k in range(10)}


def judged(seed: int, learner: Any, task: Task, trials: Trials) -> dict[str, Any]:
    """One of our models: fitted, scored, recalibrated, scored again."""
    init_key, fit_key, factor_key, score_key = jax.random.split(jax.random.key(seed), 4)
    data = Dataset.empty(task, sum(len(trials[k].reward) for k in TRAINING))
    for number in TRAINING:
        data = data.add(trials[number], number)
    state, _ = eqx.filter_jit(lambda one, key, state, data: one.fit(key, state, data))(
        learner, fit_key, learner.init(init_key, task), data
    )
    settings = {"angles": task.angles, "particles": PARTICLES}
    held = {k: trials[k] for k in JUDGED}
    windows = cut(held, HORIZON, angles=task.angles)
    belief = learner.model(state)
    model, found = recalibrate(factor_key, belief, {k: trials[k] for k in CALIBRATION}, horizon=HORIZON, **settings)
    before, after = (scores_of(score_key, one, held, windows, **settings) for one in (Recalibrated(belief, 1.0), model))
    step = {"one-step NRMSE": before.one_step.nrmse, "one-step NLL": before.one_step.nll}
    return {
        "factor": found.factor,
        **{name: float(np.mean(value)) for name, value in step.items()},
        **errors_of(before.rollout, "before"),
        **errors_of(after.rollout, "after"),
    }


def peer(python: str, seed: int, task: Task, trials: Trials) -> dict[str, Any]:
    """mbrl-lib's ensemble, scored by the same metrics as it is."""
    windows = cut({k: trials[k] for k in JUDGED}, HORIZON, angles=task.angles)
    rows = jax.tree.map(lambda *parts: np.concatenate(parts), *(trials[k] for k in TRAINING))
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(
            given, obs=rows.obs, action=rows.action, next_obs=rows.next_obs, starts=windows.obs, plans=windows.actions,
            angles=np.array(task.angles), particles=PARTICLES, seed=seed,
        )  # fmt: skip
        script = Path(__file__).with_name("peer_mbrl_rollouts.py")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # two threads wait for each other on a busy machine
        subprocess.run([python, script, given, made], check=True, env=environment, **quiet)
        particles = np.load(made)["particles"]
    return errors_of(rollout_score(jnp.asarray(particles[:, :, 1:]), windows), "before")


def errors_of(score: Any, when: str) -> dict[str, Any]:
    """Coverage and error by horizon, over entries."""
    coverage, nrmse, crps = (np.asarray(values).mean(1) for values in (score.coverage, score.nrmse, score.crps))
    return {
        f"{when}: {name} {step}": float(values[step - 1])
        for step in (1, 5, 10, 25)
        for name, values in (("coverage", coverage), ("NRMSE", nrmse), ("CRPS", crps))
    } | {f"{when}: trust horizon": int(score.trust_horizon)}


def table(rows: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """Means over seeds, least and most of the headline."""
    columns = ["before: coverage 1", "before: coverage 10", "before: coverage 25", "after: coverage 25",
               "before: NRMSE 25", "before: CRPS 25", "after: CRPS 25", "factor"]  # fmt: skip
    lines = [
        "# Coverage of 90 % bands on unseen trials\n",
        f"`{facts['command']}`\n",
        f"Device: {facts['device']}. Versions: {facts['versions']}.\n",
        "Means over seeds; in brackets the least and most.\n",
        "| system | model | " + " | ".join(columns) + " |",
        "|" + "---|" * (len(columns) + 2),
    ]
    for system, model in dict.fromkeys((row["system"], row["model"]) for row in rows):
        mine = [row for row in rows if (row["system"], row["model"]) == (system, model)]
        cells = []
        for column in columns:
            values = [row[column] for row in mine if column in row]
            cells.append(f"{np.mean(values):.2f} ({min(values):.2f}, {max(values):.2f})" if values else "")
        lines.append(f"| {system} | {model} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
