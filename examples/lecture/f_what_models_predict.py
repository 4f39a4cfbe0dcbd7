"""PETS's figure of models: mean square error and likelihood on held-out trials of D, P, DE, PE and a Gaussian process.

D is one net with constant noise, P one probabilistic net; DE and PE are ensembles of five of them. All are fitted to
the same transitions and scored on a held-out trial, one step ahead. Actions are pink noise, not planned.

python examples/lecture/f_what_models_predict.py
"""

import argparse
import dataclasses
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

from handful import CartPoleSwingUp, Dataset, GPLearner, Noise, Pendulum, episode, one_step, pets, pets_learner
from handful.models.base import AbstractLearner

TASKS = {"CartPoleSwingUp": CartPoleSwingUp, "Pendulum": Pendulum}
SIZES = (1, 3)  # trials to learn from
fit = eqx.filter_jit(lambda learner, key, task, data: learner.model(learner.fit(key, learner.init(key, task), data)[0]))
score = eqx.filter_jit(one_step)


def learners() -> dict[str, AbstractLearner]:
    """By the paper's letters."""
    constant = lambda learner: dataclasses.replace(learner, noise=Noise(constant=True))
    one, five = pets_learner(members=1), pets_learner(members=5)
    return {"D": constant(one), "P": one, "DE": constant(five), "PE": five, "GP": GPLearner(max_points=300)}


def main() -> None:
    """Fit all on growing data, print both scores in the mean of the seeds, draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("what_models_predict.png"))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    figure, axes = plt.subplots(2, len(options.tasks), figsize=(8, 6), layout="constrained", squeeze=False)
    for column, env in enumerate(TASKS[title]() for title in options.tasks):
        trial = eqx.filter_jit(lambda key, env=env: episode(key, env, pets().explorer(key, env.task)))
        for name, learner in learners().items():
            lines: dict[str, list[float]] = {"MSE": [], "NLL": []}
            for size in SIZES:
                found = []
                for seed in range(options.seeds):
                    *seen, unseen = [trial(key) for key in jax.random.split(jax.random.key(seed), max(SIZES) + 1)]
                    data = Dataset.empty(env.task, max(SIZES) * env.task.horizon)
                    for index in range(size):
                        data = data.add(seen[index].transitions, index)
                    model = fit(learner, jax.random.key(seed), env.task, data)
                    found.append(score(jax.random.key(seed), model, unseen.transitions, unseen.valid))
                for row, values in (("MSE", [one.rmse**2 for one in found]), ("NLL", [one.nll for one in found])):
                    lines[row].append(float(jnp.stack(values).mean()))
            title = type(env).__name__
            print(
                f"{title:16s} {name:3s} "
                + "  ".join(f"{row} {[round(v, 5) for v in values]}" for row, values in lines.items())
            )
            for row, values in enumerate(lines.values()):
                axes[row, column].plot(SIZES, values, "o-", label=name)
                axes[row, column].set(
                    xticks=SIZES, ylabel=f"{list(lines)[row]} held out", title=title if row == 0 else ""
                )
    for ax in axes[0]:
        ax.set_yscale("log")
    for ax in axes[1]:
        ax.set_yscale("symlog")
        ax.set_xlabel("trials of pink noise")
    axes[0, 0].legend(fontsize=8)
    figure.savefig(options.out, dpi=150)
    print(f"figure: {options.out}")


if __name__ == "__main__":
    main()
