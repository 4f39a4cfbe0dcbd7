"""Noise that is correlated in time."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray


def coloured(key: PRNGKeyArray, shape: tuple[int, int, int], colour: Float[Array, ""]) -> Float[Array, "n h a"]:
    """Gaussian sequences over the middle axis with power spectrum `f^-colour` and unit variance.

    The zero frequency has the power of the lowest one, as in the reference implementation. It and the highest one of
    an even horizon have no negative counterpart, so they have half weight: colour 0 is white.

    Source: [Timmer95]. Deviates: no.
    """
    candidates, horizon, actions = shape
    basis = _basis(horizon)
    frequency = np.fft.rfftfreq(horizon)
    frequency[0] = 1 / horizon
    amplitude = jnp.repeat(jnp.asarray(frequency) ** (-colour / 2), 2)
    mixing = basis * amplitude
    mixing = mixing / jnp.linalg.norm(mixing, axis=1, keepdims=True)  # unit variance at each step
    white = jax.random.normal(key, (candidates, amplitude.shape[0], actions))
    return jnp.einsum("hf,nfa->nha", mixing, white)


def _basis(horizon: int) -> Float[np.ndarray, "h f"]:
    """Cosine and sine of each frequency, side by side, over the steps; orthogonal rows."""
    frequency = np.fft.rfftfreq(horizon)
    phase = 2 * np.pi * np.outer(np.arange(horizon), frequency)
    mirrored = np.sqrt(np.where((frequency == 0) | (frequency == 0.5), 0.5, 1.0))[:, None]
    return (np.stack([np.cos(phase), np.sin(phase)], axis=-1) * mirrored).reshape(horizon, -1)
