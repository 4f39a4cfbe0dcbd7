"""From options to objects: the agent that a configuration describes."""

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from handful.agents.mpc_agent import MPCAgent
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


def agent_of(options: AgentOptions, task: "Task") -> "MPCAgent":
    """The agent. Raises `InputError` where sizes do not fit each other or the task."""
    import equinox as eqx

    from handful.agents.pets import pets, pets_paper
    from handful.errors import InputError
    from handful.propagation.risk import MeanStd

    agent = pets_paper() if options.paper else pets()
    if options.members is not None:
        agent = dataclasses.replace(agent, learner=dataclasses.replace(agent.learner, members=options.members))
    if options.planner is not None:
        agent = dataclasses.replace(agent, planner=_planners()[options.planner](horizon=agent.planner.horizon))
    changes = {name: getattr(options, name) for name in ("horizon", "candidates", "iterations")}
    changes = {name: value for name, value in changes.items() if value is not None}
    if "candidates" in changes and hasattr(agent.planner, "elites"):
        changes["elites"] = max(1, changes["candidates"] // 10)
    agent = dataclasses.replace(agent, planner=dataclasses.replace(agent.planner, **changes))
    if agent.planner.horizon > task.horizon:
        raise InputError(f"--horizon must be at most a trial's {task.horizon} steps, got {agent.planner.horizon}")
    agent = dataclasses.replace(agent, propagator=_propagator(options, agent))
    if options.risk is not None:
        agent = eqx.tree_at(lambda a: a.risk, agent, MeanStd(options.risk))
    return agent


def _planners() -> dict[str, Any]:
    from handful.planning.cem import CEM
    from handful.planning.icem import ICEM
    from handful.planning.mppi import MPPI
    from handful.planning.shooting import RandomShooting

    return {"cem": CEM, "icem": ICEM, "mppi": MPPI, "shooting": RandomShooting}


def _propagator(options: AgentOptions, agent: "MPCAgent") -> Any:
    from handful.errors import InputError
    from handful.propagation.moments import DistributionSampling, Expectation, MomentMatching
    from handful.propagation.trajectory_sampling import TS1, TSInf

    kinds = {"ts-inf": TSInf, "ts1": TS1, "ds": DistributionSampling, "mm": MomentMatching}
    if options.propagation == "expectation":
        if options.particles not in {None, 1}:
            raise InputError(
                f"--propagation expectation follows one particle; leave --particles out, got {options.particles}"
            )
        return Expectation()
    members = agent.learner.members
    particles = options.particles
    if particles is None:
        particles = -(-agent.propagator.particles // members) * members
    kind = kinds[options.propagation] if options.propagation else type(agent.propagator)
    if particles < 1 or (kind in {TSInf, TS1} and particles % members):
        raise InputError(
            f"--particles must be a multiple of the {members} members, so that each candidate meets each member "
            f"equally often; got {particles}"
        )
    return kind(particles)
