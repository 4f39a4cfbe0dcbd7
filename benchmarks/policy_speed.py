"""PPO or TRPO on CartPole-v1: whole training in one compiled call, beside Stable-Baselines3 or sb3-contrib.

    PEER="PEER_ENVIRONMENT/bin/python benchmarks/peer_sb3_train.py"
    python benchmarks/policy_speed.py --algorithm ppo --peer "$PEER" --rounds 5 --out FILE

`--peer` is a Python and a script that takes --algorithm, --env and --steps and prints one JSON object with
`steps_per_second` and `return_mean`. Both have the same settings: the peer's; but trpo-tenth has a tenth of the steps
for its Fisher matrix, as TRPO was published, where the peer has all. Without --peer only ours is timed.
"""

import argparse
import dataclasses
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from handful.cli import runtime
from handful.training import machine

# Whole training is one program on one device.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=1")
runtime.start()

import equinox as eqx
import jax
import numpy as np

from handful.agent import AbstractAgent
from handful.envs.cartpole_v1 import CartPoleV1
from handful.interaction import train
from handful.optimiser import Adam
from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.trpo import TRPO, TrustRegion
from handful.training.system import returns_of

EPISODES = 20  # fresh ones of the learned policy, without noise
_TRPO = TRPO(
    num_envs=8,
    num_steps=2048,
    region=TrustRegion(cg_iterations=15),
    value_epochs=10,
    value_minibatches=128,
    advantages=GAE(0.99, 0.95),
)
LEARNERS: dict[str, AbstractAgent] = {
    "ppo": PPO(
        num_envs=8, num_steps=32, epochs=20, minibatches=1, advantages=GAE(0.98, 0.8), adam=Adam(learning_rate=3e-4)
    ),
    "trpo": _TRPO,
    "trpo-tenth": dataclasses.replace(_TRPO, region=TrustRegion(cg_iterations=15, fisher_subsampling=10)),
}


def main() -> None:
    """Run the rounds and write all that was read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", choices=LEARNERS, default="ppo")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=16, help="under one vmap, timed beside; 0 leaves it out")
    parser.add_argument("--peer")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    single = compiled(options.algorithm, options.steps, 1)
    many = compiled(options.algorithm, options.steps, options.seeds) if options.seeds else None
    rounds = []
    for seed in range(options.rounds):
        round_ = {"ours": timed(single, seed)}
        if many:
            round_["ours, many seeds"] = timed(many, seed)
        if options.peer:
            words = [
                *shlex.split(options.peer),
                "--algorithm",
                options.algorithm.partition("-")[0],
                "--env",
                "CartPole-v1",
            ]
            words += ["--steps", str(options.steps), "--seed", str(seed)]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            round_["peer"] = json.loads(done.stdout.strip().splitlines()[-1])
            round_["ratio"] = round_["ours"]["steps_per_second"] / round_["peer"]["steps_per_second"]
        rounds.append(round_)
        print(json.dumps(round_), flush=True)
    result = {
        "algorithm": options.algorithm,
        "steps": options.steps,
        "seeds": options.seeds,
        "compile_s": {"one": single[2], "many": many[2] if many else None},
        "ratio_median": statistics.median(r["ratio"] for r in rounds) if options.peer else None,
        "seconds_of_many_over_one": (
            statistics.median(r["ours, many seeds"]["seconds"] / r["ours"]["seconds"] for r in rounds) if many else None
        ),
        "device": machine.device(),
        "versions": machine.versions(),
        "rounds": rounds,
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    sys.stdout.write(json.dumps({name: value for name, value in result.items() if name != "rounds"}, indent=2) + "\n")


def compiled(algorithm: str, steps: int, seeds: int) -> tuple[Any, int, float]:
    """The program that trains so many seeds, how many it trains, and what compiling it took [s]."""
    learner, env = LEARNERS[algorithm], CartPoleV1()
    updates = -(-steps // (learner.num_envs * learner.num_steps))

    def whole(keys: jax.Array) -> Any:
        state, metrics = jax.vmap(lambda key: train(key, env, learner, updates))(keys)
        return state, metrics.steps.sum()

    began = time.perf_counter()
    program = eqx.filter_jit(whole).lower(keys_of(seeds, 0)).compile()
    return program, seeds, time.perf_counter() - began


def timed(program: tuple[Any, int, float], seed: int) -> dict[str, Any]:
    """One training, and what its policies return afterwards."""
    run, seeds, _ = program
    began = time.perf_counter()
    state, steps = jax.block_until_ready(run(keys_of(seeds, seed)))
    seconds = time.perf_counter() - began
    starts, env = jax.random.split(jax.random.key(seed + 1000), EPISODES), CartPoleV1()
    learner = LEARNERS["ppo"]  # any actor-critic reads its policy off its state alike
    returns = []
    for index in range(seeds):
        own = jax.tree.map(lambda leaf, index=index: leaf[index], state)
        returns.append(float(np.mean(returns_of(starts, env, learner.policy(env.task, own)))))
    return {"seconds": seconds, "steps_per_second": int(steps) / seconds, "returns": returns}


def keys_of(seeds: int, seed: int) -> jax.Array:
    """One key a training."""
    return jax.random.split(jax.random.key(seed), seeds)


if __name__ == "__main__":
    main()
