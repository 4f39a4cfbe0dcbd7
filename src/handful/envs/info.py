"""Everything known of a task apart from its dynamics, declared once beside its environment. Needs no JAX."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from handful.errors import InputError

if TYPE_CHECKING:
    from handful.data.grid import Grid, TaskGrid
    from handful.models.known import KnownLearner
    from handful.models.physics_learner import PhysicsLearner


@dataclass(frozen=True)
class PolicyPreset:
    """Hyperparameters of model-free agents on a task."""

    steps: int = 200_000  # of interaction in a run
    discount: float = 0.99
    gae_lambda: float = 0.95
    num_envs: int = 8  # stepped in parallel; an environment that cannot be duplicated takes the steps of all
    num_steps: int = 128  # of each environment between two updates
    standardise: bool = True  # the inputs of networks
    scale_rewards: bool = True
    scale_imagined: bool = True  # rewards inside a learned model, where the scale must settle within few updates
    learning_rate: float = 1e-3  # of PPO, annealed to zero over the run
    epochs: int = 10
    minibatch_size: int = 128
    trpo_batch: int = 1024  # [steps] per update of TRPO
    exploration_steps: int = 16_000  # over which DQN's epsilon is annealed
    falling: bool = False  # anneals TRPO's delta to zero: protects a good policy late in a run, and freezes a poor one


@dataclass(frozen=True)
class Published:
    """PETS's published settings for a task, [Chua18] appendix and released code."""

    hidden: tuple[int, ...]
    decay: tuple[float, ...]  # by layer
    rate: float
    candidates: int
    horizon: int


@dataclass(frozen=True)
class TaskInfo:
    """Everything known of a task: what `handful tasks` prints, and what agents are set up with."""

    name: str
    make: Callable[[], Any]  # the environment with its default constants
    summary: str
    reference: str = ""  # undiscounted returns to compare learned ones with
    solved_return: float | None = None  # of a trial, from which on the task counts as solved
    settings: str = "light"  # kind of PETS settings, a key of `agents.pets_settings.SETTINGS`
    published: Published | None = None
    preset: PolicyPreset = field(default_factory=PolicyPreset)
    grid: "TaskGrid | None" = None  # for tables and tile coding
    tabular: Mapping[str, Any] = field(default_factory=dict)  # arguments of `TemporalDifference`
    optimism: float = 0.0  # value that dynamic programming gives to actions never tried
    physics: "Callable[[Any], PhysicsLearner] | PhysicsLearner | None" = None  # of an environment of this task
    truth: "Callable[[Any], KnownLearner] | None" = None  # of an environment of this task

    def table_grid(self) -> "Grid":
        """The grid for a table with one row per cell. Raises `InputError` if the task declares none."""
        return self._grid().for_table()

    def tile_grid(self) -> "Grid":
        """The coarser grid of each tiling. Raises `InputError` if the task declares none."""
        return self._grid().for_tiles()

    def _grid(self) -> "TaskGrid":
        if self.grid is None:
            raise InputError(
                f"no grid is declared for {self.name}; take an agent with networks, such as dqn or ppo, or in Python a "
                "Grid with the ranges of the entries, or one that Grid.covering fits to recorded data"
            )
        return self.grid


ATTRIBUTES = ("solved_return", "physics", "truth")  # of a module, in place of fields of the same name


def declared_in(module: ModuleType | None, default: TaskInfo) -> TaskInfo:
    """Returns a module's `INFO`, or `default`, with the module's `ATTRIBUTES` in place of the fields.

    Raises `InputError` if `INFO` is not a `TaskInfo`, or `solved_return` not a finite number.
    """
    info = getattr(module, "INFO", default)
    if not isinstance(info, TaskInfo):
        raise InputError(f"INFO must be a TaskInfo, got {info!r}")
    beside = {name: getattr(module, name) for name in ATTRIBUTES if hasattr(module, name)}
    solved = beside.get("solved_return", 0.0)
    if not isinstance(solved, int | float | None) or (solved is not None and not math.isfinite(solved)):
        raise InputError(f"solved_return must be a number, got {solved!r}")
    return dataclasses.replace(info, **beside)
