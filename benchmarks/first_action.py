"""Seconds from the start of a process to its first planned action: imports, compilation with a cold cache, one plan.

    python benchmarks/first_action.py --json benchmarks/results/first-action.json

The size is that of `handful bench plan --candidates 100 --particles 5 --layers 2 --width 64`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from handful.training import machine

SCRIPT = """
from handful.cli import runtime
runtime.start()
import jax
from handful.cli import bench
from handful.cli.options import BenchPlan
act, _, _ = bench.controller(BenchPlan(candidates=100, particles=5, layers=2, width=64))
jax.block_until_ready(act())
"""


def main() -> None:
    """Time five fresh processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", SCRIPT], check=True, env=os.environ | {"HANDFUL_COMPILATION_CACHE": "0"})
        seconds.append(round(time.perf_counter() - began, 2))
        sys.stdout.write(f"first action after {seconds[-1]} s\n")
    if options.json:
        facts = {"device": machine.device(), "versions": machine.versions()}
        result = {"command": " ".join(["python", *sys.argv]), "seconds": seconds, **facts}
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
