"""PETS's cart-pole swing-up: a cart on a rail with soft ends swings a hanging pole up and holds it there."""

import dataclasses
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.grid import Axis, TaskGrid, turn
from handful.envs import drawing
from handful.envs.base import AbstractEnv, Frame
from handful.envs.info import PolicyPreset, Published, TaskInfo
from handful.envs.own_equations import Named, exact, positive
from handful.fields import real
from handful.integrator import runge_kutta
from handful.models.physics_laws import Derivative
from handful.models.physics_learner import PhysicsLearner
from handful.task import Task
from handful.types import Step

SUBSTEPS = 2  # physics steps per control step
POLE_LENGTH = 0.6  # [m] hinge to tip


class Rail(eqx.Module):
    """The soft ends of the rail: MuJoCo's constraint of one joint limit, solved in closed form.

    Source: MuJoCo documentation, "Computation", section "Constraint model". Deviates: no.
    """

    limit: Float[Array, ""] = real(2.5)  # [m] the rail's half-length
    time: Float[Array, ""] = real(0.04)  # [s] MuJoCo's default 0.02, which it raises to twice the physics step
    damping_ratio: Float[Array, ""] = real(1.0)
    impedance: Float[Array, "2"] = real((0.9, 0.95))  # at zero and at full depth
    width: Float[Array, ""] = real(0.001)  # [m] depth at which the impedance is full

    def force(
        self,
        x: Float[Array, ""],
        xdot: Float[Array, ""],
        free: Float[Array, ""],
        mobility: Float[Array, ""],
        rest_mobility: Float[Array, ""],
    ) -> Float[Array, ""]:
        """Force on the cart [N]; `free` is its acceleration without the rail's ends [m/s^2], mobility is per newton."""
        side = jnp.sign(x)
        gap = self.limit - side * x  # [m] below zero past the end
        least, most = self.impedance
        d = least + (most - least) * _smooth_step(jnp.clip(-gap / self.width, 0.0, 1.0))
        b = 2 / (most * self.time)
        k = 1 / (most * self.time * self.damping_ratio) ** 2
        reference = b * side * xdot - k * d * gap
        push = jnp.maximum(reference + side * free, 0.0) / (mobility + (1 - d) / d * rest_mobility)
        return -side * jnp.where(gap >= 0, 0.0, push)


class CartPole(eqx.Module):
    """The mechanism. State (x, theta, xdot, thetadot) in [m, rad, m/s, rad/s]; theta = 0 hangs.

    Source: [Chua18] `cartpole.xml`, with the masses and inertias that MuJoCo computes from its shapes.
    Deviates: the pole hangs straight; the original leans by 1/600 rad.
    """

    cart_mass: Float[Array, ""] = real(10.47198)  # [kg]
    pole_mass: Float[Array, ""] = real(5.01859)  # [kg]
    com_distance: Float[Array, ""] = real(0.3)  # [m] from the hinge to the pole's centre of mass
    inertia: Float[Array, ""] = real(0.18875)  # [kg m^2] of the pole about its centre of mass
    damping: Float[Array, "2"] = real((1.0, 1.0))  # [N s/m, N m s/rad] on slider and hinge
    gravity: Float[Array, ""] = real(9.81)  # [m/s^2]
    gear: Float[Array, ""] = real(100.0)  # [N] per unit of action
    rail: Rail = eqx.field(default_factory=Rail)

    def derivative(self, state: Float[Array, "4"], force: Float[Array, ""]) -> Float[Array, "4"]:
        """Time derivative of the state under a force on the cart [N].

        (M + m) x'' - m l cos(th) th'' = F - d0 x' - m l sin(th) th'^2
        -m l cos(th) x'' + (I + m l^2) th'' = -d1 th' - m g l sin(th)
        """
        x, theta, xdot, thetadot = state
        moment = self.pole_mass * self.com_distance
        along = force - self.damping[0] * xdot - moment * jnp.sin(theta) * thetadot**2
        around = -self.damping[1] * thetadot - moment * self.gravity * jnp.sin(theta)
        mobility = self._mobility(jnp.cos(theta))
        free = mobility @ jnp.stack([along, around])
        push = self.rail.force(x, xdot, free[0], mobility[0, 0], self._mobility(1.0)[0, 0])
        return jnp.concatenate([jnp.stack([xdot, thetadot]), free + mobility[:, 0] * push])

    def energy(self, state: Float[Array, "4"]) -> Float[Array, ""]:
        """Kinetic and potential energy [J], zero at rest with the pole level."""
        _, theta, *speeds = state
        v = jnp.stack(speeds)
        height = -self.com_distance * jnp.cos(theta)
        return v @ self._mass(jnp.cos(theta)) @ v / 2 + self.pole_mass * self.gravity * height

    def _mass(self, cos: Float[Array, ""] | float) -> Float[Array, "2 2"]:
        moment = self.pole_mass * self.com_distance
        hinge = self.inertia + moment * self.com_distance
        coupling = -moment * cos
        return jnp.stack([self.cart_mass + self.pole_mass, coupling, coupling, hinge]).reshape(2, 2)

    def _mobility(self, cos: Float[Array, ""] | float) -> Float[Array, "2 2"]:
        """The inverse of the mass matrix."""
        (a, b), (_, c) = self._mass(cos)
        return jnp.stack([c, -b, -b, a]).reshape(2, 2) / (a * c - b**2)


class TipReward(eqx.Module):
    """exp(-|tip - goal|^2 / length^2) - 0.01 |a|^2: at most 1 a step.

    Source: [Chua18], the release's cart-pole environment. Deviates: no.
    """

    goal: Float[Array, "2"] = real((0.0, POLE_LENGTH))  # [m] of the tip
    length: Float[Array, ""] = real(POLE_LENGTH)  # [m] of the pole

    def __call__(
        self, obs: Float[Array, "4"], action: Float[Array, "1"], next_obs: Float[Array, "4"]
    ) -> Float[Array, ""]:
        x, theta = next_obs[0], next_obs[1]
        tip = jnp.stack([x - self.length * jnp.sin(theta), -self.length * jnp.cos(theta)])
        return jnp.exp(-jnp.sum((tip - self.goal) ** 2) / self.length**2) - 0.01 * jnp.sum(action**2)


def _task() -> Task:
    return Task(
        reward=TipReward(),
        low=jnp.array([-3.0]),
        high=jnp.array([3.0]),
        names=("x [m]", "theta [rad]", "xdot [m/s]", "thetadot [rad/s]"),
        dt=0.04,
        horizon=200,
        angles=(1,),
    )


class CartPoleSwingUp(AbstractEnv):
    """Swing the pole up and hold its tip over the middle of the rail. The state is the observation.

    The reward uses the action as given, even where the dynamics clip it.

    >>> import jax
    >>> env = CartPoleSwingUp()
    >>> state, obs = env.reset(jax.random.key(3))
    >>> state, step = env.step(jax.random.key(4), state, jnp.array([1.5]))
    >>> step.obs.shape
    (4,)

    Source: [Chua18], the release's cart-pole environment. Deviates: see `CartPole`.
    """

    task: Task = eqx.field(default_factory=_task)
    mechanism: CartPole = eqx.field(default_factory=CartPole)
    start_std: Float[Array, "4"] = real((0.1, 0.1, 0.1, 0.1))  # [m, rad, m/s, rad/s]

    def reset(self, key: PRNGKeyArray) -> tuple[Float[Array, "4"], Float[Array, "4"]]:
        obs = self.start_std * jax.random.normal(key, (4,), self.start_std.dtype)
        return obs, obs

    def step(
        self, key: PRNGKeyArray, state: Float[Array, "4"], action: Float[Array, "1"]
    ) -> tuple[Float[Array, "4"], Step]:
        force = self.mechanism.gear * jnp.clip(action, self.task.low, self.task.high)[0]
        derivative = partial(self.mechanism.derivative, force=force)
        obs = runge_kutta(derivative, state, self.task.dt, SUBSTEPS)
        return obs, Step(obs, self.task.reward(state, action, obs), self.task.terminated(obs))

    def draw(self, obs: Float[np.ndarray, "4"]) -> Frame:
        hinge = np.array([float(obs[0]), 0.0])
        theta, end = float(obs[1]), float(self.mechanism.rail.limit) + 0.21  # where the cart's side meets the post
        tip = hinge + POLE_LENGTH * np.array([-np.sin(theta), -np.cos(theta)])
        camera = drawing.follow(hinge, slack=(0.65, 0.0), width=2.8)
        ends = np.array([[-end, 0.0], [end, 0.0]])
        return drawing.render(
            camera,
            [
                *drawing.grid(camera, 0.5),
                *drawing.ring(np.array([0.0, POLE_LENGTH]), 0.075, 0.02, drawing.GREEN),
                drawing.Stroke(ends, 0.025, drawing.STEEL),
                *(drawing.Box(at, (0.06, 0.3), 0.02, drawing.STEEL) for at in ends),
                drawing.Box(hinge, (0.36, 0.2), 0.04, drawing.BLUE),
                drawing.Stroke(np.stack([hinge, tip]), 0.06, drawing.ORANGE),
                drawing.Disc(hinge, 0.04, drawing.INK),
                drawing.Disc(tip, 0.045, drawing.INK),
            ],
        )


class CartPoleForces(eqx.Module):
    """The cart-pole's equations as a function of its parameters. Gravity, motor and rail are known.

    So is the pole's shape: its inertia grows with its mass and the square of its length. If the motor's gain were
    unknown too, masses, friction and gain could be identified only up to a common factor.
    """

    mechanism: CartPole
    low: Float[Array, "1"]
    high: Float[Array, "1"]

    def __call__(self, obs: Float[Array, "4"], action: Float[Array, "1"], parameters: Named) -> Float[Array, "4"]:
        known, mass, distance = self.mechanism, parameters["pole mass"], parameters["pole com distance"]
        mechanism = dataclasses.replace(
            known,
            cart_mass=parameters["cart mass"],
            pole_mass=mass,
            com_distance=distance,
            inertia=known.inertia * mass / known.pole_mass * (distance / known.com_distance) ** 2,
            damping=jnp.stack([parameters["slider friction"], parameters["hinge friction"]]),
        )
        return mechanism.derivative(obs, known.gear * jnp.clip(action, self.low, self.high)[0])


def _physics(env: CartPoleSwingUp) -> PhysicsLearner:
    known = env.mechanism
    guesses = positive(
        cart_mass=known.cart_mass,
        pole_mass=known.pole_mass,
        pole_com_distance=known.com_distance,
        slider_friction=known.damping[0],
        hinge_friction=known.damping[1],
    )
    return PhysicsLearner(Derivative(CartPoleForces(known, env.task.low, env.task.high), SUBSTEPS), guesses)


def _axes(x: int, theta: int, xdot: int, thetadot: int) -> tuple[Axis, ...]:
    """The rail, a turn, and speeds that a good trial hardly ever exceeds."""
    return Axis(0, x, -2.5, 2.5), turn(1, theta), Axis(2, xdot, -6.0, 6.0), Axis(3, thetadot, -12.0, 12.0)


def _smooth_step(depth: Float[Array, ""]) -> Float[Array, ""]:
    """0 to 1 over depths 0 to 1, by two parabolas that meet halfway: MuJoCo's default power 2 and midpoint 0.5."""
    return jnp.where(depth <= 0.5, 2 * depth**2, 1 - 2 * (1 - depth) ** 2)


INFO = TaskInfo(
    name="cartpole-swingup",
    make=CartPoleSwingUp,
    summary="swing a hanging pole up and hold its tip over the middle of the rail (PETS's task)",
    # Means: of zero action and of random actions over 2000 starts, here and in the other environments' files.
    reference="zero action 2.8, random about -4, about 180 can be had",
    solved_return=170.0,
    published=Published((500, 500, 500), (1e-4, 2.5e-4, 2.5e-4, 5e-4), 1e-3, 400, 25),
    preset=PolicyPreset(400_000, num_envs=8, num_steps=200),
    grid=TaskGrid(_axes, 4, table=(7, 21, 9, 15), tiles=(5, 12, 6, 10)),
    # No reward is paid until the tip is near the goal, so exploration is by optimism instead of chance.
    tabular={"bins_per_dim": 3, "initial_value": 25.0, "learning_rate": 0.3, "exploration_steps": 0, "epsilon": 0.01},
    optimism=33.0,  # above the best discounted return
    physics=_physics,
    truth=exact,
)
