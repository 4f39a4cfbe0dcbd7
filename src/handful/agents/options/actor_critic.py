"""Options of the agents that learn a policy by its gradient, from many steps and without a model."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from handful.agents.options.filled import check_least, filled
from handful.errors import InputError


@dataclass(frozen=True)
class Interaction:
    """How much the agent interacts, and where it acts between two updates."""

    steps: int | None = None  # steps of interaction in all (the task's own number if left out)
    num_envs: int = 8  # environments side by side; an environment that cannot be copied has the steps of all
    num_steps: int | None = None  # steps in each environment between two updates

    def resolved(self, env: Any, info: Any) -> Any:
        """See `Options.resolved`. Raises `InputError` where a number of steps is below one."""
        options = filled(self, steps=info.preset.steps, **self.suggested(info, env.task))
        check_least(options, "steps", "num_envs", "num_steps")
        return options.in_one(env)

    @property
    def rollout(self) -> int:
        """Steps between two updates in all environments, once resolved."""
        assert self.num_envs is not None
        assert self.num_steps is not None
        return self.num_envs * self.num_steps

    def suggested(self, info: Any, task: Any) -> dict[str, Any]:
        """What is left out takes these values."""
        return {}

    def in_one(self, env: Any) -> Any:
        """The options with one environment in place of several where it cannot be copied."""
        if self.num_envs == 1 or not lonely(env):
            return self
        return dataclasses.replace(self, num_envs=1, num_steps=self.rollout)


def lonely(env: Any) -> bool:
    """Whether there can be no second copy of an environment, as of a machine in a laboratory."""
    again = getattr(env, "again", None)  # pure environments have none, and run in any number
    if again is None:
        return False
    another = again()
    if another is not None:
        another.close()
    return another is None


@dataclass(frozen=True)
class PolicyOptions(Interaction):
    """The networks of policy and value, and the return that they look at."""

    discount: float | None = None  # of the return
    hidden: tuple[int, ...] = (64, 64)  # units of each hidden layer of policy and value networks, as in --hidden 64 64
    log_std: float = 0.0  # log std of a Gaussian policy at the start, where an action of 1 is half the range
    squash: bool = False  # keep actions within the limits by tanh instead of clipping
    normalise_obs: bool | None = None  # standardise the networks' inputs by their running statistics
    max_grad_norm: float = 0.5  # greatest norm of a gradient

    def suggested(self, info: Any, task: Any) -> dict[str, Any]:
        return {"discount": info.preset.discount, "normalise_obs": info.preset.standardise}


@dataclass(frozen=True)
class ActorCritic(PolicyOptions):
    """What PPO, A2C and TRPO share."""

    gae_lambda: float | None = None  # lambda of generalised advantages
    scale_rewards: bool | None = None  # divide rewards by the running std of the return

    def suggested(self, info: Any, task: Any) -> dict[str, Any]:
        preset = info.preset
        own = {"gae_lambda": preset.gae_lambda, "scale_rewards": preset.scale_rewards}
        return super().suggested(info, task) | own


@dataclass(frozen=True)
class PPOBase(ActorCritic):
    """What PPO with a clip and PPO with a penalty share."""

    num_envs: int | None = None  # environments side by side; an environment that cannot be copied has the steps of all
    learning_rate: float | None = None  # Adam's learning rate
    anneal_learning_rate: bool = True  # let the learning rate fall linearly to zero over the run
    epochs: int | None = None  # passes over the steps of an update
    minibatch_size: int | None = None  # steps in a gradient step
    entropy_coef: float = 0.0  # weight of the entropy bonus
    value_coef: float = 0.5  # weight of the value's squared error

    def suggested(self, info: Any, task: Any) -> dict[str, Any]:
        own = ("num_envs", "num_steps", "learning_rate", "epochs", "minibatch_size")
        return super().suggested(info, task) | {name: getattr(info.preset, name) for name in own}

    def resolved(self, env: Any, info: Any) -> Any:
        """See `Options.resolved`. Raises `InputError` where a minibatch is larger than the steps of an update."""
        options, given = super().resolved(env, info), self.minibatch_size
        if given is not None and not 1 <= given <= options.rollout:
            raise InputError(
                f"--minibatch-size must be between 1 and the {options.rollout} steps of an update ({options.num_envs} "
                f"environments x {options.num_steps} steps), got {given}"
            )
        return options


@dataclass(frozen=True)
class PPO(PPOBase):
    """Proximal policy optimisation with a clipped ratio."""

    clip_eps: float = 0.2  # the ratio of probabilities is clipped to 1 +- CLIP_EPS


@dataclass(frozen=True)
class PPOPenalty(PPOBase):
    """Proximal policy optimisation with a penalty on the KL divergence."""

    target_kl: float = 0.01  # KL divergence that an update should come to [nats]
    penalty: Literal["dual", "doubling", "fixed"] = "dual"  # how the weight of the penalty follows the KL divergence
    beta: float = 1.0  # weight of the penalty at the start
    beta_rate: float = 0.5  # step size of the weight's logarithm (dual)


@dataclass(frozen=True)
class A2C(ActorCritic):
    """Advantage actor-critic: one gradient step for each batch of steps."""

    num_steps: int = 16  # steps in each environment between two updates
    learning_rate: float | None = None  # Adam's learning rate
    anneal_learning_rate: bool = True  # let the learning rate fall linearly to zero over the run
    entropy_coef: float = 0.0  # weight of the entropy bonus
    value_coef: float = 0.5  # weight of the value's squared error

    def suggested(self, info: Any, task: Any) -> dict[str, Any]:
        return super().suggested(info, task) | {"learning_rate": info.preset.learning_rate}


@dataclass(frozen=True)
class TRPO(ActorCritic):
    """Trust region policy optimisation: the natural gradient, as far as the KL divergence allows."""

    num_envs: int | None = None  # environments side by side; an environment that cannot be copied has the steps of all
    max_grad_norm: float = math.inf  # greatest norm of a gradient
    delta: float = 0.01  # greatest mean KL divergence of a step [nats]
    anneal_delta: bool | None = None  # let delta fall linearly to zero over the run
    cg_damping: float = 0.1  # added to the diagonal of the Fisher matrix
    cg_iterations: int = 10  # of conjugate gradients
    fisher_every: int = 1  # one step in so many counts in the Fisher matrix
    line_search_shrink: float = 0.8  # factor of the step each time the line search refuses it
    line_search_tries: int = 10  # of the line search
    value_learning_rate: float = 1e-3  # Adam's learning rate for the value
    value_epochs: int = 20  # passes over the steps that fit the value
    value_minibatches: int = 16  # minibatches in such a pass

    def suggested(self, info: Any, task: Any) -> dict[str, Any]:
        preset = info.preset
        envs = self.num_envs or preset.num_envs
        own = {"num_envs": envs, "num_steps": max(1, preset.trpo_batch // envs), "anneal_delta": preset.falling}
        return super().suggested(info, task) | own


@dataclass(frozen=True)
class Reinforce(PolicyOptions):
    """REINFORCE: the policy gradient of whole trials."""

    num_envs: int = 4  # environments side by side; an environment that cannot be copied has the steps of all
    learning_rate: float = 3e-3  # Adam's learning rate
    baseline: Literal["value", "mean", "none"] = "value"
    """what is subtracted from the reward to go: a learned value, the batch's mean, or nothing"""

    def suggested(self, info: Any, task: Any) -> dict[str, Any]:
        return super().suggested(info, task) | {"num_steps": task.horizon}

    def in_one(self, env: Any) -> Any:
        """Trials must be whole, so several stay several: one after the other."""
        return self
