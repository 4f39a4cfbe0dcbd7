"""Small systems whose answers are known: what tests measure learners, propagators and planners with."""

import functools
import inspect
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from handful.data.features import Features
from handful.data.scaling import Standardiser
from handful.models.ensemble import Ensemble, NetworkWorld
from handful.models.known import KnownDynamics
from handful.models.networks import GaussianNet
from handful.planning.problem import Problem
from handful.policies.base import AbstractPolicy
from handful.propagation.trajectory_sampling import TSInf
from handful.task import Task

NO_NOISE = -40.0  # a log-variance whose std, 2e-9, vanishes beside any observation of size one in float32


class Linear(eqx.Module):
    """next_obs = A obs + B action."""

    A: Float[Array, "o o"]
    B: Float[Array, "o a"]

    def __call__(self, obs, action):
        return self.A @ obs + self.B @ action


class Feedback(AbstractPolicy):
    """action = gain obs: a policy that sees where its particle is."""

    gain: Float[Array, "a o"]

    def init(self) -> None:
        return None

    def __call__(self, key: Any, obs: Float[Array, "o"], carry: None) -> tuple[Float[Array, "a"], None]:
        return self.gain @ obs, None


class Trap(eqx.Module):
    """The reward of two arms, each step by itself, and never above zero.

    A hill of height -1 at action -0.5; a slope that rises to -0.6 at action 0.6; not a number beyond.
    """

    edge: Float[Array, ""] = eqx.field(default_factory=lambda: jnp.asarray(0.6))

    def __call__(self, obs, action, next_obs):
        hill = -1.0 - 8.0 * (action[0] + 0.5) ** 2
        slope = -0.6 - (self.edge - action[0])
        worth = jnp.where(action[0] < 0, hill, slope)
        return jnp.where(action[0] > self.edge, jnp.nan, worth)


def reaching(edge: float = 9.0) -> Problem:
    """Two numbers pushed by two actions towards a goal; no return for plans whose second action ever exceeds `edge`."""

    def reward(obs, action, next_obs):
        gap = next_obs - jnp.array([1.9, -0.6])
        return jnp.where(action[1] > edge, jnp.nan, -gap @ gap)

    task = task_of(reward, 2, [-1.0, -2.0], [1.5, 0.8])
    return Problem(task, KnownDynamics(lambda obs, action: obs + 0.5 * action), TSInf(1))


def reached(obs, plans, edge: float = 9.0):
    """The returns of `reaching`, in NumPy."""
    plans = np.asarray(plans, float)
    gaps = obs + 0.5 * np.cumsum(plans, axis=1) - np.array([1.9, -0.6])
    returns = -(gaps**2).sum((1, 2))
    return np.where((plans[:, :, 1] > edge).any(1), -np.inf, returns)


def task_of(reward, o: int, low, high, **settings) -> Task:
    names = tuple(f"entry {index}" for index in range(o))
    settings = {"dt": 0.1, "horizon": 50} | settings
    return Task(reward=reward, low=jnp.asarray(low), high=jnp.asarray(high), names=names, **settings)


def linear_ensemble(deltas, actions, offsets, log_vars) -> Ensemble:
    """Members whose means are `obs + delta obs + action_matrix action + offset` and whose variances are constant.

    Nets without a hidden layer, so the answer is known exactly. Leading axis m on all four arguments.
    """
    deltas, actions, offsets, log_vars = (np.asarray(x, float) for x in (deltas, actions, offsets, log_vars))
    m, o = offsets.shape
    a = actions.shape[2]
    mean = np.concatenate([deltas, actions], axis=2).swapaxes(1, 2)
    weights = np.concatenate([mean, np.zeros_like(mean)], axis=2)
    biases = np.concatenate([offsets, log_vars], axis=1)
    stack = lambda value: jnp.broadcast_to(jnp.asarray(value), (m, *np.shape(value)))
    # Bounds this far away change a log-variance by less than float32 can tell.
    upper, lower = stack(jnp.full(o, 80.0)), stack(jnp.full(o, -80.0))

    def member(weight, bias, upper, lower):
        net = GaussianNet((weight,), (bias,), upper, lower)
        features = Features(o, a, (), ())
        return NetworkWorld(net, Standardiser.identity(o + a), Standardiser.identity(o), features)

    return Ensemble(eqx.filter_vmap(member)(jnp.asarray(weights), jnp.asarray(biases), upper, lower))


def signatures(constants) -> Ensemble:
    """Members without noise that each add a constant of their own to both entries, plus the action to the first."""
    m = len(constants)
    offsets = np.stack([np.asarray(constants), -2.0 * np.asarray(constants)], axis=1)
    action = np.tile(np.array([[1.0], [0.0]]), (m, 1, 1))
    return linear_ensemble(np.zeros((m, 2, 2)), action, offsets, np.full((m, 2), NO_NOISE))


@eqx.filter_jit
def shaken(tree, size: float = 0.1):
    """The same tree with every real array in it moved a little, each differently: what a refit does to a model."""
    leaves, structure = jax.tree.flatten(tree)

    def move(index, leaf):
        if not eqx.is_inexact_array(leaf):
            return leaf
        return leaf * (1 + size / (2 + index)) + size / (3 + index)

    return jax.tree.unflatten(structure, [move(index, leaf) for index, leaf in enumerate(leaves)])


@eqx.filter_jit
def jitted(function, *args):
    """`function(*args)` in one program, where eager `jnp` compiles one for each operation."""
    return function(*args)


@eqx.filter_jit
def at(tree, index: int):
    """The element `index` of every array of a tree, in one program."""
    return jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, tree)


class Traces:
    """Counts how often a function is traced: `jitted = counted(f, traces)`."""

    count = 0


def counted(function):
    """The compiled function, and how often it was traced."""
    traces = Traces()

    def wrapped(*args):
        traces.count += 1
        return function(*args)

    return eqx.filter_jit(wrapped), traces


def same(left, right) -> None:
    """Equal to the last bit, leaf by leaf."""
    left, right = jax.tree.leaves(left), jax.tree.leaves(right)
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one, other)


def close(left, right, rtol=1e-5, atol=1e-5) -> None:
    """Equal but for the order of float32 operations."""
    left, right = jax.tree.leaves(left), jax.tree.leaves(right)
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        if eqx.is_array(one):
            np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


def differ(left, right) -> bool:
    """Whether any real leaf changed by more than rounding."""
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return any(not np.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in pairs if eqx.is_inexact_array(a))


def unchecked(function):
    """As users have it: without the checks of shapes that this suite adds to every annotated function."""
    method = getattr(function, "__func__", None)
    if method is not None:
        return functools.partial(inspect.unwrap(method), function.__self__)
    return inspect.unwrap(function)
