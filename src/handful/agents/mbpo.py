"""MBPO: short imagined trials that branch off from wherever the system has been."""

from typing import Any

from handful.agent import AbstractAgent
from handful.agents.imagined_policy import ImaginedPolicyAgent
from handful.agents.model_learners import model_learner
from handful.agents.options.imagined import MBPO, ImaginedOptions, ImaginedPPO
from handful.agents.pets import pets_learner
from handful.agents.planners import first_colour
from handful.envs.info import TaskInfo
from handful.envs.registry import info_of
from handful.models.base import AbstractLearner
from handful.optimiser import Adam
from handful.policy_optimization.base import ActorCriticNets
from handful.policy_optimization.improvement import Improvement
from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.surrogate import Clipped


def mbpo(
    task: str = "cartpole-swingup", *, learner: AbstractLearner | None = None, length: int = 50, blocks: int = 20
) -> ImaginedPolicyAgent:
    """Model-based policy optimisation by PPO, whose value estimates what follows the end of a branch.

    Source: [Janner19] algorithm 2. Deviates: PPO on imagined trials alone, instead of an off-policy learner that also
    sees the system's; the model is fitted once a trial; branches are of one length; a branch keeps to one member, where
    the source draws one for every step (`world_each_step`).
    """
    options = MBPO(imagined_steps=length, blocks=blocks, patience=blocks)
    options = options.resolved_policy(info_of(task))
    return imagined_agent(options, pets_learner() if learner is None else learner, imagined_ppo(options))


def make(given: ImaginedPPO, env: Any, info: TaskInfo, steps: int | None = None) -> ImaginedPolicyAgent:
    """MBPO by its options. Raises `InputError` where they do not fit each other or the task."""
    options = given.resolved(env, info)
    return imagined_agent(options, model_learner(options, env), imagined_ppo(options))


def imagined_agent(options: ImaginedOptions, learner: AbstractLearner, optimiser: AbstractAgent) -> ImaginedPolicyAgent:
    """The agent whose optimiser improves a policy inside the learner's model."""
    improvement = Improvement(
        updates=options.updates_per_block,
        eval_episodes=options.tries,
        blocks=options.blocks,
        improved_fraction=options.improved_fraction,
        patience=options.patience,
    )
    return ImaginedPolicyAgent(
        learner,
        optimiser,
        improvement,
        length=options.imagined_steps,
        worlds=options.worlds,
        world_each_step=options.world_per == "step",
        initial_state_fraction=options.initial_state_fraction,
        least_log_std=options.min_log_std,
        first_colour=first_colour(options),
    )


def actor_critic(options: ImaginedOptions) -> dict[str, Any]:
    """Arguments of an actor-critic that learns from imagined trials."""
    return {
        "num_envs": options.imagined_envs,
        "num_steps": options.imagined_steps,
        "advantages": GAE(options.discount, options.gae_lambda),
        "nets": ActorCriticNets(options.policy_hidden, standardise=bool(options.normalise_obs)),
        "scale_rewards": options.scale_rewards,
    }


def imagined_ppo(options: ImaginedPPO) -> PPO:
    """PPO on imagined trials."""
    return PPO(
        epochs=options.policy_epochs,
        minibatches=options.policy_minibatches,
        surrogate=Clipped(options.clip_eps),
        adam=Adam(learning_rate=options.policy_learning_rate),
        entropy_coef=options.entropy_coef,
        **actor_critic(options),
    )
