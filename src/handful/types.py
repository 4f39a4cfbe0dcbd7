"""Data that pass between layers: steps, transitions, batches, rollouts and predictions."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Step(eqx.Module):
    """The result of an action in an environment. Time limits belong to the task, not to the environment."""

    obs: Float[Array, "o"]  # the observation after the action, before any reset
    reward: Float[Array, ""]
    terminated: Bool[Array, ""]


class Transition(eqx.Module):
    """One step of interaction, or a batch of them on leading axes."""

    obs: Float[Array, "*b o"]
    action: Float[Array, "*b a"]
    reward: Float[Array, "*b"]
    next_obs: Float[Array, "*b o"]  # the one before any reset
    terminated: Bool[Array, "*b"]  # the task ended: the value of next_obs is zero
    truncated: Bool[Array, "*b"]  # by the time limit: the value of next_obs counts

    @property
    def finite(self) -> Bool[Array, "*b"]:
        """The rows of which every number is finite. The others must change nothing that is learned."""
        vectors = (self.obs, self.action, self.next_obs)
        return jnp.isfinite(self.reward) & jnp.stack([jnp.isfinite(vector).all(-1) for vector in vectors]).all(0)


class Batch(eqx.Module):
    """Interaction that an agent learns from: time t, environment n.

    In `transitions`, `action` holds raw actions if the actor is an `AbstractActor`, and environment actions
    otherwise.
    """

    transitions: Transition  # leading axes t n
    valid: Bool[Array, "t n"]  # rows that count; not those after the first trial of an episodic agent


class Rollout(eqx.Module):
    """Particles that followed a plan or policy in the worlds of a belief."""

    actions: Float[Array, "p h a"]
    obs: Float[Array, "p h+1 o"]


class Prediction(eqx.Module):
    """The next observation predicted by a belief, with its uncertainty in two parts.

    The total variance is `aleatoric + epistemic`; stds do not add up.
    """

    mean: Float[Array, "o"]
    aleatoric: Float[Array, "o"]  # variance of the process noise, which more data do not reduce
    epistemic: Float[Array, "o"]  # variance between worlds, which more data would reduce
