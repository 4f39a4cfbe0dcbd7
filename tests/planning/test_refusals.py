"""Sizes that follow from each other, hyperparameters that are refused, and planners of a user's own that are wrong."""

import jax
import jax.numpy as jnp
import pytest

import zoo
from handful.errors import InputError
from handful.planning.base import AbstractPlanner, Info
from handful.planning.categorical_cem import CategoricalCEM
from handful.planning.cem import CEM
from handful.planning.gradient import GradientPlanner
from handful.planning.icem import ICEM
from handful.planning.ilqr import ILQR
from handful.planning.mpc import MPC
from handful.planning.mppi import MPPI
from handful.planning.shooting import RandomShooting
from handful.propagation.distribution_sampling import DistributionSampling, MomentMatching
from handful.propagation.risk import CVaR
from handful.propagation.trajectory_sampling import TS1, TSInf

KEY = jax.random.key(6)


@pytest.mark.parametrize(("candidates", "elites", "keep"), [(400, 40, 3), (49, 4, 3), (25, 2, 2), (9, 1, 1), (3, 1, 1)])
def test_elites_are_a_tenth_and_as_many_are_kept_as_there_are(candidates, elites, keep):
    for kind in (CEM, CategoricalCEM, ICEM):
        assert kind(candidates=candidates).elite_count == elites
    assert ICEM(candidates=candidates).keep_count == keep
    assert CEM(candidates=candidates, elites=3).elite_count == 3
    assert ICEM(candidates=candidates + 9, elites=4, keep=0).keep_count == 0


def test_a_population_that_shrinks_keeps_its_elites():
    stages = [stage for stage, _ in ICEM(candidates=60, decay=2.0, iterations=4).stages()]
    assert [(stage.candidates, stage.elite_count, stage.keep_count) for stage in stages] == [
        (60, 6, 3),
        (30, 6, 3),
        (16, 6, 3),
    ]


REFUSED = [
    (lambda: CEM(candidates=0), "CEM needs at least 1 candidates, got 0"),
    (lambda: CEM(candidates=20, elites=21), "CEM needs elites from 1 to the 20 candidates, got 21"),
    (lambda: CEM(elites=0), "CEM needs elites from 1 to the 400 candidates, got 0"),
    (lambda: CEM(iterations=0), "CEM needs iterations of at least 1, got 0"),
    (lambda: CEM(horizon=0), "CEM needs horizon of at least 1, got 0"),
    (lambda: CEM(smoothing=1.2), "smoothing must be from 0 to 1, got 1.2"),
    (lambda: CEM(converged=-0.1), "converged must be at least 0, got -0.1"),
    (lambda: ICEM(candidates=2), "ICEM needs at least 3 candidates, got 2"),
    (
        lambda: ICEM(candidates=20, elites=18),
        "ICEM needs elites from 1 to the 16 candidates of 20 that are drawn afresh",
    ),
    (lambda: ICEM(elites=2, keep=3), "ICEM needs keep from 0 to the 2 elites, got 3"),
    (lambda: ICEM(keep=-1), "ICEM needs keep from 0 to the 10 elites, got -1"),
    (lambda: ICEM(decay=0.0), "ICEM needs a decay above 0, got 0.0"),
    (lambda: ICEM(std=-0.5), "std must be at least 0, got -0.5"),
    (lambda: ICEM(colour=jnp.nan), "colour must be at least 0, got nan"),
    (lambda: CategoricalCEM(candidates=2), "CategoricalCEM needs at least 3 candidates, got 2"),
    (lambda: CategoricalCEM(candidates=9, elites=8), "CategoricalCEM needs elites from 1 to the 7 candidates of 9"),
    (lambda: CategoricalCEM(exploring=-0.1), "exploring must be from 0 to 1, got -0.1"),
    (lambda: MPPI(candidates=0), "MPPI needs at least 1 candidates, got 0"),
    (lambda: MPPI(temperature=0.0), "temperature must be above 0, got 0.0"),
    (lambda: MPPI(std=-1.0), "std must be at least 0, got -1.0"),
    (lambda: RandomShooting(candidates=0), "RandomShooting needs at least 1 candidates, got 0"),
    (lambda: GradientPlanner(starts=0), "at least one start, got 0"),
    (lambda: GradientPlanner(learning_rate=-0.1), "learning_rate must be at least 0, got -0.1"),
    (lambda: ILQR(candidates=0), "ILQR needs at least 1 candidates, got 0"),
    (lambda: ILQR(backtrack=0.0), "backtrack must be above 0 and at most 1, got 0.0"),
    (lambda: ILQR(factor=0.5), "factor must be at least 1, got 0.5"),
    (lambda: TSInf(0), "particles must be at least 1, got 0"),
    (lambda: MomentMatching(-3), "particles must be at least 1, got -3"),
    (lambda: CVaR(-0.1), "fraction must be from 0 to 1, got -0.1"),
    (lambda: TSInf.for_members(5, 7), "particles must be a multiple of the 5 members of the model, .* got 7"),
    (lambda: TS1.for_members(3, 4), "particles must be a multiple of the 3 members of the model, .* got 4"),
    (lambda: DistributionSampling.for_members(3, 0), "particles must be at least 1, got 0"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message[:50] for _, message in REFUSED])
def test_what_cannot_work_is_refused_in_one_sentence(make, message):
    with pytest.raises(InputError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_particles_are_rounded_up_to_the_members():
    assert TSInf.for_members(5).particles == 5
    assert TSInf.for_members(7).particles == 7
    assert TS1.for_members(3, default=20).particles == 21
    assert TSInf.for_members(3, 6).particles == 6
    assert DistributionSampling.for_members(3, 7).particles == 7
    assert MomentMatching.for_members(1, default=20).particles == 20


class Own(AbstractPlanner):
    """A planner of a user's own, wrong in one way."""

    wrong: str = ""
    horizon: int = zoo.HORIZON
    iterations: int = 2

    def init(self, problem):
        return jnp.zeros((self.horizon, 2))

    def improve(self, key, problem, obs, state):
        one = jnp.zeros(())
        plans = state[None, :, :1] if self.wrong == "candidates" else state[None]
        value = problem.evaluate(key, obs, plans)[0]
        return (state[0] if self.wrong == "improve" else state), Info(value, value, one)

    def plan(self, state):
        return state.T if self.wrong == "plan" else state

    def shift(self, problem, state):
        return (state, state) if self.wrong == "shift" else state


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("plan", r"Own\.plan must return the shape \(horizon, actions\) = \(4, 2\), got \(2, 4\)"),
        ("improve", r"Own\.improve must return a state .* \[\(4, 2\)\], got \[\(2,\)\]"),
        ("shift", r"Own\.shift must return a state .* \[\(4, 2\)\], got \[\(4, 2\), \(4, 2\)\]"),
        ("candidates", r"plans must have the shape \(candidates, horizon, 2\), got \(1, 4, 1\)"),
    ],
)
def test_a_planner_that_returns_other_shapes_is_refused(wrong, message):
    controller = MPC(Own(wrong), zoo.problem(zoo.known()))
    with pytest.raises(InputError, match=message):
        controller(KEY, zoo.OBS, controller.init())


def test_a_planner_without_a_fault_is_taken():
    controller = MPC(Own(), zoo.problem(zoo.known()))
    action, carry = controller(KEY, zoo.OBS, controller.init())
    assert action.shape == (2,)
    info = controller.info(carry)
    assert set(info) == {"planned_return", "planned_std", "plan"}
    assert info["plan"].shape == (zoo.HORIZON, 2)
    assert info["planned_return"] == carry.forecast.planned_return
    assert info["planned_std"] == carry.forecast.planned_std
