"""Compare the speed of two source trees of `handful`, in turn: plans, fits, PPO, TRPO, the demo, imports.

python benchmarks/two_trees.py path/to/old/src path/to/new/src --rounds 5 --json benchmarks/results/two-trees.json
"""

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

IMPORT = (
    "import time, jax; start = time.process_time(); import handful; "
    "[getattr(handful, name) for name in handful.__all__]; print(time.process_time() - start)"
)


def run(tree: Path, *words: str) -> str:
    """What a Python program prints that imports this tree."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed on {tree}: {done.stderr[-500:]}")
    return done.stdout


def handful(tree: Path, *words: str) -> str:
    """What a command prints."""
    return run(tree, "-m", "handful.cli.main", *words)


def bench(*words: str, name: str) -> Callable[[Path, Path], float]:
    """A figure of `handful bench`, as a rate."""

    def measure(tree: Path, folder: Path) -> float:
        handful(tree, "bench", *words, "--json", str(folder / "bench.json"))
        value = json.loads((folder / "bench.json").read_text())[name]
        return 1 / value if name == "seconds" else value

    return measure


def steps_per_second(agent: str) -> Callable[[Path, Path], float]:
    """Of acting and learning on a pure environment, without the first round, which compiles."""

    def measure(tree: Path, folder: Path) -> float:
        handful(tree, "train", "cartpole-v1", "--agent", agent, "--steps", "400000", "--out", str(folder / "run"))
        rows = list(csv.DictReader((folder / "run" / "metrics.csv").read_text().splitlines()))
        steps = float(rows[-1]["env_steps"]) - float(rows[1]["env_steps"])
        return steps / sum(float(row["fit_s"]) for row in rows[2:])

    return measure


def demo(tree: Path, folder: Path) -> float:
    """Runs of the demo in a second, report included; compiled programs come from the cache after the first round."""
    began = time.perf_counter()
    handful(tree, "train", "cartpole-swingup", "--out", str(folder / "run"))
    return 1 / (time.perf_counter() - began)


def imports(tree: Path, folder: Path) -> float:
    """Imports of all public names in a second of processor time, JAX aside."""
    return 1 / float(run(tree, "-c", IMPORT))


MEASURES: dict[str, Callable[[Path, Path], float]] = {
    "bench plan [plans/s]": bench("plan", "--repeats", "5", name="seconds"),
    "bench fit [steps/s]": bench("fit", "--steps", "300", "--repeats", "3", name="steps_per_second"),
    "PPO on CartPole-v1 [steps/s]": steps_per_second("ppo"),
    "TRPO on CartPole-v1 [steps/s]": steps_per_second("trpo"),
    "demo [1/s]": demo,
    "import [1/s]": imports,
}


def main() -> None:
    """Measure in turn; print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(MEASURES), help="parts of names of measures")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    trees = {"old": options.old.resolve(), "new": options.new.resolve()}
    chosen = {name: one for name, one in MEASURES.items() if any(part in name for part in options.only)}
    raw: dict[str, dict[str, list[float]]] = {name: {"old": [], "new": []} for name in chosen}
    for index in range(options.rounds):
        for name, measure in chosen.items():
            for which in ("old", "new") if index % 2 == 0 else ("new", "old"):
                with tempfile.TemporaryDirectory() as folder:
                    raw[name][which].append(measure(trees[which], Path(folder)))
            print(f"round {index + 1}: {name} {raw[name]['old'][-1]:.4g} {raw[name]['new'][-1]:.4g}", flush=True)
    ratios = {}
    for name, values in raw.items():
        old, new = (statistics.median(values[which]) for which in ("old", "new"))
        ratios[name] = new / old
        print(f"{name:32} old {old:10.4g}  new {new:10.4g}  ratio {new / old:.3f}")
    if options.json:
        facts = {"rounds": options.rounds, "cores": os.cpu_count(), "python": platform.python_version()}
        options.json.write_text(json.dumps({"ratios_of_medians": ratios, "raw": raw, **facts}, indent=2) + "\n")


if __name__ == "__main__":
    main()
