"""All checks of an environment against its task, on recorded trials."""

from handful.checks import declarations
from handful.checks.actions import actions
from handful.checks.finding import Finding
from handful.checks.timing import step_length
from handful.checks.trials import Trials, own_size
from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv


def findings(env: AbstractEnv | GymnasiumEnv, trials: Trials) -> list[Finding]:
    """The findings of all checks on the trials of `trials.run`.

    >>> from handful import Pendulum
    >>> from handful.checks.trials import run
    >>> env = Pendulum()
    >>> [finding.verdict for finding in findings(env, run(env, trials=2, steps=30, seed=0))]
    ['ok', 'ok', 'ok', 'ok', 'ok', 'ok']
    """
    size = own_size(env)
    reward, determinism = declarations.reward(env.task, trials), declarations.determinism(trials)
    return [
        reward,
        declarations.hidden_state(env.task, trials, size, matches=reward.verdict == "ok"),
        declarations.termination(env.task, trials),
        actions(env, trials, size, repeats=determinism.verdict == "ok"),
        step_length(env, trials.seen, size),
        determinism,
    ]
