"""An ensemble agrees where there are data and disagrees where there are none.

Five probabilistic nets are fitted to y = sin(3x) + noise on two intervals of x; the noise grows to the right. Between
and beyond the intervals their means differ: epistemic variance. Inside, each net has learned the noise: aleatoric
variance.

python examples/lecture/c_ensemble_disagreement.py
"""

import argparse
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from curve import curve_data, curve_task

from handful import pets_learner


def main() -> None:
    """Fit, predict, print both parts on and off the data, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("ensemble_disagreement.png"))
    out = parser.parse_args().out
    data, seen = curve_data(jax.random.key(0), noise=lambda x: 0.02 + 0.1 * (x > 0))
    learner = pets_learner()
    state, _ = eqx.filter_jit(learner.fit)(jax.random.key(1), learner.init(jax.random.key(2), curve_task()), data)
    model = learner.model(state)
    x = jnp.linspace(-2.5, 2.5, 300)
    predict = jax.vmap(lambda world, x: world.predict(jnp.zeros(1), x[None]), (None, 0))
    each = jax.vmap(lambda world: predict(world, x).mean[:, 0])(model.members)
    whole = predict(model, x)
    mean, aleatoric, epistemic = (np.asarray(value)[:, 0] for value in (whole.mean, whole.aleatoric, whole.epistemic))
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(7, 6), sharex=True, layout="constrained")
    top.plot(*seen, ".", color="0.6", ms=3, label="data")
    for index, line in enumerate(each):
        top.plot(x, line, color="C0", lw=0.8, label="members" if index == 0 else None)
    total = 2 * np.sqrt(aleatoric + epistemic)
    top.fill_between(x, mean - total, mean + total, color="C1", alpha=0.25, label="mean and 2 std of the mixture")
    top.set(ylim=(-3, 3), ylabel="y", title="Five nets, one function")
    top.legend(fontsize=8)
    bottom.semilogy(x, np.sqrt(aleatoric), "C2", label="aleatoric std")
    bottom.semilogy(x, np.sqrt(epistemic), "C3", label="epistemic std")
    bottom.set(xlabel="x", ylabel="std")
    bottom.legend(fontsize=8)
    figure.savefig(out, dpi=150)
    on = (np.abs(np.abs(x) - 1.0) < 0.5).astype(bool)
    print(
        f"epistemic std: on the data {np.sqrt(epistemic[on]).mean():.3f}, off it {np.sqrt(epistemic[~on]).mean():.3f}"
    )
    left, right = (np.sqrt(aleatoric[on & side]).mean() for side in (np.asarray(x) < 0, np.asarray(x) > 0))
    print(f"aleatoric std: left {left:.3f}, right {right:.3f}")
    print(f"figure: {out}")


if __name__ == "__main__":
    main()
