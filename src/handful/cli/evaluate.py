"""`handful evaluate`: the learned controller from fresh starts."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro


@dataclasses.dataclass(frozen=True)
class Options:
    """Run the learned controller of a run folder from fresh starts: mean and spread of the return."""

    run: Annotated[Path, tyro.conf.Positional]
    """a run folder"""
    episodes: int = 10
    """fresh trials"""
    seed: int = 1000
    """of the fresh starts"""


def run(options: Options) -> None:
    """Run the episodes and print."""
    from handful.cli import runtime

    runtime.start()
    import numpy as np

    from handful.cli.train import built, check_seed, opened, words_of
    from handful.errors import InputError
    from handful.training.session import Session

    if options.episodes < 1:
        raise InputError(f"--episodes must be at least 1, got {options.episodes}")
    check_seed(options.seed)
    folder = opened(options.run)
    config = folder.config()
    session = Session(folder, *built(config), config)
    if session.done < 2:
        raise InputError(
            f"{options.run} holds no fitted controller yet; go on with: handful train --resume {options.run}"
        )
    returns = np.array([session.evaluate(options.seed, episode) for episode in range(options.episodes)])
    each = " ".join(f"{value:.1f}" for value in returns)
    sys.stdout.write(
        f"{config['task']}, controller after {words_of(config).unit} {session.done - 1}, "
        f"{options.episodes} fresh starts\n"
        f"return {returns.mean():.1f} +- {returns.std():.1f} (std), "
        f"least {returns.min():.1f}, most {returns.max():.1f}\n"
        f"each: {each}\n"
    )
