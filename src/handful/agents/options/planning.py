"""Options of the agents that plan: PETS, MPC, and PETS guided by a policy; and of PILCO, which searches a policy."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from handful.agents.options.filled import check_least, filled, refuse
from handful.agents.options.imagined import ImaginedPPO
from handful.agents.options.models import NETWORKS, POINTS, ModelOptions
from handful.agents.pets_settings import SETTINGS, PETSSettings
from handful.envs.info import Published
from handful.envs.registry import info_of
from handful.errors import InputError

PLANNERS = {  # name: module in `handful.planning` and class, whose fields all have defaults
    "cem": "cem:CEM",
    "icem": "icem:ICEM",
    "mppi": "mppi:MPPI",
    "shooting": "shooting:RandomShooting",
    "gradient": "gradient:GradientPlanner",
    "ilqr": "ilqr:ILQR",
    "categorical-cem": "categorical_cem:CategoricalCEM",
}
if TYPE_CHECKING:
    Planner = str
else:
    Planner = Literal[tuple(PLANNERS)]  # for help
Propagation = Literal["ts-inf", "ts1", "expectation", "ds", "mm"]

GUIDED_HORIZON = 6  # [steps] where a value goes on from the end of a plan
POLICY_HORIZON = 75  # [steps] of PILCO's imagined trials
PUBLISHED_FIRST = "cartpole-swingup"  # the task whose published settings serve for unpublished tasks
BY_DERIVATIVE = {"gradient", "ilqr"}  # planners


@dataclass(frozen=True)
class PropagationOptions:
    """How uncertainty travels through the imagined steps, and what counts as good."""

    horizon: int | None = None  # steps that are imagined ahead
    propagation: Propagation | None = None  # how uncertainty travels through time: ts-inf if left out, mm for pilco
    particles: int | None = None  # rollouts of each candidate, a multiple of the members
    process_noise: bool | None = None
    """imagined steps include the noise that the model predicts, besides the disagreement of its members"""
    risk: float = 0.0  # a return counts as mean + RISK * std over the particles

    def resolved_propagation(self, usual: Propagation, *, paper: bool = False) -> Any:
        """The options with particles and propagation filled in, once those of the model are.

        Raises `InputError` where an option is out of range.
        """
        if not math.isfinite(self.risk):
            raise InputError(f"--risk must be finite, got {self.risk}")
        options: Any = self
        kind, model = self.propagation or usual, options.model
        worlds = (options.members if model in NETWORKS else None) or 1
        particles = 20 if paper or kind == "mm" else max(worlds, 5)
        particles = 1 if model in {"truth", "d"} else -(-particles // worlds) * worlds  # all others would be the same
        if kind == "expectation":
            refuse(self, ("particles",) if self.particles != 1 else (), "is 1 with --propagation expectation")
            particles = 1
        quiet = model in POINTS and kind != "expectation"
        options = filled(options, propagation=kind, particles=particles, process_noise=not quiet)
        if options.particles < 1 or (kind in {"ts-inf", "ts1"} and options.particles % worlds):
            wanted = f"a multiple of the {worlds} members, so that each candidate meets each member equally often"
            raise InputError(f"--particles must be {wanted if worlds > 1 else 'at least 1'}, got {options.particles}")
        return options


@dataclass(frozen=True)
class PlannerOptions:
    """Who improves the plan. Which of these a planner has, its page says; the others cannot be given with it."""

    planner: Planner | str | None = None
    """who improves the plan: icem, or categorical-cem where actions are categories; FILE.py:NAME is your own"""
    candidates: int | None = None  # plans tried in an iteration
    elites: int | None = None  # best candidates that the next iteration starts from
    iterations: int | None = None  # iterations of the planner in a control step
    noise_colour: float | None = None  # spectrum 1/f^COLOUR of the sampled plans: 0 is white, 1 pink, 2 red
    noise_std: float | None = None  # std of the first samples, in half-ranges of the actions
    smoothing: float | None = None  # share of the old mean and variance that an iteration keeps
    keep_elites: int | None = None  # icem: elites that are tried again
    population_decay: float | None = None  # icem: factor by which the candidates shrink from one iteration to the next
    follow_best: bool | None = None  # icem: follow the best candidate instead of the mean of the elites
    converged: float | None = None  # cem: variance at which it stops iterating
    exploring: float | None = None
    """categorical-cem: share of uniform probability that is mixed in at the start of a control step"""
    widening: float | None = None  # categorical-cem: how far probabilities widen from one control step to the next
    temperature: float | None = None  # mppi: of the weights of candidates
    starts: int | None = None  # gradient: plans that are improved side by side
    step_size: float | None = None  # gradient: about what an action moves in one step, in half-ranges
    step_sizes: int | None = None  # ilqr: step sizes tried in an iteration
    backtrack: float | None = None  # ilqr: factor from one step size to the next
    damping: float | None = None  # ilqr: damping at the start of a control step
    damping_factor: float | None = None  # ilqr: factor by which the damping rises or falls


@dataclass(frozen=True)
class MPC(PlannerOptions, PropagationOptions, ModelOptions):
    """Learn a model trial by trial, and plan through it at every control step."""

    precision: Literal["float32", "bf16"] = "float32"
    """of the products of networks while planning: bf16 is faster where the machine has it"""

    paper: bool = False  # PETS's published settings for the task, see docs/pets.md: large networks, slow on a CPU

    def resolved(self, env: Any, info: Any) -> Any:
        """See `Options.resolved`."""
        from handful.agents.planners import resolved_planner

        paper = self._published(info) if self.paper else None
        options = self.resolved_model(info, paper=paper)
        model, settings = options.model, SETTINGS[options.settings or "light"]
        quiet = self.propagation is None and self.quiet(model, settings) and not paper
        options = filled(options, process_noise=False) if quiet else options
        options = options.resolved_propagation("ts-inf", paper=bool(paper))
        options.check_precision()
        return resolved_planner(options, env.task, settings, paper)

    def quiet(self, model: str, settings: PETSSettings) -> bool:
        """Whether plans leave the predicted noise out unless `process_noise` or a propagation is chosen."""
        return False

    def _published(self, info: Any) -> Published | None:
        if self.model not in {None, *NETWORKS} - {"physics+ensemble"}:
            raise InputError(
                f"--paper is PETS as published and its ablations d, p, de and pe; leave --model out, got {self.model}"
            )
        if self.settings not in {None, "light"}:
            raise InputError(f"--paper has the published settings; leave --settings out, got {self.settings}")
        return info.published or info_of(PUBLISHED_FIRST).published

    def check_precision(self) -> None:
        """Raises `InputError` where the precision does not go with model or planner."""
        if self.precision == "float32":
            return
        if self.model not in NETWORKS:
            raise InputError(f"--precision is an option of networks, not of --model {self.model}; leave it out")
        if self.planner in BY_DERIVATIVE:
            raise InputError(
                f"--precision bf16 has no derivatives, and --planner {self.planner} needs them; leave one out"
            )


@dataclass(frozen=True)
class PETS(MPC):
    """Learn an ensemble of networks trial by trial, and plan through it at every control step."""

    def quiet(self, model: str, settings: PETSSettings) -> bool:
        """As the settings for the kind of system have it."""
        return model in NETWORKS and not settings.noise


@dataclass(frozen=True)
class PILCO(PropagationOptions, ModelOptions):
    """Learn a model trial by trial, and improve a radial policy by gradient inside it."""

    basis_functions: int = 50  # of the policy
    policy_steps: int = 300  # gradient steps on the policy after each fit
    policy_learning_rate: float = 0.03  # of the policy, falling to a tenth
    max_grad_norm: float = 1.0  # greatest norm of a gradient of the policy
    starts: int = 4  # imagined trials for a gradient of the policy

    def resolved(self, env: Any, info: Any) -> Any:
        """See `Options.resolved`."""
        if env.task.categorical:
            raise InputError("--agent pilco improves a policy of continuous actions, and this task's are categories")
        options = self.resolved_model(info, usual="gp")
        options = options.resolved_propagation("mm")
        check_least(options, "basis_functions", "starts")
        return filled(options, horizon=checked_horizon(options.horizon, POLICY_HORIZON, env.task))


@dataclass(frozen=True)
class PETSPolicy(PlannerOptions, PropagationOptions, ImaginedPPO):
    """PETS with a short horizon: the search starts from a policy, and a value is added at the end of a plan."""

    def resolved(self, env: Any, info: Any) -> Any:
        """See `Options.resolved`."""
        from handful.agents.planners import resolved_planner

        if env.task.categorical:
            raise InputError("--agent pets+policy plans continuous actions, and this task's are categories")
        if self.planner not in {None, "icem", "cem", "mppi"}:
            raise InputError(f"--agent pets+policy takes --planner icem, cem or mppi, got {self.planner}")
        options = self.resolved_model(info).resolved_policy(info).resolved_propagation("ts-inf")
        options = filled(options, horizon=checked_horizon(options.horizon, GUIDED_HORIZON, env.task))
        return resolved_planner(options, env.task, SETTINGS["light"], None)


def checked_horizon(horizon: int | None, usual: int, task: Any) -> int:
    """Steps to look ahead. Raises `InputError` where a trial has fewer."""
    horizon = min(usual, task.horizon) if horizon is None else horizon
    if not 1 <= horizon <= task.horizon:
        wanted = "at least 1" if horizon < 1 else f"at most a trial's {task.horizon} steps"
        raise InputError(f"--horizon must be {wanted}, got {horizon}")
    return horizon


OF_PLANNERS = tuple(name for name in PlannerOptions.__dataclass_fields__ if name != "planner")
