"""A propagator that leaves process noise out: for nets that foretell a point."""

from jaxtyping import Array, Float, PRNGKeyArray

from handful.models.base import AbstractDynamics
from handful.models.mean_dynamics import MeanDynamics
from handful.policies.base import AbstractPolicy
from handful.propagation.base import AbstractPropagator
from handful.types import Rollout


class EpistemicOnly(AbstractPropagator):
    """As `propagator`, in worlds that go where their mean does: particles part by doubt alone.

    Source: [Chua18] section 5.1, with D and DE. Deviates: no.
    """

    propagator: AbstractPropagator

    def __call__(
        self, key: PRNGKeyArray, model: AbstractDynamics, policy: AbstractPolicy, obs: Float[Array, "o"], horizon: int
    ) -> Rollout:
        return self.propagator(key, MeanDynamics(model), policy, obs, horizon)
