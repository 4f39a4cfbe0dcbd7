"""From options to objects: the agent that a configuration describes."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from handful.agents.base import AbstractAgent
    from handful.models.base import AbstractLearner
    from handful.models.ensemble_learner import EnsembleLearner
    from handful.planning.base import AbstractPlanner
    from handful.propagation.base import AbstractPropagator
    from handful.task import Task

Agent = Literal[
    "pets", "mpc", "pilco", "pets+policy", "me-trpo", "mbpo", "dp", "sarsa", "expected-sarsa", "q-learning", "dyna-q",
    "dqn", "reinforce", "a2c", "trpo", "ppo-penalty", "ppo",
]  # fmt: skip
Model = Literal["ensemble", "gp", "linear", "physics", "physics+ensemble", "truth", "d", "p", "de", "pe"]
Planner = Literal["cem", "icem", "mppi", "shooting", "gradient", "ilqr", "categorical-cem"]
Propagation = Literal["ts-inf", "ts1", "expectation", "ds", "mm"]
Kind = Literal["light", "arm", "contact", "legs"]

SINGLE, POINTS = {"d", "p"}, {"d", "de"}  # models of one net; of nets that foretell a point
NETS = {"ensemble", "pe", "de", *SINGLE}
BY_DERIVATIVE = {"gradient", "ilqr"}  # planners


@dataclasses.dataclass(frozen=True)
class AgentOptions:
    """Which agent, and how it plans. What is None is the agent's own choice."""

    agent: Agent = "pets"
    """pets and mpc plan through a model that they learn; pilco, me-trpo and mbpo improve a policy inside one;
    pets+policy does both; dp counts in a grid and solves it; all others learn without a model, from many steps of
    interaction, round by round"""
    model: Model | None = None
    """the belief: ensemble if left out, gp for pilco; physics and truth are of built-in tasks; d, p, de and pe are
    PETS's ablations: one net or an ensemble, of points or probabilistic"""
    paper: bool = False
    """PETS exactly as published for the task: large nets, slow on a CPU"""
    settings: Kind | None = None
    """which of our settings of nets, first trial and planner: the task's own if left out, light where none are known"""
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
    precision: Literal["float32", "bf16"] | None = None
    """of the products of nets while planning: float32 if left out; bf16 is faster where the machine has it"""
    recalibrate: float | None = None
    """every std of the belief is stretched by this factor, as `handful fit` finds it"""
    fit_steps: int | None = None
    """gradient steps that a fit takes at most"""
    steps: int | None = None
    """steps of interaction of agents without a model, in up to 50 rounds (the task's own number if left out); the rates
    of ppo, ppo-penalty, a2c and dqn fall to zero over them; reinforce, which counts whole trials, takes fewer where
    trials end early"""
    guess_error: float | None = None
    """guessed parameters of physics are multiplied and divided by this in turn; the built-in guesses are the truth"""


def agent_of(options: AgentOptions, env: Any, name: str = "") -> "AbstractAgent":
    """The agent for an environment, which `name` may know published settings of.

    Raises `InputError` where sizes do not fit each other or the task.
    """
    from handful.agents.mpc_agent import MPCAgent
    from handful.agents.pets_settings import SETTINGS
    from handful.agents.policy_search import PolicySearchAgent
    from handful.devices import all_devices
    from handful.envs.base import AbstractEnv
    from handful.propagation.risk import Mean, MeanStd

    check_options(options)
    learner, task = learner_of(options, env, name), env.task
    on_host = model_of(options) == "truth" and not isinstance(env, AbstractEnv)
    if on_host:
        _check_on_host(options)
    risk = Mean() if options.risk is None else MeanStd(options.risk)
    colour = None if options.paper else SETTINGS[options.settings or "light"].first_colour
    if options.agent == "pilco":
        return PolicySearchAgent(learner, propagator_of(options), _ascent(options, task), risk, 50, colour)
    planner = _planner(options, task, name)
    mesh = None if on_host else all_devices()
    return MPCAgent(learner, planner, propagator_of(options), risk, colour, mesh, options.precision == "bf16")


def model_of(options: AgentOptions) -> Model:
    """Which belief the options mean."""
    return options.model or ("gp" if options.agent == "pilco" else "ensemble")


def learner_of(options: AgentOptions, env: Any, name: str = "") -> "AbstractLearner":
    """The learner for the belief that the options name."""
    from handful.agents.task_physics import physics_of
    from handful.agents.truth import truth_of
    from handful.models.gp.learner import GPLearner
    from handful.models.linear import LinearLearner
    from handful.models.point_learner import PointLearner
    from handful.models.recalibrated import RecalibratedLearner
    from handful.models.residual import ResidualLearner

    physics = lambda: physics_of(env, wrong=1.0 if options.guess_error is None else options.guess_error)  # noqa: E731
    learner = {
        "ensemble": lambda: _ensemble(options, name),
        "gp": GPLearner,
        "linear": LinearLearner,
        "physics": physics,
        "physics+ensemble": lambda: ResidualLearner(physics(), _ensemble(options, name)),
        "truth": lambda: truth_of(env),
        "d": lambda: PointLearner.of(_ensemble(options, name)),
        "p": lambda: _ensemble(options, name),
        "de": lambda: PointLearner.of(_ensemble(options, name)),
        "pe": lambda: _ensemble(options, name),
    }[model_of(options)]()
    return learner if options.recalibrate is None else RecalibratedLearner(learner, options.recalibrate)


def _ensemble(options: AgentOptions, name: str = "") -> "EnsembleLearner":
    from handful.agents.pets import pets_learner, pets_paper_learner
    from handful.agents.pets_settings import SETTINGS, published
    from handful.devices import all_devices

    members = 1 if model_of(options) in SINGLE else 5 if options.members is None else options.members
    if options.paper:  # small nets fit as fast alone, and compile in half the time
        learner = pets_paper_learner(members=members, published=published(name))
        learner = dataclasses.replace(learner, mesh=all_devices())
    else:
        learner = pets_learner(members=members, settings=SETTINGS[options.settings or "light"])
    if options.fit_steps is None:
        return learner
    batches = learner.minibatches
    least = min(int(batches.least), options.fit_steps)
    return dataclasses.replace(learner, minibatches=dataclasses.replace(batches, least=least, most=options.fit_steps))


def check_options(options: AgentOptions) -> None:
    """Raises `InputError` where options are wrong by themselves, or say nothing to what they are given with."""
    from handful.errors import InputError

    model = model_of(options)
    if options.fit_steps is not None and options.fit_steps < 1:
        raise InputError(f"--fit-steps must be at least 1, got {options.fit_steps}")
    if options.risk is not None and not math.isfinite(options.risk):
        raise InputError(f"--risk must be finite, got {options.risk}")
    if options.paper and (options.agent != "pets" or model not in NETS):
        raise InputError(
            f"--paper is PETS as published and its ablations d, p, de and pe; leave --agent and --model out, got "
            f"{options.agent} on {model}"
        )
    if options.paper and options.settings not in {None, "light"}:
        raise InputError(f"--paper has the published settings; leave --settings out, got {options.settings}")
    if options.recalibrate is not None and not 0 < options.recalibrate < math.inf:
        raise InputError(f"--recalibrate must be finite and above zero, got {options.recalibrate}")
    if options.recalibrate is not None and model == "truth":
        raise InputError("--recalibrate stretches noise and doubt, and --model truth has neither; leave it out")
    if options.guess_error is not None and "physics" not in model:
        raise InputError(f"--guess-error is of physics; leave it out with --model {model}")
    if options.guess_error is not None and not 0 < options.guess_error < math.inf:
        raise InputError(f"--guess-error must be finite and above zero, got {options.guess_error}")
    if options.members is not None and (model in SINGLE or not _has_nets(model)):
        raise InputError(f"--members is of ensembles; leave it out with --model {model}")
    if options.fit_steps is not None and not _has_nets(model):
        raise InputError(f"--fit-steps is of nets; leave it out with --model {model}")
    _check_precision(options, model)
    without = [name for name in ("planner", "candidates", "iterations") if getattr(options, name) is not None]
    if options.agent == "pilco" and without:
        raise InputError(f"--{without[0]} is of planners; pilco improves a policy instead")


def _check_precision(options: AgentOptions, model: Model) -> None:
    from handful.errors import InputError

    if options.precision is not None and (options.agent not in {"pets", "mpc"} or not _has_nets(model)):
        raise InputError(
            f"--precision is of nets that pets and mpc plan through; leave it out, got --agent {options.agent} on "
            f"{model}"
        )
    if options.precision == "bf16" and options.planner in BY_DERIVATIVE:
        raise InputError(
            f"--precision bf16 has no derivatives, and --planner {options.planner} needs them; leave one out"
        )


def named(options: AgentOptions) -> Agent:
    """The agent's name for the record: PETS with another belief is no longer PETS."""
    return "mpc" if options.agent == "pets" and model_of(options) not in {"ensemble", "pe"} else options.agent


def _has_nets(model: Model) -> bool:
    return model in NETS or model == "physics+ensemble"


def _check_on_host(options: AgentOptions) -> None:
    """Physics that runs outside compiled code has no derivatives."""
    from handful.errors import InputError

    without = "needs derivatives, and MuJoCo behind --model truth gives none"
    if options.agent == "pilco":
        raise InputError(f"--agent pilco {without}; leave --agent out")
    if options.planner in BY_DERIVATIVE:
        raise InputError(f"--planner {options.planner} {without}; choose --planner cem, icem, mppi or shooting")


def _ascent(options: AgentOptions, task: "Task") -> Any:
    from handful.agents.policy_search import Ascent
    from handful.errors import InputError

    if task.categorical:
        raise InputError("--agent pilco improves a policy of continuous actions, and this task's are categories")
    return Ascent(horizon=horizon_of(options, min(75, task.horizon), task))


def horizon_of(options: AgentOptions, usual: int, task: "Task") -> int:
    """Steps to look ahead. Raises `InputError` where a trial has fewer."""
    from handful.errors import InputError

    horizon = usual if options.horizon is None else options.horizon
    if not 1 <= horizon <= task.horizon:
        wanted = "at least 1" if horizon < 1 else f"at most a trial's {task.horizon} steps"
        raise InputError(f"--horizon must be {wanted}, got {horizon}")
    return horizon


def _planner(options: AgentOptions, task: "Task", name: str) -> "AbstractPlanner":
    from handful.agents.pets import pets_paper_planner, pets_planner
    from handful.agents.pets_settings import SETTINGS, published
    from handful.errors import InputError
    from handful.planning.categorical_cem import CategoricalCEM
    from handful.planning.cem import CEM
    from handful.planning.gradient import GradientPlanner
    from handful.planning.icem import ICEM
    from handful.planning.ilqr import ILQR
    from handful.planning.mppi import MPPI
    from handful.planning.shooting import RandomShooting

    kinds = {
        "cem": CEM, "icem": ICEM, "mppi": MPPI, "shooting": RandomShooting, "gradient": GradientPlanner, "ilqr": ILQR,
        "categorical-cem": CategoricalCEM,
    }  # fmt: skip
    usual = "categorical-cem" if task.categorical else "cem" if options.paper else "icem"
    kind = kinds[options.planner or usual]
    if task.categorical != (kind is CategoricalCEM):
        there, wanted = ("categories", "categorical-cem") if task.categorical else ("continuous", "icem")
        raise InputError(f"this task's actions are {there}; take --planner {wanted}, got {options.planner}")
    told, ours = published(name), pets_planner(settings=SETTINGS[options.settings or "light"])
    ahead = CategoricalCEM.horizon if task.categorical else told.horizon if options.paper else ours.horizon
    sizes: dict[str, Any] = {"horizon": horizon_of(options, min(ahead, task.horizon), task)}
    sizes |= {k: v for k in ("candidates", "iterations") if (v := getattr(options, k)) is not None}
    if options.candidates is not None and kind in {ILQR, GradientPlanner}:
        raise InputError(f"--candidates is of planners that sample; leave it out with --planner {options.planner}")
    if options.candidates is not None and kind in {CEM, ICEM, CategoricalCEM}:
        sizes["elites"] = max(1, options.candidates // 10)
    least = 3 if kind in {ICEM, CategoricalCEM} else 1  # one fresh plan, one elite kept, the mean
    for size, floor in (("candidates", least), ("iterations", 1)):
        if sizes.get(size, floor) < floor:
            raise InputError(f"--{size} must be at least {floor}, got {sizes[size]}")
    if kind is ICEM and "elites" in sizes:
        sizes["keep"] = min(ICEM.keep, sizes["elites"])
    if options.planner is None and kind is ICEM:
        return dataclasses.replace(ours, **sizes)
    if options.paper and kind is CEM:
        return dataclasses.replace(pets_paper_planner(told), **sizes)
    return kind(**sizes)


def propagator_of(options: AgentOptions) -> "AbstractPropagator":
    """How uncertainty travels. Raises `InputError` where particles do not fit the belief."""
    from handful.agents.pets_settings import SETTINGS
    from handful.errors import InputError
    from handful.propagation.distribution_sampling import DistributionSampling, Expectation, MomentMatching
    from handful.propagation.epistemic_only import EpistemicOnly
    from handful.propagation.trajectory_sampling import TS1, TSInf

    if options.propagation == "expectation":
        if options.particles not in {None, 1}:
            raise InputError(
                f"--propagation expectation follows one particle; leave --particles out, got {options.particles}"
            )
        return Expectation()
    kinds = {"ts-inf": TSInf, "ts1": TS1, "ds": DistributionSampling, "mm": MomentMatching}
    kind = kinds[options.propagation or ("mm" if options.agent == "pilco" else "ts-inf")]
    model = model_of(options)
    members = _ensemble(options).members if _has_nets(model) else 1
    usual = 20 if options.paper or kind is MomentMatching else max(members, 5)
    usual = 1 if model in {"truth", "d"} else usual  # all particles would be the same
    particles = -(-usual // members) * members if options.particles is None else options.particles
    if particles < 1 or (kind in {TSInf, TS1} and particles % members):
        raise InputError(
            f"--particles must be a multiple of the {members} members, so that each candidate meets each member "
            f"equally often; got {particles}"
            if members > 1
            else f"--particles must be at least 1, got {particles}"
        )
    usually = options.agent == "pets" and options.propagation is None and not options.paper and _has_nets(model)
    quiet = model in POINTS or (usually and not SETTINGS[options.settings or "light"].noise)
    return EpistemicOnly(kind(particles)) if quiet else kind(particles)
