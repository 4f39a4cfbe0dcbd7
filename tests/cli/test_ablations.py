"""PETS's ablations and the truth by flags: what each is made of, that each runs, and what is refused."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.envs.point_mass import PointMass
from handful.models.ensemble_learner import EnsembleLearner
from handful.models.known import KnownLearner
from handful.models.point_learner import PointLearner
from handful.propagation.distribution_sampling import DistributionSampling, Expectation, MomentMatching
from handful.propagation.epistemic_only import EpistemicOnly
from handful.propagation.trajectory_sampling import TS1, TSInf
from handful.training.loop import Loop
from handful.training.run import RunFolder
from handful.training.system import Simulated
from named_agents import agent_of, learner_of

MEMBERS = {"d": 1, "p": 1, "de": 5, "pe": 5}
PROPAGATORS = {
    "expectation": Expectation,
    "ds": DistributionSampling,
    "mm": MomentMatching,
    "ts1": TS1,
    "ts-inf": TSInf,
}
PLANNERS = ["shooting", "cem", "icem", "mppi"]


@pytest.mark.parametrize("model", list(MEMBERS))
@pytest.mark.parametrize("paper", [False, True])
def test_a_letter_names_a_number_of_networks_and_what_they_predict(model, paper):
    learner = learner_of(PointMass(), model=model, paper=paper)
    assert type(learner) is (PointLearner if "d" in model else EnsembleLearner)
    assert learner.members == MEMBERS[model]
    hidden = (learner.ensemble if "d" in model else learner).hidden
    assert hidden == ((500, 500, 500) if paper else (64, 64))


def test_pe_is_the_ensemble():
    one, other = (agent_of(PointMass(), model=model) for model in ("pe", "ensemble"))
    assert eqx.tree_equal(one, other)


@pytest.mark.parametrize("model", list(MEMBERS))
def test_every_propagation_of_every_model_decides(model):
    """Traced and not run, which tells whether sizes fit; planners take turns, so that each meets each model."""
    env, obs = PointMass(), jnp.array([0.3, -0.2, 0.5, 0.1])

    @eqx.filter_jit
    def decided(key, agent):
        policy = agent.policy(env.task, agent.init(key, env.task))
        return policy(key, obs, policy.init())[0]

    planners = itertools.cycle(PLANNERS[len(model) :] + PLANNERS)
    for propagation, kind in PROPAGATORS.items():
        sizes = {"horizon": 2, "candidates": 8, "iterations": 1}
        agent = agent_of(env, "mpc", model=model, propagation=propagation, planner=next(planners), **sizes)
        plain = agent.propagator.propagator if isinstance(agent.propagator, EpistemicOnly) else agent.propagator
        assert type(plain) is kind
        assert isinstance(agent.propagator, EpistemicOnly) == ("d" in model and propagation != "expectation")
        assert eqx.filter_eval_shape(decided, jax.random.key(0), agent).shape == (2,)


def test_particles_that_would_all_be_the_same_are_one():
    for model, count in {"d": 1, "truth": 1, "de": 5, "p": 5}.items():
        propagator = agent_of(PointMass(), "mpc", model=model).propagator
        assert getattr(propagator, "propagator", propagator) == TSInf(count)


def test_the_truth_of_a_jax_task_is_planned_through_by_derivative_too():
    agent = agent_of(PointMass(), "mpc", model="truth", planner="ilqr", horizon=3, iterations=1)
    assert isinstance(agent.learner, KnownLearner)
    env, obs = PointMass(), jnp.array([0.3, -0.2, 0.5, 0.1])
    policy = agent.policy(env.task, agent.init(jax.random.key(0), env.task))
    action, _ = eqx.filter_jit(policy)(jax.random.key(1), obs, policy.init())
    assert np.isfinite(action).all()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("point-mass --model d --members 3", "--members is an option of ensembles, not of --model d; leave it out"),
        ("point-mass --model truth --fit-steps 3", "--fit-steps is an option of networks, not of --model truth"),
        (
            "point-mass --model truth --recalibrate 2",
            "--recalibrate stretches the predicted std, and --model truth predicts none",
        ),
        ("point-mass --model gp --paper", "--paper is PETS as published and its ablations d, p, de and pe"),
        ("point-mass --model de --particles 7", "--particles must be a multiple of the 5 members"),
        (
            "gymnasium:Pendulum-v1 --model truth",
            "the true dynamics can be planned through only where a task declares them",
        ),
        (
            "cartpole-swingup-mujoco --model truth --planner ilqr",
            "--planner ilqr needs derivatives, and MuJoCo behind --model truth gives none; choose --planner cem, icem,",
        ),
        (
            "cartpole-swingup-mujoco --model truth --agent pilco",
            "--agent pilco needs derivatives, and MuJoCo behind --model truth gives none; leave --agent out",
        ),
    ],
)
def test_what_does_not_go_together_is_one_sentence(refused, words, sentence):
    assert sentence in refused("train", *words.split())


def test_what_has_nothing_to_learn_is_saved_and_goes_on(tmp_path):
    """A state without a leaf of its own beside the data."""
    agent = agent_of(PointMass(), "mpc", model="truth")
    loop = Loop(Simulated(PointMass()), agent, [3], stages=2)
    folder = RunFolder.create(tmp_path / "run", {})
    state = loop.init(3)
    folder.save_state(state, [], capacity=loop.capacity)
    again, rows = folder.load_state(loop.init(3))
    assert eqx.tree_equal(state, again)
    assert rows == []
