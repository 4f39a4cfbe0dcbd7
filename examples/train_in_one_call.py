"""Whole training in one compiled call: seeds under one `vmap`, and a sweep of a hyperparameter under another.

python examples/train_in_one_call.py
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp

from handful.envs.cartpole_v1 import CartPoleV1
from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.steps import Adam
from handful.policy_optimization.training import Told, train


def sweep(rates: tuple[float, ...], seeds: int, updates: int) -> Told:
    """What each rate and seed came to; leading axes rate, seed, update."""
    env, learner = CartPoleV1(), PPO(envs=8, length=32, minibatches=2)

    def one(rate: jax.Array, key: jax.Array) -> Told:
        _, told = train(key, env, dataclasses.replace(learner, adam=Adam(rate=rate)), updates)
        return told

    over_seeds = jax.vmap(one, (None, 0))
    over_rates = eqx.filter_jit(jax.vmap(over_seeds, (0, None)))
    return over_rates(jnp.asarray(rates), jax.random.split(jax.random.key(0), seeds))


def main(updates: int = 200) -> None:
    """Print the mean return of the last fifth of training, rate by rate and seed by seed."""
    rates = (1e-4, 3e-4, 1e-3)
    told = sweep(rates, seeds=4, updates=updates)
    late = slice(-(updates // 5), None)
    means = told.return_sum[..., late].sum(-1) / jnp.maximum(told.trials[..., late].sum(-1), 1)
    for rate, row in zip(rates, means, strict=True):
        print(f"rate {rate:g}: " + "  ".join(f"{mean:5.1f}" for mean in row))


if __name__ == "__main__":
    main()
