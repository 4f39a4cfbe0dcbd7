"""Trials for the checks: random ones, the first of them again, and short ones with constant actions."""

import functools
from dataclasses import dataclass
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.errors import InputError
from handful.task import Task

SHORT = 10  # [steps] of a trial with a constant action
LEVELS = (-1.0, -0.5, 0.5, 1.0)  # [half-ranges] that an action entry is held at, the others in the middle

Verdict = Literal["ok", "off", "unknown"]
Result = tuple[str, Verdict]  # of a check: what was found, in a sentence without its full stop


@dataclass(frozen=True)
class Recording:
    """A trial, or several in a row."""

    obs: Float[np.ndarray, "t o"]
    action: Float[np.ndarray, "t a"]
    next_obs: Float[np.ndarray, "t o"]
    reward: Float[np.ndarray, "t"]
    terminated: Bool[np.ndarray, "t"]

    def __len__(self) -> int:
        return len(self.reward)


@dataclass(frozen=True)
class Trials:
    """All recorded trials."""

    random: tuple[Recording, ...]
    again: Recording  # the first of the random ones, repeated
    short: tuple[Recording, ...]  # see `short_actions`

    @functools.cached_property
    def seen(self) -> Recording:
        """All random trials in a row."""
        columns = zip(*(vars(trial).values() for trial in self.random), strict=True)
        return Recording(*map(np.concatenate, columns))

    @property
    def steps(self) -> int:
        return sum(map(len, (*self.random, self.again, *self.short)))


class SteppedEnv:
    """A pure environment with the interface of a Gymnasium one; the seed also determines its noise."""

    def __init__(self, env: AbstractEnv) -> None:
        self._reset, self._step = eqx.filter_jit(env.reset), eqx.filter_jit(env.step)

    def reset(self, seed: int) -> Float[np.ndarray, "o"]:
        """Start a trial."""
        start_key, self._key = jax.random.split(jax.random.key(seed))
        self._state, obs = self._reset(start_key)
        return np.asarray(obs)

    def step(self, action: Float[np.ndarray, "a"]) -> tuple[Float[np.ndarray, "o"], float, bool, bool]:
        """Take an action: next_obs, reward, terminated, truncated."""
        self._key, key = jax.random.split(self._key)
        self._state, step = self._step(key, self._state, jnp.asarray(action))
        if not (np.isfinite(step.obs).all() and np.isfinite(step.reward)):
            raise InputError("the environment gave an observation or a reward that is not finite; correct its step")
        return np.asarray(step.obs), float(step.reward), bool(step.terminated), False


def run(env: AbstractEnv | GymnasiumEnv, *, trials: int, steps: int, seed: int) -> Trials:
    """Random trials of at most `steps` steps, the first one again, and the short ones."""
    host, task = (SteppedEnv(env) if isinstance(env, AbstractEnv) else env), env.task
    rngs = [np.random.default_rng((seed, trial)) for trial in range(trials)]
    drawn = [_drawn(rng, task, min(steps, task.horizon)) for rng in rngs]
    random = tuple(_trial(host, seed + trial, actions) for trial, actions in enumerate(drawn))
    short = tuple(_trial(host, seed, np.tile(action, (SHORT, 1))) for action in short_actions(task))
    return Trials(random, _trial(host, seed, drawn[0]), short)


def most_steps(task: Task, *, trials: int, steps: int) -> int:
    """The steps that `run` takes at most."""
    return (trials + 1) * min(steps, task.horizon) + SHORT * len(short_actions(task))


def short_actions(task: Task) -> list[Float[np.ndarray, "a"]]:
    """Each category; or the middle of the limits, then each entry in turn at each of the levels."""
    if task.categorical:
        return list(np.eye(task.action_size, dtype=task.low.dtype))
    low, high = np.asarray(task.low), np.asarray(task.high)
    middle, half_range = (low + high) / 2, (high - low) / 2
    each = np.eye(task.action_size, dtype=low.dtype)
    return [middle, *(middle + level * half_range * entry for entry in each for level in LEVELS)]


def _drawn(rng: np.random.Generator, task: Task, length: int) -> Float[np.ndarray, "t a"]:
    if task.categorical:
        return np.eye(task.action_size, dtype=task.low.dtype)[rng.integers(task.action_size, size=length)]
    return rng.uniform(task.low, task.high, (length, task.action_size)).astype(task.low.dtype)


def _trial(host: SteppedEnv | GymnasiumEnv, seed: int, actions: Float[np.ndarray, "t a"]) -> Recording:
    """A trial until the environment ends it, or the actions do."""
    obs, rows = host.reset(seed), []
    for action in actions:
        next_obs, reward, terminated, truncated = host.step(action)
        rows.append((obs, action, next_obs, reward, terminated))
        obs = next_obs
        if terminated or truncated:
            break
    return Recording(*(np.array(column) for column in zip(*rows, strict=True)))
