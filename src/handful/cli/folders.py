"""The folders of runs: where a new one goes, and how an old one goes on."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

from handful.cli.configuration import configured, words_of
from handful.cli.options import check_seed, stamp
from handful.errors import InputError
from handful.training.files import sweep
from handful.training.model_fit import ModelFolder
from handful.training.run import GroupFolder, RunFolder, is_group, seeds_of
from handful.version import __version__

Place = tuple[RunFolder | GroupFolder, dict[str, Any], list[int]]  # the folder, its configuration, its seeds


def created(options: Any) -> Place:
    """A new run folder, or with `seeds` a new group, whose configuration holds what all its seeds have in common."""
    if options.seeds is None:
        config = configured(options)
        return RunFolder.create(_place(options), config), config, [config["seed"]]
    if options.seed is not None:
        raise InputError(f"--seeds names all seeds; leave out --seed {options.seed}")
    seeds = seeds_of(options.seeds)
    check_seed(max(seeds))
    config = {**configured(dataclasses.replace(options, seed=seeds[0])), "seeds": options.seeds}
    del config["seed"]
    return GroupFolder.create(_place(options), config), config, seeds


def resumed(path: Path, trials: int | None) -> Place:
    """The run or the group to go on with, with more trials where these are asked for."""
    folder = GroupFolder(path) if is_group(path) else opened(path)
    config = folder.config()
    if config.get("handful") != __version__:
        raise InputError(
            f"{path} was made by handful {config.get('handful')}, this is {__version__}: "
            "install that version to go on, or start a new run"
        )
    if type(config.get("trials")) is not int:
        raise InputError(f"the configuration of {path} has no usable 'trials': restore it, or start a new run")
    if isinstance(folder, RunFolder) and "seeds" in config:
        raise InputError(
            f"{path} learned side by side with other seeds, and its numbers would not be the same alone; "
            f"continue with all of them: handful train --resume {path.resolve().parent}"
        )
    config |= {} if trials is None else {"trials": trials}
    seeds = [config.get("seed", 0)] if isinstance(folder, RunFolder) else seeds_of(config["seeds"])
    done = max(folder.member(seed).done for seed in seeds) - 1
    if config["trials"] < done:
        raise InputError(
            f"--trials can only raise the number: {path} holds {done} {words_of(config).unit}s already, "
            f"got {config['trials']}"
        )
    if isinstance(folder, GroupFolder):
        sweep(path)
        folder.write_config(config)
    return folder, config, seeds


def opened(path: Path) -> RunFolder:
    """A run folder that `handful train` made. Raises `InputError` where it is none."""
    if ModelFolder.is_one(path):
        raise InputError(f"{path} holds a model that `handful fit` made and no run; name one that `handful train` made")
    folder = RunFolder.open(path)
    config = folder.config()
    if folder.state_path.exists():
        folder.check_config(config)
    if not config.keys() & {"given", "options"}:
        raise InputError(
            f"the agent of {path} was made in Python, and its folder does not say how: load it there, as a "
            "`handful.training.session.Session` of the same agent"
        )
    return folder


def _place(options: Any) -> Path:
    """The folder of a new run: `out`, or a folder of its task and the time that no other run has."""
    if options.out is not None:
        return options.out
    name = options.task.rsplit(":", 1)[-1].replace("/", "-").lower()
    path = Path("runs") / f"{name}-{stamp()}"
    for number in itertools.count(1):
        claimed = path if number == 1 else path.with_name(f"{path.name}-{number}")
        try:
            claimed.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(f"{path} cannot be made ({error.strerror}); choose a folder with --out") from error
        return claimed
    raise AssertionError
