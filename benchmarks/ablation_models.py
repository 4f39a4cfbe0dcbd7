"""PETS's ablations: models x propagations x planners on a task, every seed drawn; JSON, a table and a picture.

python benchmarks/ablation_models.py --task cartpole-swingup --seeds 3 --trials 4 --out results/cartpole-swingup-models
"""

import argparse
import itertools
import json
import shlex
import sys
import typing
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from handful import learn
from handful.agents.catalogue import AGENTS
from handful.agents.options.planning import Planner, Propagation
from handful.envs.loading import load
from handful.envs.registry import info_of
from handful.training import machine

MODELS = ("d", "p", "de", "pe", "truth")
PROPAGATIONS, PLANNERS = typing.get_args(Propagation), typing.get_args(Planner)
Returns = dict[str, list[list[float]]]  # by "model propagation planner": of each seed, of each trial


def main() -> None:
    """Run the grid, one combination after the other; what is done so far is always on disk."""
    options = arguments()
    env, found = load(options.task), {}
    for choice in itertools.product(options.models, options.propagations, options.planners):
        given = dict(zip(("model", "propagation", "planner"), choice, strict=True))
        agent = AGENTS["mpc"].make(AGENTS["mpc"].options(**given), env, info_of(options.task))
        found[" ".join(choice)] = [
            learn(env, agent, trials=options.trials, seed=seed).returns for seed in range(options.seeds)
        ]
        sys.stdout.write(line(" ".join(choice), found[" ".join(choice)]) + "\n")
        sys.stdout.flush()
        write(options.out, found, options)


def arguments() -> argparse.Namespace:
    """What to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="cartpole-swingup")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["d", "p", "de", "pe"])
    parser.add_argument("--propagations", nargs="+", choices=PROPAGATIONS, default=["expectation", "ts1", "ts-inf"])
    parser.add_argument("--planners", nargs="+", choices=PLANNERS, default=["icem"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    return parser.parse_args()


def line(name: str, runs: list[list[float]]) -> str:
    """Mean and least of each trial."""
    curves = np.array(runs)
    cells = (f"{mean:7.1f} ({least:7.1f})" for mean, least in zip(curves.mean(0), curves.min(0), strict=True))
    return f"{name:28s} " + "  ".join(cells)


def write(out: Path, found: Returns, options: argparse.Namespace) -> None:
    """All three files again."""
    out.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {
        "command": shlex.join(["python", "benchmarks/ablation_models.py", *sys.argv[1:]]),
        "task": options.task,
        "device": machine.device(),
        "versions": machine.versions(),
    }
    (out / "returns.json").write_text(json.dumps({**facts, "returns": found}, indent=1) + "\n")
    heading = f"Returns of trial 0 (random), 1, ... on {options.task}: mean (least) of {options.seeds} seeds\n"
    table = heading + "".join(line(name, runs) + "\n" for name, runs in found.items())
    (out / "table.txt").write_text(table)
    drawn(found, options).savefig(out / "returns.png", dpi=150)


def drawn(found: Returns, options: argparse.Namespace) -> Figure:
    """A panel a model and planner, a colour a propagation: thin lines are seeds, the thick one is their mean."""
    rows, columns = len(options.planners), len(options.models)
    figure = Figure(figsize=(3 * columns, 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for name, runs in found.items():
        model, propagation, planner = name.split()
        ax = axes[options.planners.index(planner), options.models.index(model)]
        colour = f"C{options.propagations.index(propagation)}"
        ax.plot(np.transpose(runs), color=colour, linewidth=0.7, alpha=0.5)
        ax.plot(np.mean(runs, axis=0), color=colour, linewidth=2, label=propagation)
        ax.set_title(f"{model}, {planner}", fontsize=10)
        ax.legend(fontsize=7)
    for ax in axes[-1]:
        ax.set_xlabel("trial")
    for ax in axes[:, 0]:
        ax.set_ylabel("return")
    return figure


if __name__ == "__main__":
    main()
