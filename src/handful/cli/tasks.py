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
    from handful.envs.known_tasks import KNOWN
    from handful.envs.loading import load
    from handful.envs.registry import TASKS
    from handful.errors import InputError

    for name, entry in TASKS.items():
        try:
            task = load(name).task
            sizes = f"{task.obs_size} observations, {task.action_size} actions, "
            sizes += f"{task.horizon} steps of {task.dt:g} s a trial"
        except InputError as error:
            sizes = str(error)
        sys.stdout.write(
            f"{name}\n    {entry.summary}\n    {sizes}\n    returns: {entry.known}; solved from {entry.solved:g}\n"
        )
    sys.stdout.write("\nYour own: gymnasium:ID, or path/to/file.py:NAME (an AbstractEnv or a gymnasium.Env).\n")
    sys.stdout.write(f"Reward and end are known, and not learned, of gymnasium:ID for {', '.join(KNOWN)}.\n")
