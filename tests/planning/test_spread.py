"""Candidates spread over two host devices, in a process of its own: devices are counted before JAX starts."""

import json
import os
import subprocess
import sys

SCRIPT = """
import collections, json
import equinox as eqx, jax, jax.numpy as jnp, numpy as np

compiled = collections.Counter()

def heard(event, seconds, **facts):
    if event.endswith("backend_compile_duration"):
        compiled[facts.get("fun_name", "")] += 1

jax.monitoring.register_event_duration_secs_listener(heard)
from handful.cli.assemble import AgentOptions, agent_of
from handful.envs.point_mass import PointMass
from handful.planning.mpc import forecast_of
from handful.planning.problem import Problem
from handful.devices import all_devices
from handful.training.learn import Silent
from handful.training.loop import Loop
from handful.training.system import Simulated

env = PointMass()
agent = agent_of(AgentOptions(members=2, particles=4, horizon=6, candidates=12, iterations=2, fit_steps=60), env)
model = agent.model(agent.init(jax.random.key(3), env.task))
plans = jax.random.normal(jax.random.key(4), (12, 6, 2))
obs = jnp.array([0.3, -0.7, 0.2, 0.1])

def worths(mesh, plans):
    problem = Problem(env.task, model, agent.propagator, mesh=mesh)
    return np.asarray(eqx.filter_jit(problem.evaluate)(jax.random.key(5), obs, plans))

poisoned = plans.at[7].set(jnp.nan)
loop = Loop(Simulated(env), agent, jax.random.key(0), trials=3, watch=forecast_of)
state, rows = loop.init(), []
for index in range(4):
    state, trial = loop.trial(index, state, rows, Silent())
    rows.append(trial.row)
print(json.dumps({
    "devices": all_devices().size,
    "alone": worths(None, plans).tolist(),
    "spread": worths(agent.mesh, plans).tolist(),
    "undivided": worths(agent.mesh, plans[:11]).tolist(),
    "poisoned": worths(agent.mesh, poisoned).tolist(),
    "compiled": {name: compiled[f"jit({name})"] for name in ("_advance", "_fit", "_score")},
}))
"""


def test_spread_candidates_are_worth_the_same_and_compile_once():
    flags = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=flags, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["devices"] == 2
    # one float32 rounding in a sum of six rewards, which another fusion may order in another way
    for name, values in (("spread", told["spread"]), ("undivided", told["undivided"])):
        for value, alone in zip(values, told["alone"], strict=False):
            assert abs(value - alone) <= 1e-5 * max(1.0, abs(alone)), name
    assert told["poisoned"][7] == float("-inf")
    assert [value for index, value in enumerate(told["poisoned"]) if index != 7 and value == float("-inf")] == []
    # the random trial has its own policy, and so its own program; controlled trials share one
    assert told["compiled"] == {"_advance": 2, "_fit": 1, "_score": 1}
