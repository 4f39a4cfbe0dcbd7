"""Checks of a task's reward and termination against its environment, and of the environment's determinism."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from handful.checks.explained import explained
from handful.checks.finding import Finding
from handful.checks.trials import Recording, Trials
from handful.envs.gymnasium_task import LearnedReward, LearnedTermination
from handful.task import Task

CLOSE = 1e-4  # of the greatest reward: both sides are float32
PREDICTABLE, UNPREDICTABLE = 0.9, 0.3  # shares of the reward's variance
ENOUGH = 100  # transitions to call a reward unpredictable


def reward(task: Task, trials: Trials) -> Finding:
    """Compares the task's reward with the environment's, and describes the difference."""
    if isinstance(task.reward, LearnedReward):
        return Finding("reward", "none is given, so it is learned", "unknown")
    seen = trials.seen
    given = _given(task, seen.obs, seen.action, seen.next_obs)
    paid, scale = seen.reward.astype(float), CLOSE * max(np.abs(seen.reward).max(), 1e-6)
    wrong = ~(np.abs(given - paid) <= scale)
    if not wrong.any():
        return Finding("reward", f"equal in all {len(seen)} transitions", "ok")
    worst = int(np.argmax(np.where(np.isfinite(given), np.abs(given - paid), np.inf)))
    found = f"differs in {wrong.sum()} of {len(seen)} transitions, as {paid[worst]:.4g} for a given {given[worst]:.4g}"
    return Finding("reward", found + _likely(task, seen, given, wrong, scale), "off")


def termination(task: Task, trials: Trials) -> Finding:
    """Compares the task's termination with the environment's."""
    seen = trials.seen
    ended = [len(trial) for trial in trials.random if trial.terminated[-1]]
    if isinstance(task.terminated, LearnedTermination):
        found = f"none is given, so it is learned; {len(ended)} of {len(trials.random)} random trials terminated"
        return Finding("termination", found, "unknown")
    given = np.asarray(_ends(task, jnp.asarray(seen.next_obs)))
    missed, invented = int((seen.terminated & ~given).sum()), int((given & ~seen.terminated).sum())
    if missed and len(ended) > 1 and ended == [ended[0]] * len(trials.random):
        found = f"every trial terminated at step {ended[0]}; a time limit must be reported as truncated"
    elif missed or invented:
        found = f"of {len(ended)} ends {missed} were not predicted, and {invented} were predicted wrongly"
    else:
        found = (
            f"{len(ended)} ends, each predicted" if ended else f"none in {len(seen)} transitions, and none predicted"
        )
    return Finding("termination", found, "off" if missed or invented else "ok")


def hidden_state(task: Task, trials: Trials, size: int, *, matches: bool) -> Finding:
    """Checks that the reward is a function of (obs, action, next_obs)."""
    if matches:
        return Finding("hidden state", "the given reward follows from the observations", "ok")
    count, share = sum(map(len, trials.random)), explained(trials.random, task.angles, size)
    if share is None:
        return Finding("hidden state", f"{count} transitions had equal rewards or were too few", "unknown")
    found = f"a regression on the observations explains {100 * max(share, 0):.0f} % of the reward's variance"
    if share > UNPREDICTABLE or count < ENOUGH:
        return Finding("hidden state", found, "ok" if share >= PREDICTABLE else "unknown")
    return Finding("hidden state", f"{found}, so it depends on chance or on state that is not observed", "off")


def determinism(trials: Trials) -> Finding:
    """Checks that the same seed and the same actions give the same trial."""
    one, other = trials.random[0], trials.again
    if not np.array_equal(one.obs[0], other.obs[0]):
        return Finding("determinism", "the same seed starts another trial; seed all randomness in reset", "off")
    length = min(len(one), len(other))
    alike = [
        np.isclose(getattr(one, name)[:length], getattr(other, name)[:length], rtol=1e-5, atol=1e-6).reshape(length, -1)
        for name in ("next_obs", "reward", "terminated")
    ]
    differs = ~np.concatenate(alike, axis=1).all(1)
    if differs.any() or len(one) != len(other):
        step = 1 + (int(np.argmax(differs)) if differs.any() else length)
        found = f"the same seed and actions give another trial from step {step} on; seed all randomness in reset"
        return Finding("determinism", found, "off")
    return Finding("determinism", f"the same seed and actions gave the same {len(one)} steps again", "ok")


def _likely(task: Task, seen: Recording, given: Float[np.ndarray, "t"], wrong: np.ndarray, scale: float) -> str:
    """A simple explanation of the difference, if there is one."""
    difference = seen.reward - given
    before = _given(task, seen.obs, seen.action, seen.obs)
    if (np.abs(seen.reward - before) <= scale).all():
        return "; it is that of the state before the step"
    if (seen.terminated == wrong).all():
        return "; it differs on the steps that terminate"
    shapes = {"{:.4g} times the given": given, "the given and {:.4g}": np.ones(len(seen))}
    shapes["the given and {:.4g} |action|^2"] = np.square(seen.action.astype(float)).sum(1)
    for words, shape in shapes.items():
        size = float(shape @ difference / max(shape @ shape, 1e-30))
        if (np.abs(difference - size * shape) <= scale).all():
            return f"; it is {words.format(1 + size if 'times' in words else size)}"
    return ""


def _given(task: Task, *transitions: Float[np.ndarray, "t _"]) -> Float[np.ndarray, "t"]:
    return np.asarray(_rewards(task, *map(jnp.asarray, transitions)), float)


@eqx.filter_jit
def _rewards(task: Task, obs: Array, action: Array, next_obs: Array) -> Array:
    return jax.vmap(task.reward)(obs, action, next_obs)


@eqx.filter_jit
def _ends(task: Task, next_obs: Array) -> Array:
    return jax.vmap(task.terminated)(next_obs)
