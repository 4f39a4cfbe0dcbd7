"""Your own `gymnasium.Env` in 40 lines, a crane: `handful train examples/2_own_gymnasium.py:Crane`."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

# What stands beside the environment may be left out: it is learned then, and an angle is a number like any other.
names, angles = ("x [m]", "swing [rad]", "xdot [m/s]", "swingdot [rad/s]"), (1,)


def reward(obs: jax.Array, action: jax.Array, next_obs: jax.Array) -> jax.Array:
    """Be near x = 1 m, swing little, push little."""
    return jnp.exp(-4 * (next_obs[0] - 1.0) ** 2) - 0.5 * next_obs[1] ** 2 - 0.01 * action[0] ** 2


def terminated(obs: jax.Array) -> jax.Array:
    """The trolley hit the end of its rail."""
    return jnp.abs(obs[0]) > 1.8


class Crane(gymnasium.Env):
    """A load that swings on a rope of 0.7 m below a trolley whose acceleration [m/s^2] we choose."""

    action_space = gymnasium.spaces.Box(-3.0, 3.0, (1,), np.float64)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)
    dt, max_episode_steps = 0.05, 100  # [s], [steps]

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.state = self.np_random.normal(0.0, [0.1, 0.1, 0.02, 0.05])
        return self.state, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        x, swing, speed, rate = before = self.state
        speed = speed + self.dt * action[0]
        rate = rate - self.dt * (9.81 * np.sin(swing) + action[0] * np.cos(swing) + 0.1 * rate) / 0.7
        self.state = np.array([x + self.dt * speed, swing + self.dt * rate, speed, rate])
        return self.state, float(reward(before, action, self.state)), bool(terminated(self.state)), False, {}
