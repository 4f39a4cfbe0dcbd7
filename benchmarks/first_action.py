"""Seconds from the start of a process to its first planned action: imports, compilation with a cold cache, one plan.

    HANDFUL_COMPILATION_CACHE=0 python benchmarks/first_action.py

The size is that of `handful bench plan --candidates 100 --particles 5 --layers 2 --width 64`.
"""

import subprocess
import sys
import time

SCRIPT = """
from handful.cli import bench_plan, runtime
runtime.start()
import jax
act, _, _ = bench_plan._controller(bench_plan.Options(candidates=100, particles=5, layers=2, width=64))
jax.block_until_ready(act())
"""


def main() -> None:
    """Time three fresh processes."""
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", SCRIPT], check=True)
        sys.stdout.write(f"first action after {time.perf_counter() - began:.1f} s\n")


if __name__ == "__main__":
    main()
