"""Advantage actor-critic: one gradient step for each batch, then the batch is forgotten."""

import math
from typing import Any

from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.steps import Adam
from handful.policy_optimization.surrogate import Importance


def a2c(*, envs: int = 8, length: int = 16, rate: float = 1e-3, steps: float = math.inf, **settings: Any) -> PPO:
    """The policy gradient with advantages: the importance-sampled surrogate's first step from the old policy.

    At that policy the ratio is 1 and the surrogate's gradient is the policy gradient, so nothing else is needed. The
    rate falls to zero in so many steps of interaction.

    Source: [Mnih16] algorithm S3, its workers in step. Deviates: Adam; advantages are standardised and follow GAE.
    """
    return PPO(
        envs=envs,
        length=length,
        epochs=1,
        minibatches=1,
        surrogate=Importance(),
        adam=Adam(rate=rate, updates=steps / (envs * length)),
        **settings,
    )
