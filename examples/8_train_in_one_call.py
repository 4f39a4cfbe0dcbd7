"""Whole training in one compiled call: seeds under one `vmap`, and a sweep of a hyperparameter under another.

python examples/8_train_in_one_call.py
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp

from handful.envs.cartpole_v1 import CartPoleV1
from handful.interaction import UpdateMetrics, train
from handful.optimiser import Adam
from handful.policy_optimization.ppo import PPO


def sweep(rates: tuple[float, ...], seeds: int, updates: int) -> UpdateMetrics:
    """The metrics of every update; leading axes learning rate, seed, update."""
    env, agent = CartPoleV1(), PPO(num_envs=8, num_steps=32, minibatches=2)

    def one(rate: jax.Array, key: jax.Array) -> UpdateMetrics:
        _, metrics = train(key, env, dataclasses.replace(agent, adam=Adam(learning_rate=rate)), updates)
        return metrics

    over_seeds = jax.vmap(one, (None, 0))
    over_rates = eqx.filter_jit(jax.vmap(over_seeds, (0, None)))
    return over_rates(jnp.asarray(rates), jax.random.split(jax.random.key(0), seeds))


def main(updates: int = 200) -> None:
    """Print the mean return of the last fifth of training for each learning rate and seed."""
    rates = (1e-4, 3e-4, 1e-3)
    metrics = sweep(rates, seeds=4, updates=updates)
    late = slice(-(updates // 5), None)
    means = metrics.return_sum[..., late].sum(-1) / jnp.maximum(metrics.episodes[..., late].sum(-1), 1)
    for rate, row in zip(rates, means, strict=True):
        print(f"learning rate {rate:g}: " + "  ".join(f"{mean:5.1f}" for mean in row))


if __name__ == "__main__":
    main()
