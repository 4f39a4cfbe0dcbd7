"""All checks of an environment against its task, on recorded trials."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import gymnasium
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from handful.checks.explained import explained
from handful.checks.timing import step_length
from handful.checks.trials import LEVELS, SHORT, Recording, Result, Trials, Verdict
from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.gymnasium_task import LearnedReward, LearnedTermination
from handful.task import Task

CLOSE = 1e-4  # of the greatest reward: both sides are float32
PREDICTABLE, UNPREDICTABLE = 0.9, 0.3  # shares of the reward's variance
ENOUGH = 100  # transitions to call a reward unpredictable
SAME = 1e-6  # of an entry's std, in which the effects of two actions differ by no more: rounding errors


@dataclass(frozen=True)
class Finding:
    """The result of a check: a line of the table."""

    check: str
    found: str  # a sentence without its full stop
    verdict: Verdict


def findings(env: AbstractEnv | GymnasiumEnv, trials: Trials) -> list[Finding]:
    """The findings of all checks on the trials of `trials.run`.

    >>> from handful import Pendulum
    >>> from handful.checks.trials import run
    >>> env = Pendulum()
    >>> [finding.verdict for finding in findings(env, run(env, trials=2, steps=30, seed=0))]
    ['ok', 'ok', 'ok', 'ok', 'ok', 'ok']
    """
    size = env.task.obs_size if isinstance(env, AbstractEnv) else env.given_size  # without what was added to be learned
    rewarded, repeated = reward(env.task, trials), determinism(trials)
    results = {
        "reward": rewarded,
        "reward follows from the observation": reward_observed(env.task, trials, size, matches=rewarded[1] == "ok"),
        "termination": termination(env.task, trials),
        "actions": actions(env, trials, size, repeats=repeated[1] == "ok"),
        "step length": step_length(env, trials.seen, size),
        "determinism": repeated,
    }
    return [Finding(check, *result) for check, result in results.items()]


def reward(task: Task, trials: Trials) -> Result:
    """Compares the task's reward with the environment's, and describes the difference."""
    if isinstance(task.reward, LearnedReward):
        return "none is given, so it is learned", "unknown"
    seen = trials.seen
    given = _each(task.reward, seen.obs, seen.action, seen.next_obs).astype(float)
    paid, scale = seen.reward.astype(float), CLOSE * max(np.abs(seen.reward).max(), 1e-6)
    wrong = ~(np.abs(given - paid) <= scale)
    if not wrong.any():
        return f"equal in all {len(seen)} transitions", "ok"
    worst = int(np.argmax(np.where(np.isfinite(given), np.abs(given - paid), np.inf)))
    found = f"differs in {wrong.sum()} of {len(seen)} transitions, as {paid[worst]:.4g} for a given {given[worst]:.4g}"
    return found + _likely(task, seen, given, wrong, scale), "off"


def termination(task: Task, trials: Trials) -> Result:
    """Compares the task's termination with the environment's."""
    seen = trials.seen
    ended = [len(trial) for trial in trials.random if trial.terminated[-1]]
    if isinstance(task.terminated, LearnedTermination):
        found = f"none is given, so it is learned; {len(ended)} of {len(trials.random)} random trials terminated"
        return found, "unknown"
    given = _each(task.terminated, seen.next_obs)
    missed, invented = int((seen.terminated & ~given).sum()), int((given & ~seen.terminated).sum())
    if missed and len(ended) > 1 and ended == [ended[0]] * len(trials.random):
        found = f"every trial terminated at step {ended[0]}; a time limit must be reported as truncated"
    elif missed or invented:
        found = f"of {len(ended)} ends {missed} were not predicted, and {invented} were predicted wrongly"
    elif ended:
        found = f"{len(ended)} ends, each predicted"
    else:
        found = f"none in {len(seen)} transitions, and none predicted"
    return found, "off" if missed or invented else "ok"


def reward_observed(task: Task, trials: Trials, size: int, *, matches: bool) -> Result:
    """Checks that the reward is a function of (obs, action, next_obs)."""
    if matches:
        return "the given reward follows from the observations", "ok"
    count, share = sum(map(len, trials.random)), explained(trials.random, task.angles, size)
    if share is None:
        return f"{count} transitions had equal rewards or were too few", "unknown"
    found = f"a regression on the observations explains {100 * max(share, 0):.0f} % of the reward's variance"
    if share > UNPREDICTABLE or count < ENOUGH:
        return found, "ok" if share >= PREDICTABLE else "unknown"
    return f"{found}, so it depends on chance or on state that is not observed", "off"


def determinism(trials: Trials) -> Result:
    """Checks that the same seed and the same actions give the same trial."""
    one, other = trials.random[0], trials.again
    if not np.array_equal(one.obs[0], other.obs[0]):
        return "the same seed starts another trial; seed all randomness in reset", "off"
    length = min(len(one), len(other))
    alike = [
        np.isclose(getattr(one, name)[:length], getattr(other, name)[:length], rtol=1e-5, atol=1e-6).reshape(length, -1)
        for name in ("next_obs", "reward", "terminated")
    ]
    differs = ~np.concatenate(alike, axis=1).all(1)
    if differs.any() or len(one) != len(other):
        step = 1 + (int(np.argmax(differs)) if differs.any() else length)
        found = f"the same seed and actions give another trial from step {step} on; seed all randomness in reset"
        return found, "off"
    return f"the same seed and actions gave the same {len(one)} steps again", "ok"


def actions(env: AbstractEnv | GymnasiumEnv, trials: Trials, size: int, *, repeats: bool) -> Result:
    """Compares the short trials; impossible where the same seed does not give the same trial."""
    if not repeats:
        return "the same seed gives other trials, so none can be compared", "unknown"
    seen = trials.seen
    scale = np.maximum(np.concatenate([seen.obs, seen.next_obs])[:, :size].std(0), 1e-9)
    paths = [recording.next_obs[:, :size] / scale for recording in trials.short]
    if env.task.categorical:
        faults, found = _categories(paths), "each category has another effect"
    else:
        faults, found = _entries(paths), "each entry has more effect at its limits than half way there"
    if faults:
        return "; ".join(faults), "off"
    layer = None if isinstance(env, AbstractEnv) else env.env
    while isinstance(layer, gymnasium.Wrapper):
        found += f"; {type(layer).__name__} transforms them" * isinstance(layer, gymnasium.ActionWrapper)
        layer = layer.env
    return found, "ok"


def _likely(task: Task, seen: Recording, given: Float[np.ndarray, "t"], wrong: np.ndarray, scale: float) -> str:
    """A simple explanation of the difference, if there is one."""
    difference = seen.reward - given
    if (np.abs(seen.reward - _each(task.reward, seen.obs, seen.action, seen.obs)) <= scale).all():
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


def _each(function: Callable, *transitions: Float[np.ndarray, "t _"]) -> np.ndarray:
    """A function of the task, for each transition."""
    return np.asarray(eqx.filter_jit(eqx.filter_vmap(function))(*map(jnp.asarray, transitions)))


def _entries(paths: list[Float[np.ndarray, "_ o"]]) -> list[str]:
    """`paths` are of the middle, then of each entry at each level."""
    middle, rest, faults = paths[0], paths[1:], []
    for entry in range(len(rest) // len(LEVELS)):
        low, half_low, half_high, high = rest[entry * len(LEVELS) : (entry + 1) * len(LEVELS)]
        if all(_same(path, middle) for path in (low, half_low, half_high, high)):
            faults.append(f"entry {entry} has no effect within {SHORT} steps")
            continue
        for limit, half, end in (("lower", half_low, low), ("upper", half_high, high)):
            if _same(half, end):
                same = f"entry {entry} has the same effect at its {limit} limit as half way there"
                faults.append(f"{same}: it is clipped within its limits")
    return faults


def _categories(paths: list[Float[np.ndarray, "_ o"]]) -> list[str]:
    alike = [(one, other) for other in range(len(paths)) for one in range(other) if _same(paths[one], paths[other])]
    return [f"categories {one} and {other} have the same effect within {SHORT} steps" for one, other in alike]


def _same(one: Float[np.ndarray, "t o"], other: Float[np.ndarray, "s o"]) -> bool:
    return one.shape == other.shape and bool((np.abs(one - other) <= SAME).all())
