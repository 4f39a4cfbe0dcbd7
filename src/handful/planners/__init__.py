"""Planners: from a model, a task and an observation to a plan."""

from typing import TYPE_CHECKING

from handful.lazy import public_names

if TYPE_CHECKING:
    from handful.planning.base import AbstractPlanner as AbstractPlanner
    from handful.planning.base import optimise as optimise
    from handful.planning.categorical_cem import CategoricalCEM as CategoricalCEM
    from handful.planning.cem import CEM as CEM
    from handful.planning.gradient import GradientPlanner as GradientPlanner
    from handful.planning.icem import ICEM as ICEM
    from handful.planning.ilqr import ILQR as ILQR
    from handful.planning.lqr import Regulator as LQR
    from handful.planning.lqr import Regulator as Regulator
    from handful.planning.lqr import riccati as riccati
    from handful.planning.mpc import MPC as MPC
    from handful.planning.mppi import MPPI as MPPI
    from handful.planning.policy_guided import PolicyGuided as PolicyGuided
    from handful.planning.problem import Problem as Problem
    from handful.planning.shooting import RandomShooting as RandomShooting

# Each public name and the module it is loaded from when it is first used.
__all__, __dir__, __getattr__ = public_names(
    __name__,
    {
        "AbstractPlanner": "planning.base",
        "CEM": "planning.cem",
        "CategoricalCEM": "planning.categorical_cem",
        "GradientPlanner": "planning.gradient",
        "ICEM": "planning.icem",
        "ILQR": "planning.ilqr",
        "LQR": "planning.lqr:Regulator",
        "MPC": "planning.mpc",
        "MPPI": "planning.mppi",
        "PolicyGuided": "planning.policy_guided",
        "Problem": "planning.problem",
        "RandomShooting": "planning.shooting",
        "Regulator": "planning.lqr",
        "optimise": "planning.base",
        "riccati": "planning.lqr",
    },
)
