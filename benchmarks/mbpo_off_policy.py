"""MBPO with an off-policy learner in place of PPO: deep Q-learning in the learned model, all else equal.

    python benchmarks/mbpo_off_policy.py --seeds 5 --out results/mbpo-off-policy

Returns of MBPO with PPO on the same tasks, after as many trials, are in `results/lecture`. A seed that is kept is not
run again.
"""

import argparse
import dataclasses
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from handful.cli import runtime

runtime.start()

from handful import CartPoleSwingUp, learn
from handful.agents.imagined_policy import ImaginedPolicyAgent
from handful.agents.mbpo import mbpo
from handful.envs.pendulum import Pendulum
from handful.envs.registry import info_of
from handful.training import machine
from handful.values.dqn import DQN

TASKS = {"pendulum": (Pendulum, 15), "cartpole-swingup": (CartPoleSwingUp, 25)}  # trials, as in `results/lecture`


def main() -> None:
    """Learn each task with each seed, and describe what is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for task in options.tasks:
        for seed in range(options.seeds):
            file = options.out / f"{task}-{seed}.json"
            if not file.is_file():
                file.write_text(json.dumps(learned(task, seed), indent=2) + "\n")
    describe(options.out)


def agent(task: str) -> ImaginedPolicyAgent:
    """MBPO as it is, but for the optimiser; with the discount of DQN alone."""
    optimiser = DQN(
        num_envs=20,
        num_steps=50,
        gradient_steps=256,
        bins_per_dim=7,
        discount=min(info_of(task).preset.discount + 0.05, 0.99),
    )
    return dataclasses.replace(mbpo(task), optimiser=optimiser)


def learned(task: str, seed: int) -> dict:
    """The return of each trial, the random one first."""
    kind, trials = TASKS[task]
    returns = learn(kind(), agent(task), trials=trials, seed=seed).returns
    sys.stdout.write(f"{task}, seed {seed}: {returns[-1]:.1f} after {trials} trials\n")
    facts = {"device": machine.device(), "versions": machine.versions()}
    return {"task": task, "seed": seed, "returns": returns} | facts


def describe(out: Path) -> None:
    """A page with every seed."""
    lines = [
        "# MBPO with deep Q-learning inside",
        "",
        f"`python benchmarks/mbpo_off_policy.py {' '.join(sys.argv[1:])}`",
        "",
        "Return of the last trial, and the mean of the last five; mean and std over seeds.",
        "",
        "| task | steps | last, each seed | mean | last five |",
        "|---|---|---|---|---|",
    ]
    last_line = "Nothing is kept yet."
    for task, (kind, trials) in TASKS.items():
        kept = [json.loads(path.read_text()) for path in sorted(out.glob(f"{task}-*.json"))]
        if kept:
            last, five = (
                [f(each["returns"]) for each in kept] for f in (lambda r: r[-1], lambda r: statistics.mean(r[-5:]))
            )
            each = ", ".join(f"{value:.1f}" for value in last)
            lines.append(
                f"| {task} | {(trials + 1) * kind().task.horizon} | {each} | {spread(last)} | {spread(five)} |"
            )
            last_line = f"Device: {kept[0]['device']}. Versions: {kept[0]['versions']}."
    (out / "README.md").write_text("\n".join([*lines, "", last_line]) + "\n")


def spread(values: Sequence[float]) -> str:
    """Mean and std."""
    return f"{statistics.mean(values):.1f} +- {statistics.pstdev(values):.1f}"


if __name__ == "__main__":
    main()
