"""A small linear system and a small learner, shared by the tests of fits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from handful.data.dataset import Dataset
from handful.models.ensemble_learner import EnsembleLearner, Minibatches
from handful.types import Transition
from probes import task_of

TASK = task_of(lambda obs, action, next_obs: obs[0], 2, [-1.0], [1.5])
MEMBERS, LAYERS = 3, 2
FIT = eqx.filter_jit(lambda learner, key, state, data: learner.fit(key, state, data))
TRAIN, KEY = jax.random.split(jax.random.key(12))

# The system: next_obs = obs + CHANGE obs + PUSH action + noise with NOISE as std.
CHANGE, PUSH, NOISE = np.array([[-0.2, 0.1], [0.3, -0.4]]), np.array([0.5, -0.9]), np.array([0.04, 0.3])


def learner(**settings):
    batches = {"batch_size": 16, "epochs": 5.0} | settings.pop("minibatches", {})
    settings = {"weight_decay": jnp.array([1e-5, 2e-5]), "members": MEMBERS} | settings
    return EnsembleLearner(hidden=(8,), minibatches=Minibatches(**batches), **settings)


def recorded(rows_of_trials, capacity, seed=1):
    """A dataset with that many rows in trial 0, 1, …"""
    rng = np.random.default_rng(seed)
    data = Dataset.empty(TASK, capacity)
    for trial, rows in enumerate(rows_of_trials):
        obs, action = rng.normal(0.4, 1.3, (rows, 2)), rng.uniform(-1, 1.5, (rows, 1))
        next_obs = obs + obs @ CHANGE.T + action * PUSH + NOISE * rng.normal(size=(rows, 2))
        numbers = [jnp.asarray(x, jnp.float32) for x in (obs, action, next_obs)]
        no = jnp.zeros(rows, bool)
        data = data.add(Transition(numbers[0], numbers[1], jnp.ones(rows), numbers[2], no, no), trial)
    return data


def finite(tree):
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf))


def member(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)
