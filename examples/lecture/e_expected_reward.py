"""The expected reward under a prediction with high variance is not the reward of the expected prediction.

The reward is highest just before an edge, and the closer one aims at it, the larger the variance of the landing place.
The reward of the mean landing place is highest at the edge itself, the mean of the reward well before it. This is why
plans are evaluated in many worlds: if the reward is steep, caution needs no extra term.

python examples/lecture/e_expected_reward.py
"""

import argparse
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from handful import DistributionSampling, Expectation, KnownDynamics, Prediction, Problem, Task


class Landing(KnownDynamics):
    """Lands at the action, with a std that grows the closer to the edge it aims."""

    def predict(self, obs, action):  # noqa: ANN001, ANN201 - as in the base class
        std = 0.05 + 0.45 * jax.nn.sigmoid(12 * (action - 0.75))
        return Prediction(action, std**2, jnp.zeros(1))


def reward(obs, action, next_obs):  # noqa: ANN001, ANN201
    """Best just before the edge at 1; nothing past it."""
    return jnp.where(next_obs[0] > 1.0, -1.0, next_obs[0])


def main() -> None:
    """Score the same plans by the mean prediction and by the mean reward; print both choices, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("expected_reward.png"))
    out = parser.parse_args().out
    task = Task(reward=reward, low=jnp.zeros(1), high=jnp.ones(1), names=("x [m]",), dt=1.0, horizon=1)
    model, plans = Landing(lambda obs, action: action), jnp.linspace(0.0, 0.999, 200)[:, None, None]
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, propagator in (("reward of the mean", Expectation()), ("mean of the reward", DistributionSampling(4000))):
        values = np.asarray(
            eqx.filter_jit(Problem(task, model, propagator).evaluate)(jax.random.key(0), jnp.zeros(1), plans)
        )
        best = float(plans[values.argmax(), 0, 0])
        ax.plot(plans[:, 0, 0], values, label=f"{name}: aims at {best:.2f}")
        earned = Problem(task, model, DistributionSampling(4000)).evaluate(
            jax.random.key(1), jnp.zeros(1), jnp.full((1, 1, 1), best)
        )
        print(f"{name:20s} chooses {best:.2f}, expects {values.max():.2f}, earns {float(earned[0]):.2f}")
    ax.set(xlabel="where to aim [m]", ylabel="value", title="The value of a plan, computed in two ways")
    ax.legend(fontsize=8)
    figure.savefig(out, dpi=150)
    print(f"figure: {out}")


if __name__ == "__main__":
    main()
