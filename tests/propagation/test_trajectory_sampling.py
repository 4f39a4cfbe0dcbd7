"""Which particle lives in which member, read off members that each leave their own mark."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.errors import InputError
from handful.models.known import KnownDynamics
from handful.policies.simple import OpenLoop
from handful.propagation.trajectory_sampling import TS1, TSInf
from probes import Feedback, signatures

CONSTANTS = np.array([1.0, 16.0, 256.0])  # small integers, whose sums float32 holds exactly
HORIZON, PARTICLES = 7, 12
START = jnp.array([3.0, -5.0])
PLANS = jnp.array([0.5, -2.0])[:, None, None] * jnp.arange(1.0, HORIZON + 1)[None, :, None]


def met(propagator, key, policy):
    """The member that each particle met at each step, [p h]: every step must be that of one member."""
    rollout = jax.jit(lambda key: propagator(key, signatures(CONSTANTS), policy, START, HORIZON))(key)
    steps = np.diff(np.asarray(rollout.obs, float), axis=1)
    pushed = steps[:, :, 0] - np.asarray(rollout.actions, float)[:, :, 0]
    member = np.abs(pushed[:, :, None] - CONSTANTS).argmin(2)
    np.testing.assert_allclose(pushed, CONSTANTS[member], atol=1e-3)
    np.testing.assert_allclose(steps[:, :, 1], -2 * CONSTANTS[member], atol=1e-3)
    return member, rollout


@pytest.mark.parametrize("plan", [0, 1])
def test_ts_inf_stays_in_one_member_and_meets_each_equally_often(plan):
    member, _ = met(TSInf(PARTICLES), jax.random.key(1), OpenLoop(PLANS[plan]))
    np.testing.assert_array_equal(member, np.repeat([0, 1, 2], 4)[:, None] * np.ones(HORIZON, int))


def test_ts1_meets_each_member_equally_often_at_each_step_and_never_settles():
    member, rollout = met(TS1(PARTICLES), jax.random.key(2), OpenLoop(PLANS[0]))
    for step in range(HORIZON):
        np.testing.assert_array_equal(np.bincount(member[:, step], minlength=3), [4, 4, 4])
    assert len({tuple(column) for column in member.T}) == HORIZON, "each step deals anew"
    assert len({tuple(row) for row in member}) == PARTICLES, "no two particles share a fate"
    path = START[0] + CONSTANTS[member].sum(1) + PLANS[0].sum()
    np.testing.assert_allclose(rollout.obs[:, -1, 0], path, atol=1e-2)


def test_ts1_moves_each_particle_by_its_own_action():
    """A policy that sees where its particle is, so actions differ between particles; met() subtracts each one's own."""
    policy = Feedback(jnp.array([[0.125, -0.0625]]))
    member, rollout = met(TS1(PARTICLES), jax.random.key(3), policy)
    assert len(np.unique(rollout.actions[:, -1, 0])) > PARTICLES // 2
    np.testing.assert_array_equal(np.bincount(member[:, -1], minlength=3), [4, 4, 4])


@pytest.mark.parametrize("kind", [TSInf, TS1])
def test_each_candidate_meets_each_member_equally_often(kind):
    """Not merely the batch of candidates as a whole; and all candidates meet them in the same order."""
    model, propagator = signatures(CONSTANTS), kind(PARTICLES)
    key = jax.random.key(4)
    rolled = jax.jit(jax.vmap(lambda plan: propagator(key, model, OpenLoop(plan), START, HORIZON).obs))(PLANS)
    pushed = np.diff(np.asarray(rolled, float)[..., 0], axis=2) - np.asarray(PLANS)[:, None, :, 0]
    member = np.abs(pushed[..., None] - CONSTANTS).argmin(3)
    for candidate in member:
        for step in candidate.T:
            np.testing.assert_array_equal(np.bincount(step, minlength=3), [4, 4, 4])
    np.testing.assert_array_equal(member[0], member[1])


@pytest.mark.parametrize("kind", [TSInf, TS1])
@pytest.mark.parametrize("particles", [1, 2, 7, 0])
def test_particles_that_do_not_divide_by_members_are_refused(kind, particles):
    with pytest.raises(InputError, match=rf"(multiple of the 3 members|at least 1).*got {particles}"):
        kind(particles)(jax.random.key(1), signatures(CONSTANTS), OpenLoop(PLANS[0]), START, HORIZON)


def test_any_number_of_particles_fits_known_dynamics():
    model = KnownDynamics(lambda obs, action: obs * jnp.array([0.5, -1.0]) + action)
    for kind in (TSInf, TS1):
        rollout = kind(5)(jax.random.key(1), model, OpenLoop(PLANS[0]), START, 2)
        expected = [[3.0, -5.0], [2.0, 5.5], [2.0, -4.5]]
        np.testing.assert_allclose(rollout.obs, np.broadcast_to(expected, (5, 3, 2)), rtol=1e-6)


def test_a_world_keeps_its_noise_to_itself():
    """Particles of one member draw their own noise at every step: 40 values, no two alike."""
    from probes import linear_ensemble

    model = linear_ensemble(np.zeros((2, 1, 1)), np.zeros((2, 1, 1)), [[1.0], [2.0]], [[0.0], [1.0]])
    for kind in (TSInf, TS1):
        rollout = kind(8)(jax.random.key(5), model, OpenLoop(jnp.ones((5, 1))), jnp.zeros(1), 5)
        assert len(np.unique(np.diff(rollout.obs[:, :, 0], axis=1))) == 40
