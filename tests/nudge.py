"""A learner and systems so small that what a round must come to can be worked out by a plain loop."""

from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.envs.registration import EnvSpec
from jaxtyping import Array, Float

from handful.agent import AbstractAgent
from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.policies.actor import AbstractActor
from handful.policies.base import AbstractPolicy
from handful.task import Task
from handful.types import Step
from probes import task_of

HORIZON, LOW, HIGH = 6, -0.9, 0.7


def reward(obs, action, next_obs):
    return next_obs[0] - 0.3 * obs[1] + 0.1 * action[0]


def beyond(obs):
    return obs[0] > 1.0


class Shaky(AbstractActor):
    """Feedback and noise; the environment action stays inside the limits."""

    gain: Float[Array, "1 2"]

    def sample(self, key, obs):
        return self.gain @ obs + 0.6 * jax.random.normal(key, (1,))

    def to_env_action(self, raw_action):
        return jnp.clip(raw_action, LOW, HIGH)


class Still(AbstractPolicy):
    """Feedback alone."""

    gain: Float[Array, "1 2"]

    def init(self):
        return None

    def __call__(self, key, obs, carry):
        return jnp.clip(self.gain @ obs, LOW, HIGH), None


class Nudge(AbstractAgent):
    """Moves its gain by all that it is given, and keeps that for a test to see."""

    num_envs: int = eqx.field(static=True, default=3)
    num_steps: int = eqx.field(static=True, default=4)
    whole: bool = eqx.field(static=True, default=False)
    spoils: bool = eqx.field(static=True, default=False)  # its gain, in the second update

    @property
    def episodic(self) -> bool:
        return self.whole

    def init(self, key, task):
        row = lambda size: jnp.zeros((self.num_steps, self.num_envs, size))
        batch = {"obs": row(2), "action": row(1), "reward": row(1)[..., 0], "next_obs": row(2)}
        batch |= dict.fromkeys(("terminated", "truncated", "valid"), jnp.zeros((self.num_steps, self.num_envs), bool))
        none = jnp.zeros((), int)
        return {"gain": 0.3 * jax.random.normal(key, (1, 2)), "updates": none, "restarts": none, "batch": batch}

    def on_reset(self, state):
        return state | {"restarts": state["restarts"] + 1}

    def actor(self, task, state):
        return Shaky(state["gain"])

    def policy(self, task, state):
        return Still(state["gain"])

    def update(self, key, task, state, batch):
        rows = batch.transitions
        ends = rows.terminated.astype(float) - 0.5 * rows.truncated
        weight = jnp.where(batch.valid, rows.reward + ends, 0.0)[..., None]
        push = jnp.mean(weight * rows.action * jnp.tanh(rows.obs + 2.0 * rows.next_obs), axis=(0, 1))
        gain = state["gain"] + 0.1 * push + 0.01 * jax.random.normal(key, (1, 2))
        if self.spoils:
            gain = jnp.where(state["updates"] == 1, jnp.nan, gain)
        kept = {name: getattr(rows, name) for name in rows.__dataclass_fields__} | {"valid": batch.valid}
        metrics = {"push": jnp.linalg.norm(push), "reward": jnp.mean(rows.reward)}
        return state | {"gain": gain, "updates": state["updates"] + 1, "batch": kept}, metrics


class Slope(AbstractEnv):
    """A place that is pushed, and the push before; past `poison` nothing is a number."""

    task: Task = eqx.field(
        default_factory=lambda: task_of(reward, 2, [LOW], [HIGH], horizon=HORIZON, terminated=beyond)
    )
    poison: Array = eqx.field(default_factory=lambda: jnp.asarray(jnp.inf))

    def reset(self, key):
        obs = jax.random.uniform(key, (2,), minval=-0.8, maxval=0.4)
        return obs, obs

    def step(self, key, state, action):
        place = state[0] + 0.5 * action[0] + 0.2 + 0.05 * jax.random.normal(key)
        obs = jnp.stack([jnp.where(place > self.poison, jnp.nan, place), action[0]])
        return obs, Step(obs, self.task.reward(state, action, obs), self.task.terminated(obs))


class HostedSlope(gymnasium.Env):
    """Much the same on the host: it terminates past `wall` and is stopped by itself after `limit` steps."""

    action_space = gymnasium.spaces.Box(LOW, HIGH, (1,), np.float32)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    dt = 0.1

    def __init__(self, wall: float = 1.0, limit: int | None = None, poison: int | None = None) -> None:
        self.wall, self.limit, self.poison, self.max_episode_steps = wall, limit, poison, HORIZON
        self.seeds: list[Any] = []
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.time, self.state = 0, self.np_random.uniform(-0.8, 0.4, 2).astype(np.float32)
        return self.state.copy(), {}

    def step(self, action):
        self.time, self.steps = self.time + 1, self.steps + 1
        place = self.state[0] + 0.5 * action[0] + 0.2 + 0.05 * self.np_random.normal()
        before, self.state = self.state, np.array([place, action[0]], np.float32)
        paid = float(self.state[0] - 0.3 * before[1])
        if self.steps == self.poison:
            self.state[1] = np.nan
        return self.state.copy(), paid, bool(place > self.wall), self.time == self.limit, {}


def hosted(*, copied: bool = False, **settings: Any) -> GymnasiumEnv:
    """The environment on the host, its reward and end told, so that its observation stays as it is.

    It can be made again where it is to be `copied`.
    """
    spec = EnvSpec("Slope-v0", entry_point=HostedSlope, kwargs=settings)
    env = gymnasium.make(spec, disable_env_checker=True) if copied else HostedSlope(**settings)
    return GymnasiumEnv(env, reward=reward, terminated=beyond)
