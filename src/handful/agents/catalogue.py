"""The agents that can be named: their options, what makes them, and whether they learn by trials or by rounds.

Nothing here needs JAX until an agent is made.
"""

import dataclasses
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from handful.agents.options import actor_critic, imagined, planning, values
from handful.agents.options.filled import check_least, filled, unknown
from handful.user_code import is_own, own

Kind = Literal["trials", "rounds"]  # learns from one trial at a time, or from rounds of so many updates


@dataclass(frozen=True)
class Learns:
    """What an agent learns from, and what it learns."""

    experience: str  # of its present policy, of any policy, or of a model fitted to all data
    what: str  # it learns from that experience
    tabular: bool = False  # on the cells of a grid


CELLS = Learns("on-policy", "values of cells", tabular=True)  # targets of SARSA are those of the policy that acts
POLICY = Learns("on-policy", "a policy")
ACTOR_CRITIC = Learns("on-policy", "a policy and values")
ANY_CELLS = Learns("off-policy", "values of cells", tabular=True)
VALUES = Learns("off-policy", "values")
PLANS = Learns("model-based", "a model, plans")
DYNA = Learns("model-based", "a model, a policy in it")
GUIDED = Learns("model-based", "a model, a policy in it, plans")
SWEEPS = Learns("model-based", "counts of cells, values by sweeps", tabular=True)
SIMULATED = Learns("model-based", "counts of cells, values from simulated steps", tabular=True)
UNKNOWN = Learns("kind not known", "not known")


@dataclass(frozen=True)
class Entry:
    """One agent."""

    options: type  # a dataclass with the method `resolved(env, info)`; see `agents.options.filled.Options`
    maker: str | Callable[..., Any]  # of `(options, env, info, steps) -> agent`; "module:function" of ours
    kind: Kind
    summary: str
    learns: Learns = UNKNOWN

    @property
    def make(self) -> Callable[..., Any]:
        """The function that makes the agent from its options, an environment and what is known of the task.

        It takes `steps` of interaction too, in which what is annealed falls to zero.
        """
        if not isinstance(self.maker, str):
            return self.maker
        module, _, function = self.maker.partition(":")
        return getattr(importlib.import_module(f"handful.agents.{module}"), function)


AGENTS = {
    "pets": Entry(planning.PETS, "mpc:make", "trials", "an ensemble of networks, planned through", PLANS),
    "mpc": Entry(planning.MPC, "mpc:make", "trials", "any model, planned through", PLANS),
    "pilco": Entry(
        planning.PILCO, "pilco:make", "trials", "a policy improved by gradient through a Gaussian process", DYNA
    ),
    "pets+policy": Entry(
        planning.PETSPolicy, "pets_policy:make", "trials", "planning guided by a policy and a value", GUIDED
    ),
    "me-trpo": Entry(imagined.METRPO, "me_trpo:make", "trials", "TRPO inside an ensemble", DYNA),
    "mbpo": Entry(imagined.MBPO, "mbpo:make", "trials", "PPO in short trials imagined by an ensemble", DYNA),
    "dp": Entry(values.DP, "tabular:dp", "trials", "counts on a grid, solved by dynamic programming", SWEEPS),
    "sarsa": Entry(values.TemporalDifference, "tabular:sarsa", "rounds", "SARSA on tilings", CELLS),
    "expected-sarsa": Entry(
        values.TemporalDifference, "tabular:expected_sarsa", "rounds", "expected SARSA on tilings", CELLS
    ),
    "q-learning": Entry(values.TemporalDifference, "tabular:q_learning", "rounds", "Q-learning on tilings", ANY_CELLS),
    "dyna-q": Entry(
        values.DynaQ, "tabular:dyna_q", "rounds", "Q-learning on a table, with remembered steps", SIMULATED
    ),
    "dqn": Entry(values.DQN, "tabular:dqn", "rounds", "deep Q-learning", VALUES),
    "reinforce": Entry(actor_critic.Reinforce, "actor_critics:reinforce", "rounds", "the policy gradient", POLICY),
    "a2c": Entry(actor_critic.A2C, "actor_critics:a2c", "rounds", "advantage actor-critic", ACTOR_CRITIC),
    "trpo": Entry(actor_critic.TRPO, "actor_critics:trpo", "rounds", "trust region policy optimisation", ACTOR_CRITIC),
    "ppo-penalty": Entry(
        actor_critic.PPOPenalty,
        "actor_critics:ppo_penalty",
        "rounds",
        "proximal policy optimisation, KL penalty",
        ACTOR_CRITIC,
    ),
    "ppo": Entry(
        actor_critic.PPO, "actor_critics:ppo", "rounds", "proximal policy optimisation, clipped", ACTOR_CRITIC
    ),
}


def entry_of(name: str) -> Entry:
    """The agent of that name, or the user's in `path/to/file.py:NAME`.

    Raises `InputError` where there is none, and where the user's cannot be made.
    """
    if is_own(name):
        return _own(name)
    if name not in AGENTS:
        raise unknown("agent", name, AGENTS)
    return AGENTS[name]


def _own(name: str) -> Entry:
    """A user's agent; its fields that are plain numbers become options."""
    from handful.agent import AbstractAgent
    from handful.agents.options.plain import plain

    agent = own(name, AbstractAgent, "an agent")
    found = {field.name: plain(getattr(agent, field.name)) for field in dataclasses.fields(agent)}
    fields = [(field, type(value), value) for field, value in found.items() if isinstance(value, bool | int | float)]
    kind = "trials" if agent.trial_by_trial else "rounds"
    base = (OwnByTrials,) if kind == "trials" else (OwnByRounds,)
    options = dataclasses.make_dataclass(type(agent).__name__, fields, bases=base, frozen=True)
    options.__doc__ = type(agent).__doc__

    def make(options: Any, env: Any, info: Any, steps: int | None = None) -> AbstractAgent:
        return dataclasses.replace(agent, **{name: getattr(options, name) for name, _, _ in fields})

    return Entry(options, make, kind, name)


@dataclass(frozen=True)
class OwnByTrials:
    """Options of a user's agent that learns trial by trial."""

    def resolved(self, env: Any, info: Any) -> Any:
        """See `agents.options.filled.Options`."""
        return self


@dataclass(frozen=True)
class OwnByRounds:
    """Options of a user's agent that learns in rounds of updates."""

    steps: int | None = None  # steps of interaction in all (the task's own number if left out)

    def resolved(self, env: Any, info: Any) -> Any:
        """See `agents.options.filled.Options`."""
        options: Any = filled(self, steps=info.preset.steps)
        check_least(options, "steps")
        return options
