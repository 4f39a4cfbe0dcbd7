"""Which rows are kept: they cover the others, and none is taken twice."""

import jax
import jax.numpy as jnp
import numpy as np

from handful.models.gp.learner import spread_out
from probes import counted

PICK = jax.jit(spread_out, static_argnums=2)


def brute(inputs, valid, most):
    """Greedy farthest points, distance by distance."""
    rows = list(np.flatnonzero(valid))
    taken = [max(rows, key=lambda row: ((inputs[row] - inputs[valid].mean(0)) ** 2).sum())]
    while len(taken) < min(most, len(rows)):
        gaps = {r: min(((inputs[r] - inputs[t]) ** 2).sum() for t in taken) for r in rows if r not in taken}
        taken.append(max(gaps, key=gaps.get))
    return taken


def test_against_brute_force():
    rng = np.random.default_rng(2)
    inputs, valid = rng.normal(0.3, 1.2, (40, 3)).astype(np.float32), rng.uniform(size=40) < 0.7
    order, taken = PICK(jnp.asarray(inputs), jnp.asarray(valid), 12)
    assert order.tolist() == brute(inputs, valid, 12)
    assert taken.all()
    # a greedy cover is within twice the best: no row is farther from it than any two of it are from each other
    chosen = inputs[np.asarray(order)]
    gaps = np.linalg.norm(inputs[valid][:, None] - chosen, axis=2).min(1)
    between = np.linalg.norm(chosen[:, None] - chosen, axis=2) + 9 * np.eye(12)
    assert gaps.max() <= between.min()


def test_rows_that_are_equal_are_not_both_taken_while_others_are_left():
    inputs = np.repeat(np.random.default_rng(3).normal(size=(8, 2)), 3, axis=0).astype(np.float32)
    order, taken = PICK(jnp.asarray(inputs), jnp.ones(24, bool), 10)
    assert taken.all()
    assert len(np.unique(inputs[np.asarray(order[:8])], axis=0)) == 8
    assert len(set(order.tolist())) == 10, "no row twice"


def test_fewer_valid_rows_than_room():
    inputs = jnp.asarray(np.random.default_rng(4).normal(size=(9, 2)), jnp.float32)
    compiled, traces = counted(lambda inputs, valid: spread_out(inputs, valid, 6))
    for rows in ([], [7], [1, 4, 8]):
        valid = jnp.zeros(9, bool).at[jnp.array(rows, int)].set(True)
        order, taken = compiled(inputs, valid)
        assert sorted(order[taken].tolist()) == rows
    assert traces.count == 1
