"""ME-TRPO: a trust region inside an ensemble, until its members no longer agree on the gain."""

import math
from typing import Any

from handful.agents.imagined_policy import ImaginedPolicyAgent
from handful.agents.mbpo import actor_critic, imagined_agent
from handful.agents.model_learners import model_learner
from handful.agents.options.imagined import METRPO
from handful.agents.pets import pets_learner
from handful.envs.info import TaskInfo
from handful.envs.registry import info_of
from handful.models.base import AbstractLearner
from handful.optimiser import Adam
from handful.policy_optimization.trpo import TRPO, TrustRegion


def me_trpo(
    task: str = "cartpole-swingup", *, learner: AbstractLearner | None = None, length: int = 200, blocks: int = 30
) -> ImaginedPolicyAgent:
    """Model-ensemble trust-region policy optimisation.

    Source: [Kurutach18] algorithm 1. Deviates: trials begin at visited states; TRPO with a learned value and
    a delta of 0.04; the ensemble's networks are probabilistic; an imagined trial keeps to one member, where the source
    draws one for every step (`world_each_step`).
    """
    options = METRPO(imagined_steps=length, blocks=blocks).resolved_policy(info_of(task))
    return imagined_agent(options, pets_learner() if learner is None else learner, imagined_trpo(options))


def make(given: METRPO, env: Any, info: TaskInfo, steps: int | None = None) -> ImaginedPolicyAgent:
    """ME-TRPO by its options. Raises `InputError` where they do not fit each other or the task."""
    options = given.resolved(env, info)
    return imagined_agent(options, model_learner(options, env), imagined_trpo(options))


def imagined_trpo(options: METRPO) -> TRPO:
    """TRPO on imagined trials."""
    return TRPO(
        region=TrustRegion(delta=options.delta, damping=options.cg_damping, cg_iterations=options.cg_iterations),
        adam=Adam(learning_rate=options.value_learning_rate, max_grad_norm=math.inf),
        value_epochs=options.value_epochs,
        value_minibatches=options.value_minibatches,
        **actor_critic(options),
    )
