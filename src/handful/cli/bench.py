"""What both benchmarks share: the clock, the machine's matrix rate, the table and the JSON."""

import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SQUARE = 3000  # side of the matrices whose product tells the machine's rate


def seconds_of(call: Callable[[], Any], repeats: int) -> list[float]:
    """Wall seconds of each of `repeats` calls, their results awaited; the first call must have been made before."""
    import jax

    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - began)
    return seconds


class MatrixRate:
    """The machine's own GFLOP/s at a large square float32 product, read before and after what is measured."""

    def __init__(self) -> None:
        import jax
        import jax.numpy as jnp

        square = jax.random.normal(jax.random.key(0), (SQUARE, SQUARE))
        product = jax.jit(jnp.matmul)
        jax.block_until_ready(product(square, square))
        self._call = lambda: product(square, square)
        self._seconds: list[float] = []

    def read(self) -> None:
        self._seconds += seconds_of(self._call, 5)

    @property
    def gflops(self) -> float:
        return 2 * SQUARE**3 / statistics.median(self._seconds) / 1e9


def multiplications(inputs: int, outputs: int, layers: int, width: int) -> int:
    """Weights of one net: each costs a multiplication and an addition a sample."""
    sizes = [inputs, *[width] * layers, outputs]
    return sum(a * b for a, b in itertools.pairwise(sizes))


def facts(gflops: float, rate: MatrixRate, compile_s: float) -> dict[str, Any]:
    """What every benchmark says besides its own figure: how near to the machine's limit, on what, with what."""
    from handful.cli import runtime

    return {
        "gflops": gflops,
        "matrix_rate_gflops": rate.gflops,
        "share": gflops / rate.gflops,
        "compile_s": compile_s,
        "device": runtime.device(),
        "versions": runtime.versions(),
    }


def present(result: dict[str, Any], file: Path | None) -> None:
    """Print a table; write the JSON whole, where a file is named."""
    width = max(map(len, result))
    for name, value in result.items():
        sys.stdout.write(f"{name:<{width}}  {f'{value:.4g}' if isinstance(value, float) else value}\n")
    if file is not None:
        from handful.training.files import write_whole

        write_whole(file, json.dumps(result, indent=2) + "\n")


def check_counts(options: Any) -> None:
    """Raises `InputError` where a count is below one."""
    from handful.errors import InputError

    for name, value in vars(options).items():
        if isinstance(value, int) and value < 1:
            raise InputError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
