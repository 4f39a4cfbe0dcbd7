"""Runs of several methods on several tasks, each method under a name of its own."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from handful.errors import InputError
from handful.evaluation.kinds import Kind, kind_of, rank
from handful.evaluation.run_groups import Group, Run, groups_of, solved_return
from handful.evaluation.standing import Standing


@dataclass(frozen=True)
class Method:
    """What the seeds of one method came to on one task."""

    agent: str
    standing: Standing

    @property
    def group(self) -> Group:
        return self.standing.group

    @property
    def label(self) -> str:
        return self.group.label

    @property
    def kind(self) -> Kind:
        return kind_of(self.agent)

    @property
    def order(self) -> tuple[int, str]:
        """Where it stands among all: kinds together."""
        return rank(self.agent), self.label

    @property
    def devices(self) -> str:
        return "; ".join(sorted({run.device or "not recorded" for run in self.group.runs}))


@dataclass(frozen=True)
class Board:
    """All methods on one task, kinds together, and the return that counts as solved."""

    task: str
    threshold: float | None
    methods: Sequence[Method]


def boards(runs: Sequence[Run], threshold: float | None = None) -> list[Board]:
    """One a task. Raises `InputError` where a threshold is given for runs of several tasks."""
    by_task = {task: [run for run in runs if run.task == task] for task in sorted({run.task for run in runs})}
    if threshold is not None and len(by_task) > 1:
        raise InputError(
            f"--threshold is a return of one task, got runs of {', '.join(by_task)}; leave it out, or name runs of one"
        )
    return [
        _board(task, alike, solved_return(task) if threshold is None else threshold) for task, alike in by_task.items()
    ]


def _board(task: str, runs: Sequence[Run], threshold: float | None) -> Board:
    steps = min(float(run.curve.env_steps[-1]) for run in runs)  # that every seed has taken
    ordered = sorted(runs, key=lambda run: (rank(run.agent), _name(run)))
    methods = [
        Method(group.runs[0].agent, Standing.of(group, steps, threshold))
        for name, alike in groupby(ordered, key=_name)
        for group in _named(name, groups_of(list(alike)))
    ]
    return Board(task, threshold, methods)


def _name(run: Run) -> str:
    """The agent, and for one that plans through any model which."""
    model = run.settings.get("model")
    return f"{run.agent} {model}" if run.agent == "mpc" and model else run.agent


def _named(name: str, groups: Sequence[Group]) -> list[Group]:
    """Groups under the method's name, with what tells them apart where it has several."""
    labels = [name if len(groups) == 1 else f"{name}, {group.label}" for group in groups]
    return [dataclasses.replace(group, label=label) for group, label in zip(groups, labels, strict=True)]
