"""A group: runs that differ in nothing but their seed, in one folder."""

import re
from pathlib import Path
from typing import Any

from handful.errors import InputError
from handful.training.files import read_json, write_json
from handful.training.run import GROUP, RunFolder, is_group

MOST = 1000  # seeds of a group: past that a range is a slip of the hand


class GroupFolder:
    """A folder with `group.json` and a run folder `seed-N` for each seed.

    `group.json` is written first, and holds all that makes the run folders.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, config: dict[str, Any]) -> "GroupFolder":
        """A new group. Raises `InputError` where the folder already holds runs."""
        if is_group(path) or (path / "config.json").exists():
            raise InputError(
                f"{path} already holds a run; go on with --resume {path}, or choose another folder with --out"
            )
        group = cls(path)
        group.write_config(config)
        return group

    def write_config(self, config: dict[str, Any]) -> None:
        write_json(self.path / GROUP, config)

    def config(self) -> dict[str, Any]:
        """The configuration that all seeds share, and `seeds`. Raises `InputError` where it is damaged."""
        path, remedy = self.path / GROUP, "restore it, or start a new group"
        config = read_json(path, remedy)
        try:
            seeds_of(config["seeds"])
        except (AttributeError, KeyError, TypeError, InputError) as error:
            raise InputError(f"{path} is missing or damaged ({type(error).__name__}); {remedy}") from error
        return config

    def member(self, seed: int) -> Path:
        return self.path / f"seed-{seed}"

    def done(self, seed: int) -> int:
        """The number of stages of a seed that are saved."""
        return RunFolder(self.member(seed)).done(seed)

    def member_folder(self, seed: int, config: dict[str, Any]) -> RunFolder:
        """The run folder of a seed: made where a crash came before it, its configuration as the group's is now."""
        folder = RunFolder(self.member(seed))
        if not folder.config_path.exists():
            return RunFolder.create(folder.path, config)
        if folder.config() != config:
            folder.write_config(config)
        return folder


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
