"""Advantage actor-critic: one gradient step per batch."""

import math
from typing import Any

from handful.optimiser import Adam
from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.surrogate import Importance


def a2c(
    *,
    num_envs: int = 8,
    num_steps: int = 16,
    learning_rate: float = 1e-3,
    total_steps: float = math.inf,
    **settings: Any,
) -> PPO:
    """A2C: `PPO` with one epoch of one minibatch and the importance-sampled surrogate.

    At the policy that collected the data the ratio is 1 and the surrogate's gradient is the policy gradient. The
    learning rate decays to zero in `total_steps` steps of interaction. `settings` are further fields of `PPO`.

    Source: [Mnih16] algorithm S3, with synchronous workers. Deviates: Adam; advantages are standardised and follow GAE.
    """
    return PPO(
        num_envs=num_envs,
        num_steps=num_steps,
        epochs=1,
        minibatches=1,
        surrogate=Importance(),
        adam=Adam(learning_rate=learning_rate, decay_updates=total_steps / (num_envs * num_steps)),
        **settings,
    )
