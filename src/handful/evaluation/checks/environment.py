"""An environment held against its task: trials are run, and each check looks at them."""

from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.evaluation.checks import wanted
from handful.evaluation.checks.actions import actions
from handful.evaluation.checks.finding import Finding
from handful.evaluation.checks.timing import step_length
from handful.evaluation.checks.trials import Recording, Trials, own_size


def findings(env: AbstractEnv | GymnasiumEnv, trials: Trials) -> list[Finding]:
    """What `trials.run` has shown of an environment.

    >>> from handful import Pendulum
    >>> from handful.evaluation.checks.trials import run
    >>> env = Pendulum()
    >>> [finding.verdict for finding in findings(env, run(env, trials=2, steps=30, seed=0))]
    ['ok', 'ok', 'ok', 'ok', 'ok', 'ok']
    """
    size = own_size(env)
    reward, determinism = wanted.reward(env.task, trials), wanted.determinism(trials)
    return [
        reward,
        wanted.hidden_state(env.task, trials, size, matches=reward.verdict == "ok"),
        wanted.termination(env.task, trials),
        actions(env, trials, size, repeats=determinism.verdict == "ok"),
        step_length(env, Recording.joined(trials.random), size),
        determinism,
    ]
