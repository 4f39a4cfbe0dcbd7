"""From what a user calls a task to an environment: a built-in name, `gymnasium:ID`, or `path/to/file.py:NAME`."""

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from gymnasium.envs.registration import load_env_creator

from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.gymnasium_task import one_line
from handful.envs.known_tasks import KNOWN
from handful.envs.registry import TASKS
from handful.errors import InputError

BESIDE = ("reward", "terminated", "names", "angles", "info", "physics")  # what is picked up next to a gymnasium.Env


def load(name: str) -> AbstractEnv | GymnasiumEnv:
    """The environment that `name` stands for.

    In a file, NAME is an `AbstractEnv` instance or class, or a `gymnasium.Env` class or factory; beside the latter,
    module-level `reward(obs, action, next_obs)`, `terminated(obs)`, `names`, `angles`, `info` and `physics` are picked
    up. A user's file is run, so load only what you trust.

    >>> load("point-mass").task.action_size
    2

    Raises `InputError` where there is no such task, and where it is there but cannot be used.
    """
    if name in TASKS:
        return TASKS[name].load()
    scheme, _, rest = name.partition(":")
    if scheme == "gymnasium":
        return _from_gymnasium(rest)
    path, _, member = name.rpartition(":") if ":" in name else (name, "", "")
    if ":" in name or name.endswith(".py"):
        return _from_file(Path(path), member)
    close = difflib.get_close_matches(name.lower(), TASKS, n=2, cutoff=0.5)
    if re.search(r"-v\d+$", name):
        close = [f"gymnasium:{name}"]
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise InputError(
        f"there is no task {name!r}; {hint}`handful tasks` lists the built-in ones, and gymnasium:ID and "
        "path/to/file.py:NAME name others"
    )


def _from_gymnasium(identity: str) -> GymnasiumEnv:
    try:
        package, _, bare = identity.rpartition(":")
        if package:
            importlib.import_module(package)  # it registers its environments
        entry = gymnasium.spec(bare).entry_point
        drawing = _drawing(load_env_creator(entry) if isinstance(entry, str) else entry)
        env = gymnasium.make(bare, disable_env_checker=True, **drawing)
    except gymnasium.error.DependencyNotInstalled as error:
        raise InputError(f"gymnasium:{identity} needs a package that is not installed: {one_line(error)}") from error
    except gymnasium.error.Error as error:
        raise InputError(
            f"there is no Gymnasium environment {identity!r} ({one_line(error)}); an id ends in its version, and one "
            "of another package is named gymnasium:PACKAGE:ID"
        ) from error
    except Exception as error:
        raise InputError(f"gymnasium:{identity} cannot be made: {type(error).__name__}: {one_line(error)}") from error
    given = KNOWN[identity].given(env) if identity in KNOWN else {}
    with _named(f"gymnasium:{identity}"):
        return GymnasiumEnv(env, **given)


def _from_file(path: Path, member: str) -> AbstractEnv | GymnasiumEnv:
    if not path.is_file():
        raise InputError(f"there is no file {path}; name an environment as path/to/file.py:NAME")
    module = _module(path)
    if not member or not hasattr(module, member):
        there = ", ".join(_environments(module)) or "nothing that looks like one"
        raise InputError(
            f"{path} has no environment {member!r}, it has {there}"
            if member
            else f"{path} needs the name of an environment in it, as {path}:NAME; it has {there}"
        )
    value = getattr(module, member)
    env = _made(path, member, value)
    if isinstance(env, AbstractEnv):
        with _named(f"{path}:{member}"):
            _check(env)
        return env
    beside = {name: getattr(module, name) for name in BESIDE if hasattr(module, name)}
    with _named(str(path)):
        return GymnasiumEnv(env, **beside, maker=None if env is value else value)


def _module(path: Path) -> ModuleType:
    """Run a file as `python FILE` would: what lies beside it can be imported."""
    name = f"handful_task_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file; name an environment as path/to/file.py:NAME")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(
            f"{path} raised {type(error).__name__} when imported, at line {_line(path, error)}: {one_line(error)}"
        ) from error
    finally:
        sys.path.remove(folder)
    return module


def _made(path: Path, member: str, value: Any) -> AbstractEnv | gymnasium.Env:
    """The environment that a member of a file is or makes."""
    made = value
    if callable(value) and not isinstance(value, AbstractEnv | gymnasium.Env):
        try:
            inspect.signature(value).bind()
        except (TypeError, ValueError):
            raise InputError(
                f"{path}:{member} must be made without arguments, but takes {_signature(value)}; give them defaults, "
                "or name a function without arguments that makes it"
            ) from None
        try:
            made = value(**_drawing(value))
        except Exception as error:
            raise InputError(
                f"{path}:{member} raised {type(error).__name__} when made, at line {_line(path, error)}: "
                f"{one_line(error)}"
            ) from error
    if not isinstance(made, AbstractEnv | gymnasium.Env):
        what = f"is {_article(made)}" if made is value else f"makes {_article(made)}"
        raise InputError(
            f"{path}:{member} {what}; it must be an AbstractEnv, or a gymnasium.Env class or a function that makes one"
        )
    return made


def _check(env: AbstractEnv) -> None:
    """One reset and one step, by shape and value, before any trial depends on them."""
    task = env.task
    try:
        state, obs = eqx.filter_jit(env.reset)(jax.random.key(0))
        _, step = eqx.filter_jit(env.step)(jax.random.key(1), state, (task.low + task.high) / 2)
        wanted = eqx.filter_jit(task.reward)(obs, task.low, step.obs)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"it raised {type(error).__name__} in a first step: {one_line(error)}") from error
    quantities = {
        "the first observation": (obs, (task.obs_size,)),
        "an observation": (step.obs, (task.obs_size,)),
        "a reward": (step.reward, ()),
        "terminated": (step.terminated, ()),
        "what the task's reward function gives": (wanted, ()),
    }
    for what, (value, shape) in quantities.items():
        if jnp.shape(value) != shape:
            raise InputError(f"{what} must have the shape {shape}, got {jnp.shape(value)}")
        if not jnp.isfinite(value).all():
            raise InputError(f"{what} must be finite in a first step, got {value}")


def _environments(module: ModuleType) -> list[str]:
    """Public members that can stand behind a colon."""
    kinds = (AbstractEnv, gymnasium.Env)

    def fits(value: Any) -> bool:
        own = getattr(value, "__module__", None) == module.__name__
        return isinstance(value, kinds) or (own and isinstance(value, type) and issubclass(value, kinds))

    return [name for name, value in vars(module).items() if not name.startswith("_") and fits(value)]


def _drawing(maker: Any) -> dict[str, Any]:
    """The argument that makes an environment draw into arrays, where its maker says that it can."""
    metadata = getattr(maker, "metadata", None)
    modes = metadata.get("render_modes") if isinstance(metadata, dict) else None
    takes = inspect.signature(maker).parameters
    named = "render_mode" in takes or any(each.kind is each.VAR_KEYWORD for each in takes.values())
    return {"render_mode": "rgb_array"} if named and "rgb_array" in (modes or ()) else {}


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Say of which environment a complaint is."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{what}: {error}") from error


def _line(path: Path, error: BaseException) -> int:
    """The line of a user's file that an exception came from."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 1
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == path.resolve()
    ]
    return next((line for line in reversed(lines) if line), 1)


def _signature(value: Any) -> str:
    try:
        return str(inspect.signature(value))
    except (TypeError, ValueError):
        return "arguments that cannot be told"


def _article(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
