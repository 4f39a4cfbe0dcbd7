"""Bad input of many kinds, generated: each must end in one sentence, exit code 2, without a traceback or a hang.

    python benchmarks/bad_input.py --cases 600 --json benchmarks/results/bad-input.json

Options of all agents with values that cannot be meant; logs and run folders cut or replaced; users'
environments that break their contract. A new run is stopped just before it trains, and counts as accepted.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import random
import shutil
import signal
import sys
import tempfile
import time
import typing
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import handful.cli.train
from handful.agents.catalogue import AGENTS
from handful.cli import main as command_line

LIMIT = 60  # [s] for one case
WORDS = ["--agent", "mpc", "--model", "linear", "--horizon", "3", "--candidates", "20", "--iterations", "1"]
NUMBERS = ["nan", "x", "", "1e400", "-inf", "0x", "1,5", "--", "\u0663x", "1 2"]
SIZES = [*NUMBERS, "-3", "2.5", "1e20", str(10**12), "9" * 30]
Case = tuple[str, Callable[[Path], list[str]]]


class Accepted(BaseException):
    """The command took the input, and would train now."""


def accept(*_: object, **__: object) -> None:
    """Stands for training."""
    raise Accepted


def option_cases(draw: random.Random) -> Iterator[Case]:
    """An option of an agent with a value that is not one of its kind."""
    while True:
        agent = draw.choice(list(AGENTS))
        kind = AGENTS[agent].options
        hints = typing.get_type_hints(kind)
        name = draw.choice([field.name for field in dataclasses.fields(kind)])
        text = str(hints[name])
        if "bool" in text or ("str" in text and "int" not in text and "float" not in text):
            continue
        value = draw.choice(SIZES if "int" in text and "float" not in text else NUMBERS)
        task = "cartpole-v1" if agent in {"dqn", "sarsa", "q-learning", "dyna-q"} else "pendulum"
        words = ["train", task, "--agent", agent, f"--{name.replace('_', '-')}={value}"]
        yield f"option {agent} {name}={value!r}", lambda folder, words=words: [*words, "--out", str(folder / "run")]


def spoilt(data: bytes, draw: random.Random) -> bytes:
    """The bytes cut, replaced or turned round."""
    how = draw.randrange(4)
    if how == 0:
        return data[: draw.randrange(len(data))]
    if how == 1:
        return bytes(draw.randrange(256) for _ in range(draw.randrange(1, 300)))
    return b"" if how == 2 else data[len(data) // 2 :] + data[: len(data) // 2]


def value_of(draw: random.Random) -> object:
    """A JSON value of any kind."""
    deep: object = 1
    for _ in range(900):
        deep = [deep]
    return draw.choice([None, True, -1, 10**30, 1e308, "", "x", "\udcff", [], [1, "x"], {}, {"a": {}}, deep, "0" * 300])


def folder_cases(draw: random.Random, run: Path) -> Iterator[Case]:
    """A run folder with a file spoilt, or its configuration changed, for each command that reads one."""
    commands = (["evaluate", "--episodes", "1"], ["train", "--resume"], ["report"], ["compare"])
    while True:
        command = draw.choice(commands)
        name = draw.choice(["config.json", "checkpoints/state.npz", "config entry", "config option"])
        if command[0] == "compare" or (command[0] == "report" and name.startswith("config")):
            name = "config.json"
        seed = draw.random()

        def make(folder: Path, command: list[str] = command, name: str = name, seed: float = seed) -> list[str]:
            own, place = random.Random(seed), folder / "run"
            shutil.copytree(run, place)
            if name.startswith("config "):
                config = json.loads((place / "config.json").read_text())
                inside = config["options"] if name.endswith("option") else config
                entry = own.choice([each for each in inside if each not in {"trials", "given"}])
                inside[entry] = next(value for _ in range(99) if (value := value_of(own)) != inside[entry])
                (place / "config.json").write_text(json.dumps(config))
            else:
                (place / name).write_bytes(spoilt((place / name).read_bytes(), own))
            return [*command, str(place), *(["--out", str(folder / "page")] if command[0] == "compare" else [])]

        yield f"folder {command[0]} {name}", make


def log_cases(draw: random.Random) -> Iterator[Case]:
    """Recorded trials that are none."""
    rows = "obs a,obs b,action,trial\n" + "".join(f"{n / 9},{-n % 7},{n % 5},{n // 10}\n" for n in range(60))
    tables = {
        "no action": rows.replace("action", "acting"), "no obs": rows.replace("obs", "seen"), "text": "hello\n" * 9,
        "header": rows.splitlines()[0], "ragged": rows + "1,2\n", "empty": "",
        "infinite": rows.replace(",1,", ",1e999,").replace(",0", ",nan"), "trial": rows.replace(",0\n", ",x\n"),
        "one trial": "\n".join(rows.splitlines()[:9]), "twice": rows.replace("obs b", "obs a"), "zero": "\0" * 50,
    }  # fmt: skip
    arrays = {
        "text": np.array(["a"] * 9), "deep": np.zeros((9, 2, 2)), "scalar": np.array(1.0), "complex": np.ones(9) * 1j,
        "huge": np.full((9, 2), 1e300), "none": np.zeros((0, 2)),
        "nan": np.full((9, 2), np.nan), "object": np.array([{}] * 9),
    }  # fmt: skip
    while True:
        if draw.random() < 0.5:
            name, text = draw.choice(list(tables.items()))

            def table(folder: Path, text: str = text) -> list[str]:
                (folder / "log.csv").write_text(text)
                return ["fit", str(folder / "log.csv"), "--model", "linear", "--out", str(folder / "model")]

            yield f"table {name}", table
        else:
            (name, array), entry = (
                draw.choice(list(arrays.items())),
                draw.choice(["obs", "action", "trial", "next_obs"]),
            )
            if (name, entry) == ("none", "trial"):
                continue

            def npz(folder: Path, array: np.ndarray = array, entry: str = entry) -> list[str]:
                whole = {"obs": np.ones((9, 2)), "action": np.ones((9, 1)), "trial": np.arange(9) // 3, entry: array}
                np.savez(folder / "log.npz", **whole)
                return ["fit", str(folder / "log.npz"), "--model", "linear", "--out", str(folder / "model")]

            yield f"archive {entry} {name}", npz


BROKEN = {
    "import": ("import gymnasium", "import gymnasiums"), "syntax": ("class", "klass"), "spaces": ("action_space", "x"),
    "shape": ("np.ones(2)", "np.ones(3)"), "nan": ("np.ones(2)", "np.ones(2) * np.nan"), "none": ("np.ones(2)", "None"),
    "reward": (", 0.5,", ", 'much',"), "flag": ("False, False", "[1, 2], False"), "four": ("False, False", "False"),
    "exit": ("return np.ones(2), 0.5", "import sys; sys.exit(0); return 1, 0"), "box": ("-1, 1", "1, -1"),
    "raise": ("return np.ones(2), 0.5", "raise KeyError('cable'); return 1, 0"), "empty": ("(1,)", "(0,)"),
    "reset": ("np.ones(2), {}", "np.ones(2)"), "make": ("class", "raise OSError('gone')\nclass"),
    "inf": ("-1, 1", "-np.inf, 1"),
    "arguments": ("class Rig(gymnasium.Env):", "class Rig(gymnasium.Env):\n    def __init__(self, port): pass\n"),
    "name": ("Rig(", "Rag("), "dict": ("gymnasium.spaces.Box(-9, 9, (2,))", "gymnasium.spaces.Dict()"),
}  # fmt: skip
RIG = """
import gymnasium, numpy as np
class Rig(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-9, 9, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))
    def reset(self, seed=None, options=None):
        return np.ones(2), {}
    def step(self, action):
        return np.ones(2), 0.5, False, False, {}
"""


def environment_cases(draw: random.Random) -> Iterator[Case]:
    """A user's environment that breaks its contract; here a run may begin, and ends at its first step."""
    while True:
        name, (old, new) = draw.choice(list(BROKEN.items()))

        def make(folder: Path, old: str = old, new: str = new) -> list[str]:
            (folder / "rig.py").write_text(RIG.replace(old, new))
            return ["train", f"{folder}/rig.py:Rig", *WORDS, "--trials", "0", "--out", str(folder / "run")]

        yield f"environment {name}", make


def outcome(words: list[str]) -> tuple[str, float, str]:
    """How a command ends, its seconds, and what it says."""
    said, began = io.StringIO(), time.perf_counter()
    signal.alarm(LIMIT)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            code = command_line.main(words)
    except Accepted:
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except TimeoutError:
        return "hang", LIMIT, said.getvalue()
    except BaseException as error:  # noqa: BLE001 -- a traceback is what is looked for
        return "traceback", time.perf_counter() - began, repr(error)
    finally:
        signal.alarm(0)
    text = said.getvalue()
    kind = "accepted" if code == 0 else "refused" if code == 2 and text.count("\n") == 1 else "unexpected"
    return kind, time.perf_counter() - began, text


def late(*_: object) -> None:
    """A case takes too long."""
    raise TimeoutError


def main() -> None:
    """Run the cases, print those that do not end well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    signal.signal(signal.SIGALRM, late)
    with tempfile.TemporaryDirectory() as place:
        with contextlib.redirect_stdout(io.StringIO()):
            command_line.main(
                ["train", "point-mass", *WORDS, "--particles", "1", "--trials", "1", "--out", f"{place}/run"]
            )
        learn = handful.cli.train._learn  # noqa: SLF001
        kinds = [option_cases(draw), folder_cases(draw, Path(place) / "run"), log_cases(draw), environment_cases(draw)]
        counts, slowest, bad = Counter(), 0.0, []
        for number in range(options.cases):
            name, make = next(kinds[number % len(kinds)])
            handful.cli.train._learn = accept if name.startswith("option") else learn  # noqa: SLF001
            folder = Path(place) / str(number)
            folder.mkdir()
            kind, seconds, said = outcome(make(folder))
            counts[kind] += 1
            slowest = max(slowest, seconds)
            if kind != "refused":
                bad.append({"case": name, "kind": kind, "said": said[-400:]})
                print(f"{number} {kind}: {name}: {said.strip()[-300:]}", flush=True)
            shutil.rmtree(folder)
    print(f"{dict(counts)}, slowest {slowest:.1f} s")
    if options.json:
        result = {
            "command": " ".join(["python", *sys.argv]),
            "counts": dict(counts),
            "slowest_s": slowest,
            "not_refused": bad,
        }
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
