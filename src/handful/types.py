"""What passes between the layers: one step, one transition, one rollout, one prediction."""

import equinox as eqx
from jaxtyping import Array, Bool, Float


class Step(eqx.Module):
    """What an environment answers to an action. A time limit is the task's affair, not the environment's."""

    obs: Float[Array, "o"]  # the observation after the action, before any reset
    reward: Float[Array, ""]
    terminated: Bool[Array, ""]


class Transition(eqx.Module):
    """One step of interaction, or a batch of them on leading axes."""

    obs: Float[Array, "*b o"]
    action: Float[Array, "*b a"]
    reward: Float[Array, "*b"]
    next_obs: Float[Array, "*b o"]  # always the true one, before any reset
    terminated: Bool[Array, "*b"]  # the task ended: nothing follows
    truncated: Bool[Array, "*b"]  # only the time ran out: the value of next_obs counts


class Batch(eqx.Module):
    """Interaction that an agent learns from: time t, environment n.

    In `transitions`, `action` holds raw actions where the actor is an `AbstractActor`, and environment actions
    otherwise.
    """

    transitions: Transition  # leading axes t n
    valid: Bool[Array, "t n"]  # rows that count; those after the end of a trial that must be whole do not


class Rollout(eqx.Module):
    """Particles that followed one plan or policy through the worlds of a belief."""

    actions: Float[Array, "p h a"]
    obs: Float[Array, "p h+1 o"]


class Prediction(eqx.Module):
    """A belief's next observation, with its uncertainty split in two.

    The total variance is `aleatoric + epistemic`; stds are never added.
    """

    mean: Float[Array, "o"]
    aleatoric: Float[Array, "o"]  # variance that stays however much data come: process noise
    epistemic: Float[Array, "o"]  # variance that data would remove: disagreement between worlds
