"""Moments of a posterior at a Gaussian input, in closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handful.errors import InputError
from handful.linalg import inverse_cholesky, inverse_of
from handful.models.gp.kernels import SquaredExponential
from handful.models.gp.posterior import Posterior


class OutputMoments(eqx.Module):
    """Mean and covariance of the outputs, and their covariance with the inputs."""

    mean: Float[Array, "o"]
    cov: Float[Array, "o o"]
    input_cov: Float[Array, "i o"]  # of input with output


def matched_moments(posterior: Posterior, mean: Float[Array, "i"], cov: Float[Array, "i i"]) -> OutputMoments:
    """The exact moments of the posterior's functions, without noise, at a Gaussian input, in the posterior's units.

    The true distribution is not Gaussian; these are its first two moments. They do not include the linear trend of a
    belief, which is not part of its posterior. The covariance is a difference of large numbers and needs float64.

    With `Λ` the squared lengthscales, `Σ` the input's covariance, `z_i = x_i - mean`, `β = K^-1 y`:

        q_i   = std^2 |ΣΛ^-1 + 1|^-1/2 exp(-z_i^T (Σ + Λ)^-1 z_i / 2)
        mean  = β^T q          input_cov = Σ sum_i β_i q_i (Σ + Λ)^-1 z_i
        cov_ab = β_a^T Q^ab β_b - mean_a mean_b + [a = b] (std^2 - tr(K^-1 Q^aa))
        Q^ab_ij = k_a(x_i, mean) k_b(x_j, mean) |R|^-1/2 exp(u_ij^T R^-1 Σ u_ij / 2)
        R = Σ (Λ_a^-1 + Λ_b^-1) + 1,   u_ij = Λ_a^-1 z_i + Λ_b^-1 z_j

    Raises `InputError` if the kernel is not the squared exponential, or the posterior is not in float64.

    Source: [Deisenroth11] section 2.2. Deviates: no.
    """
    kernel = posterior.covariance.kernel
    if not isinstance(kernel, SquaredExponential):
        raise InputError(f"moments need a SquaredExponential kernel, got {type(kernel).__name__}")
    if posterior.weights.dtype != jnp.float64:
        raise InputError(f"moments need a posterior in float64, got {posterior.weights.dtype}; set jax_enable_x64")
    gaps = posterior.inputs - mean
    first, input_cov = jax.vmap(lambda kernel, weights: _first(kernel, weights, gaps, cov))(kernel, posterior.weights)
    outputs = jnp.arange(first.shape[0])

    def second(a: Array, b: Array) -> Float[Array, ""]:
        left, right = (jax.tree.map(lambda leaf, index=index: leaf[index], kernel) for index in (a, b))
        both = _both(left, right, gaps, cov) * posterior.mask[:, None] * posterior.mask
        same = jnp.where(a == b, 1.0, 0.0)
        epistemic = left.variance - jnp.sum(inverse_of(posterior.inverse_cholesky[a]) * both)
        return posterior.weights[a] @ both @ posterior.weights[b] - first[a] * first[b] + same * epistemic

    pairs = jax.vmap(jax.vmap(second, (None, 0)), (0, None))(outputs, outputs)
    return OutputMoments(first, pairs, input_cov.T)


def _first(
    kernel: SquaredExponential, weights: Float[Array, "n"], gaps: Float[Array, "n i"], cov: Float[Array, "i i"]
) -> tuple[Float[Array, ""], Float[Array, "i"]]:
    squares = jnp.exp(2 * kernel.log_lengthscales)
    factor = inverse_cholesky(cov + jnp.diag(squares))
    solved = gaps @ inverse_of(factor)
    log_det = _log_det(factor) - jnp.sum(jnp.log(squares))
    q = kernel.variance * jnp.exp(-0.5 * log_det - 0.5 * jnp.sum(gaps * solved, axis=1))
    return weights @ q, cov @ ((weights * q) @ solved)


def _both(
    left: SquaredExponential, right: SquaredExponential, gaps: Float[Array, "n i"], cov: Float[Array, "i i"]
) -> Float[Array, "n n"]:
    """Q of two outputs. Exponents are added first, since single exponentials would overflow."""
    precise, other = (jnp.exp(-2 * kernel.log_lengthscales) for kernel in (left, right))
    root = jnp.sqrt(precise + other)
    factor = inverse_cholesky(
        root[:, None] * cov * root + jnp.eye(root.size)
    )  # R, made symmetric by the root and its inverse
    spread = (inverse_of(factor) @ (root[:, None] * cov)) / root[:, None]
    u, v = gaps * precise, gaps * other
    own = lambda gaps, scaled: -0.5 * jnp.sum(gaps * scaled, axis=1) + 0.5 * jnp.sum((scaled @ spread) * scaled, axis=1)
    exponent = own(gaps, u)[:, None] + own(gaps, v) + (u @ spread) @ v.T
    return left.variance * right.variance * jnp.exp(exponent - 0.5 * _log_det(factor))


def _log_det(factor: Float[Array, "i i"]) -> Float[Array, ""]:
    """The log determinant of the matrix whose inverse Cholesky factor this is."""
    return -2 * jnp.sum(jnp.log(jnp.diag(factor)))
