"""Candidates spread over two host devices, in a process of its own: devices are counted before JAX starts."""

import json
import os
import subprocess
import sys

import jax
import numpy as np

SCRIPT = """
import collections, json
import equinox as eqx, jax, jax.numpy as jnp, numpy as np

compiled = collections.Counter()

def heard(event, seconds, **facts):
    if event.endswith("backend_compile_duration"):
        compiled[facts.get("fun_name", "")] += 1

jax.monitoring.register_event_duration_secs_listener(heard)
from handful.agents.catalogue import AGENTS
from handful.envs.registry import info_of
from handful.envs.point_mass import PointMass
from handful.planning.problem import Problem
from handful.devices import all_devices
from handful.training.loop import Observer
from handful.training.loop import Loop
from handful.training.system import Simulated

env = PointMass()
pets = AGENTS["pets"]
options = pets.options(members=2, particles=4, horizon=6, candidates=12, iterations=2, fit_steps=60)
agent = pets.make(options, env, info_of("point-mass"))
model = agent.model(agent.init(jax.random.key(3), env.task))
plans = jax.random.normal(jax.random.key(4), (12, 6, 2))
obs = jnp.array([0.3, -0.7, 0.2, 0.1])

def values(mesh, plans, **settings):
    problem = Problem(env.task, model, agent.propagator, mesh=mesh, **settings)
    return np.asarray(eqx.filter_jit(problem.evaluate)(jax.random.key(5), obs, plans))

poisoned = plans.at[7].set(jnp.nan)
loop = Loop(Simulated(env), agent, [0], stages=3)
state, rows = loop.init(0), []
for index in range(4):
    state, stage = loop.stage(index, {0: state}, {0: rows}, Observer())[0]
    rows.append(stage.row)
@eqx.filter_jit
def act(policy, key, carry):
    return policy(key, obs, carry)[1]

policy = loop.policy(state)
carry = policy.init()
for key in jax.random.split(jax.random.key(6), 3):  # outside the loop, as a controller is used
    carry = act(policy, key, carry)
print(json.dumps({
    "devices": all_devices().size,
    "alone": values(None, plans).tolist(),
    "spread": values(agent.mesh, plans).tolist(),
    "own": [values(mesh, plans, same_noise=False).tolist() for mesh in (None, agent.mesh)],
    "undivided": values(agent.mesh, plans[:11]).tolist(),
    "poisoned": values(agent.mesh, poisoned).tolist(),
    "compiled": {name: compiled[f"jit({name})"] for name in ("_advance", "_update", "one_step", "act")},
}))
"""


def test_spread_candidates_are_worth_the_same_and_compile_once():
    flags = {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2",
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | flags, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    reported = json.loads(done.stdout.splitlines()[-1])
    assert reported["devices"] == 2
    # one float32 rounding in a sum of six rewards, which another fusion may order in another way
    for name, values in (("spread", reported["spread"]), ("undivided", reported["undivided"])):
        for value, alone in zip(values, reported["alone"], strict=False):
            assert abs(value - alone) <= 1e-5 * max(1.0, abs(alone)), name
    np.testing.assert_allclose(*reported["own"], rtol=1e-5, atol=1e-5)
    assert reported["poisoned"][7] == float("-inf")
    assert [value for index, value in enumerate(reported["poisoned"]) if index != 7 and value == float("-inf")] == []
    # the random trial has its own policy, and so its own program; controlled trials share one
    assert reported["compiled"] == {"_advance": 2, "_update": 1, "one_step": 1, "act": 1}
