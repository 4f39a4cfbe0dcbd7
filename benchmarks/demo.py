"""Times `make demo` in a new clone without environment and compilation cache, then a second time.

    python benchmarks/demo.py --json benchmarks/results/demo.json

Reports the times of the set-up and of each run, and the training time at which the return first reached 170.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from handful.training import machine

WANTED = 170.0


def main() -> None:
    """Clone, run twice, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    here = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        clone, home = Path(folder) / "clone", Path(folder) / "cache"
        subprocess.run(["git", "clone", "--quiet", here, clone], check=True)
        environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "HANDFUL_COMPILATION_CACHE"}}
        environment |= {"XDG_CACHE_HOME": str(home)}
        began = time.perf_counter()
        subprocess.run(["make", ".venv/.core"], cwd=clone, check=True, env=environment)
        result: dict[str, Any] = {"command": " ".join(["python", *sys.argv]), "setup_s": time.perf_counter() - began}
        result["runs"] = [demo(clone, environment, name) for name in ("cold cache", "warm cache")]
    result |= {"device": machine.device(), "versions": machine.versions()}
    options.json.write_text(json.dumps(result, indent=2) + "\n")
    sys.stdout.write(json.dumps(result["runs"], indent=2) + "\n")


def demo(clone: Path, environment: dict[str, str], name: str) -> dict[str, Any]:
    """One run: process time, and the returns with the training wall time at which each trial ended."""
    out = clone / "runs" / name.replace(" ", "-")
    began = time.perf_counter()
    subprocess.run(["make", "demo", f"ARGS=--out {out}"], cwd=clone, check=True, env=environment)
    seconds = time.perf_counter() - began
    with (out / "metrics.csv").open() as lines:
        rows = [(float(row["return"]), float(row["wall_s"])) for row in csv.DictReader(lines)]
    reached = [wall for value, wall in rows if value >= WANTED]
    return {
        "cache": name,
        "process_s": seconds,
        "training_s_until_170": reached[0] if reached else None,
        "returns": [value for value, _ in rows],
        "wall_s": [wall for _, wall in rows],
    }


if __name__ == "__main__":
    main()
