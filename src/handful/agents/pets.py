"""PETS: probabilistic ensemble x trajectory sampling x cross-entropy method x trials."""

import jax.numpy as jnp

from handful.agents.mpc_agent import MPCAgent
from handful.models.ensemble_learner import EnsembleLearner, Minibatches, Rate
from handful.planning.cem import CEM
from handful.planning.icem import ICEM
from handful.propagation.trajectory_sampling import TSInf

FIRST_COLOUR = 1.0  # pink: slow enough to move the system, fast enough to excite it


def pets(*, members: int = 5, particles: int = 5, horizon: int = 20) -> MPCAgent:
    """Our default: small nets fitted well, standardised targets, iCEM with a small population.

    Source: [Chua18] algorithm 1. Deviates: the settings, chosen for a CPU and few trials; see `docs/pets.md`.
    """
    return MPCAgent(
        pets_learner(members=members), pets_planner(horizon=horizon), TSInf(particles), first_colour=FIRST_COLOUR
    )


def pets_paper() -> MPCAgent:
    """The published settings for cart-pole: 3 x 500 nets, 400 candidates, 20 particles, horizon 25, 5 iterations.

    Source: [Chua18] appendix A and the released code. Deviates: no, apart from what `CEM` and `EnsembleLearner` state.
    """
    return MPCAgent(pets_paper_learner(), CEM(), TSInf(20))


def pets_planner(*, horizon: int = 20) -> ICEM:
    """The default's planner: a population that stays at 80, since one shape compiles sooner than three."""
    return ICEM(horizon=horizon, candidates=80, decay=1.0)


def pets_learner(*, members: int = 5) -> EnsembleLearner:
    """The default's learner: 2 x 64 nets, a falling learning rate, tempered likelihood."""
    return EnsembleLearner(
        hidden=(64, 64),
        decay=jnp.full(3, 1e-4),
        members=members,
        minibatches=Minibatches(size=64, epochs=20.0, least=2000, most=5000, held_out=False),
    )


def pets_paper_learner(*, members: int = 5) -> EnsembleLearner:
    """The published learner: 5 epochs of batches of 32 a trial, constant rate, raw targets."""
    return EnsembleLearner(
        hidden=(500, 500, 500),
        decay=jnp.array([1e-4, 2.5e-4, 2.5e-4, 5e-4]),
        rate=Rate(first=1e-3, last=1e-3, tempering=0.0),
        members=members,
        scale_targets=False,
        minibatches=Minibatches(size=32, epochs=5.0, held_out=False),
    )
