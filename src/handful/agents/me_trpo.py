"""ME-TRPO: a trust region inside an ensemble, until its members no longer agree on the gain."""

from handful.agents.pets import pets_learner
from handful.agents.policy_presets import preset
from handful.agents.practising import PractisingAgent
from handful.models.base import AbstractLearner
from handful.policy_optimization.base import Nets
from handful.policy_optimization.improvement import Improvement
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.trpo import TRPO, TrustRegion


def me_trpo(
    task: str = "cartpole-swingup", *, learner: AbstractLearner | None = None, length: int = 200, blocks: int = 30
) -> PractisingAgent:
    """Model-ensemble trust-region policy optimisation.

    Source: [Kurutach18] algorithm 1. Deviates: trials begin at visited states; TRPO with a learned value and
    a delta of 0.04; the ensemble's nets are probabilistic.
    """
    told = preset(task)
    optimiser = TRPO(
        envs=10,
        length=length,
        region=TrustRegion(delta=0.04),
        advantages=GAE(told.discount, told.decay),
        nets=Nets(standardise=told.standardise),
        scale_rewards=told.scale_imagined,
    )
    return PractisingAgent(
        pets_learner() if learner is None else learner,
        optimiser,
        Improvement(blocks=blocks, patience=8),
        length=length,
        anew=0.1,
        least_log_std=0.0,
        first_colour=1.0,
    )
