"""Cart-pole swing-up with physics and wrong initial guesses: returns by trial, every seed, and the fitted parameters.

python benchmarks/wrong_physics.py --seeds 10 --trials 2 --wrong 1.3 --out results/cartpole-swingup-physics
"""

import argparse
import json
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from handful import CartPoleSwingUp, MPCAgent, TSInf, learn, physics_of
from handful.agents.pets import pets_planner
from handful.agents.pets_settings import LIGHT
from handful.training import machine


def main() -> None:
    """Run all seeds, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--wrong", type=float, default=1.3)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    env = CartPoleSwingUp()
    learner = physics_of(env, guess_error=options.wrong)
    agent = MPCAgent(learner, pets_planner(), TSInf(5), first_colour=LIGHT.first_colour)
    truth, guess = (one.parameters.named(one.parameters.guess) for one in (physics_of(env), learner))
    rows = []
    for seed in range(options.seeds):
        learned = learn(env, agent, trials=options.trials, seed=seed)
        found = learner.parameters.named(learner.parameters.values(learned.state.learned.centre))
        off = {name: abs(float(found[name] / truth[name]) - 1) for name in truth}
        rows.append({"seed": seed, "returns": learned.returns, "error of the parameters, relative": off})
        sys.stdout.write(f"seed {seed}: {[round(value, 1) for value in learned.returns]}\n")
    returns = np.array([row["returns"] for row in rows])
    start = {name: abs(float(jnp.asarray(guess[name]) / truth[name]) - 1) for name in truth}
    facts = {"command": " ".join(["python", *sys.argv]), "device": machine.device(), "versions": machine.versions()}
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**facts, "error of the guesses, relative": start, "rows": rows}, indent=1)
    (options.out / "returns.json").write_text(text + "\n")
    lines = [f"# Cart-pole swing-up, physics with initial guesses wrong by a factor of {options.wrong}\n",
             f"`{facts['command']}`\n",
             f"Device: {facts['device']}. Versions: {facts['versions']}.\n",
             "| trial | mean | std | least | most | each seed |", "|---|---|---|---|---|---|"]  # fmt: skip
    for trial, values in enumerate(returns.T):
        each = ", ".join(f"{value:.1f}" for value in values)
        spread = f"{values.mean():.1f} | {values.std():.1f} | {values.min():.1f} | {values.max():.1f}"
        lines.append(f"| {trial} | {spread} | {each} |")
    worst = max(max(row["error of the parameters, relative"].values()) for row in rows)
    lines.append(f"\nGuesses are wrong by {min(start.values()):.0%} to {max(start.values()):.0%}; after the last fit "
                 f"no parameter of any seed is wrong by more than {worst:.1e}.")  # fmt: skip
    (options.out / "README.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
