"""The step of a MuJoCo system as a function, batched over all cores: for planning with the true dynamics."""

# pyright: reportAttributeAccessIssue=false
# MuJoCo has no type stubs.

import math
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

if TYPE_CHECKING:
    import mujoco

MOST = 1e10  # of a position or velocity, above which MuJoCo considers a simulation diverged

Given = Array | np.ndarray  # compiled code passes its own arrays


class Rollouts:
    """Advances a batch of states by a control step each, in a pool of threads, one per core.

    A simulation that diverges, or starts from values that are not finite, returns NaN: MuJoCo alone would reset it, and
    a planner would take the initial state for a reachable one.
    """

    def __init__(self, model: "mujoco.MjModel", substeps: int) -> None:
        import mujoco
        from mujoco.rollout import Rollout

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.model, self.substeps = model, substeps
        self._data = [mujoco.MjData(model) for _ in range(cores)]
        self._pool = Rollout(nthread=cores if cores > 1 else 0)
        self._lock = threading.Lock()  # the pool and its data serve one batch at a time

    def __call__(
        self, positions: Float[Given, "*b q"], velocities: Float[Given, "*b v"], controls: Float[Given, "*b u"]
    ) -> tuple[Float[np.ndarray, "*b q"], Float[np.ndarray, "*b v"]]:
        """Returns positions and velocities after the step."""
        q, v, u = (np.asarray(value, np.float64) for value in (positions, velocities, controls))
        rows = math.prod(q.shape[:-1])
        state = np.concatenate([np.zeros((rows, 1)), q.reshape(rows, -1), v.reshape(rows, -1)], axis=1)  # time first
        control = np.clip(u.reshape(rows, -1), *self.model.actuator_ctrlrange.T)
        sane = np.all(np.abs(state) < MOST, axis=1) & np.all(np.isfinite(control), axis=1)
        state[~sane], control[~sane] = 0.0, 0.0
        held = np.repeat(control[:, None], self.substeps, axis=1)
        after = np.empty((rows, self.substeps, state.shape[1]))
        with self._lock:
            self._pool.rollout(self.model, self._data, state, held, state=after)
        end = after[:, -1]
        arrived = end[:, 0] > (self.substeps - 0.5) * self.model.opt.timestep  # a simulation that diverges stops
        end[~(sane & arrived)] = np.nan
        moved = np.split(end[:, 1:], [q.shape[-1]], axis=1)
        return moved[0].reshape(q.shape).astype(positions.dtype), moved[1].reshape(v.shape).astype(velocities.dtype)


class MujocoStep(eqx.Module):
    """Returns `next_obs` of an observation and an action, in compiled code; `vmap` passes the whole batch at once.

    The simulation runs on the host, so there is no derivative.
    """

    state_of: Callable[[Float[Array, "o"]], tuple[Float[Array, "q"], Float[Array, "v"]]] = eqx.field(static=True)
    observed: Callable[..., Float[Array, "o"]] = eqx.field(static=True)  # observed(obs, positions, velocities)
    rollouts: Rollouts = eqx.field(static=True)

    def __call__(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        before = self.state_of(obs)
        after = jax.pure_callback(self.rollouts, before, *before, action, vmap_method="broadcast_all")
        return self.observed(obs, *after)
