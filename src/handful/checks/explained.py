"""The share of the reward's variance that a regression on held-out transitions explains."""

import numpy as np
from jaxtyping import Float

from handful.checks.trials import Recording

MOST = 300  # transitions: dense solves in a fraction of a second
BLOCK = 10  # neighbours in time that are held out together, since they are correlated
RARE = 0.05  # share of the least and of the greatest rewards that is clipped: outliers must not decide
LENGTHS = (0.5, 1.0, 2.0)  # of the kernel, in median distances
NOISES = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1)  # of the variance, for each transition


def explained(trials: tuple[Recording, ...], angles: tuple[int, ...], size: int) -> float | None:
    """The share of the reward's variance that (obs, action, next_obs) explains, on held-out blocks of transitions.

    None where transitions are few or rewards constant. Close to 1, the reward is a smooth function of them; at 0 a
    regression is no better than the mean.
    """
    x = np.concatenate([_inputs(trial, angles, size) for trial in trials])
    y = np.concatenate([trial.reward for trial in trials]).astype(float)
    rows = np.linspace(0, len(y) - 1, min(MOST, len(y))).round().astype(int)
    x, y = x[rows], np.clip(y[rows], *np.quantile(y, [RARE, 1 - RARE]))
    if len(y) < 4 * BLOCK or y.std() <= 1e-6 * np.abs(y).max():
        return None
    target = (y - y.mean()) / y.std()
    blocks = np.array_split(np.arange(len(y)), len(y) // BLOCK)
    return float(1 - min(_error(kernel, target, blocks) for kernel in _kernels(x)))


def _inputs(trial: Recording, angles: tuple[int, ...], size: int) -> Float[np.ndarray, "t i"]:
    seen = [trial.obs[:, :size], trial.next_obs[:, :size]]
    turned = [function(each[:, list(angles)]) for each in seen for function in (np.sin, np.cos)]
    return np.concatenate([*seen, seen[1] - seen[0], trial.action, *turned], axis=1, dtype=float)


def _kernels(x: Float[np.ndarray, "t i"]) -> list[Float[np.ndarray, "t t"]]:
    """Kernels of a parabola in every input, as penalties on actions are, plus a smooth function of all."""
    moving = x[:, x.std(0) > 1e-9 * (1 + np.abs(x.mean(0)))]
    scaled = (moving - moving.mean(0)) / moving.std(0)
    parts = np.concatenate([scaled, scaled**2], axis=1)
    squares = np.square(scaled).sum(1)
    apart = np.maximum(squares[:, None] + squares - 2 * scaled @ scaled.T, 0.0)
    usual = np.median(apart) or 1.0
    return [np.exp(-apart / (length**2 * usual)) + parts @ parts.T / max(scaled.shape[1], 1) for length in LENGTHS]


def _error(kernel: Float[np.ndarray, "t t"], target: Float[np.ndarray, "t"], blocks: list[np.ndarray]) -> float:
    """The mean squared error of kernel ridge regression on held-out blocks, at the best noise."""
    values, vectors = np.linalg.eigh(kernel)
    errors = []
    for noise in NOISES:
        inverse = (vectors / (np.maximum(values, 0.0) + noise * len(target))) @ vectors.T
        weights = inverse @ target
        # The error of a fit without a block, in the block: its weights over its part of the inverse.
        missed = np.concatenate([np.linalg.solve(inverse[np.ix_(b, b)], weights[b]) for b in blocks])
        predicted = np.clip(target - missed, target.min(), target.max())
        errors.append(np.square(predicted - target).mean())
    return min(errors)
