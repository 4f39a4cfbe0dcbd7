"""The entropy of a net's output is not model uncertainty.

One probabilistic net is fitted to data with constant noise. Its variance is learned where there are data; beyond them
it extrapolates both mean and variance, and is wrong by many of its own stds. The total variance of an ensemble grows
there, because its members differ.

python examples/lecture/d_entropy_is_not_uncertainty.py
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
    """Fit one net and five, print how many stds each is wrong by, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("entropy_is_not_uncertainty.png"))
    out = parser.parse_args().out
    data, seen = curve_data(jax.random.key(0), noise=lambda x: jnp.full_like(x, 0.1))
    x = jnp.linspace(-2.5, 2.5, 300)
    off = np.abs(np.abs(np.asarray(x)) - 1.0) > 0.5
    figure, axes = plt.subplots(2, 1, figsize=(7, 6), sharex=True, layout="constrained")
    for ax, members in zip(axes, (1, 5), strict=True):
        learner = pets_learner(members=members)
        state, _ = eqx.filter_jit(learner.fit)(jax.random.key(1), learner.init(jax.random.key(2), curve_task()), data)
        model = learner.model(state)
        found = jax.vmap(lambda x, model=model: model.predict(jnp.zeros(1), x[None]))(x)
        mean, std = np.asarray(found.mean)[:, 0], np.sqrt(np.asarray(found.aleatoric + found.epistemic))[:, 0]
        wrong = np.abs(mean - np.sin(3 * np.asarray(x))) / std
        ax.plot(x, np.sin(3 * x), "k--", lw=1, label="truth")
        ax.plot(*seen, ".", color="0.6", ms=3, label="data")
        ax.plot(x, mean, "C0", label="mean")
        ax.fill_between(x, mean - 2 * std, mean + 2 * std, color="C1", alpha=0.3, label="2 std of the output")
        ax.set(
            ylim=(-3, 3),
            title=f"{members} net{'s' * (members > 1)}: off the data wrong by {wrong[off].mean():.1f} of its stds",
        )
        entropy = 0.5 * np.log(2 * np.pi * np.e * std**2)
        print(
            f"{members} nets: error in stds on the data {wrong[~off].mean():.2f}, off it {wrong[off].mean():.2f}; "
            f"output entropy on the data {entropy[~off].mean():.2f}, off it {entropy[off].mean():.2f} nats"
        )
    axes[0].legend(fontsize=8, ncols=2)
    axes[1].set(xlabel="x")
    figure.savefig(out, dpi=150)
    print(f"figure: {out}")


if __name__ == "__main__":
    main()
