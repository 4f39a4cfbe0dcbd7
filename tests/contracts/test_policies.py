"""What every policy keeps to."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import zoo
from probes import close, counted, differ, same

every_policy = pytest.mark.parametrize("name", list(zoo.POLICIES))
KEY, OTHER = jax.random.split(jax.random.key(9))


def act(policy, key, obs, carry):
    return policy(key, obs, carry)


compiled_act = eqx.filter_jit(act)


@every_policy
def test_the_key_decides_and_jit_does_not(name):
    policy = zoo.POLICIES[name]()
    one, again, other = (compiled_act(policy, key, zoo.OBS, policy.init()) for key in (KEY, KEY, OTHER))
    assert one[0].shape == (2,)
    assert (one[0] >= zoo.TASK.low - 1e-6).all()
    assert (one[0] <= zoo.TASK.high + 1e-6).all()
    same(one, again)
    assert differ(one[0], other[0]) == (name in {"UniformPolicy", "MPC", "StochasticPolicy"})
    close(one, act(policy, KEY, zoo.OBS, policy.init()))


@pytest.mark.smoke
@every_policy
def test_a_trial_compiles_once(name):
    """From the first step's carry to the later ones', which are its own answers."""
    policy = zoo.POLICIES[name]()
    compiled, traces = counted(act)
    carry = policy.init()
    for key in jax.random.split(KEY, 3):
        _, carry = compiled(policy, key, zoo.OBS, carry)
    assert traces.count == 1
    assert eqx.tree_equal(policy.init(), zoo.POLICIES[name]().init()), "init gives the same fresh carry each time"


@pytest.mark.parametrize("name", list(zoo.ENVS))
def test_uniform_actions_fill_the_limits_of_every_task(name):
    """4000 draws. Each extreme 1 % of the range stays empty in 1e-17 of runs."""
    from handful.policies.simple import UniformPolicy

    task = zoo.ENVS[name]().task
    policy = UniformPolicy.of(task)
    actions = jax.vmap(lambda key: policy(key, jnp.ones(task.obs_size), None)[0])(jax.random.split(KEY, 4000))
    share = (actions - task.low) / (task.high - task.low)
    assert (share >= 0).all()
    assert (share <= 1).all()
    assert (share.min(0) < 0.01).all()
    assert (share.max(0) > 0.99).all()
