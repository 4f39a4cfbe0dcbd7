"""The configuration of a run: made from options, written down in full, and turned into a system and an agent again."""

import contextlib
import dataclasses
import math
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Never

import equinox as eqx
import jax
import jax.numpy as jnp

from handful.agent import AbstractAgent
from handful.agents.catalogue import Entry, entry_of
from handful.agents.options.filled import flag, refuse
from handful.cli import runtime
from handful.cli.memory import check_memory
from handful.cli.train_options import given_of
from handful.data.dataset import check_room
from handful.envs.info import TaskInfo
from handful.envs.loading import load
from handful.envs.registry import info_of
from handful.errors import InputError
from handful.task import Task
from handful.training import trust
from handful.training.host import Hosted
from handful.training.progress import ROUNDS, TRIALS, Words
from handful.training.rounds import rounds_for, steps_per_update
from handful.training.run import copy_of
from handful.training.system import facts_of, system_for
from handful.user_code import Neighbours, absolute, is_file, is_own, one_line
from handful.version import __version__

USUAL_TRIALS = 8
MISSING = object()
KINDS = {"task": str, "agent": str, "trials": int, "updates": int | None, "seed": int, "refit_every": int | None}
KINDS |= {"float64": bool, "step_limit": float | None, "options": dict, "files": dict[str, str]}


def configured(options: Any) -> dict[str, Any]:
    """The configuration of a new run, every default spelled out; files of the user by their absolute paths.

    Raises `InputError` where options do not fit each other or the task, before anything is written.
    """
    agent_name, own = _named(options.agent, options.own)
    entry = entry_of(agent_name)
    config = {
        "handful": __version__,
        "task": options.task,
        "agent": agent_name,
        "seed": options.seed or 0,
        "trials": options.trials,
        "updates": None,  # settled with the number of trials or rounds
        "refit_every": getattr(options, "refit_every", None),
        "float64": options.float64 or runtime.double_precision(),
        "step_limit": options.step_limit,
    }
    system, info = _system(config)
    with contextlib.closing(system):
        if system.task.categorical:
            refuse(own, ("bins_per_dim",), "divides continuous actions, and this task's are categories")
        with _naming_options(own):
            resolved = own.resolved(system.env, info)
        for name, value in given_of(own).items():
            numbers = [each for each in (value if isinstance(value, tuple) else [value]) if isinstance(each, float)]
            if not all(map(math.isfinite, numbers)):
                raise InputError(f"{flag(name)} must be finite, got {value}")
        check_memory(resolved, system.task)
        agent, stages = _made(entry, resolved, system, info, config)
        config |= stages
        if entry.kind == "trials":
            check_room(system.task, (config["trials"] + 1) * system.task.horizon)
        try_out(agent, system.task, [name for name in map(str, (agent_name, *vars(resolved).values())) if is_own(name)])
    config = {
        **_from_anywhere(config),
        "given": _from_anywhere(given_of(own)),
        "options": _from_anywhere(dataclasses.asdict(resolved)),
        "system": facts_of(system),
    }
    files = sorted({file for name in _names_in(config) if (file := file_of(name)) is not None})
    for file in files:
        trust.remember(Path(file))
    return config | {"files": {file: trust.digest_of(Path(file)) for file in files}}


def built(config: dict[str, Any], folder: Path = Path(), *, trusted: bool = False) -> tuple[Any, AbstractAgent]:
    """The system and the agent that the configuration of a folder describes.

    Code of a file that only the folder names is run if it was run here before, or if the folder is `trusted`.

    Raises `InputError` where the configuration is damaged or such a file may not be run.
    """
    _check(config, KINDS)
    names = _names_in(config)
    places = {name: f"{_located(file, config, folder, trusted=trusted)}{name.removeprefix(file)}"
              for name in names if (file := file_of(name, config["files"])) is not None}  # fmt: skip
    here = {**config, **{name: places.get(value, value) for name, value in config.items() if isinstance(value, str)}}
    entry, written = entry_of(here["agent"]), config["options"]
    _check(written, typing.get_type_hints(entry.options), closed=True)
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in written.items()}
    own = entry.options(**{k: places.get(v, v) if isinstance(v, str) else v for k, v in given.items()})
    system, info = _system(here)
    try:
        agent, _ = _made(entry, own.resolved(system.env, info), system, info, here)
    except BaseException:
        system.close()
        raise
    return system, agent


def file_of(name: str, files: Mapping[str, Any] | None = None) -> str | None:
    """The user's file that a name such as `path/to/file.py:NAME` begins with; None for any other name.

    It is one of `files`, if given, or one that exists.

    Raises `InputError` where a name stands for code in a file and is not one of `files`.
    """
    file = name.rpartition(":")[0] or name
    if files is None:
        return file if is_file(file) and is_own(name) else None
    if file in files:
        return file
    if name.partition(":")[0].endswith(".py") or file.endswith(".py"):
        raise InputError(f"the configuration of the run names {name}, which is not one of its files: restore it")
    return None


def _names_in(config: Mapping[str, Any]) -> list[str]:
    """Names in a configuration that may stand for parts of the user's."""
    parts = (config["task"], config["agent"], *(config["options"].get(name) for name in ("model", "planner")))
    return [name for name in parts if isinstance(name, str)]


def _located(file: str, config: Mapping[str, Any], folder: Path, *, trusted: bool) -> Path:
    """Where a user's file of a run is: in its own place, or where that is gone, the run's copy."""
    digest, own = str(config["files"][file]), Path(file)
    before = trust.known(digest)
    place = own if is_file(own) else copy_of(folder, file, digest)
    if not is_file(place):
        raise InputError(f"{file} and its copy {place} are gone; restore one of them")
    if not trusted and trust.digest_of(place) != digest:
        raise InputError(
            f"{place} has been changed since the run began; give --trust to go on with it as it is now, or restore it"
            + f" from {copy_of(folder, file, digest)}" * (place == own)
        )
    if not trusted and before is None:
        raise InputError(
            f"{folder} runs the code of {place}, which was never run here; look at it, and give --trust if you trust it"
        )
    Neighbours.beside(str(before or place.parent))
    return place


def trusted_now(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the user's files as they are now, which the user trusts."""
    files = {file: trust.digest_of(Path(file)) if is_file(file) else old for file, old in config["files"].items()}
    for file in filter(is_file, files):
        trust.remember(Path(file))
    return config | {"files": files}


def words_of(config: dict[str, Any]) -> Words:
    """Names of the stages of a run."""
    return TRIALS if config.get("updates") is None else ROUNDS


def try_out(agent: AbstractAgent, task: Task, own_parts: list[str]) -> None:
    """Trace the agent's first state and first action, which shows whether shapes fit; nothing is computed.

    Raises `InputError` where they do not, or where a user's part raises.
    """

    def first(key: Any, obs: Any) -> Any:
        state = agent.init(key, task)
        if not own_parts:  # ours act as they should, and tracing a planner takes a while
            return state
        policy = agent.actor(task, state)
        return policy(key, obs, policy.init())[0]

    parts = " or ".join(own_parts)
    try:
        made = eqx.filter_eval_shape(first, jax.random.key(0), jnp.zeros(task.obs_size))
    except Exception as error:
        if not parts or isinstance(error, InputError):
            raise
        raise InputError(f"{parts} raised {type(error).__name__} before the first step: {one_line(error)}") from error
    shape = getattr(made, "shape", type(made).__name__)
    if parts and shape != (task.action_size,):
        raise InputError(f"{parts} must give actions of shape ({task.action_size},), got {shape}")


def _named(agent: str, own: Any) -> tuple[str, Any]:
    """The agent's name for the record, and its options: PETS with another model is no longer PETS."""
    if agent == "pets" and own.model not in {None, "ensemble", "pe"}:
        return "mpc", entry_of("mpc").options(**vars(own))
    return agent, own


def _from_anywhere(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same with absolute paths of the user's files, so that the run goes on from another directory too."""
    return {name: absolute(value) if isinstance(value, str) else value for name, value in config.items()}


def _system(config: dict[str, Any]) -> tuple[Any, TaskInfo]:
    """The system of a run, and what is known of its task."""
    runtime.use_float64(use=config["float64"])
    system = system_for(load(config["task"]))
    if isinstance(system, Hosted):
        system.watchdog.limit = config["step_limit"]
        system.watchdog.listen()
    return system, info_of(config["task"])


def _made(
    entry: Entry, own: Any, system: Any, info: TaskInfo, config: dict[str, Any]
) -> tuple[AbstractAgent, dict[str, Any]]:
    """The agent, and the numbers of `trials` and `updates` where the configuration leaves them open.

    What is annealed falls over as many rounds as the steps make, or over `trials` where these are more.

    Raises `InputError` where options are out of range, naming the option.
    """
    stages, every = config["trials"], config["refit_every"]
    with _naming_options(own):
        agent = entry.make(own, system.env, info)
        if entry.kind == "trials":
            agent = agent if every is None else dataclasses.replace(agent, num_steps=every)
            return agent, {"trials": USUAL_TRIALS if stages is None else stages, "updates": None}
        rounds, updates = rounds_for(agent, system.task, own.steps, on_host=isinstance(system, Hosted))
        stages, updates = rounds if stages is None else stages, config["updates"] or updates
        steps = max(rounds, stages) * updates * steps_per_update(agent, system.task)
        return entry.make(own, system.env, info, steps), {"trials": stages, "updates": updates}


@contextlib.contextmanager
def _naming_options(own: Any) -> Iterator[None]:
    """Complaints about a field of an agent are about the option that set it."""
    try:
        yield
    except InputError as error:
        raise InputError(_of_option(str(error), vars(own))) from error


def _of_option(sentence: str, own: dict[str, Any]) -> str:
    """A sentence about a field of an agent, as one about the option that set it, found by its name and its value."""
    match = re.fullmatch(r"(.*)\bgot (\S+)", sentence)
    words = re.findall(r"\w+", match[1]) if match else []
    for word in words:
        for name, value in own.items():
            if name in {word, f"policy_{word}", f"value_{word}"} and match and str(value) == match[2]:
                return sentence.replace(word, flag(name), 1) if word == words[0] else f"{flag(name)}: {sentence}"
    return sentence


def _check(content: dict[str, Any], kinds: Mapping[str, Any], *, closed: bool = False) -> None:
    """Raises `InputError` where an entry is not of its annotated type, or, if `closed`, has none."""
    for name in (*kinds, *(content if closed else ())):
        if not fits(content.get(name, MISSING), kinds.get(name, Never)):
            raise InputError(
                f"the configuration of the run has no usable {name!r}: restore its config.json, or start a new run"
            )


def fits(value: Any, kind: Any) -> bool:
    """True if a JSON value is of an annotated type; lists serve as tuples, and whole numbers as floats.

    >>> fits(None, int | None), fits([64, 64], tuple[int, ...]), fits(2.5, int | None)
    (True, True, False)
    """
    origin, choices = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return value in choices
    if origin is dict:
        return isinstance(value, dict) and all(fits(each, choices[1]) for each in value.values())
    if origin is tuple:
        return isinstance(value, list | tuple) and all(fits(each, choices[0]) for each in value)
    if choices:
        return any(fits(value, choice) for choice in choices)
    return kind is not Never and (type(value) is kind or (kind is float and type(value) is int))
