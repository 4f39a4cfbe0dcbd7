"""A peer's training: Stable-Baselines3 or sb3-contrib on the CPU, its speed and the return of what it learned.

    PEER/bin/python benchmarks/peer_sb3_train.py --algorithm trpo --env HalfCheetah-v5 --steps 1000000 --envs 1 \
        --normalise --settings '{"n_steps": 1024, "batch_size": 128}'

PEER is an environment with stable-baselines3, sb3-contrib and, for MuJoCo, gymnasium[mujoco]; nothing of handful is
needed. Prints one line of JSON. Its defaults are made for one environment: with eight, an update of TRPO or PPO comes
after 16,384 steps, so give the settings that its authors publish (rl-baselines3-zoo) with --settings.
"""

import argparse
import json
import time

import gymnasium
import sb3_contrib
import stable_baselines3
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

ALGORITHMS = {name: getattr(stable_baselines3, name.upper()) for name in ("a2c", "ppo", "dqn", "sac")}
ALGORITHMS["trpo"] = sb3_contrib.TRPO
ALONE = {"dqn", "sac"}  # which learn from one environment
JUDGED = 20  # trials of the learned policy


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", choices=sorted(ALGORITHMS), default="ppo")
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--envs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--normalise", action="store_true", help="observations and rewards, by running statistics")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON of the algorithm's arguments")
    options = parser.parse_args()
    count = 1 if options.algorithm in ALONE else options.envs
    envs = made(options.env, count, normalise=options.normalise)
    agent = ALGORITHMS[options.algorithm]("MlpPolicy", envs, seed=options.seed, device="cpu", **options.settings)
    began = time.perf_counter()
    agent.learn(options.steps)
    seconds = time.perf_counter() - began
    judge = made(options.env, 1, normalise=options.normalise)
    if isinstance(judge, VecNormalize) and isinstance(envs, VecNormalize):
        judge.training, judge.norm_reward, judge.obs_rms = False, False, envs.obs_rms
    mean, std = evaluate_policy(agent, judge, JUDGED)
    result = {"steps_per_second": options.steps / seconds, "return_mean": float(mean), "return_std": float(std)}
    versions = {"stable-baselines3": stable_baselines3.__version__, "sb3-contrib": sb3_contrib.__version__}
    print(json.dumps({**result, **vars(options), "envs": count, "versions": versions}))


def made(name: str, count: int, *, normalise: bool) -> VecEnv:
    """Environments that are stepped one after the other."""
    envs = DummyVecEnv([lambda: gymnasium.make(name)] * count)
    return VecNormalize(envs) if normalise else envs


if __name__ == "__main__":
    main()
