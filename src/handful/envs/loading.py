"""Environments by name: a built-in one, `gymnasium:ID`, or `path/to/file.py:NAME`."""

import contextlib
import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
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
from handful.envs.gymnasium_task import attribute
from handful.envs.known_tasks import KNOWN, plain_id
from handful.envs.registry import FILE_MODULE, TASKS, info_of
from handful.errors import InputError
from handful.task import Task
from handful.types import Step
from handful.user_code import answering, article, instantiated, is_file, module_of, one_line

BESIDE = ("reward", "terminated", "names", "angles", "info", "physics")  # names read from the file of a gymnasium.Env


def load(name: str) -> AbstractEnv | GymnasiumEnv:
    """Returns the environment of that name.

    In a file, NAME is an `AbstractEnv` instance or class, or a `gymnasium.Env` class or factory; for the latter,
    module-level `reward(obs, action, next_obs)`, `terminated(obs)`, `names`, `angles`, `info` and `physics` are used.
    A module-level `INFO`, a `TaskInfo`, declares what is known of the task. The file is run, so load only what you
    trust.

    >>> load("point-mass").task.action_size
    2

    Raises `InputError` if there is no such task, or if it cannot be used.
    """
    if name in TASKS:
        return _built_in(name)
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


def as_env(env: Any) -> AbstractEnv | GymnasiumEnv:
    """Returns an environment that agents can act in: loads a task's name, adapts a `gymnasium.Env`.

    Reward and termination are known for the tasks in `known_tasks` made without options or further wrappers. For others
    pass them to `GymnasiumEnv`; otherwise they are learned.

    Raises `InputError` for anything else, and if the environment cannot be used.
    """
    if isinstance(env, AbstractEnv):
        with _named(type(env).__name__):
            check_shapes(env)
        return env
    if isinstance(env, GymnasiumEnv):
        return env
    if isinstance(env, str):
        return load(env)
    if isinstance(env, gymnasium.Env):
        with _named(type(attribute(env, "unwrapped")).__name__):
            attribute(env, "spec")
            return _adapted(env, plain_id(env))
    got = f"the class {env.__name__}; make an instance of it" if isinstance(env, type) else article(type(env).__name__)
    raise InputError(f"an environment must be a task's name, an AbstractEnv or a gymnasium.Env, got {got}")


def _adapted(env: gymnasium.Env, identity: str) -> GymnasiumEnv:
    given = KNOWN[identity].given(env) if identity in KNOWN else {}
    return GymnasiumEnv(env, **given, task_info=info_of(f"gymnasium:{identity}") if identity else None)


def _built_in(name: str) -> AbstractEnv | GymnasiumEnv:
    try:
        return info_of(name).make()
    except ModuleNotFoundError as error:
        if error.name != "mujoco":
            raise
        raise InputError("this task needs MuJoCo; install it with: pip install 'handful[mujoco]'") from error


def _from_gymnasium(identity: str) -> GymnasiumEnv:
    def sentence(error: BaseException) -> str:
        if isinstance(error, gymnasium.error.DependencyNotInstalled):
            return f"gymnasium:{identity} needs a package that is not installed: {one_line(error)}"
        if isinstance(error, gymnasium.error.Error):
            return (
                f"there is no Gymnasium environment {identity!r} ({one_line(error)}); an id ends in its version, and "
                "one of another package is named gymnasium:PACKAGE:ID"
            )
        return f"gymnasium:{identity} cannot be made: {type(error).__name__}: {one_line(error)}"

    with answering(sentence):
        package, _, bare = identity.rpartition(":")
        if package:
            importlib.import_module(package)  # which registers its environments
        entry = gymnasium.spec(bare).entry_point
        drawing = _drawing(load_env_creator(entry) if isinstance(entry, str) else entry)
        env = gymnasium.make(bare, disable_env_checker=True, **drawing)
    with _named(f"gymnasium:{identity}"):
        return _adapted(env, identity)


def _from_file(path: Path, member: str) -> AbstractEnv | GymnasiumEnv:
    if not is_file(path):
        raise InputError(f"there is no file {path}; name an environment as path/to/file.py:NAME")
    module = module_of(path, FILE_MODULE)
    if member not in vars(module):
        there = ", ".join(_environments(module)) or "nothing that looks like one"
        raise InputError(
            f"{path} has no environment {member!r}, it has {there}"
            if member
            else f"{path} needs the name of an environment in it, as {path}:NAME; it has {there}"
        )
    value = vars(module)[member]
    env = _made(path, member, value)
    with _named(str(path)):
        info = info_of(f"{path}:{member}")
    if isinstance(env, AbstractEnv):
        with _named(f"{path}:{member}"):
            _check(env)
        return env
    beside = {name: vars(module)[name] for name in BESIDE if name in vars(module)}
    with _named(str(path)):
        try:
            return GymnasiumEnv(env, **beside, maker=None if env is value else value, task_info=info)
        except InputError:  # what it holds, such as a device, must not stay held
            with contextlib.suppress(InputError), answering(one_line):
                env.close()
            raise


def _made(path: Path, member: str, value: Any) -> AbstractEnv | gymnasium.Env:
    """Returns the environment that a member of a file is or makes."""
    made = value
    if not isinstance(value, AbstractEnv | gymnasium.Env):
        made = instantiated(f"{path}:{member}", value, **_drawing(value))
    if not isinstance(made, AbstractEnv | gymnasium.Env):
        what = f"{'is' if made is value else 'makes'} {article(type(made).__name__)}"
        raise InputError(
            f"{path}:{member} {what}; it must be an AbstractEnv, or a gymnasium.Env class or a function that makes one"
        )
    return made


def check_shapes(env: AbstractEnv) -> None:
    """Trace one reset and one step, and check shapes and types of what they give; nothing is computed.

    Raises `InputError` if the environment could not be stepped in a compiled loop.
    """
    with answering(lambda error: _in_first_step("its task", error)):
        task = env.task
    if not isinstance(task, Task):
        raise InputError(f"its task must be a Task, got {article(type(task).__name__)}")
    if not task.action_size or not task.obs_size:
        raise InputError(
            f"a task must have an action and an observation, got {task.action_size} actions and {task.obs_size} names"
        )
    key, given = jax.random.key(0), eqx.filter_eval_shape
    first = _pair("reset", "(state, observation)", _traced(given, env.reset, key))
    after = _pair("step", "(state, Step)", _traced(given, env.step, key, first[0], task.low))
    step = after[1]
    if not isinstance(step, Step):
        raise InputError(f"its step must return (state, Step), got {article(type(step).__name__)} in place of the Step")
    _check_arrays(
        {
            "the first observation": (first[1], (task.obs_size,), float),
            "an observation": (step.obs, (task.obs_size,), float),
            "a reward": (step.reward, (), None),
            "terminated": (step.terminated, (), bool),
        }
    )
    _check_arrays(
        {
            "the value of the task's reward function": (
                _traced(given, task.reward, first[1], task.low, step.obs),
                (),
                None,
            ),
            "the value of the task's terminated function": (_traced(given, task.terminated, step.obs), (), bool),
        }
    )
    states = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) for state in (first[0], after[0])]
    if jax.tree.structure(first[0]) != jax.tree.structure(after[0]) or states[0] != states[1]:
        raise InputError("the state that its step returns must have the structure, shapes and types of that of reset")


def _check(env: AbstractEnv) -> None:
    """Check shapes, types and values of one reset and one step."""
    check_shapes(env)
    task = env.task
    with answering(lambda error: _in_first_step("it", error)):
        state, obs = eqx.filter_jit(env.reset)(jax.random.key(0))
        _, step = eqx.filter_jit(env.step)(jax.random.key(1), state, (task.low + task.high) / 2)
        reward = eqx.filter_jit(task.reward)(obs, task.low, step.obs)
    quantities = {
        "the first observation": obs,
        "an observation": step.obs,
        "a reward": step.reward,
        "the value of the task's reward function": reward,
    }
    for what, value in quantities.items():
        if not jnp.isfinite(value).all():
            raise InputError(f"{what} must be finite in a first step, got {value}")


def _traced(trace: Callable[..., Any], function: Any, *values: Any) -> Any:
    with answering(lambda error: _in_first_step("it", error)):
        return trace(function, *values)


def _in_first_step(what: str, error: BaseException) -> str:
    if isinstance(error, InputError):
        return str(error)
    return f"{what} raised {type(error).__name__} in a first step: {one_line(error)}"


def _pair(name: str, wanted: str, answer: Any) -> Any:
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise InputError(f"its {name} must return {wanted}, got {article(type(answer).__name__)}")
    return answer


def _check_arrays(quantities: dict[str, tuple[Any, tuple[int, ...], type | None]]) -> None:
    """Raises `InputError` unless each value is an array of its shape, and of its type if one is given."""
    for what, (value, shape, kind) in quantities.items():
        if not hasattr(value, "dtype") and not eqx.is_array_like(value):
            raise InputError(f"{what} must be an array, got {article(type(value).__name__)}")
        if jnp.shape(value) != shape:
            raise InputError(f"{what} must have the shape {shape}, got {jnp.shape(value)}")
        if kind is not None and jnp.result_type(value) != jnp.result_type(kind):
            raise InputError(f"{what} must be of type {jnp.result_type(kind)}, got {jnp.result_type(value)}")


def _environments(module: ModuleType) -> list[str]:
    """Public members that NAME can be."""
    kinds = (AbstractEnv, gymnasium.Env)

    def fits(value: Any) -> bool:
        own = getattr(value, "__module__", None) == module.__name__
        return isinstance(value, kinds) or (own and isinstance(value, type) and issubclass(value, kinds))

    return [name for name, value in vars(module).items() if not name.startswith("_") and fits(value)]


def _drawing(maker: Any) -> dict[str, Any]:
    """The argument that makes an environment draw into arrays, if its maker declares that it can."""
    metadata = getattr(maker, "metadata", None)
    modes = metadata.get("render_modes") if isinstance(metadata, dict) else None
    modes = modes if isinstance(modes, list | tuple | set) else ()
    try:
        takes = inspect.signature(maker).parameters
    except (TypeError, ValueError):  # no callable, or one that does not tell
        return {}
    named = "render_mode" in takes or any(each.kind is each.VAR_KEYWORD for each in takes.values())
    return {"render_mode": "rgb_array"} if named and "rgb_array" in modes else {}


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Prefix errors with the name of the environment."""
    try:
        yield
    except InputError as error:
        located = re.match(rf".*{re.escape(what)}:\d+: ", str(error))  # what a file's own code raised
        raise InputError(str(error) if located else f"{what}: {error}") from error
