"""Agents: what acts, and learns from the steps it takes.

Some names are classes, some are functions that return an agent with its usual parts. Called without arguments, each
gives an agent that `learn` takes; those made for a task (A2C, DP, PILCO, SARSA, Q-learning ...) take its name first.
"""

from typing import TYPE_CHECKING

from handful.lazy import public_names

if TYPE_CHECKING:
    from handful.agent import AbstractAgent as AbstractAgent
    from handful.agents.base import AbstractTrialAgent as AbstractTrialAgent
    from handful.agents.dynamic_programming import DPAgent as DPAgent
    from handful.agents.from_task import a2c as A2C
    from handful.agents.from_task import agent_for as agent_for
    from handful.agents.from_task import dp as DP
    from handful.agents.from_task import dyna_q as DynaQ
    from handful.agents.from_task import expected_sarsa as ExpectedSARSA
    from handful.agents.from_task import mpc as MPC
    from handful.agents.from_task import pilco as PILCO
    from handful.agents.from_task import q_learning as QLearning
    from handful.agents.from_task import sarsa as SARSA
    from handful.agents.mbpo import mbpo as MBPO
    from handful.agents.me_trpo import me_trpo as METRPO
    from handful.agents.mpc_agent import MPCAgent as MPCAgent
    from handful.agents.pets import pets as PETS
    from handful.agents.pets import pets_paper as PETSPaper
    from handful.agents.pets_policy import pets_policy as PETSPolicy
    from handful.agents.policy_search import Ascent as Ascent
    from handful.agents.policy_search import PolicySearchAgent as PolicySearchAgent
    from handful.policy_optimization.ppo import PPO as PPO
    from handful.policy_optimization.reinforce import Reinforce as REINFORCE
    from handful.policy_optimization.trpo import TRPO as TRPO
    from handful.values.dqn import DQN as DQN

# Each public name and the module it is loaded from when it is first used.
__all__, __dir__, __getattr__ = public_names(
    __name__,
    {
        "A2C": "agents.from_task:a2c",
        "AbstractAgent": "agent",
        "AbstractTrialAgent": "agents.base",
        "Ascent": "agents.policy_search",
        "DP": "agents.from_task:dp",
        "DPAgent": "agents.dynamic_programming",
        "DQN": "values.dqn",
        "DynaQ": "agents.from_task:dyna_q",
        "ExpectedSARSA": "agents.from_task:expected_sarsa",
        "MBPO": "agents.mbpo:mbpo",
        "METRPO": "agents.me_trpo:me_trpo",
        "MPC": "agents.from_task:mpc",
        "MPCAgent": "agents.mpc_agent",
        "PETS": "agents.pets:pets",
        "PETSPaper": "agents.pets:pets_paper",
        "PETSPolicy": "agents.pets_policy:pets_policy",
        "PILCO": "agents.from_task:pilco",
        "PPO": "policy_optimization.ppo",
        "PolicySearchAgent": "agents.policy_search",
        "QLearning": "agents.from_task:q_learning",
        "REINFORCE": "policy_optimization.reinforce:Reinforce",
        "SARSA": "agents.from_task:sarsa",
        "TRPO": "policy_optimization.trpo",
        "agent_for": "agents.from_task",
    },
)
