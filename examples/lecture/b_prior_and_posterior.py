"""A Gaussian process before and after data: functions drawn from the prior, then from the posterior.

Draws from the prior show which functions are possible. After eight noisy points the draws agree near them and differ
elsewhere. Each draw is one world, a function that can be rolled out.

python examples/lecture/b_prior_and_posterior.py
"""

import argparse
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from handful.models.gp.belief import FunctionSample
from handful.models.gp.kernels import Covariance, SquaredExponential
from handful.models.gp.posterior import Posterior

DRAWS = 8


def main() -> None:
    """Draw, print the spread at and away from the points, plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("prior_and_posterior.png"))
    out = parser.parse_args().out
    kernel = SquaredExponential(jnp.log(jnp.array([0.6])), jnp.log(jnp.asarray(1.0)))
    covariance = jax.tree.map(lambda leaf: leaf[None], Covariance(kernel, jnp.log(jnp.asarray(0.05))))  # one output
    x = jnp.array([-1.6, -1.3, -1.1, -0.4, 0.1, 0.3, 1.2, 1.5])[:, None]
    y = jnp.sin(3 * x)
    grid = jnp.linspace(-2.5, 2.5, 300)[:, None]
    figure, axes = plt.subplots(2, 1, figsize=(7, 6), sharex=True, sharey=True, layout="constrained")
    for ax, rows, name in ((axes[0], 0, "prior"), (axes[1], len(x), "posterior")):
        posterior = Posterior.given(covariance, x, y, (jnp.arange(len(x)) < rows).astype(float))
        keys = jax.random.split(jax.random.key(3), DRAWS)
        draws = eqx.filter_vmap(lambda key, p=posterior: FunctionSample.draw(key, p, 128))(keys)
        lines = np.asarray(eqx.filter_vmap(lambda f: jax.vmap(f)(grid)[:, 0])(draws))
        mean, variance = jax.vmap(posterior.mean_and_variance)(grid)
        mean, std = np.asarray(mean)[:, 0], np.sqrt(np.asarray(variance))[:, 0]
        ax.fill_between(grid[:, 0], mean - 2 * std, mean + 2 * std, color="C1", alpha=0.2, label="mean and 2 std")
        ax.plot(grid[:, 0], mean, "C1", lw=2)
        ax.plot(grid[:, 0], lines.T, "C0", lw=0.8)
        ax.plot([], [], "C0", lw=0.8, label=f"{DRAWS} draws")
        ax.plot(x[:rows, 0], y[:rows, 0], "ko", ms=4)
        ax.set(title=name, ylim=(-3, 3))
        near = np.abs(np.asarray(grid) - np.asarray(x).T).min(1) < 0.1
        apart, far = lines[:, near].std(0).mean(), lines[:, ~near].std(0).mean()
        print(f"{name:9s} std of the draws: near the points {apart:.2f}, far {far:.2f}")
    axes[0].legend(fontsize=8)
    axes[1].set(xlabel="x")
    figure.savefig(out, dpi=150)
    print(f"figure: {out}")


if __name__ == "__main__":
    main()
