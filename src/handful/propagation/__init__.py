"""Propagation of uncertainty over time, and how the returns of particles are weighed."""

from typing import TYPE_CHECKING

from handful.lazy import public_names

if TYPE_CHECKING:
    from handful.propagation.base import AbstractPropagator as AbstractPropagator
    from handful.propagation.distribution_sampling import DistributionSampling as DistributionSampling
    from handful.propagation.distribution_sampling import Expectation as Expectation
    from handful.propagation.distribution_sampling import MomentMatching as MomentMatching
    from handful.propagation.epistemic_only import EpistemicOnly as EpistemicOnly
    from handful.propagation.epistemic_only import MeanDynamics as MeanDynamics
    from handful.propagation.risk import AbstractRisk as AbstractRisk
    from handful.propagation.risk import CVaR as CVaR
    from handful.propagation.risk import Mean as Mean
    from handful.propagation.risk import MeanStd as MeanStd
    from handful.propagation.trajectory_sampling import TS1 as TS1
    from handful.propagation.trajectory_sampling import TSInf as TSInf

# Each public name and the module it is loaded from when it is first used.
__all__, __dir__, __getattr__ = public_names(
    __name__,
    {
        "AbstractPropagator": "propagation.base",
        "AbstractRisk": "propagation.risk",
        "CVaR": "propagation.risk",
        "DistributionSampling": "propagation.distribution_sampling",
        "EpistemicOnly": "propagation.epistemic_only",
        "Expectation": "propagation.distribution_sampling",
        "Mean": "propagation.risk",
        "MeanDynamics": "propagation.epistemic_only",
        "MeanStd": "propagation.risk",
        "MomentMatching": "propagation.distribution_sampling",
        "TS1": "propagation.trajectory_sampling",
        "TSInf": "propagation.trajectory_sampling",
    },
)
