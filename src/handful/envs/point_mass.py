"""A mass pushed about a plane: linear dynamics and a quadratic reward, so the best return is known exactly."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.grid import Axis, TaskGrid
from handful.envs import drawing
from handful.envs.base import AbstractEnv, Frame
from handful.envs.info import TaskInfo
from handful.envs.own_equations import Named, Stepped, exact, positive
from handful.errors import InputError
from handful.fields import real
from handful.models.physics_laws import Map
from handful.models.physics_learner import PhysicsLearner
from handful.task import Task
from handful.types import Step


class QuadraticReward(eqx.Module):
    """-(obs' Q obs + a' R a), on the observation before the step and the action as given."""

    Q: Float[Array, "4 4"] = real(
        ((1.0, 0.3, 0.0, 0.0), (0.3, 2.0, 0.0, 0.0), (0.0, 0.0, 0.1, 0.0), (0.0, 0.0, 0.0, 0.3))
    )
    R: Float[Array, "2 2"] = real(((0.1, 0.02), (0.02, 0.25)))

    def __call__(
        self, obs: Float[Array, "4"], action: Float[Array, "2"], next_obs: Float[Array, "4"]
    ) -> Float[Array, ""]:
        return -(obs @ self.Q @ obs + action @ self.R @ action)


def _task() -> Task:
    return Task(
        reward=QuadraticReward(),
        low=jnp.array([-6.0, -8.0]),  # [N] the best plan from any start does not reach them
        high=jnp.array([6.0, 8.0]),
        names=("px [m]", "py [m]", "vx [m/s]", "vy [m/s]"),
        dt=0.1,
        horizon=50,
    )


class PointMass(AbstractEnv):
    """Bring a mass to rest at the origin; it is heavier along y. The state is the observation.

    A reference for planners: the limits do not bind on the best plan, which `planning.lqr` gives in closed form as
    `Regulator(*env.dynamics(), *env.cost())`.

    >>> import jax
    >>> env = PointMass()
    >>> state, obs = env.reset(jax.random.key(3))
    >>> state, step = env.step(jax.random.key(4), state, jnp.array([1.5, -0.7]))
    >>> step.obs.shape
    (4,)
    """

    task: Task = eqx.field(default_factory=_task)
    mass: Float[Array, "2"] = real((1.0, 2.5))  # [kg] along x and y
    damping: Float[Array, "2"] = real((0.2, 0.35))  # [N s/m] along x and y, above zero
    start_limit: Float[Array, "4"] = real((1.2, 0.9, 0.4, 0.5))  # [m, m/s] the start is uniform within

    def reset(self, key: PRNGKeyArray) -> tuple[Float[Array, "4"], Float[Array, "4"]]:
        obs = self.start_limit * jax.random.uniform(key, (4,), self.start_limit.dtype, minval=-1.0)
        return obs, obs

    def step(
        self, key: PRNGKeyArray, state: Float[Array, "4"], action: Float[Array, "2"]
    ) -> tuple[Float[Array, "4"], Step]:
        A, B = self.dynamics()
        obs = A @ state + B @ jnp.clip(action, self.task.low, self.task.high)
        return obs, Step(obs, self.task.reward(state, action, obs), self.task.terminated(obs))

    def dynamics(self) -> tuple[Float[Array, "4 4"], Float[Array, "4 2"]]:
        """A and B of next_obs = A obs + B action: m v' = f - d v solved exactly over a step of constant force."""
        rate = self.damping / self.mass  # [1/s]
        lost = -jnp.expm1(-rate * self.task.dt)  # share of the speed lost in a step
        glide = lost / rate  # [s]
        zero = jnp.zeros((2, 2))
        A = jnp.block([[jnp.eye(2), jnp.diag(glide)], [zero, jnp.diag(1 - lost)]])
        B = jnp.concatenate([jnp.diag((self.task.dt - glide) / self.damping), jnp.diag(lost / self.damping)])
        return A, B

    def cost(self) -> tuple[Float[Array, "4 4"], Float[Array, "2 2"]]:
        """Q and R of the reward.

        Raises `InputError` if the task has a reward of another kind.
        """
        reward = self.task.reward
        if not isinstance(reward, QuadraticReward):
            raise InputError(f"cost() needs the task's reward to be a QuadraticReward, got a {type(reward).__name__}")
        return reward.Q, reward.R

    def draw(self, obs: Float[np.ndarray, "4"]) -> Frame:
        position, speed = np.asarray(obs, float).reshape(2, 2)
        camera = drawing.follow(position, slack=(1.3, 0.95), width=3.6)
        return drawing.render(
            camera,
            [
                *drawing.grid(camera, 0.5),
                *drawing.ring(np.zeros(2), 0.15, 0.025, drawing.GREEN),
                drawing.Disc(np.zeros(2), 0.03, drawing.GREEN),
                # The line shows where the mass will be in a third of a second.
                drawing.Stroke(np.stack([position, position + speed / 3]), 0.04, drawing.ORANGE),
                drawing.Disc(position, 0.12, drawing.BLUE),
                drawing.Disc(position, 0.04, drawing.PAPER),
            ],
        )


def _physics(env: PointMass) -> PhysicsLearner:
    guesses = positive(mass_x=env.mass[0], mass_y=env.mass[1], damping_x=env.damping[0], damping_y=env.damping[1])
    return PhysicsLearner(Map(Stepped(env, _along_axes)), guesses)


def _along_axes(parameters: Named) -> dict[str, Float[Array, "2"]]:
    return {what: jnp.stack([parameters[f"{what} {axis}"] for axis in "xy"]) for what in ("mass", "damping")}


INFO = TaskInfo(
    name="point-mass",
    make=PointMass,
    summary="bring a mass to rest at the origin of a plane: linear dynamics, quadratic cost",
    reference="zero action about -106, random about -1040, -14 at best",  # by the linear-quadratic regulator, exactly
    solved_return=-20.0,
    grid=TaskGrid(
        lambda *cells: tuple(Axis(entry, number, -3.0, 3.0) for entry, number in enumerate(cells)),
        4,
        table=(9, 9, 9, 9),
        tiles=(5, 5, 5, 5),
    ),
    physics=_physics,
    truth=exact,
)
