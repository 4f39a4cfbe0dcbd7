"""PETS: probabilistic ensemble x trajectory sampling x cross-entropy method x trials."""

import jax.numpy as jnp

from handful.agents.mpc_agent import MPCAgent
from handful.agents.pets_settings import LIGHT, Published, Settings, published
from handful.models.ensemble_learner import EnsembleLearner, Minibatches, Rate
from handful.planning.cem import CEM
from handful.planning.icem import ICEM
from handful.propagation.epistemic_only import EpistemicOnly
from handful.propagation.trajectory_sampling import TSInf


def pets(*, members: int = 5, particles: int = 5, horizon: int | None = None, settings: Settings = LIGHT) -> MPCAgent:
    """Our default: small nets fitted well, standardised targets, iCEM with a small population.

    Source: [Chua18] algorithm 1. Deviates: the settings, chosen for a CPU and few trials; see `docs/pets.md`.
    """
    return MPCAgent(
        pets_learner(members=members, settings=settings),
        pets_planner(horizon=horizon, settings=settings),
        TSInf(particles) if settings.noise else EpistemicOnly(TSInf(particles)),
        first_colour=settings.first_colour,
    )


def pets_paper(task: str = "cartpole-swingup") -> MPCAgent:
    """The published settings of a task; for cart-pole 3 x 500 nets, 400 candidates, 20 particles, horizon 25.

    Source: [Chua18] appendix A and the released code. Deviates: no, apart from what `CEM` and `EnsembleLearner` state.
    """
    told = published(task)
    return MPCAgent(pets_paper_learner(published=told), pets_paper_planner(told), TSInf(20))


def pets_planner(*, horizon: int | None = None, settings: Settings = LIGHT) -> ICEM:
    """The default's planner: a population that stays as it is, since one shape compiles sooner than three."""
    return ICEM(
        horizon=settings.horizon if horizon is None else horizon,
        candidates=settings.candidates,
        decay=1.0,
        colour=jnp.asarray(settings.colour),
        std=jnp.asarray(settings.std),
        follow_best=settings.follow_best,
    )


def pets_paper_planner(published: Published) -> CEM:
    """The published planner: five iterations of a tenth as elites."""
    return CEM(horizon=published.horizon, candidates=published.candidates, elites=published.candidates // 10)


def pets_learner(*, members: int = 5, settings: Settings = LIGHT) -> EnsembleLearner:
    """The default's learner: small nets, a falling learning rate, standardised targets."""
    return EnsembleLearner(
        hidden=settings.hidden,
        decay=jnp.full(len(settings.hidden) + 1, settings.decay),
        rate=Rate(first=settings.rate, last=settings.rate / 100, beta=settings.beta),
        members=members,
        minibatches=Minibatches(
            size=64, epochs=20.0, least=settings.least_steps, most=settings.most_steps, held_out=False
        ),
    )


def pets_paper_learner(*, members: int = 5, published: Published | None = None) -> EnsembleLearner:
    """The published learner: 5 epochs of batches of 32 a trial, constant rate, raw targets."""
    told = _cartpole if published is None else published
    return EnsembleLearner(
        hidden=told.hidden,
        decay=jnp.array(told.decay),
        rate=Rate(first=told.rate, last=told.rate, beta=0.0),
        members=members,
        scale_targets=False,
        minibatches=Minibatches(size=32, epochs=5.0, held_out=False),
    )


_cartpole = published()
