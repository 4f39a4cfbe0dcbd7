"""The inputs and targets of a model, from observations and actions."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from handful.data.angles import shorter_way
from handful.errors import InputError
from handful.task import Task


class Features(eqx.Module):
    """Maps observation and action to model inputs, and pairs of observations to model targets and back.

    Inputs: plain entries, then sine and cosine of each angle, then the action; memoryless entries are left out.
    Targets: `next_obs - obs`, for angles the shorter way round; for memoryless entries `next_obs`.

    Source: [Chua18] appendix A. Deviates: differences of angles are wrapped, so that sensors may jump by a turn.
    """

    obs_size: int = eqx.field(static=True)
    action_size: int = eqx.field(static=True)
    angles: tuple[int, ...] = eqx.field(static=True)
    memoryless: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, task: Task) -> "Features":
        return cls(task.obs_size, task.action_size, task.angles, task.memoryless)

    @property
    def input_size(self) -> int:
        return len(self._plain) + 2 * len(self._seen_angles) + self.action_size

    @property
    def _seen_angles(self) -> tuple[int, ...]:
        return tuple(index for index in self.angles if index not in self.memoryless)

    @property
    def _plain(self) -> tuple[int, ...]:
        hidden = {*self.angles, *self.memoryless}
        return tuple(index for index in range(self.obs_size) if index not in hidden)

    def inputs(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "i"]:
        if obs.shape != (self.obs_size,) or action.shape != (self.action_size,):
            raise InputError(
                f"this model takes observations of shape ({self.obs_size},) and actions of shape "
                f"({self.action_size},), got {obs.shape} and {action.shape}"
            )
        pieces = [_pick(obs, self._plain), action]
        if self._seen_angles:
            angle = _pick(obs, self._seen_angles)
            pieces[1:1] = [jnp.sin(angle), jnp.cos(angle)]
        return jnp.concatenate(pieces)

    def target(self, obs: Float[Array, "o"], next_obs: Float[Array, "o"]) -> Float[Array, "o"]:
        delta = shorter_way(next_obs - obs, self.angles)
        return jnp.where(self._flags(self.memoryless), next_obs, delta)

    def next_obs(self, obs: Float[Array, "o"], target: Float[Array, "o"]) -> Float[Array, "o"]:
        """The inverse of `target` in its second argument; angles are left unwrapped."""
        return target + obs if not self.memoryless else jnp.where(self._flags(self.memoryless), target, obs + target)

    def _flags(self, indices: tuple[int, ...]) -> np.ndarray:
        return np.isin(np.arange(self.obs_size), indices)


def _pick(obs: Float[Array, "o"], indices: tuple[int, ...]) -> Float[Array, "i"]:
    """Entries by slices, which XLA fuses, unlike a gather."""
    if not indices:
        return obs[:0]
    return jnp.concatenate([obs[start:stop] for start, stop in _runs(indices)])


def _runs(indices: tuple[int, ...]) -> list[tuple[int, int]]:
    """Neighbouring indices joined: (0, 1, 2, 5) becomes [(0, 3), (5, 6)]."""
    runs: list[tuple[int, int]] = []
    for index in indices:
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs
