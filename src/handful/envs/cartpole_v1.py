"""Gymnasium's CartPole-v1: a cart, pushed left or right at full force, keeps a pole from falling."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.grid import Axis, TaskGrid
from handful.envs import drawing
from handful.envs.base import AbstractEnv, Frame
from handful.envs.info import PolicyPreset, TaskInfo
from handful.envs.known_rewards import Outside, Upright
from handful.envs.own_equations import exact
from handful.fields import real
from handful.task import Task
from handful.types import Step

PLACE_LIMIT = 2.4  # [m] a trial ends beyond
ANGLE_LIMIT = np.pi / 15  # [rad] 12 degrees


def _task() -> Task:
    most = jnp.array([PLACE_LIMIT, jnp.inf, ANGLE_LIMIT, jnp.inf])
    fallen = Outside(-most, most)
    return Task(
        reward=Upright(fallen, ending=1.0),
        low=jnp.zeros(2),
        high=jnp.ones(2),
        names=("x [m]", "xdot [m/s]", "theta [rad]", "thetadot [rad/s]"),
        dt=0.02,
        horizon=500,
        terminated=fallen,
        categorical=True,
    )


class CartPoleV1(AbstractEnv):
    """Balance a pole until the time limit. theta = 0 is upright; the state is the observation.

    An action is a category: a push to the left, or one to the right.

    >>> import jax
    >>> env = CartPoleV1()
    >>> state, obs = env.reset(jax.random.key(3))
    >>> right = jnp.array([0.0, 1.0])
    >>> state, step = env.step(jax.random.key(4), state, right)
    >>> bool(step.obs[1] > obs[1]), float(step.reward)
    (True, 1.0)

    Source: Gymnasium `CartPole-v1`. Deviates: no.
    """

    task: Task = eqx.field(default_factory=_task)
    cart_mass: Float[Array, ""] = real(1.0)  # [kg]
    pole_mass: Float[Array, ""] = real(0.1)  # [kg] spread evenly along the pole
    half_length: Float[Array, ""] = real(0.5)  # [m] from the hinge to the pole's middle
    gravity: Float[Array, ""] = real(9.8)  # [m/s^2]
    forces: Float[Array, "2"] = real((-10.0, 10.0))  # [N] of each category
    start_limit: Float[Array, "4"] = real((0.05, 0.05, 0.05, 0.05))  # the start is uniform within

    def reset(self, key: PRNGKeyArray) -> tuple[Float[Array, "4"], Float[Array, "4"]]:
        obs = self.start_limit * jax.random.uniform(key, (4,), self.start_limit.dtype, minval=-1.0)
        return obs, obs

    def step(
        self, key: PRNGKeyArray, state: Float[Array, "4"], action: Float[Array, "2"]
    ) -> tuple[Float[Array, "4"], Step]:
        # Explicit Euler, as in Gymnasium: positions move by the speeds before the step.
        obs = state + self.task.dt * self._derivative(state, self.forces[jnp.argmax(action)])
        return obs, Step(obs, self.task.reward(state, action, obs), self.task.terminated(obs))

    def _derivative(self, state: Float[Array, "4"], force: Float[Array, ""]) -> Float[Array, "4"]:
        _, xdot, theta, thetadot = state
        sin, cos = jnp.sin(theta), jnp.cos(theta)
        total = self.cart_mass + self.pole_mass
        moment = self.pole_mass * self.half_length
        pushed = (force + moment * thetadot**2 * sin) / total  # [m/s^2] of the cart if the pole did not turn
        lever = self.half_length * (4 / 3 - self.pole_mass * cos**2 / total)
        turning = (self.gravity * sin - cos * pushed) / lever
        return jnp.stack([xdot, pushed - moment * turning * cos / total, thetadot, turning])

    def draw(self, obs: Float[np.ndarray, "4"]) -> Frame:
        hinge, theta = np.array([float(obs[0]), -0.6]), float(obs[2])
        tip = hinge + 2 * float(self.half_length) * np.array([np.sin(theta), np.cos(theta)])
        camera = drawing.follow(hinge, slack=(PLACE_LIMIT, 0.6), width=5.6)
        ends = np.array([[-PLACE_LIMIT, -0.6], [PLACE_LIMIT, -0.6]])
        return drawing.render(
            camera,
            [
                *drawing.grid(camera, 0.5),
                drawing.Stroke(ends, 0.03, drawing.STEEL),
                *(drawing.Box(at, (0.06, 0.3), 0.02, drawing.STEEL) for at in ends),
                drawing.Box(hinge, (0.5, 0.28), 0.05, drawing.BLUE),
                drawing.Stroke(np.stack([hinge, tip]), 0.09, drawing.ORANGE),
                drawing.Disc(hinge, 0.06, drawing.INK),
                drawing.Disc(tip, 0.065, drawing.INK),
            ],
        )


def _axes(x: int, xdot: int, theta: int, thetadot: int) -> tuple[Axis, ...]:
    """Place and angle up to the end of a trial, and speeds that a good trial hardly ever exceeds."""
    return Axis(0, x, -2.4, 2.4), Axis(1, xdot, -3.0, 3.0), Axis(2, theta, -0.21, 0.21), Axis(3, thetadot, -3.0, 3.0)


INFO = TaskInfo(
    name="cartpole-v1",
    make=CartPoleV1,
    summary="keep a pole upright by pushing its cart left or right (Gymnasium's CartPole-v1)",
    reference="always left 9.4, random 22.5, 500 at most",
    solved_return=475.0,
    preset=PolicyPreset(
        100_000, 0.98, 0.8, num_steps=32, standardise=False, scale_rewards=False, epochs=20, minibatch_size=256
    ),
    grid=TaskGrid(_axes, 4, table=(6, 6, 12, 12), tiles=(4, 6, 8, 8)),
    truth=exact,
)
