"""The shape of the library: who may import whom, what a class may be, what importing may do and may cost."""

import ast
import importlib
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import pytest

ROOT = Path(__file__).parents[2] / "src" / "handful"
PATHS = sorted(ROOT.rglob("*.py"))
OPTIONAL = {"imageio", "mujoco"}

GROUND = {
    "errors",
    "fields",
    "types",
    "task",
    "data",
    "devices",
    "integrator",
    "lazy",
    "linalg",
    "optimiser",
    "user_code",
    "version",
}
BELIEF = GROUND | {"models", "policies", "propagation"}
LEARNERS = BELIEF | {"agent", "envs", "interaction", "policy_optimization", "values"}
ALLOWED = {  # layer -> the other layers it may import
    "errors": set(),
    "fields": {"errors"},
    "user_code": {"errors"},
    "lazy": set(),
    "version": set(),
    "devices": set(),
    "integrator": set(),
    "linalg": set(),
    "optimiser": {"errors", "fields"},
    "types": {"errors"},
    "task": {"errors", "fields", "types"},
    "data": {"errors", "fields", "types", "task"},
    "models": GROUND,
    "policies": GROUND,
    "envs": GROUND | {"models"},  # a task declares its own equations as a model
    "propagation": BELIEF,
    "planning": BELIEF,
    "planners": {"lazy", "planning"},  # public names alone
    "agent": BELIEF,
    "interaction": BELIEF | {"agent", "envs"},
    "policy_optimization": BELIEF | {"agent", "envs", "interaction"},
    "values": BELIEF | {"agent", "envs", "interaction"},
    "agents": LEARNERS | {"planning"},
    "scores": BELIEF,
    "checks": GROUND | {"envs"},
    "training": LEARNERS | {"planning", "agents", "scores"},
    "reports": LEARNERS | {"planning", "agents", "scores", "training"},
    "learning": LEARNERS | {"agents", "reports", "training"},
    "cli": LEARNERS | {"planning", "agents", "checks", "reports", "scores", "training"},
    "__init__": {"lazy", "learning", "version"} | LEARNERS | {"planning", "agents", "training"},
    "__main__": {"cli"},
}


def module_name(path: Path) -> str:
    parts = ("handful", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


MODULES = [module_name(path) for path in PATHS if path.stem != "__main__"]
LAYERS = {layer_of(path) for path in PATHS} - {"__init__"}


def imported(tree: ast.Module) -> list[tuple[int, str]]:
    """The line and the dotted name of every import, wherever in the file it stands."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.append((node.lineno, "handful"))  # relative: ruff bans it, and so does the rule on the package itself
        elif isinstance(node, ast.ImportFrom) and node.module == "handful":
            found += [(node.lineno, f"handful.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.lineno, str(node.module)))
    return found


def import_module(name: str):
    """The module, or None where it needs an extra that is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] in OPTIONAL:
            return None
        raise


def module_classes() -> list[type[eqx.Module]]:
    """Every equinox module class that the library defines."""
    return [
        value
        for module in filter(None, map(import_module, MODULES))
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, eqx.Module) and value.__module__ == module.__name__
    ]


def python(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, outside the import hook and outside any measurement of coverage."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, *arguments], env=inherited | environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(done.stderr, pytrace=False)
    return done


def test_every_layer_has_a_row():
    assert sorted(LAYERS - ALLOWED.keys()) == []


def test_imports_run_one_way():
    offences = []
    for path in PATHS:
        layer = layer_of(path)
        for line, name in imported(tree_of(path)):
            parts = name.split(".")
            if parts[0] != "handful":
                continue
            target = parts[1] if len(parts) > 1 and parts[1] in ALLOWED else "handful itself"
            if target != layer and target not in ALLOWED.get(layer, set()):
                offences.append(f"{path.relative_to(ROOT)}:{line}: {layer} imports {target}")
    assert offences == []


def test_no_modules_import_each_other_in_a_circle():
    """Imports at the top of modules; those inside functions come later, and may run back."""
    known = {module_name(path): path for path in PATHS}
    left = {}
    for name, path in known.items():
        top = ast.Module([node for node in tree_of(path).body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        names = {target for _, target in imported(top)}
        names |= {
            f"{node.module}.{alias.name}"
            for node in top.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        left[name] = (names & known.keys()) - {name}
    while free := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in free}
    assert sorted(left) == []


def test_classes_are_abstract_or_final():
    offences = []
    for cls in module_classes():
        where = f"{cls.__module__}.{cls.__name__}"
        open_ends = [
            name
            for kind in ("__abstractmethods__", "__abstractvars__", "__abstractclassvars__")
            for name in getattr(cls, kind, ())
        ]
        if cls.__name__.startswith("Abstract") and not open_ends:
            offences.append(f"{where} is named abstract and leaves nothing open")
        if not cls.__name__.startswith("Abstract") and open_ends:
            offences.append(f"{where} is not named abstract and leaves open {sorted(open_ends)}")
        offences += [
            f"{where} extends {base.__name__}, which is final"
            for base in cls.__mro__[1:]
            if base.__module__.startswith("handful") and not base.__name__.startswith("Abstract")
        ]
    assert offences == []


def test_abstract_classes_have_no_constructor():
    offences = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
        for path in PATHS
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef) and node.name.startswith("Abstract")
        if any(isinstance(item, ast.FunctionDef) and item.name == "__init__" for item in node.body)
    ]
    assert offences == []


THEMES = ["agents", "envs", "models", "planners", "policies", "propagation"]
PUBLIC = ["handful", *(f"handful.{theme}" for theme in THEMES)]


@pytest.mark.smoke
@pytest.mark.parametrize("package", PUBLIC)
def test_public_names(package):
    module = importlib.import_module(package)
    names = list(module.__all__)
    assert names == sorted(set(names))
    assert dir(module) == names
    # a dataclass without a docstring is given its own signature as one
    documented = {name: re.sub(rf"^{name}\(.*", "", getattr(module, name).__doc__ or "") for name in names}
    assert [name for name in names if not documented[name]] == []
    # a module of the same name would take the place of a public name once it is imported
    assert {each.stem for each in Path(module.__file__).parent.glob("*")} & set(names) == set()
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018


@pytest.mark.parametrize("package", PUBLIC)
def test_editors_and_the_program_agree_on_public_names(package):
    module = importlib.import_module(package)
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    shown = {
        alias.asname: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(shown) == list(module.__all__)
    for name, (home, own) in shown.items():
        assert getattr(importlib.import_module(home), own) is getattr(module, name)


def test_no_file_is_named_after_nothing():
    banned = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}
    parts = {part for path in PATHS for part in path.relative_to(ROOT).with_suffix("").parts}
    assert sorted(parts & banned) == []


def test_files_and_functions_are_short():
    offences = []
    for path in PATHS:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > 350:
            offences.append(f"{path.relative_to(ROOT)}: {lines} lines, at most 350")
        offences += [
            f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}: {length} lines, at most 60"
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.FunctionDef) and (length := node.end_lineno - node.lineno + 1) > 60
        ]
    assert offences == []


IMPORT_AND_COMPARE = """
import importlib, json, logging, pickle, random, os, sys, warnings

# what other libraries do when they are imported is theirs to answer for
others = "jax equinox optax jaxtyping numpy gymnasium matplotlib.pyplot PIL.Image rich.live tyro".split()
for name in others + {optional!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        pass

import jax, matplotlib, numpy

def state():
    return {{
        **{{"jax.config." + name: repr(value) for name, value in jax.config.values.items()}},
        **{{"matplotlib.rcParams." + name: repr(value) for name, value in matplotlib.rcParams.items()}},
        **{{"os.environ." + name: value for name, value in os.environ.items()}},
        "logging": repr((logging.root.level, logging.root.handlers)),
        "numpy.geterr": repr(numpy.geterr()),
        "numpy.get_printoptions": repr(numpy.get_printoptions()),
        "numpy.random": pickle.dumps(numpy.random.get_state()).hex(),
        "random": repr(random.getstate()),
        "sys.path": repr(sys.path),
        "warnings.filters": repr(warnings.filters),
    }}

before = state()
print("{mark}", flush=True)
print("{mark}", file=sys.stderr, flush=True)
for name in {modules!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] not in {optional!r}:
            raise
print("{mark}", flush=True)
after = state()
# a jax module that is imported late may bring settings of its own
print(json.dumps([name for name in after if after[name] != before.get(name) and (name in before or "os." in name)]))
"""


@pytest.mark.smoke
def test_importing_changes_and_prints_nothing():
    mark = "-- from here on it is ours --"
    script = IMPORT_AND_COMPARE.format(mark=mark, modules=MODULES, optional=sorted(OPTIONAL))
    # with a platform that does not exist, an array made on import is an error: arrays belong into functions
    done = python("-c", script, JAX_PLATFORMS="none_on_import")
    _, printed, changed = done.stdout.split(mark)
    assert json.loads(changed) == []
    assert printed.strip() == ""
    assert done.stderr.split(mark)[1].strip() == ""


def processor_seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def fastest(measure, limit: float) -> float:
    """The best of five measurements; one below the limit settles it."""
    seconds = []
    while len(seconds) < 5 and (not seconds or min(seconds) >= limit):
        seconds.append(measure())
    return min(seconds)


def test_import_adds_less_than_a_second_to_jax():
    # processor time, so that a busy machine does not fail the test
    script = (
        "import time, jax; start = time.process_time(); import handful; "
        "[getattr(handful, name) for name in handful.__all__]; print(time.process_time() - start)"
    )
    assert fastest(lambda: float(python("-c", script).stdout), limit=1.0) < 1.0


@pytest.mark.smoke
def test_command_line_loads_without_jax():
    heavy = ["equinox", "gymnasium", "jax", "matplotlib", "mujoco", "optax", "scipy"]
    script = f"import sys, handful.cli.main; print([name for name in {heavy} if name in sys.modules])"
    assert python("-c", script).stdout.strip() == "[]"


@pytest.mark.smoke
def test_help_answers_in_half_a_second():
    def seconds() -> float:
        start = processor_seconds_of_children()
        assert "usage" in python("-m", "handful.cli.main", "--help").stdout.lower()
        return processor_seconds_of_children() - start

    assert fastest(seconds, limit=0.5) < 0.5
