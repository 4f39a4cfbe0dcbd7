"""`handful tasks`: what can be learned out of the box."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Options:
    """The tasks, their sizes, what is known of them."""


def run(options: Options) -> None:
    from rich.console import Console
    from rich.table import Table

    from handful.cli import runtime

    runtime.start()
    from handful.envs.loading import load
    from handful.envs.registry import TASKS

    table = Table(box=None, pad_edge=False)
    for heading in ("task", "obs", "action", "steps a trial", "dt [s]", "what it is", "what is known"):
        table.add_column(heading)
    for name, entry in TASKS.items():
        task = load(name).task
        sizes = (str(task.obs_size), str(task.action_size), str(task.horizon), f"{task.dt:g}")
        table.add_row(name, *sizes, entry.summary, entry.known)
    console = Console()
    console.print(table)
    console.print("\nYour own: gymnasium:ID, or path/to/file.py:NAME (an AbstractEnv or a gymnasium.Env).")
