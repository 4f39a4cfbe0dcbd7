"""A budget for compiled programs, which take most of the suite's time; eager `jnp` compiles one for each operation.

A test whose call compiles more than `BUDGET` programs fails unless it is marked `compiles(n)`. What fixtures compile
counts in the table alone, since the test that happens to come first would pay for all. `--programs` prints the table,
and when each worker ended.
"""

import collections
import resource
import time

import pytest

BUDGET = 120
COMPILED = "/jax/core/compile/backend_compile_duration"  # also where the program comes out of the compilation cache


def processor_seconds() -> float:
    """Of this process and of its children that have ended, so that a busy machine does not show."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Programs:
    """Counts the compiled programs and processor seconds of every test, and sums them by module."""

    def __init__(self):
        import jax

        self.count = 0
        self.modules = collections.defaultdict(lambda: [0, 0, 0.0])
        self.tests = []
        self.began, self.ended = time.monotonic(), {}
        jax.monitoring.register_event_duration_secs_listener(self.listen)

    def listen(self, event, duration, **_):
        self.count += event == COMPILED

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        before = self.count
        yield
        compiled = self.count - before
        item.stash[CALLED] = compiled
        marker = item.get_closest_marker("compiles")
        budget = marker.args[0] if marker else BUDGET
        if compiled > budget:
            pytest.fail(f"compiled {compiled} programs, and may compile {budget}: see tests/programs.py", pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.started = self.count, processor_seconds()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        if call.when == "teardown":
            count, seconds = self.started
            spent = self.count - count, item.stash.get(CALLED, 0), processor_seconds() - seconds
            report.user_properties.append(("programs", spent))
        return report

    def pytest_runtest_logreport(self, report):
        self.ended[getattr(report, "worker_id", "alone")] = time.monotonic() - self.began
        for name, spent in report.user_properties:
            if name == "programs":
                compiled, called, seconds = spent
                self.tests.append((called, compiled, seconds, report.nodeid))
                module = self.modules[report.nodeid.split("::")[0]]
                module[:] = module[0] + 1, module[1] + compiled, module[2] + seconds

    def pytest_terminal_summary(self, terminalreporter, config):
        most = config.getoption("programs")
        if most is None:
            return
        terminalreporter.section("compiled programs and processor seconds")
        for worker, seconds in sorted(self.ended.items()):
            terminalreporter.line(f"{worker} ended after {seconds:.0f} s")
        rows = sorted(self.modules.items(), key=lambda row: -row[1][2])
        for name, (tests, compiled, seconds) in rows[: most or None]:
            terminalreporter.line(f"{compiled:6d} programs {seconds:7.1f} s {tests:5d} tests  {name}")
        terminalreporter.line("")
        for called, compiled, seconds, name in sorted(self.tests, key=lambda row: -row[2])[: most or None]:
            terminalreporter.line(f"{compiled:6d} programs ({called} in the call) {seconds:7.1f} s  {name}")


CALLED = pytest.StashKey[int]()
