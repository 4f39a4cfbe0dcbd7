"""`handful tasks`: what can be learned out of the box."""

import dataclasses
import sys


@dataclasses.dataclass(frozen=True)
class Options:
    """The tasks, their sizes, what is known of them."""


def run(options: Options) -> None:
    """Print the list."""
    from handful.cli import runtime

    runtime.start()
    from handful.envs.loading import load
    from handful.envs.registry import TASKS

    for name, entry in TASKS.items():
        task = load(name).task
        sys.stdout.write(
            f"{name}\n"
            f"    {entry.summary}\n"
            f"    {task.obs_size} observations, {task.action_size} actions, "
            f"{task.horizon} steps of {task.dt:g} s a trial\n"
            f"    returns: {entry.known}; solved from {entry.solved:g}\n"
        )
    sys.stdout.write("\nYour own: gymnasium:ID, or path/to/file.py:NAME (an AbstractEnv or a gymnasium.Env).\n")
