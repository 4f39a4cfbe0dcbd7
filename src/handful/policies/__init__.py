"""Policies: controllers that need no planning."""

from typing import TYPE_CHECKING

from handful.lazy import public_names

if TYPE_CHECKING:
    from handful.policies.actor import AbstractActor as AbstractActor
    from handful.policies.base import AbstractPolicy as AbstractPolicy
    from handful.policies.discrete_actions import DiscreteActions as DiscreteActions
    from handful.policies.discrete_actions import EpsilonGreedy as EpsilonGreedy
    from handful.policies.radial import RadialPolicy as RadialPolicy
    from handful.policies.simple import ConstantPolicy as ConstantPolicy
    from handful.policies.simple import OpenLoop as OpenLoop
    from handful.policies.simple import UniformPolicy as UniformPolicy
    from handful.policies.stochastic import Mode as Mode
    from handful.policies.stochastic import StochasticPolicy as StochasticPolicy

# Each public name and the module it is loaded from when it is first used.
__all__, __dir__, __getattr__ = public_names(
    __name__,
    {
        "AbstractActor": "policies.actor",
        "AbstractPolicy": "policies.base",
        "ConstantPolicy": "policies.simple",
        "DiscreteActions": "policies.discrete_actions",
        "EpsilonGreedy": "policies.discrete_actions",
        "Mode": "policies.stochastic",
        "OpenLoop": "policies.simple",
        "RadialPolicy": "policies.radial",
        "StochasticPolicy": "policies.stochastic",
        "UniformPolicy": "policies.simple",
    },
)
