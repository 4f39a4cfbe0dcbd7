"""The effect of each deviation of the default from published PETS on cart-pole swing-up, one change at a time.

python benchmarks/ablation.py --seeds 5 --trials 5 --out results/cartpole-swingup/ablation.json
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

from handful import ICEM, CartPoleSwingUp, LearningRate, MPCAgent, Noise, learn, pets
from handful.training import machine


def variants() -> dict[str, MPCAgent]:
    """The default, and the default with one thing as published or as in the planner's paper."""
    default = pets()
    plain = dataclasses.replace(default.learner, learning_rate=LearningRate(1e-3, 1e-3), noise=Noise(beta=0.0))
    return {
        "default": default,
        "uniform first trial": dataclasses.replace(default, first_colour=None),
        "constant rate 1e-3, plain likelihood": dataclasses.replace(default, learner=plain),
        "raw targets": dataclasses.replace(default, learner=dataclasses.replace(default.learner, scale_targets=False)),
        "iCEM 100 + 80 + 64": dataclasses.replace(default, planner=ICEM(horizon=20)),
        "horizon 25": pets(horizon=25),
    }


def main() -> None:
    """Run all variants and print the mean and the least of each trial."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    result: dict[str, list[list[float]]] = {}
    for name, agent in variants().items():
        runs = [learn(CartPoleSwingUp(), agent, trials=options.trials, seed=seed) for seed in range(options.seeds)]
        result[name] = [run.returns for run in runs]
        curves = np.array(result[name])
        cells = "  ".join(
            f"{mean:6.1f} ({least:6.1f})" for mean, least in zip(curves.mean(0), curves.min(0), strict=True)
        )
        sys.stdout.write(f"{name:38s} {cells}\n")
        sys.stdout.flush()
    command = f"python benchmarks/ablation.py --seeds {options.seeds} --trials {options.trials}"
    facts = {"command": command, "device": machine.device(), "versions": machine.versions()}
    options.out.write_text(json.dumps({**facts, "returns": result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
