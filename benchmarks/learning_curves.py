"""Learning curves over seeds: runs `handful train`, keeps every seed's metrics, draws them all.

    python benchmarks/learning_curves.py cartpole-swingup --seeds 10 --trials 8 --out results/cartpole-swingup

    python benchmarks/learning_curves.py cartpole-swingup --redraw --out results/cartpole-swingup

The second makes the table of a page again from the seeds' files that are there, and leaves the rest of the page. Two
means over seeds are shown: of each trial's return, and of each seed's best return so far, the random trial left out.
The published curves of PETS are of the second kind.

Other options go to `handful train`. What is measured is what a user sees: one process per seed, compilation
included, the compilation cache off unless HANDFUL_COMPILATION_CACHE=1.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

MEANING = (
    '"Best so far, mean" is the mean over seeds of the best return of each until then, without the random trial: so',
    "the published curves of PETS are drawn.",
)


def main() -> None:
    """Run all seeds, then summarise what is in the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--episodes", type=int, default=0, help="fresh trials of each seed's last controller")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--redraw", action="store_true", help="run nothing, make the page's table again")
    options, rest = parser.parse_known_args()
    if options.redraw:
        page = options.out / "README.md"
        page.write_text(redrawn(page.read_text(), kept(options.out), f"{options.task} --redraw --out {options.out}"))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        learn(options, seed, rest)
    summarise(options)


def learn(options: argparse.Namespace, seed: int, rest: list[str]) -> None:
    """One seed in a process of its own; its metrics and summary are kept, and returns of its last controller."""
    environment = {"HANDFUL_COMPILATION_CACHE": "0", **os.environ}
    handful = [sys.executable, "-m", "handful.cli.main"]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        words = ["train", options.task, "--seed", str(seed), "--trials", str(options.trials), *rest]
        began = time.perf_counter()
        subprocess.run([*handful, *words, "--out", run], check=True, env=environment)
        seconds = time.perf_counter() - began
        shutil.copy(run / "metrics.csv", options.out / f"seed-{seed}.csv")
        summary = json.loads((run / "summary.json").read_text())
        summary |= {"command": " ".join(["handful", *words]), "process_s": round(seconds, 1)}
        if options.episodes:
            ask = [*handful, "evaluate", run, "--episodes", str(options.episodes)]
            said = subprocess.run(ask, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout
            summary["fresh_returns"] = [float(word) for word in said.rpartition("each:")[2].split()]
        (options.out / f"seed-{seed}.json").write_text(json.dumps(summary, indent=2) + "\n")


def summarise(options: argparse.Namespace) -> None:
    """Mean and std by trial, every seed, and the times: a table and a picture."""
    curves = kept(options.out)[: options.seeds]
    summaries = [json.loads((options.out / f"seed-{seed}.json").read_text()) for seed in range(options.seeds)]
    lines = [
        f"# {options.task}, {options.seeds} seeds",
        "",
        f"`python benchmarks/learning_curves.py {' '.join(sys.argv[1:])}`",
        "",
        f"Device: {summaries[0]['device']}. Versions: {summaries[0]['versions']}.",
        "",
        *table(curves),
    ]
    train, process = ([summary[name] for summary in summaries] for name in ("wall_s", "process_s"))
    lines += [
        "",
        *MEANING,
        "",
        f"Training wall time of {options.trials} trials, compilation included [s]: median {np.median(train):.1f}.",
        f"Least and most of the seeds [s]: {min(train):.1f}, {max(train):.1f}.",
        f"Whole process, report included [s]: median {np.median(process):.1f}.",
    ]
    if options.episodes:
        each = [np.mean(summary["fresh_returns"]) for summary in summaries]
        mean = f"mean over seeds {np.mean(each):.1f}, std {np.std(each):.1f}"
        every = ", ".join(f"{value:.1f}" for value in each)
        steps = summaries[0]["env_steps"]
        lines += [
            "",
            f"The controller after {steps} steps, from {options.episodes} fresh starts: {mean}, each {every}.",
        ]
    (options.out / "README.md").write_text("\n".join(lines) + "\n")
    draw(options, curves)


def table(curves: np.ndarray) -> list[str]:
    """A row for each trial: the mean over seeds, their best so far, their spread, and each of them."""
    seeds = " | ".join(f"seed {seed}" for seed in range(len(curves)))
    lines = [f"| trial | mean | best so far, mean | std | least | most | {seeds} |", "|" + "---|" * (6 + len(curves))]
    best = ["", *(f"{value:.1f}" for value in best_so_far(curves).mean(0))]
    for trial, values in enumerate(curves.T):
        each = " | ".join(f"{value:.1f}" for value in values)
        spread = f"{values.std():.1f} | {values.min():.1f} | {values.max():.1f}"
        lines.append(f"| {trial} | {values.mean():.1f} | {best[trial]} | {spread} | {each} |")
    return lines


def best_so_far(curves: np.ndarray) -> np.ndarray:
    """The running maximum of each seed over its controlled trials (seed, trial - 1), without the random trial 0.

    Source: [Chua18], the released code's plots.
    """
    return np.maximum.accumulate(curves[:, 1:], axis=1)


def redrawn(page: str, curves: np.ndarray, command: str) -> str:
    """The page with its table made again, and the command that does so below it."""
    lines = page.splitlines()
    made = f"The table is made again from the seeds' files by `python benchmarks/learning_curves.py {command}`."
    lines = [line for line in lines if not line.startswith("The table is made again") and line not in MEANING]
    first = next(index for index, line in enumerate(lines) if line.startswith("| trial |"))
    last = next(
        index for index in range(first, len(lines) + 1) if not "".join(lines[index : index + 1]).startswith("|")
    )
    rest = lines[last:]
    while rest and not rest[0]:
        rest = rest[1:]
    return "\n".join([*lines[:first], *table(curves), "", made, *MEANING, "", *rest]).rstrip() + "\n"


def kept(folder: Path) -> np.ndarray:
    """The returns in a folder: (seed, trial)."""
    return np.array([returns(folder / f"seed-{seed}.csv") for seed in range(len(list(folder.glob("seed-*.csv"))))])


def returns(file: Path) -> list[float]:
    """The return of each trial."""
    with file.open() as lines:
        return [float(row["return"]) for row in csv.DictReader(lines)]


def draw(options: argparse.Namespace, curves: np.ndarray) -> None:
    """Every seed thin, the mean thick."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    trials = np.arange(curves.shape[1])
    axes.plot(trials, curves.T, color="#7aa6d8", linewidth=0.9, alpha=0.8)
    axes.plot([], [], color="#7aa6d8", linewidth=0.9, label=f"each of {options.seeds} seeds")
    axes.plot(trials, curves.mean(0), color="#c4541b", linewidth=2.4, marker="o", label="mean")
    axes.set(xlabel="trial (0 is random)", ylabel="return", title=options.task, xticks=trials)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(options.out / "learning-curve.png", dpi=130)


if __name__ == "__main__":
    main()
