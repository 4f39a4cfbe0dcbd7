"""The base-policy trap: plans in a model fitted once, under the base policy, overshoot; aggregating data corrects it.

A walker observes its position and height; the reward is the height. Random steps (the base policy) stay on the near
slope, where further right is always higher. A plan in that model always goes right: over the top, and down the far,
steeper side. Adding the visited states to the data, and fitting again, corrects the model.

python examples/lecture/a_base_policy_trap.py
"""

import argparse
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from handful import AbstractEnv, Step, Task, learn, pets


def height(x: Any) -> Any:
    """Of the hill [m]: a top of 1 m at x = 1.5 m, then a far steeper way down."""
    return jnp.where(x < 1.5, 1 - 0.2 * (x - 1.5) ** 2, 1 - 2.0 * (x - 1.5) ** 2)


def paid(obs: Float[Array, "2"], action: Float[Array, "1"], next_obs: Float[Array, "2"]) -> Float[Array, ""]:
    """The height reached: the planner must predict it."""
    return next_obs[1]


def _task() -> Task:
    limits = jnp.array([1.0])
    return Task(reward=paid, low=-limits, high=limits, names=("x [m]", "height [m]"), dt=0.1, horizon=50)


class Hill(AbstractEnv):
    """Walk at a chosen speed [m/s]."""

    task: Task = eqx.field(default_factory=_task)

    def reset(self, key: PRNGKeyArray) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
        obs = jnp.stack([jnp.zeros(()), height(0.0)])
        return obs, obs

    def step(
        self, key: PRNGKeyArray, state: Float[Array, "2"], action: Float[Array, "1"]
    ) -> tuple[Float[Array, "2"], Step]:
        x = state[0] + self.task.dt * jnp.clip(action[0], -1.0, 1.0)
        obs = jnp.stack([x, height(x)])
        return obs, Step(obs, self.task.reward(state, action, obs), self.task.terminated(obs))


def main() -> None:
    """One random trial, then four with a fit before each; draw where each of them walked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("base_policy_trap.png"))
    out = parser.parse_args().out
    learned = learn(Hill(), pets(horizon=15), trials=4, seed=0)
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    x = np.linspace(-1.0, 3.0, 200)
    ax.plot(x, height(x), color="0.8", lw=6, label="the hill")
    for index, trial in enumerate(learned.trials):
        obs = trial.arrays["obs"]
        name = ["base policy", "model of the base policy's data"][index] if index < 2 else f"aggregated {index - 1}"
        ax.plot(obs[:, 0], obs[:, 1] + 0.04 * index, ".-", ms=3, lw=0.8, label=f"{name}: {trial.row.return_:.1f}")
    ax.set(xlabel="x [m]", ylabel="height [m] (lines are set apart)", title="Walks and their returns")
    ax.set(xlim=(-1.1, 3.2), ylim=(-2.5, 1.6))
    ax.legend(fontsize=8, loc="lower left")
    figure.savefig(out, dpi=150)
    print(f"returns {np.round(learned.returns, 1).tolist()} -> {out}")


if __name__ == "__main__":
    main()
