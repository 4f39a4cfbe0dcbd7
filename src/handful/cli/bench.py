"""What all benchmarks share: the clock, the machine's matrix rate, the table and the JSON."""

import dataclasses
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from handful.agents.options.filled import check_least
from handful.training import machine
from handful.training.files import write_json

SQUARE = 3000  # side of the matrices whose product tells the machine's rate
COUNTS = {int, int | None}  # types of options, each of which is at least 1


class Benchmark:
    """One measurement of a command that has the options `repeats` and `json`; made before anything compiles."""

    def __init__(self, options: Any) -> None:
        check_least(options, *(field.name for field in dataclasses.fields(options) if field.type in COUNTS))
        self.options, self.clock = options, machine.CompileClock()

    def present(
        self,
        settings: dict[str, Any],
        call: Callable[[], Any],
        operations: int,
        numbers: Callable[[list[float]], dict[str, float]],
    ) -> None:
        """Time `call`, which takes so many floating-point operations; print the result, and write JSON.

        `numbers` are the benchmark's own, from the seconds of each call. All benchmarks say how near to the machine's
        limit they come, on what, with what.
        """
        jax.block_until_ready(call())
        compile_s, rate = self.clock.seconds, MatrixRate()
        rate.read()
        seconds = seconds_of(call, self.options.repeats)
        own = numbers(seconds)
        rate.read()
        gflops = operations / statistics.median(seconds) / 1e9
        facts = {"gflops": gflops, "matrix_rate_gflops": rate.gflops, "share": gflops / rate.gflops}
        facts |= {"compile_s": compile_s, "device": machine.device(), "versions": machine.versions()}
        result = settings | own | facts
        width = max(map(len, result))
        for name, value in result.items():
            sys.stdout.write(f"{name:<{width}}  {f'{value:.4g}' if isinstance(value, float) else value}\n")
        if self.options.json is not None:
            write_json(self.options.json, result)


def seconds_of(call: Callable[[], Any], repeats: int) -> list[float]:
    """Wall seconds of each of `repeats` calls, their results awaited; the first call must have been made before."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - began)
    return seconds


def multiplications(inputs: int, outputs: int, layers: int, width: int) -> int:
    """Weights of one net: each costs a multiplication and an addition a sample."""
    sizes = [inputs, *[width] * layers, outputs]
    return sum(a * b for a, b in itertools.pairwise(sizes))


class MatrixRate:
    """The machine's own GFLOP/s at a large square float32 product, read before and after what is measured."""

    def __init__(self) -> None:
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
