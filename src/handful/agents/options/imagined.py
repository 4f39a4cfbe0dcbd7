"""Options of the agents that improve a policy in trials that a model imagines: MBPO and ME-TRPO."""

from dataclasses import dataclass
from typing import Any, Literal

from handful.agents.options.filled import filled
from handful.agents.options.models import ModelOptions


@dataclass(frozen=True)
class ImaginedOptions(ModelOptions):
    """How long a policy is improved inside the model before the system is asked again."""

    exploration_colour: float | Literal["uniform"] | None = 1.0
    imagined_steps: int = 50  # steps of an imagined trial
    imagined_envs: int = 20  # imagined trials side by side
    worlds: int = 5  # dynamics drawn from a model that has no members
    world_per: Literal["trial", "step"] = "trial"
    """what a world is drawn for: an imagined trial keeps to one, or each of its steps draws one, as published"""
    initial_state_fraction: float = 0.5  # share of the imagined trials that begin where trials on the system began
    blocks: int = 20  # blocks of updates after each fit, at most
    updates_per_block: int = 5  # updates of the policy in a block
    patience: int = 20  # blocks in a row without improvement, after which the policy is tried on the system
    improved_fraction: float = 0.7  # share of the worlds in which a policy must return more to be kept
    tries: int = 20  # imagined trials in each world that judge a policy
    discount: float | None = None  # of the policy's return
    gae_lambda: float | None = None  # lambda of generalised advantages
    policy_hidden: tuple[int, ...] = (64, 64)  # units of each hidden layer of policy and value networks
    min_log_std: float = -1.0  # least log std of the policy at the start of each improvement
    normalise_obs: bool | None = None  # standardise the inputs of policy and value by their running statistics
    scale_rewards: bool | None = None  # divide imagined rewards by the running std of the return

    def resolved_policy(self, info: Any) -> Any:
        """The options with those of the policy filled in."""
        preset = info.preset
        return filled(
            self,
            discount=preset.discount,
            gae_lambda=preset.gae_lambda,
            normalise_obs=preset.standardise,
            scale_rewards=preset.scale_imagined,
        )

    def resolved(self, env: Any, info: Any) -> Any:
        """See `Options.resolved`."""
        return self.resolved_model(info).resolved_policy(info)


@dataclass(frozen=True)
class ImaginedPPO(ImaginedOptions):
    """Improve a policy by PPO in short imagined trials."""

    policy_learning_rate: float = 1e-3  # Adam's learning rate for policy and value
    policy_epochs: int = 10  # passes over the imagined steps in an update
    policy_minibatches: int = 8  # minibatches in a pass
    clip_eps: float = 0.2  # the ratio of probabilities is clipped to 1 +- CLIP_EPS
    entropy_coef: float = 0.0  # weight of the entropy bonus


@dataclass(frozen=True)
class MBPO(ImaginedPPO):
    """Learn a model trial by trial, and a policy by PPO in short imagined trials that branch off from real ones."""


@dataclass(frozen=True)
class METRPO(ImaginedOptions):
    """Learn a model trial by trial, and a policy by TRPO inside it, until the members disagree on the gain."""

    imagined_steps: int = 200  # steps of an imagined trial
    imagined_envs: int = 10  # imagined trials side by side
    initial_state_fraction: float = 0.1
    """share of the imagined trials that begin where trials on the system began"""
    blocks: int = 30  # blocks of updates after each fit, at most
    patience: int = 8  # blocks in a row without improvement, after which the policy is tried on the system
    min_log_std: float = 0.0  # least log std of the policy at the start of each improvement
    delta: float = 0.04  # greatest mean KL divergence of a policy step [nats]
    cg_damping: float = 0.1  # added to the diagonal of the Fisher matrix
    cg_iterations: int = 10  # of conjugate gradients
    value_learning_rate: float = 1e-3  # Adam's learning rate for the value
    value_epochs: int = 10  # passes over the imagined steps that fit the value
    value_minibatches: int = 16  # minibatches in such a pass
