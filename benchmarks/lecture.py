"""Many methods on the same tasks, five seeds each: runs `handful train`, keeps the curves.

    python benchmarks/lecture.py --out results/lecture
    handful compare --lecture results/lecture/*/*
    python benchmarks/lecture.py --tasks cartpole-v1 acrobot-v1 pendulum-v1 --episodes 20 --out results/scores

Seeds that are kept are not run again, and a group that was stopped is resumed, so the script may be stopped and started
at any moment. To repeat a method, delete its folders. Measured is what a user sees: the seeds of a method in parallel
in one process, compilation included, the compilation cache off unless HANDFUL_COMPILATION_CACHE=1.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from handful.envs.registry import identity_of
from handful.reports.run_report import command
from handful.training.run import seeds_of

# The steps of a model-free method are those that the task's preset gives it.
MODEL_FREE = (
    "sarsa",
    "expected-sarsa",
    "q-learning",
    "dyna-q",
    "dqn",
    "reinforce",
    "a2c",
    "trpo",
    "ppo-penalty",
    "ppo",
)
GP = ("--model", "gp", "--propagation", "expectation", "--refit-every", "10", "--trials", "8")
METHODS = {  # task -> agent -> its options
    "pendulum": {
        **dict.fromkeys(MODEL_FREE, ()),
        "dp": ("--trials", "50"),
        "me-trpo": ("--trials", "15"),
        "mbpo": ("--trials", "15"),
        "pets+policy": ("--trials", "8"),
        "pilco": ("--trials", "8"),
        "mpc": GP,
        "pets": ("--trials", "8"),
    },
    "cartpole-swingup": {
        **dict.fromkeys(MODEL_FREE, ()),
        "dp": ("--trials", "100"),
        "me-trpo": ("--trials", "25"),
        "mbpo": ("--trials", "25"),
        "pets+policy": ("--trials", "8"),
        "pilco": ("--trials", "8"),
        "mpc": GP,
        "pets": ("--trials", "8"),
    },
    # Gymnasium's classic control, in JAX, for the table of scores
    "cartpole-v1": {
        **dict.fromkeys(("dqn", "trpo", "ppo-penalty", "ppo"), ("--steps", "100000")),
        **dict.fromkeys(("reinforce", "a2c"), ("--steps", "500000")),
    },
    "acrobot-v1": dict.fromkeys(("dqn", "reinforce", "a2c", "trpo", "ppo-penalty", "ppo"), ("--steps", "500000")),
    "pendulum-v1": dict.fromkeys(("dqn", "reinforce", "a2c", "trpo", "ppo-penalty", "ppo"), ("--steps", "150000")),
    # its MuJoCo tasks, on the host
    "gymnasium:InvertedPendulum-v5": dict.fromkeys(("trpo", "ppo-penalty", "ppo"), ("--steps", "500000")),
    "gymnasium:HalfCheetah-v5": dict.fromkeys(("trpo", "ppo-penalty", "ppo"), ("--steps", "1000000")),
}
CHART = ("pendulum", "cartpole-swingup")
MORE = {"pendulum-v1": 10}  # times as many fresh trials, where the start decides the most
LEFT_OUT = {"returns", "baselines"}  # of the summary's entries; the first is the curve, the second teaches nothing


def main() -> None:
    """Run what is not kept yet, task by task; a method that fails stops no other, and is named at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(METHODS), default=CHART)
    parser.add_argument("--agents", nargs="+", help="these alone")
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument(
        "--episodes",
        type=int,
        default=0,
        help="fresh trials of each seed's last controller; ten times as many on pendulum-v1",
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/lecture"), help="where the run folders go")
    parser.add_argument("--out", type=Path, required=True, help="where the curves are kept")
    options = parser.parse_args()
    strange = set(options.agents or ()) - {agent for task in METHODS.values() for agent in task}
    if strange:
        parser.error(f"no such agents: {', '.join(sorted(strange))}")
    failed = []
    for task in options.tasks:
        for agent, words in METHODS[task].items():
            if options.agents is not None and agent not in options.agents:
                continue
            kept, group = (folder / identity_of(task) / agent for folder in (options.out, options.runs))
            missing = [seed for seed in seeds_of(options.seeds) if not is_kept(kept, seed)]
            if not missing:
                continue
            if learn(group, [task, "--agent", agent, *words, "--seeds", ",".join(map(str, missing))]):
                keep(group, kept, missing, options.episodes * MORE.get(task, 1))
            else:
                failed.append(f"{task} {agent}")
    describe(options.out)
    if failed:
        sys.exit(f"not run to the end: {', '.join(failed)}")


def is_kept(kept: Path, seed: int) -> bool:
    """Whether the curve of a seed is kept."""
    return all((kept / f"seed-{seed}.{kind}").is_file() for kind in ("csv", "json"))


def learn(group: Path, words: Sequence[str]) -> bool:
    """Train the seeds of one method to the end. False where that failed."""
    begun = (group / "group.json").is_file()
    rest = ["--resume", str(group)] if begun else [*words, "--out", str(group)]
    environment = {"HANDFUL_COMPILATION_CACHE": "0", **os.environ}
    done = subprocess.run([sys.executable, "-m", "handful.cli.main", "train", *rest], check=False, env=environment)
    return done.returncode == 0


def keep(group: Path, kept: Path, seeds: Sequence[int], episodes: int) -> None:
    """The metrics of each seed, what made them, and returns of its last controller."""
    kept.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        run = group / f"seed-{seed}"
        summary = json.loads((run / "summary.json").read_text())
        facts = {name: value for name, value in summary.items() if name not in LEFT_OUT}
        facts["command"] = command(json.loads((run / "config.json").read_text()))
        if episodes:
            ask = [sys.executable, "-m", "handful.cli.main", "evaluate", str(run), "--episodes", str(episodes)]
            said = subprocess.run(ask, check=True, stdout=subprocess.PIPE, text=True).stdout
            facts["fresh_returns"] = [float(word) for word in said.rpartition("each:")[2].split()]
        shutil.copy(run / "metrics.csv", kept / f"seed-{seed}.csv")
        (kept / f"seed-{seed}.json").write_text(json.dumps(facts, indent=2) + "\n")


def describe(out: Path) -> None:
    """A page with the commands, the devices and the versions of all that is kept."""
    lines = [
        "# Methods on the same tasks",
        "",
        f"`python benchmarks/lecture.py {' '.join(sys.argv[1:])}`",
        "",
        "Mean and std over seeds: of the last row of each seed's curve, exploration included; and, where it was",
        "asked for, of its last controller from new initial states. Seeds were trained in parallel, or one after the",
        "other where the command names one. Times are those of shared cores, often with other work running.",
        "",
        "| command | steps | seeds | last return | afresh, each seed | mean | wall-clock [s] |",
        "|---|---|---|---|---|---|---|",
    ]
    folders = sorted(path for path in out.glob("*/*") if path.is_dir())
    for folder in folders:
        facts = [json.loads(path.read_text()) for path in sorted(folder.glob("seed-*.json"))]
        last, afresh = ([each[name] for each in facts if name in each] for name in ("last_return", "fresh_returns"))
        means = [statistics.mean(returns) for returns in afresh]
        lines.append(
            f"| `{facts[0]['command']}` "
            f"| {between([each['env_steps'] for each in facts])} | {len(facts)} | {spread(last)} "
            f"| {', '.join(f'{mean:.1f}' for mean in means)} | {spread(means)} "
            f"| {max(each['wall_s'] for each in facts):.0f} |"
        )
    if folders:
        one = json.loads(next(folders[0].glob("seed-*.json")).read_text())
        lines += ["", f"Device: {one['device']}. Versions: {one['versions']}."]
    out.mkdir(parents=True, exist_ok=True)
    (out / "README.md").write_text("\n".join(lines) + "\n")


def between(values: Sequence[int]) -> str:
    """Least and most, or the one that they all are."""
    return " to ".join(map(str, sorted({min(values), max(values)})))


def spread(values: Sequence[float]) -> str:
    """Mean and std."""
    return f"{statistics.mean(values):.1f} +- {statistics.pstdev(values):.1f}" if values else ""


if __name__ == "__main__":
    main()
