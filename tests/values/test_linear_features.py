"""Features by their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.data.grid import Axis, Grid, turn
from handful.errors import InputError
from handful.values.linear_features import Active, Cells, Fourier, Tiles, add_to_value, linear_values

GRID = Grid((Axis(0, 3, -1.0, 2.0), turn(1, 4)), 2)
OBS = np.random.default_rng(3).uniform([-1.2, -9.0], [2.3, 9.0], (60, 2)).astype(np.float32)
KINDS = {"cells": Cells(GRID), "tiles": Tiles(GRID, tilings=5), "fourier": Fourier(GRID, order=2)}


def places(obs):
    return np.clip(obs[0] + 1, 0, 3), (obs[1] + np.pi) % (2 * np.pi) / (2 * np.pi) * 4


def expected(name, obs):
    x, y = places(obs.astype(float))
    full = np.zeros(KINDS[name].count)
    if name == "cells":
        full[min(int(x), 2) * 4 + int(y)] = 1
    if name == "tiles":  # the round axis of 4 cells closes on itself; the other has one more for the shift
        for i in range(5):
            full[i * 16 + int(x + i / 5) * 4 + int(y + i * 3 % 5 / 5) % 4] = 1
    if name == "fourier":
        turned = 2 * np.pi * y / 4
        waves = [1, np.cos(turned), np.cos(2 * turned), np.sin(turned), np.sin(2 * turned)]
        full = np.outer([np.cos(np.pi * k * x / 3) for k in range(3)], waves).ravel()
    return full


@pytest.mark.parametrize("name", list(KINDS))
def test_by_numpy(name):
    features = KINDS[name]
    active = jax.jit(jax.vmap(features))(jnp.asarray(OBS))
    full = np.zeros((60, features.count))
    np.add.at(full, (np.arange(60)[:, None], np.asarray(active.index)), np.asarray(active.value))
    np.testing.assert_allclose(full, [expected(name, obs) for obs in OBS], atol=2e-5)
    constant = np.asarray(features.constant(jnp.asarray(-3.5)))
    np.testing.assert_allclose(full @ constant, -3.5, rtol=1e-5)


def test_a_step_moves_one_action_by_what_it_should_and_its_neighbours_by_less():
    weights = jnp.arange(12.0).reshape(4, 3)
    active = Active(jnp.array([2, 0]), jnp.array([0.5, -2.0]))
    np.testing.assert_allclose(linear_values(weights, active), 0.5 * np.arange(6, 9) - 2.0 * np.arange(3), rtol=1e-6)
    moved = add_to_value(weights, active, jnp.asarray(1), jnp.asarray(0.8), jnp.asarray(True))
    np.testing.assert_allclose(
        linear_values(moved, active) - linear_values(weights, active), [0.0, 0.8, 0.0], atol=1e-6
    )
    np.testing.assert_allclose((moved - weights)[:, 1], 0.8 / 4.25 * np.array([-2.0, 0.0, 0.5, 0.0]), atol=1e-6)


def test_a_step_that_is_not_used_leaves_the_weights_whatever_the_features_are():
    """Zero times a feature that is no number would be no number."""
    weights, active = jnp.arange(12.0).reshape(4, 3), Active(jnp.array([2, 0]), jnp.array([0.5, jnp.nan]))
    kept = add_to_value(weights, active, jnp.asarray(1), jnp.asarray(jnp.inf), jnp.asarray(False))
    np.testing.assert_array_equal(kept, weights)


def test_features_without_number():
    fine = Grid((Axis(0, 1000, 0.0, 1.0), Axis(1, 1000, 0.0, 1.0)), 2)
    for make, says in (
        (lambda: Tiles(GRID, tilings=0), "at least one tiling"),
        (lambda: Tiles(fine, tilings=20), "20040020 tiles"),
        (lambda: Fourier(GRID, order=0), "at least 1"),
        (lambda: Fourier(fine, order=5000), "25010001 features"),
        (lambda: Fourier(fine, order=10**200), "at most 10000000"),
        (lambda: Cells(Grid.of_states(20_000)).weights(jnp.zeros(()), 3_000), "20000 features and 3000 actions"),
    ):
        with pytest.raises(InputError, match=says):
            make()
