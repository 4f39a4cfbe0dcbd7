"""A group: runs that differ in nothing but their seed, in one folder."""

import re
from pathlib import Path
from typing import Any

from handful.errors import InputError
from handful.training.files import Folder, damaged
from handful.training.run import GROUP, RunFolder, check_free

MOST = 1000  # seeds of a group: past that a range is a slip of the hand


class GroupFolder(Folder):
    """A folder with `group.json` and a run folder `seed-N` for each seed.

    `group.json` is written first, and holds all that makes the run folders: what all seeds share, and `seeds`.
    """

    CONFIG, REMEDY = GROUP, "restore it, or start a new group"

    @classmethod
    def create(cls, path: Path, config: dict[str, Any]) -> "GroupFolder":
        """A new group. Raises `InputError` where the folder already holds runs."""
        check_free(path)
        group = cls(path)
        group.write_config(config)
        return group

    def config(self) -> dict[str, Any]:
        """Raises `InputError` where it is missing or damaged, or names no seeds."""
        config = super().config()
        try:
            seeds_of(config["seeds"])
        except (AttributeError, KeyError, TypeError, InputError) as error:
            raise damaged(self.config_path, error, self.REMEDY) from error
        return config

    def member(self, seed: int) -> RunFolder:
        """The run folder of a seed, which a crash may have come before."""
        return RunFolder(self.path / f"seed-{seed}")


def seeds_of(text: str) -> list[int]:
    """The seeds that a text names.

    >>> seeds_of("0-3,7")
    [0, 1, 2, 3, 7]

    Raises `InputError` where it names none, or one twice.
    """
    seeds: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part, re.ASCII)
        if match is None:
            raise InputError(f"--seeds takes numbers and ranges, as in 0-9 or 0,2,5 or 0-3,7; got {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(f"a range of --seeds goes from the lower to the higher seed; got {part!r}")
        if len(seeds) + last - first >= MOST:
            raise InputError(f"--seeds takes at most {MOST} seeds, got {text!r}")
        seeds += range(first, last + 1)
    twice = [seed for seed in seeds if seeds.count(seed) > 1]
    if twice:
        raise InputError(f"each seed can run once; --seeds {text} names {twice[0]} twice")
    return seeds
