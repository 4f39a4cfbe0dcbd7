"""Settings of PETS tried on a task: one change or several at a time, every seed kept, all tries in one table.

    python benchmarks/settings_tries.py pusher-7dof beta=0.5 std=0.5 --seeds 0 1 --trials 12 --out results/tries

What is not named is as in the settings of the task's kind, or of --kind. A try is a file of the folder, named after
its changes; the table is made again from all files.
"""

import argparse
import ast
import dataclasses
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np

from handful import learn, pets
from handful.agents.pets_settings import SETTINGS, PETSSettings
from handful.cli import runtime
from handful.devices import all_devices
from handful.envs.loading import load
from handful.envs.registry import info_of
from handful.training import machine


def main() -> None:
    """Run one try, keep it, and update the table."""
    options = arguments()
    if options.redraw:
        (options.out / "README.md").write_text(table(options.task, options.out))
        return
    runtime.start()
    changes = dict(changed(word) for word in options.changes)
    settings = dataclasses.replace(SETTINGS[options.kind or info_of(options.task).settings], **changes)
    agent = dataclasses.replace(pets(settings=settings), mesh=all_devices())
    env = load(options.task)
    returns = [learn(env, agent, trials=options.trials, seed=seed).returns for seed in options.seeds]
    options.out.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.]+", "-", " ".join(options.changes)).strip("-") or "as-they-are"
    tried = {
        "command": shlex.join(["python", "benchmarks/settings_tries.py", *sys.argv[1:]]),
        "settings": dataclasses.asdict(settings),
        "device": machine.device(),
        "versions": machine.versions(),
        "returns": returns,
    }
    (options.out / f"{name}.json").write_text(json.dumps(tried, indent=1) + "\n")
    (options.out / "README.md").write_text(table(options.task, options.out))


def arguments() -> argparse.Namespace:
    """What to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("changes", nargs="*", help="field=value, fields of `PETSSettings`")
    parser.add_argument("--kind", choices=list(SETTINGS), help="whose settings are changed; the task's own if left out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    parser.add_argument("--redraw", action="store_true", help="run nothing, make the page again")
    return parser.parse_intermixed_args()


def changed(word: str) -> tuple[str, Any]:
    """A field of `PETSSettings` and its new value."""
    name, _, value = word.partition("=")
    if name not in {field.name for field in dataclasses.fields(PETSSettings)}:
        sys.exit(f"a change must be FIELD=VALUE with a field of PETSSettings, got {word!r}")
    return name, ast.literal_eval(value)


def table(task: str, out: Path) -> str:
    """All tries of a folder: where they differ from each other is their name."""
    lines = [
        f"# Settings tried on {task}",
        "",
        "Mean return over seeds (least of them). The files hold commands, all settings and every trial of every seed.",
        "The best so far is the mean over seeds of the best return of each until then, without the random trial, as",
        "the published curves are drawn. This page is made again from the files by",
        f"`python benchmarks/settings_tries.py {task} --redraw --out {out}`.",
        "",
    ]
    lines += ["| try | seeds | trial 5 | trial 10 | last trial | best so far | best trial |", "|" + "---|" * 7]
    for file in sorted(out.glob("*.json")):
        curves = np.array(json.loads(file.read_text())["returns"])
        shown = [curves[:, min(trial, curves.shape[1] - 1)] for trial in (5, 10, curves.shape[1] - 1)]
        cells = [f"{values.mean():.1f} ({values.min():.1f})" for values in shown]
        cells[2] = f"{curves.shape[1] - 1}: {cells[2]}"
        cells.append(f"{curves[:, 1:].max(1).mean():.1f}")
        lines.append(f"| [{file.stem}]({file.name}) | {len(curves)} | {' | '.join(cells)} | {curves.max():.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
