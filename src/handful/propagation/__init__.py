"""Propagation of uncertainty over time, and how the returns of particles are weighed."""

from typing import TYPE_CHECKING

from handful.lazy import loader

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
_HOMES = {
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
}
__all__ = [*_HOMES]  # noqa: PLE0604 - the keys of the table, which a test compares with the sorted names
__getattr__ = loader(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
