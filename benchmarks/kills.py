"""Kill runs with SIGKILL at random moments, resume them, and compare with runs that were left alone, to the last bit.

python benchmarks/kills.py --kills 50 --json benchmarks/results/kills.json
"""

import argparse
import csv
import json
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

TIMES = {"plan_ms_p50", "plan_ms_p99", "fit_s", "wall_s"}
PETS = ["--candidates", "20", "--iterations", "2", "--fit-steps", "50", "--horizon", "5"]
RUNS = {
    "pets": ["point-mass", "--trials", "3", *PETS],
    "ppo": ["pendulum-v1", "--agent", "ppo", "--steps", "20000"],
    "dqn": ["cartpole-v1", "--agent", "dqn", "--steps", "10000"],
    "mbpo": ["point-mass", "--agent", "mbpo", "--trials", "2", "--fit-steps", "50"],
    "host": ["gymnasium:Pendulum-v1", "--trials", "3", *PETS],
}


def started(arguments: list[str]) -> subprocess.Popen:
    """A training process."""
    command = [sys.executable, "-m", "handful.cli.main", "train", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finished(arguments: list[str]) -> float:
    """Run to the end: seconds."""
    began = time.perf_counter()
    process = started(arguments)
    _, complaint = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}: {complaint}")
    return time.perf_counter() - began


def record(folder: Path) -> dict[str, Any]:
    """What must be the same to the last bit: the state, and the metrics apart from times."""
    rows = csv.DictReader((folder / "metrics.csv").read_text().splitlines())
    with np.load(folder / "checkpoints" / "state.npz", allow_pickle=False) as file:
        state = {name: file[name].tobytes() for name in file.files if name != "header"}
    return {"state": state, "metrics": [{k: v for k, v in row.items() if k not in TIMES} for row in rows]}


def main() -> None:
    """Kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    draw, killed, outcomes = random.Random(options.seed), dict.fromkeys(RUNS, 0), []
    with tempfile.TemporaryDirectory() as place:
        whole, seconds = {}, {}
        for name, arguments in RUNS.items():
            finished([*arguments, "--out", f"{place}/{name}-warm"])  # compiled programs are cached from here on
            seconds[name] = finished([*arguments, "--out", f"{place}/{name}"])
            whole[name] = record(Path(place) / name)
        for kill in range(options.kills):
            name = list(RUNS)[kill % len(RUNS)]
            folder, moment = Path(place) / f"{name}-{kill}", draw.uniform(0.1, 1.0) * seconds[name]
            process = started([*RUNS[name], "--out", str(folder)])
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed[name] += process.returncode == -signal.SIGKILL
            again = (
                ["--resume", str(folder)] if (folder / "config.json").exists() else [*RUNS[name], "--out", str(folder)]
            )
            finished(again)
            same = record(folder) == whole[name]
            outcomes.append({"run": name, "killed_after_s": round(moment, 2), "same": same})
            print(
                f"{kill + 1:3d} {name:5s} killed after {moment:5.1f} s: {'the same' if same else 'DIFFERS'}", flush=True
            )
    result = {"kills": sum(killed.values()), "same": sum(each["same"] for each in outcomes), "outcomes": outcomes}
    result |= {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
    print(
        f"{result['same']} of {len(outcomes)} resumed to the last bit; {result['kills']} were killed before their end"
    )
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
