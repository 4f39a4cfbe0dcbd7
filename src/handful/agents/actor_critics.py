"""The model-free policy-gradient agents that options describe: PPO, A2C, TRPO and REINFORCE."""

import math
from typing import Any

from handful.agents.options import actor_critic as options_of
from handful.agents.options.filled import made
from handful.envs.info import TaskInfo
from handful.optimiser import Adam
from handful.policy_optimization.base import ActorCriticNets
from handful.policy_optimization.baselines import BatchMean, LearnedValue, NoBaseline
from handful.policy_optimization.penalty import Doubling, DualDescent, Fixed
from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.reinforce import Reinforce
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.surrogate import AbstractSurrogate, Clipped, Importance, Penalised
from handful.policy_optimization.trpo import TRPO, TrustRegion

BASELINES = {"value": LearnedValue, "mean": BatchMean, "none": NoBaseline}


def ppo(given: options_of.PPO, env: Any, info: TaskInfo, steps: int | None = None) -> PPO:
    """PPO with a clipped ratio; what is annealed falls to zero in `steps` of interaction."""
    options = given.resolved(env, info)
    return _ppo(options, Clipped(options.clip_eps), steps)


def ppo_penalty(given: options_of.PPOPenalty, env: Any, info: TaskInfo, steps: int | None = None) -> PPO:
    """PPO with a penalty on the KL divergence; what is annealed falls to zero in `steps` of interaction."""
    options = given.resolved(env, info)
    beta, target = options.beta, options.target_kl
    penalty = {
        "dual": lambda: DualDescent(beta, target, options.beta_rate),
        "doubling": lambda: Doubling(beta, target),
        "fixed": lambda: Fixed(beta, target),
    }[options.penalty]()
    return _ppo(options, Penalised(penalty), steps)


def a2c(given: options_of.A2C, env: Any, info: TaskInfo, steps: int | None = None) -> PPO:
    """The advantage actor-critic: the importance-weighted surrogate, one gradient step for each batch of steps."""
    options = given.resolved(env, info)
    updates = (steps or options.steps) / options.rollout if options.anneal_learning_rate else math.inf
    adam = made(Adam, options, decay_updates=updates)
    return made(PPO, options, epochs=1, minibatches=1, surrogate=Importance(), adam=adam, **_shared(options))


def trpo(given: options_of.TRPO, env: Any, info: TaskInfo, steps: int | None = None) -> TRPO:
    """TRPO; what is annealed falls to zero in `steps` of interaction."""
    options = given.resolved(env, info)
    region = TrustRegion(
        delta=options.delta,
        decay_updates=_updates(options, steps) if options.anneal_delta else math.inf,
        damping=options.cg_damping,
        cg_iterations=options.cg_iterations,
        fisher_subsampling=options.fisher_every,
        backtrack_coeff=options.line_search_shrink,
        backtrack_iters=options.line_search_tries,
    )
    adam = Adam(learning_rate=options.value_learning_rate, max_grad_norm=options.max_grad_norm)
    return made(TRPO, options, region=region, adam=adam, **_shared(options))


def reinforce(given: options_of.Reinforce, env: Any, info: TaskInfo, steps: int | None = None) -> Reinforce:
    """REINFORCE on whole trials."""
    options = given.resolved(env, info)
    baseline = BASELINES[options.baseline]()
    return made(Reinforce, options, baseline=baseline, nets=_nets(options), adam=made(Adam, options))


def _ppo(options: options_of.PPOBase, surrogate: AbstractSurrogate, steps: int | None) -> PPO:
    assert options.minibatch_size is not None
    minibatches = max(1, options.rollout // options.minibatch_size)
    updates = _updates(options, steps) if options.anneal_learning_rate else math.inf
    adam = made(Adam, options, decay_updates=updates)
    return made(PPO, options, minibatches=minibatches, surrogate=surrogate, adam=adam, **_shared(options))


def _updates(options: Any, steps: int | None) -> int:
    return max(1, (steps or options.steps) // options.rollout)


def _shared(options: options_of.ActorCritic) -> dict[str, Any]:
    return {"advantages": GAE(options.discount, options.gae_lambda), "nets": _nets(options)}


def _nets(options: options_of.PolicyOptions) -> ActorCriticNets:
    return ActorCriticNets(options.hidden, options.log_std, options.squash, bool(options.normalise_obs))
