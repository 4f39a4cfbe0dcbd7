"""The score that a trial gives the belief that drove it, against scipy and by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import zoo
from handful.models import score
from handful.models.known import KnownDynamics
from handful.models.score import FLOOR
from handful.types import Transition
from probes import jitted

KEY, VALID = jax.random.key(5), np.arange(8) < 6


def one_step(key, belief, rows, valid, **settings):
    return jitted(lambda *args: score.one_step(*args, **settings), key, belief, rows, valid)


def rows_of(next_obs):
    rng = np.random.default_rng(4)
    obs, action = rng.normal(size=(8, 3)), rng.uniform(-0.8, 0.4, (8, 2))
    no = jnp.zeros(8, bool)
    obs, action = jnp.asarray(obs, jnp.float32), jnp.asarray(action, jnp.float32)
    return Transition(obs, action, jnp.zeros(8), jitted(next_obs, obs, action), no, no)


def test_nll_is_of_the_mixture_and_rmse_of_its_mean():
    belief = zoo.ensemble()
    rows = rows_of(lambda obs, action: obs + jnp.asarray(np.random.default_rng(6).normal(size=obs.shape), obs.dtype))
    found = one_step(KEY, belief, rows, jnp.asarray(VALID))

    predict = jax.vmap(lambda world, obs, action: jax.vmap(world.predict)(obs, action), (0, None, None))
    each, rows = jax.device_get((jitted(predict, belief.members, rows.obs, rows.action), rows))
    scale = np.asarray(rows.next_obs - rows.obs)[VALID].std(0)
    error, std = ((np.asarray(x)[:, VALID] / scale) for x in (rows.next_obs - each.mean, np.sqrt(each.aleatoric)))
    density = scipy.special.logsumexp(scipy.stats.norm.logpdf(error, scale=std), axis=0) - np.log(zoo.MEMBERS)
    assert found.nll == pytest.approx(-density.mean(), rel=1e-4)
    assert found.rmse == pytest.approx(np.sqrt((error.mean(0) ** 2).mean()), rel=1e-4)


def test_a_sensor_that_jumps_by_a_turn_costs_nothing():
    belief = zoo.ensemble()
    rows = rows_of(lambda obs, action: jax.vmap(belief.predict)(obs, action).mean + 0.1)
    turned = jnp.asarray(rows.next_obs + np.float32([0.0, 2 * np.pi, 0.0]))
    jumped = Transition(rows.obs, rows.action, rows.reward, turned, rows.terminated, rows.truncated)
    straight, wrapped = (one_step(KEY, belief, each, jnp.asarray(VALID), angles=(1,)) for each in (rows, jumped))
    assert wrapped.nll == pytest.approx(float(straight.nll), rel=1e-3)
    assert wrapped.rmse == pytest.approx(float(straight.rmse), rel=1e-3)
    assert one_step(KEY, belief, jumped, jnp.asarray(VALID)).rmse > 2 * straight.rmse


def test_a_belief_without_a_single_number_is_scored_too():
    still = KnownDynamics(lambda obs, action: obs)
    rows = rows_of(lambda obs, action: obs + action[:, :1])
    found = one_step(KEY, still, rows, jnp.asarray(VALID))
    error = np.asarray(rows.next_obs - rows.obs)[VALID]
    error = error / error.std(0)
    assert found.rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
    assert found.nll == pytest.approx(-scipy.stats.norm.logpdf(error, scale=FLOOR).mean(), rel=1e-4)
    exact = KnownDynamics(lambda obs, action: obs + action[0])
    found = one_step(KEY, exact, rows_of(lambda obs, action: obs + action[:, :1]), jnp.asarray(VALID))
    assert found.nll == pytest.approx(np.log(FLOOR * np.sqrt(2 * np.pi)), rel=1e-3)


@pytest.mark.parametrize("wrong", [jnp.nan, jnp.inf, -jnp.inf])
def test_one_world_that_is_lost_is_infinitely_wrong(wrong):
    belief = zoo.ensemble()
    weights = lambda belief: belief.members.net.biases[-1]
    lost = eqx.tree_at(weights, belief, weights(belief).at[1].set(wrong))
    rows = rows_of(lambda obs, action: obs + 0.3 * action[:, :1])
    assert np.isfinite(one_step(KEY, belief, rows, jnp.asarray(VALID)).nll)
    found = one_step(KEY, lost, rows, jnp.asarray(VALID))
    assert found.nll == found.rmse == jnp.inf


def test_a_clock_counts_as_constant():
    """At 100 s the steps of 0.05 s differ by rounding alone, and missing them by 1e-3 s is no error of many stds."""
    time = jnp.asarray(100 + 0.05 * np.arange(9), jnp.float32)
    obs = jnp.stack([time[:-1], jnp.arange(8.0) ** 2], 1)
    following = jnp.stack([time[1:], jnp.arange(1.0, 9.0) ** 2], 1)
    no = jnp.zeros(8, bool)
    rows = Transition(obs, jnp.ones((8, 1)), jnp.zeros(8), following, no, no)
    assert np.std(time[1:] - time[:-1]) > 1e-6
    late = KnownDynamics(lambda obs, action: obs + jnp.array([0.051, 7.0]))
    assert one_step(KEY, late, rows, jnp.asarray(VALID)).rmse < 2


def test_endlessly_many_worlds_are_one_gaussian():
    belief = zoo.gaussian_process()
    rows = rows_of(lambda obs, action: obs + action[:, :1])
    found = one_step(KEY, belief, rows, jnp.asarray(VALID))
    predicted, rows = jax.device_get((jitted(jax.vmap(belief.predict), rows.obs, rows.action), rows))
    scale = np.asarray(rows.next_obs - rows.obs)[VALID].std(0)
    error, std = (
        (np.asarray(x)[VALID] / scale)
        for x in (rows.next_obs - predicted.mean, np.sqrt(predicted.aleatoric + predicted.epistemic))
    )
    assert found.nll == pytest.approx(-scipy.stats.norm.logpdf(error, scale=std).mean(), rel=1e-4)


def test_what_all_but_stays_is_no_measure_of_errors():
    """A constant 0.4 that rounding moves, and a model that is off by a thousandth: one std, not thousands."""
    nudge = jnp.asarray(np.random.default_rng(3).normal(size=8) * 2e-6, jnp.float32)
    rows = rows_of(lambda obs, action: obs)
    moved = lambda obs: (obs := obs.at[:, 1].set(0.4), obs.at[:, 1].add(nudge).at[:, 0].add(obs[:, 2]))
    rows = eqx.tree_at(lambda r: (r.obs, r.next_obs), rows, jitted(moved, rows.obs))
    off = KnownDynamics(lambda obs, action: obs.at[0].add(obs[2]).at[1].add(4e-4))
    assert one_step(KEY, off, rows, jnp.asarray(VALID)).rmse == pytest.approx(np.sqrt(1 / 3), rel=0.02)
