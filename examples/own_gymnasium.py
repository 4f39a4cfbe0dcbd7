"""Your own system in Gymnasium's form: `handful train examples/own_gymnasium.py:Crane`.

A trolley carries a hanging load to x = 1 m and brings it to rest. Beside the environment stand what the planner
wants to know of the task: a reward, when a trial terminates, which entries are angles, and names. All four may be left
out; what is missing is learned.
"""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

GOAL, RAIL, ROPE = 1.0, 1.8, 0.7  # [m]
names = ("x [m]", "swing [rad]", "xdot [m/s]", "swingdot [rad/s]")
angles = (1,)


def reward(obs: jax.Array, action: jax.Array, next_obs: jax.Array) -> jax.Array:
    """Be near the goal, swing little, push little."""
    return jnp.exp(-4 * (next_obs[0] - GOAL) ** 2) - 0.5 * next_obs[1] ** 2 - 0.01 * action[0] ** 2


def terminated(obs: jax.Array) -> jax.Array:
    """The trolley hit the end of its rail."""
    return jnp.abs(obs[0]) > RAIL


class Crane(gymnasium.Env):
    """Position and swing of a load under a trolley whose acceleration we choose."""

    action_space = gymnasium.spaces.Box(-3.0, 3.0, (1,), np.float64)  # [m/s^2]
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)
    dt = 0.05  # [s]
    max_episode_steps = 100

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.state = self.np_random.normal(0.0, [0.1, 0.1, 0.02, 0.05])
        return self.state.copy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        x, swing, speed, rate = before = self.state
        speed = speed + self.dt * action[0]
        rate = rate - self.dt * (9.81 * np.sin(swing) + action[0] * np.cos(swing) + 0.1 * rate) / ROPE
        self.state = np.array([x + self.dt * speed, swing + self.dt * rate, speed, rate])
        paid = float(reward(before, action, self.state))
        return self.state.copy(), paid, bool(terminated(self.state)), False, {}
