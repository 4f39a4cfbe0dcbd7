"""`handful tasks`: what can be learned out of the box."""

import sys

from handful.cli.options import Tasks
from handful.envs.known_tasks import KNOWN
from handful.envs.loading import load
from handful.envs.registry import TASKS, info_of
from handful.errors import InputError


def run(options: Tasks) -> None:
    """Print the list."""
    for name in TASKS:
        info = info_of(name)
        try:
            task = load(name).task
            sizes = f"{task.obs_size} observations, {task.action_size} actions, "
            sizes += f"{task.horizon} steps of {task.dt:g} s a trial"
        except InputError as error:
            sizes = str(error)
        solved = "no solved threshold" if info.solved_return is None else f"solved from {info.solved_return:g}"
        sys.stdout.write(
            f"{name}\n    {info.summary}\n    {sizes}\n    returns: {info.reference or 'unknown'}; {solved}\n"
        )
    sys.stdout.write("\nYour own: gymnasium:ID, or path/to/file.py:NAME (an AbstractEnv or a gymnasium.Env).\n")
    sys.stdout.write(f"Reward and end are known, and not learned, of gymnasium:ID for {', '.join(KNOWN)}.\n")
