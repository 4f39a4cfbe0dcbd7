"""What holds in every unit: the same data or task times 1e-6 to 1e6, or shifted, give the same results in the new unit.

Units are powers of two, so that nothing is rounded otherwise and results are equal to the last bits; 1e-6 and 1e6 and
offsets are tried where results do not hang on the last bits.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

import zoo
from handful.data.dataset import Dataset
from handful.data.loaders import load_log
from handful.data.scaling import Standardiser
from handful.errors import InputError
from handful.models.base import AbstractDynamics
from handful.models.ensemble_learner import EnsembleLearner, Minibatches
from handful.models.gp.learner import GPLearner
from handful.models.gp.marginal_likelihood import Search
from handful.models.linear import LinearLearner
from handful.models.physics_laws import Map
from handful.models.physics_learner import PhysicsLearner
from handful.models.physics_parameters import Parameter
from handful.models.point_learner import PointLearner
from handful.models.recalibrated import RecalibratedLearner
from handful.models.residual import ResidualLearner
from handful.models.score import nll_mixture, one_step
from handful.planning.base import optimise
from handful.scores import metrics
from handful.scores.model_score import one_step_score, recalibrate
from handful.training.model_fit import fit_model, plain_task
from handful.types import Prediction, Transition
from probes import counted, jitted

SMALL, LARGE = 2.0**-20, 2.0**20  # 1e-6 and 1e6
KEY = jax.random.key(8)


class Units(eqx.Module):
    """The size of the old unit in the new one: of each entry, each action and the reward; and what is added to obs.

    The second entry of the zoo's tasks is an angle, whose unit is fixed.
    """

    obs: Float[Array, "3"]
    action: Float[Array, "2"]
    reward: Float[Array, ""]
    offset: Float[Array, "3"]

    @classmethod
    def of(cls, obs=(1.0, 1.0), action=(1.0, 1.0), reward=1.0, offset=0.0) -> "Units":
        numbers = ([obs[0], 1.0, obs[1]], action, reward, [offset, 0.0, 0.0])
        return cls(*(jnp.asarray(value, jnp.float32) for value in numbers))


ONE = Units.of()
OTHERS = {
    "small": Units.of((SMALL, SMALL), (SMALL, SMALL), SMALL),
    "large": Units.of((LARGE, LARGE), (LARGE, LARGE), LARGE),
    "mixed": Units.of((LARGE, SMALL), (SMALL, LARGE), SMALL),
}
in_other_units = pytest.mark.parametrize("units", list(OTHERS.values()), ids=list(OTHERS))


class InUnits(AbstractDynamics):
    """A belief about the same system in other units."""

    belief: AbstractDynamics
    units: Units

    @property
    def world_count(self) -> int | None:
        return self.belief.world_count

    def predict(self, obs, action) -> Prediction:
        units = self.units
        found = self.belief.predict((obs - units.offset) / units.obs, action / units.action)
        return Prediction(
            found.mean * units.obs + units.offset, found.aleatoric * units.obs**2, found.epistemic * units.obs**2
        )

    def worlds(self, key, count) -> "InUnits":
        make = eqx.filter_vmap(InUnits, in_axes=(eqx.if_array(0), None), axis_size=count)
        return make(self.belief.worlds(key, count), self.units)


class RewardInUnits(eqx.Module):
    units: Units

    def __call__(self, obs, action, next_obs):
        obs, next_obs = ((x - self.units.offset) / self.units.obs for x in (obs, next_obs))
        return self.units.reward * zoo.reward(obs, action / self.units.action, next_obs)


class Gains(eqx.Module):
    """The zoo's linear system in other units, with two unknown gains."""

    units: Units

    def __call__(self, obs, action, p):
        units = self.units
        obs, action = (obs - units.offset) / units.obs, action / units.action
        moved = zoo.known().function(obs, action * jnp.stack([p["first"], p["second"]]))
        return moved * units.obs + units.offset


@pytest.fixture(scope="module", autouse=True)
def _made():
    """The zoo keeps what it makes, which must not be made while a program is traced."""
    zoo.known(), zoo.recorded()


def written(rows: Transition, units: Units) -> Transition:
    obs, next_obs = (x * units.obs + units.offset for x in (rows.obs, rows.next_obs))
    return dataclasses.replace(rows, obs=obs, next_obs=next_obs, action=rows.action * units.action)


@pytest.mark.parametrize("unit", [SMALL, LARGE, 1e-6, 1e6, 1e-15, 1e15])
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_the_standardiser(unit, offset):
    """Columns with spread, without, and of zeros. An offset of 300 stds costs float32 300 roundings."""
    rng = np.random.default_rng(3)
    values = np.stack([rng.normal(2.0, 1.3, 31) + offset, np.full(31, 0.3), np.zeros(31)], 1)
    mask = jnp.asarray(rng.random(31) < 0.7)
    old, new = (Standardiser.fit(jnp.asarray(values * u, jnp.float32), mask) for u in (1.0, unit))
    np.testing.assert_allclose(new.mean, old.mean * unit, rtol=1e-6)
    np.testing.assert_allclose(new.std[0], old.std[0] * unit, rtol=1e-6 * max(1, offset))
    np.testing.assert_array_equal(new.std[1:], 1.0)
    standard = new(jnp.asarray(values * unit, jnp.float32))
    np.testing.assert_allclose(standard, old(jnp.asarray(values, jnp.float32)), atol=1e-6 * max(3, offset))


EXPERTS = EnsembleLearner((4,), jnp.array([1e-4, 1e-4]), members=2, minibatches=Minibatches(8, epochs=4.0))
TEACHABLE = {
    "LinearLearner": lambda units: LinearLearner(),
    "GPLearner": lambda units: GPLearner(max_points=12, search=Search(steps=6, starts=2)),
    "EnsembleLearner": lambda units: EXPERTS,
    "PointLearner": lambda units: PointLearner.of(EXPERTS),
    "PhysicsLearner": lambda units: PhysicsLearner(
        Map(Gains(units)), [Parameter("first", 1.4, low=0.0), Parameter("second", 0.7, low=0.0)], steps=8
    ),
    "ResidualLearner": lambda units: ResidualLearner(LinearLearner(ridge=9.0), LinearLearner(), anchors=4),
    "RecalibratedLearner": lambda units: RecalibratedLearner(LinearLearner(), 1.3),
}


@pytest.mark.parametrize("name", list(TEACHABLE))
def test_a_learner_is_taught_the_same_in_every_unit(name):
    def fitted(units: Units) -> Prediction:
        learner = TEACHABLE[name](units)
        data = zoo.recorded()
        data = Dataset(written(data.transitions, units), data.trial, data.count)
        state, _ = learner.fit(KEY, learner.init(KEY, zoo.TASK), data)
        query = zoo.OBS * units.obs + units.offset, zoo.ACTION * units.action
        found = learner.model(state).predict(*query)
        return Prediction(
            (found.mean - units.offset) / units.obs, found.aleatoric / units.obs**2, found.epistemic / units.obs**2
        )

    compiled, traces = counted(fitted)
    old = compiled(ONE)
    assert np.ptp(np.asarray(old.mean)) > 0.1
    for units in OTHERS.values():
        for one, other in zip(jax.tree.leaves(old), jax.tree.leaves(compiled(units)), strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6)
    rough = compiled(Units.of((1e-6, 1e6), (1e6, 1e-6), offset=3e-4))  # 300 stds
    np.testing.assert_allclose(rough.mean, old.mean, rtol=0.02, atol=0.02)
    assert traces.count == 1


@pytest.mark.parametrize("name", zoo.BELIEFS)
def test_a_belief_scores_the_same_in_every_unit(name):
    belief = zoo.MODELS[name]()
    rows, valid = zoo.recorded().transitions, jnp.arange(12) < 10
    scored, traces = counted(
        lambda units: one_step(KEY, InUnits(belief, units), written(rows, units), valid, angles=(1,))
    )
    old = scored(ONE)
    assert 0.01 < old.rmse < 100
    for units in OTHERS.values():
        new = scored(units)
        np.testing.assert_allclose([new.nll, new.rmse], [old.nll, old.rmse], rtol=1e-5)
    assert traces.count == 1


PLANNERS = [name for name in zoo.PLANNERS if name != "CategoricalCEM"]


@pytest.mark.parametrize("name", PLANNERS)
def test_a_planner_plans_the_same_in_every_unit(name):
    """Of observations, of each action's limits, and of the reward."""

    def planned(units: Units):
        planner, task = zoo.PLANNERS[name](), zoo.TASK
        low, high = task.low * units.action, task.high * units.action
        task = dataclasses.replace(task, reward=RewardInUnits(units), low=low, high=high)
        problem = zoo.problem(InUnits(zoo.known(), units), task=task)
        if name == "PolicyGuided":
            planner = eqx.tree_at(lambda p: p.policy.action, planner, zoo.ACTION * units.action)
        obs = zoo.OBS * units.obs
        state, info = optimise(planner, KEY, problem, obs, planner.init(problem))
        return planner.plan(state) / units.action, info.best / units.reward

    compiled, traces = counted(planned)
    plan, best = compiled(ONE)
    assert np.std(np.asarray(plan)) > 0.05
    for units in OTHERS.values():
        new_plan, new_best = compiled(units)
        np.testing.assert_allclose(new_plan, plan, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(new_best, best, rtol=1e-4)
    assert traces.count == 1


def test_categories_are_chosen_the_same_in_every_unit():
    def planned(units: Units):
        planner = zoo.PLANNERS["CategoricalCEM"]()
        problem = zoo.problem(
            InUnits(zoo.known(), units), task=dataclasses.replace(zoo.CHOICE, reward=RewardInUnits(units))
        )
        return planner.plan(optimise(planner, KEY, problem, zoo.OBS * units.obs, planner.init(problem))[0])

    compiled, _ = counted(planned)
    for obs, reward in (((SMALL, LARGE), LARGE), ((LARGE, SMALL), SMALL)):
        np.testing.assert_array_equal(compiled(Units.of(obs, reward=reward)), compiled(ONE))


def test_actions_within_narrow_limits_are_planned_as_within_wide_ones():
    """Limits of +-0.063, whose variance is below the number at which plans between -1 and 1 count as settled."""

    def planned(unit):
        task = dataclasses.replace(zoo.TASK, low=-unit * jnp.ones(2), high=unit * jnp.ones(2))
        units = eqx.tree_at(lambda u: u.action, ONE, unit * jnp.ones(2))
        task = dataclasses.replace(task, reward=RewardInUnits(units))
        planner, problem = zoo.PLANNERS["CEM"](), zoo.problem(InUnits(zoo.known(), units), task=task)
        return planner.plan(optimise(planner, KEY, problem, zoo.OBS, planner.init(problem))[0]) / unit

    wide, narrow = (jitted(planned, jnp.float32(unit)) for unit in (1.0, 2.0**-4))
    assert np.abs(np.asarray(narrow)).max() > 0.1
    np.testing.assert_allclose(narrow, wide, rtol=1e-5)


# By the power of the unit that each is in; likelihoods gain the logarithm of the unit.
SCORES = {
    "crps_mixture": (1, metrics.crps_mixture),
    "crps_samples": (1, lambda y, mean, std: metrics.crps_samples(y, mean)),
    "energy_score": (1, lambda y, mean, std: metrics.energy_score(y, mean)),
    "width_mixture": (1, lambda y, mean, std: metrics.width_mixture(mean, std, 0.9)),
    "sharpness": (1, lambda y, mean, std: metrics.sharpness(std[0] ** 2)),
    "spread_of_samples": (2, lambda y, mean, std: metrics.spread_of_samples(mean)),
    "r2": (0, lambda y, mean, std: metrics.r2(y - mean[0], y)),
    "nrmse": (1, lambda y, mean, std: metrics.nrmse(y - mean[0])),
    "pit_mixture": (0, metrics.pit_mixture),
    "pit_samples": (0, lambda y, mean, std: metrics.pit_samples(y, mean)),
    "spread_over_skill": (0, lambda y, mean, std: metrics.spread_over_skill(y - mean[0], std[0] ** 2)),
    "residual_factor": (0, lambda y, mean, std: metrics.residual_factor(y - mean[0], std[0] ** 2)),
    "nll_mixture": (None, nll_mixture),
}


@pytest.mark.parametrize("name", list(SCORES))
def test_a_score_is_the_same_in_every_unit(name):
    power, score = SCORES[name]
    rng = np.random.default_rng(7)
    y, mean, std = (
        jnp.asarray(x, jnp.float32)
        for x in (rng.normal(size=(7, 2)), rng.normal(size=(20, 7, 2)), rng.uniform(0.02, 1, (20, 7, 2)))
    )
    compiled, _ = counted(lambda unit: score(y * unit, mean * unit, std * unit))
    old = np.asarray(compiled(jnp.float32(1.0)))
    for unit in (SMALL, LARGE, 1e-6, 1e6):
        expected = old + np.log(unit) if power is None else old * unit**power
        np.testing.assert_allclose(compiled(jnp.float32(unit)), expected, rtol=1e-4, atol=1e-5)


def trials_in(units):
    rows = zoo.recorded().transitions
    obs = [rows.obs[:1]]
    for action in rows.action:  # one after the other, as windows need them
        obs.append(zoo.known().function(obs[-1][0], action)[None])
    obs = jnp.concatenate(obs) + 0.05 * jax.random.normal(KEY, (13, 3))
    no = jnp.zeros(6, bool)
    parts = {2: slice(0, 6), 5: slice(6, 12)}
    return {
        number: written(Transition(obs[:-1][part], rows.action[part], jnp.zeros(6), obs[1:][part], no, no), units)
        for number, part in parts.items()
    }


@in_other_units
def test_scores_of_trials_and_recalibration(units):
    """The factor and the coverages, from rollouts; one program each for all units."""
    belief, settings = zoo.bayesian_linear(), {"horizon": 3, "particles": 12, "starts": 4, "angles": (1,)}
    (old, found), (new, again) = (
        (one_step_score(KEY, InUnits(belief, u), trials_in(u), angles=(1,)),
         recalibrate(KEY, InUnits(belief, u), trials_in(u), **settings)[1])
        for u in (ONE, units)
    )  # fmt: skip
    assert found.factor != 1.0
    assert dataclasses.astuple(again) == pytest.approx(dataclasses.astuple(found), rel=1e-4)
    for one, other in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5)


def recorded(unit, offset):
    """Four trials of a linear system with little noise, in double precision."""
    rng = np.random.default_rng(5)
    obs, action, trial = [], rng.uniform(-1.0, 1.5, (100, 1)), np.repeat(np.arange(4), 25)
    for row in range(100):
        here = rng.normal(0.4, 1.3, 2) if row % 25 == 0 else obs[-1] + [0.3, -0.4] * action[row - 1]
        obs.append(np.asarray(here) * [0.9, 0.8] + 0.02 * rng.normal(size=2))
    return {"obs": np.array(obs) * unit + offset, "action": action, "trial": trial}


def verdict(path, unit, offset):
    """What `handful fit` says of the data: one step ahead, over rollouts, and the factor."""
    np.savez(path, **recorded(unit, np.asarray(offset) * unit))
    log = load_log(path)
    fit = fit_model(KEY, LinearLearner(), plain_task(log), log.trials, horizon=4, particles=20)
    scores = fit.before
    return (
        *np.asarray(scores.one_step.r2),
        *np.asarray(scores.one_step.nrmse),
        *np.asarray(scores.one_step.skill),
        *np.asarray(scores.rollout.coverage).mean(1),
    ), scores.rollout.trust_horizon


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return verdict(tmp_path_factory.mktemp("log") / "log.npz", 1.0, 0.0)


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1e6])
def test_a_fit_says_the_same_in_every_unit(tmp_path, told, unit):
    numbers, trusted = verdict(tmp_path / "log.npz", unit, 0.0)
    assert min(told[0][:2]) > 0.9
    assert trusted == told[1]
    np.testing.assert_allclose(numbers, told[0], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("offset", [10.0, -1e4])
def test_a_fit_says_the_same_of_shifted_data(tmp_path, told, offset):
    numbers, _ = verdict(tmp_path / "log.npz", 1.0, [0.0, offset])
    np.testing.assert_allclose(numbers, told[0], atol=0.1)


@pytest.mark.parametrize("offset", [1e6, -4.5e6])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_shifts_that_hide_the_changes_are_refused_in_every_unit(tmp_path, unit, offset):
    with pytest.raises(InputError, match="obs 1 is below the resolution"):
        verdict(tmp_path / "log.npz", unit, [0.0, offset])
