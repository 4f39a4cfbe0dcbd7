"""MBPO: short imagined trials that branch off from wherever the system has been."""

from handful.agents.pets import pets_learner
from handful.agents.policy_presets import preset
from handful.agents.practising import PractisingAgent
from handful.models.base import AbstractLearner
from handful.policy_optimization.base import Nets
from handful.policy_optimization.improvement import Improvement
from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.steps import Adam


def mbpo(
    task: str = "cartpole-swingup", *, learner: AbstractLearner | None = None, length: int = 50, blocks: int = 20
) -> PractisingAgent:
    """Model-based policy optimisation by PPO, whose value tells what follows the end of a branch.

    Source: [Janner19] algorithm 2. Deviates: PPO on imagined trials alone, instead of an off-policy learner that also
    sees the system's; the belief is fitted once a trial; branches are of one length.
    """
    told = preset(task)
    optimiser = PPO(
        envs=20,
        length=length,
        minibatches=8,
        advantages=GAE(told.discount, told.decay),
        nets=Nets(standardise=told.standardise),
        adam=Adam(rate=1e-3),
        scale_rewards=told.scale_imagined,
    )
    return PractisingAgent(
        pets_learner() if learner is None else learner,
        optimiser,
        Improvement(blocks=blocks, patience=blocks),
        length=length,
        first_colour=1.0,
    )
