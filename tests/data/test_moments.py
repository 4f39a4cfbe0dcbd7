"""Moments from batch to batch against those of all rows at once."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from handful.data.moments import Moments

ROWS = np.random.default_rng(3).normal([2.0, -70.0], [0.5, 9.0], (23, 2)).astype(np.float32)


def test_batches_of_unlike_sizes_come_to_the_moments_of_all_rows():
    seeing = eqx.filter_jit(lambda moments, rows: moments.update(rows))
    moments = Moments.of((2,))
    for rows in (ROWS[:4], ROWS[4:5], ROWS[5:]):
        moments = seeing(moments, jnp.asarray(rows))
    assert moments.count == 23
    np.testing.assert_allclose(moments.mean, ROWS.mean(0), rtol=1e-5)
    np.testing.assert_allclose(moments.var, ROWS.astype(float).var(0), rtol=1e-4)


def test_before_any_row_they_are_those_of_the_standard_normal():
    moments = Moments.of((3,))
    assert (moments.count, moments.mean.tolist(), moments.var.tolist()) == (0, [0.0] * 3, [1.0] * 3)


def test_rows_that_are_not_counted_leave_no_trace():
    rows = np.where(np.arange(23)[:, None] % 3, ROWS, np.nan).astype(np.float32)
    counted = jnp.arange(23) % 3 > 0
    seeing = eqx.filter_jit(Moments.update)
    moments = seeing(
        seeing(Moments.of((2,)), jnp.asarray(rows[:10]), counted[:10]), jnp.asarray(rows[10:]), counted[10:]
    )
    assert moments.count == counted.sum()
    np.testing.assert_allclose(moments.mean, np.nanmean(rows, 0), rtol=1e-5)
    np.testing.assert_allclose(moments.var, np.nanvar(rows.astype(float), 0), rtol=1e-4)
    nothing = seeing(Moments.of((2,)), jnp.asarray(rows), jnp.zeros(23, bool))
    assert (nothing.count, nothing.mean.tolist(), nothing.var.tolist()) == (0, [0.0] * 2, [1.0] * 2)
