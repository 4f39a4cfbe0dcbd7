"""`handful evaluate`: the learned controller from fresh starts."""

import sys

import numpy as np

from handful.cli.configuration import built, words_of
from handful.cli.folders import opened
from handful.cli.options import Evaluate
from handful.errors import InputError
from handful.training.session import Session


def run(options: Evaluate) -> None:
    """Run the episodes and print."""
    folder = opened(options.run)
    config = folder.config()
    system, agent = built(config, options.run, trusted=options.trust)
    try:
        session = Session(folder, system, agent, config)
        if session.done < 2:
            raise InputError(
                f"{options.run} holds no learned controller yet; continue with: handful train --resume {options.run}"
            )
        returns = np.array([session.evaluate(options.seed, episode) for episode in range(options.episodes)])
    finally:
        system.close()
    each = " ".join(f"{value:.1f}" for value in returns)
    sys.stdout.write(
        f"{config['task']}, controller after {words_of(config).unit} {session.done - 1}, "
        f"{options.episodes} fresh starts\n"
        f"return {returns.mean():.1f} +- {returns.std():.1f} (std), "
        f"least {returns.min():.1f}, most {returns.max():.1f}\n"
        f"each: {each}\n"
    )
