"""PETS: probabilistic ensemble x trajectory sampling x cross-entropy method x trials."""

import jax.numpy as jnp

from handful.agents.mpc_agent import MPCAgent
from handful.agents.pets_settings import ELITES, LIGHT, PETSSettings
from handful.envs.info import Published
from handful.envs.registry import info_of
from handful.models.ensemble_learner import EnsembleLearner, LearningRate, Minibatches, Noise
from handful.planning.cem import CEM
from handful.planning.icem import ICEM
from handful.propagation.epistemic_only import EpistemicOnly
from handful.propagation.trajectory_sampling import TSInf


def pets(
    *, members: int = 5, particles: int = 5, horizon: int | None = None, settings: PETSSettings = LIGHT
) -> MPCAgent:
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

    As in the released code, each candidate has noise of its own, members share their noise bounds, and minibatches are
    shuffled passes over each member's bootstrap sample.

    Source: [Chua18] appendix A and the released code. Deviates: minibatches are always full, so the last one of a pass
    goes on with the next; a pass after a fit's start begins in a new order; noise bounds are no longer pulled together
    once they are equal; a candidate with a particle that is not finite is never an elite, where the release counts
    a cost of 1e6 for that particle; after a shift the last action is the middle of the limits.
    """
    published = published_for(task)
    return MPCAgent(pets_paper_learner(published=published), pets_paper_planner(published), TSInf(20), same_noise=False)


def pets_planner(*, horizon: int | None = None, settings: PETSSettings = LIGHT) -> ICEM:
    """The default's planner: a population that stays as it is, since one shape compiles sooner than three."""
    return ICEM(
        horizon=settings.horizon if horizon is None else horizon,
        candidates=settings.candidates,
        elites=ELITES,
        decay=1.0,
        colour=jnp.asarray(settings.colour),
        std=jnp.asarray(settings.std),
        follow_best=settings.follow_best,
    )


def pets_paper_planner(published: Published) -> CEM:
    """The published planner: five iterations of a tenth as elites."""
    return CEM(horizon=published.horizon, candidates=published.candidates, elites=published.candidates // 10)


def pets_learner(*, members: int = 5, settings: PETSSettings = LIGHT) -> EnsembleLearner:
    """The default's learner: small nets, a falling learning rate, standardised targets."""
    return EnsembleLearner(
        hidden=settings.hidden,
        weight_decay=jnp.full(len(settings.hidden) + 1, settings.decay),
        learning_rate=LearningRate(settings.rate, settings.rate / 100),
        members=members,
        noise=Noise(beta=settings.beta),
        minibatches=Minibatches(
            batch_size=64, epochs=20.0, min_steps=settings.least_steps, max_steps=settings.most_steps, holdout=False
        ),
    )


def pets_paper_learner(*, members: int = 5, published: Published | None = None) -> EnsembleLearner:
    """The published learner: 5 epochs of batches of 32 a trial, constant rate, raw targets."""
    published = published_for() if published is None else published
    return EnsembleLearner(
        hidden=published.hidden,
        weight_decay=jnp.array(published.decay),
        learning_rate=LearningRate(published.rate, published.rate),
        members=members,
        noise=Noise(beta=0.0, shared=True),
        scale_targets=False,
        minibatches=Minibatches(batch_size=32, epochs=5.0, holdout=False, shuffled=True),
    )


def published_for(task: str = "cartpole-swingup") -> Published:
    """The published settings of a task; the cart-pole's for a task that was not published."""
    return info_of(task).published or published_for()
