"""What nets see and predict, on a task with angles and an entry without memory."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from handful.data.features import Features
from handful.data.scaling import Standardiser
from handful.models.ensemble import NetworkWorld
from handful.models.networks import GaussianNet
from probes import task_of

# Entries 1 and 4 are angles; entry 0 has no memory (a half-cheetah's speed); 2, 3 and 5 are plain.
TASK = task_of(lambda obs, action, next_obs: obs[0], 6, [-1.0, -0.8], [1.5, 0.4], angles=(1, 4), memoryless=(0,))
FEATURES = Features.of(TASK)
OBS = np.array([0.7, 5.1, -1.2, 0.4, -2.9, 3.3], np.float32)
ACTION = np.array([0.6, -0.35], np.float32)


def f32(value):
    return jnp.asarray(value, jnp.float32)


def seen_of(obs, action, features=FEATURES):
    return features.inputs(f32(obs), f32(action))


def target_of(features, obs, next_obs):
    return features.target(f32(obs), f32(next_obs))


def test_inputs_are_plain_entries_sines_cosines_and_the_action():
    expected = [-1.2, 0.4, 3.3, *np.sin([5.1, -2.9]), *np.cos([5.1, -2.9]), 0.6, -0.35]
    seen = seen_of(OBS, ACTION)
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    assert FEATURES.input_size == seen.shape[0] == 9


def test_an_angle_without_memory_is_not_an_input_either():
    features = Features(3, 1, (1, 2), (2,))
    seen = seen_of([0.3, 0.9, 2.0], [0.7], features)
    np.testing.assert_allclose(seen, [0.3, np.sin(0.9), np.cos(0.9), 0.7], rtol=1e-6)
    assert features.input_size == 4
    target = target_of(features, [0.3, 0.9, 2.0], [0.5, 1.0, 5.5])
    np.testing.assert_allclose(target, [0.2, 0.1, 5.5], rtol=1e-5)


def test_turning_by_whole_turns_is_not_seen():
    turned = OBS + 2 * np.pi * np.array([0, 3, 0, 0, -1, 0], np.float32)
    np.testing.assert_allclose(seen_of(turned, ACTION), seen_of(OBS, ACTION), atol=5e-6)


def test_targets_are_differences_of_the_raw_observation():
    next_obs = OBS + np.array([0.5, 0.3, -0.2, 0.1, -0.4, 0.7], np.float32)
    np.testing.assert_allclose(target_of(FEATURES, OBS, next_obs), [1.2, 0.3, -0.2, 0.1, -0.4, 0.7], atol=1e-6)


def test_a_difference_of_angles_goes_the_shorter_way_round():
    """As a sensor that reports within +-pi reports it: 3.1 to -3.1 is a step of +0.083, not of -6.2."""
    obs = np.array([0.7, 3.1, -1.2, 0.4, -3.0, 3.1], np.float32)
    next_obs = np.array([0.2, -3.1, -1.2, 0.4, 3.1, -3.1], np.float32)
    expected = [0.2, 2 * np.pi - 6.2, 0, 0, 6.1 - 2 * np.pi, -6.2]  # entry 5 is no angle
    np.testing.assert_allclose(target_of(FEATURES, obs, next_obs), expected, atol=1e-6)


vectors = arrays(np.float32, 6, elements=st.floats(-20, 20, width=32))


@jax.jit
def there_and_back(obs, next_obs):
    target = FEATURES.target(obs, next_obs)
    return target, FEATURES.next_obs(obs, target)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(vectors, vectors)
def test_the_target_leads_back_to_the_next_observation(obs, next_obs):
    """To the same place: an angle may come back with whole turns more or fewer."""
    target, back = map(np.asarray, there_and_back(obs, next_obs))
    gap = back.astype(float) - next_obs
    turns = np.round(gap / (2 * np.pi))
    assert (turns[[0, 2, 3, 5]] == 0).all()
    np.testing.assert_allclose(gap, 2 * np.pi * turns, atol=2e-5)  # ten roundings of numbers below 40
    assert (np.abs(target[[1, 4]]) <= np.pi + 1e-5).all()


def test_a_world_adds_its_delta_to_the_raw_observation_beyond_pi():
    """A net of one linear layer, followed by hand on an observation whose angle is 5.1."""
    rng = np.random.default_rng(3)
    weight, bias = rng.normal(size=(9, 12)) * 0.3, rng.normal(size=12) * 0.2
    mean_in, std_in = rng.normal(size=9), rng.uniform(0.5, 2, 9)
    mean_out, std_out = rng.normal(size=6), rng.uniform(0.5, 2, 6)
    net = GaussianNet((f32(weight),), (f32(bias),), jnp.full(6, 100.0), jnp.full(6, -100.0))
    world = NetworkWorld(
        net, Standardiser(f32(mean_in), f32(std_in)), Standardiser(f32(mean_out), f32(std_out)), FEATURES
    )
    seen = np.concatenate([OBS[[2, 3, 5]], np.sin(OBS[[1, 4]]), np.cos(OBS[[1, 4]]), ACTION])
    out = (seen - mean_in) / std_in @ weight + bias
    delta = out[:6] * std_out + mean_out
    expected = np.concatenate([delta[:1], OBS[1:] + delta[1:]])
    prediction = world.predict(f32(OBS), f32(ACTION))
    np.testing.assert_allclose(prediction.mean, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(prediction.aleatoric, np.exp(out[6:]) * std_out**2, rtol=1e-4)
    # 4000 draws: mean and std are off by more than 5 standard errors in 1e-5 of runs over 12 numbers.
    draws = jax.vmap(lambda key: world.sample(key, f32(OBS), f32(ACTION)))(jax.random.split(jax.random.key(2), 4000))
    std = np.exp(out[6:] / 2) * std_out
    assert (np.abs(draws.mean(0) - expected) < 5 * std / np.sqrt(4000)).all()
    assert (np.abs(draws.std(0) / std - 1) < 5 / np.sqrt(2 * 4000)).all()


def test_an_angle_beyond_pi_goes_on_from_where_it_is():
    """As above where every entry has memory: a cart-pole that has turned more than once."""
    features = Features(3, 1, (1,), ())
    obs, target = f32([0.4, -9.3, 2.1]), f32([0.3, -0.2, 0.5])
    np.testing.assert_allclose(features.next_obs(obs, target), [0.7, -9.5, 2.6], rtol=1e-6)
