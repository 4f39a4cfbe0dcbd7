"""From options to objects: the agent that a configuration describes."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from handful.agents.mpc_agent import MPCAgent
    from handful.planning.base import AbstractPlanner
    from handful.propagation.base import AbstractPropagator
    from handful.task import Task

Agent = Literal["pets"]
Planner = Literal["cem", "icem", "mppi", "shooting"]
Propagation = Literal["ts-inf", "ts1", "expectation", "ds", "mm"]


@dataclasses.dataclass(frozen=True)
class AgentOptions:
    """Which agent, and how it plans. What is None is the agent's own choice."""

    agent: Agent = "pets"
    """what learns"""
    paper: bool = False
    """PETS exactly as published: large nets, slow on a CPU"""
    planner: Planner | None = None
    """who improves the plan"""
    propagation: Propagation | None = None
    """how uncertainty travels through time"""
    particles: int | None = None
    """rollouts of each candidate plan, a multiple of the members"""
    horizon: int | None = None
    """steps that a plan looks ahead"""
    candidates: int | None = None
    """plans tried in an iteration"""
    iterations: int | None = None
    """iterations of the planner in a control step"""
    members: int | None = None
    """nets in the ensemble"""
    risk: float | None = None
    """return counts as mean + RISK * std over particles"""
    fit_steps: int | None = None
    """gradient steps that a fit takes at most"""


def agent_of(options: AgentOptions, task: "Task") -> "MPCAgent":
    """The agent. Raises `InputError` where sizes do not fit each other or the task."""
    from handful.agents.mpc_agent import MPCAgent
    from handful.agents.pets import FIRST_COLOUR, pets_learner, pets_paper_learner
    from handful.errors import InputError
    from handful.planning.spread import all_devices
    from handful.propagation.risk import Mean, MeanStd

    if options.fit_steps is not None and options.fit_steps < 1:
        raise InputError(f"--fit-steps must be at least 1, got {options.fit_steps}")
    if options.risk is not None and not math.isfinite(options.risk):
        raise InputError(f"--risk must be finite, got {options.risk}")
    make = pets_paper_learner if options.paper else pets_learner
    learner = make() if options.members is None else make(members=options.members)
    if options.fit_steps is not None:
        batches = learner.minibatches
        least = min(int(batches.least), options.fit_steps)
        batches = dataclasses.replace(batches, least=least, most=options.fit_steps)
        learner = dataclasses.replace(learner, minibatches=batches)
    risk = Mean() if options.risk is None else MeanStd(options.risk)
    colour = None if options.paper else FIRST_COLOUR
    return MPCAgent(
        learner, _planner(options, task), _propagator(options, learner.members), risk, colour, all_devices()
    )


def _planner(options: AgentOptions, task: "Task") -> "AbstractPlanner":
    from handful.agents.pets import pets_planner
    from handful.errors import InputError
    from handful.planning.cem import CEM
    from handful.planning.icem import ICEM
    from handful.planning.mppi import MPPI
    from handful.planning.shooting import RandomShooting

    kinds = {"cem": CEM, "icem": ICEM, "mppi": MPPI, "shooting": RandomShooting}
    kind = kinds[options.planner or ("cem" if options.paper else "icem")]
    sizes: dict[str, Any] = {name: getattr(options, name) for name in ("horizon", "candidates", "iterations")}
    sizes = {"horizon": min(25 if options.paper else 20, task.horizon)} | {
        k: v for k, v in sizes.items() if v is not None
    }
    if options.candidates is not None and kind in {CEM, ICEM}:
        sizes["elites"] = max(1, options.candidates // 10)
    least = 3 if kind is ICEM else 1  # one fresh plan, one elite kept, the mean
    for name, floor in (("horizon", 1), ("candidates", least), ("iterations", 1)):
        if sizes.get(name, floor) < floor:
            raise InputError(f"--{name} must be at least {floor}, got {sizes[name]}")
    if kind is ICEM and "elites" in sizes:
        sizes["keep"] = min(ICEM.keep, sizes["elites"])
    if options.planner is None and kind is ICEM:
        planner = dataclasses.replace(pets_planner(), **sizes)
    else:
        planner = kind(**sizes)
    if planner.horizon > task.horizon:
        raise InputError(f"--horizon must be at most a trial's {task.horizon} steps, got {planner.horizon}")
    return planner


def _propagator(options: AgentOptions, members: int) -> "AbstractPropagator":
    from handful.errors import InputError
    from handful.propagation.moments import DistributionSampling, Expectation, MomentMatching
    from handful.propagation.trajectory_sampling import TS1, TSInf

    if options.propagation == "expectation":
        if options.particles not in {None, 1}:
            raise InputError(
                f"--propagation expectation follows one particle; leave --particles out, got {options.particles}"
            )
        return Expectation()
    kind = {"ts1": TS1, "ds": DistributionSampling, "mm": MomentMatching}.get(options.propagation or "", TSInf)
    usual = 20 if options.paper else members
    particles = -(-usual // members) * members if options.particles is None else options.particles
    if particles < 1 or (kind in {TSInf, TS1} and particles % members):
        raise InputError(
            f"--particles must be a multiple of the {members} members, so that each candidate meets each member "
            f"equally often; got {particles}"
        )
    return kind(particles)
