"""Deep Q-learning: a network gives the value of every choice, and learns from a replay."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.data.features import Features
from handful.errors import InputError
from handful.fields import Real, Whole, check_within, real, whole
from handful.policies.choices import Choices, EpsilonGreedy
from handful.policies.learner import AbstractPolicyLearner, Logged
from handful.policies.mlp import MLP
from handful.task import Task
from handful.types import Transition
from handful.values.replay import Memory, Replay


class Worth(eqx.Module):
    """The value of every choice. Angles are seen as sine and cosine."""

    features: Features
    net: MLP

    @classmethod
    def init(cls, key: PRNGKeyArray, task: Task, hidden: tuple[int, ...], choices: int) -> "Worth":
        features = Features(task.obs_size, 0, task.angles, task.memoryless)
        return cls(features, MLP.init(key, (features.input_size, *hidden, choices), activation=jax.nn.relu))

    def __call__(self, obs: Float[Array, "o"]) -> Float[Array, "c"]:
        return self.net(self.features.inputs(obs, obs[:0]))


class Nets(eqx.Module):
    """What gradient steps move."""

    online: Worth  # Q
    target: Worth  # Q', which follows behind
    moments: Any  # Adam's
    steps: Int[Array, ""]  # gradient steps so far


class DQNState(eqx.Module):
    """Everything that goes on from one update to the next."""

    nets: Nets
    replay: Replay
    choices: Choices


class DQN(AbstractPolicyLearner):
    """Q-learning with a network, a replay and a target network that follows behind.

    An update adds what was met to the replay and takes `gradient_steps` steps of Adam, each on a batch drawn from the
    replay, on the mean Huber loss of `Q(obs, choice) - y` with

        y = reward + discount (1 - terminated) Q'(next_obs, best)

    where `best` is the greatest entry of `Q'(next_obs)`, or of `Q(next_obs)` where `double` is set. Every
    `target_update_every` gradient steps the target moves by the share `tau` towards Q: 1 copies it.

    Nothing is learned before the replay holds a batch and `learning_starts` memories, and an update whose loss or
    weights are not finite is undone; `trained` tells.

    Raises `InputError` where the replay is smaller than a batch, or than what is met between two updates.

    >>> from handful import PointMass
    >>> learner = DQN(hidden=(8,), capacity=500, bins_per_dim=3)
    >>> state = learner.init(jax.random.key(0), PointMass().task)
    >>> state.nets.online(jnp.ones(4)).shape, float(learner.actor(state).epsilon)
    ((9,), 1.0)

    Source: [Mnih15]; double [vanHasselt16]. Deviates: Adam; the Polyak share; the norm of a gradient is cut, and its
    entries are not; the Huber loss bends at `huber_delta`, not at 1; many gradient steps at once between blocks of
    steps; epsilon stands still within a block.
    """

    envs: int = eqx.field(static=True, default=8)
    length: int = eqx.field(static=True, default=32)
    hidden: tuple[int, ...] = eqx.field(static=True, default=(128, 128))
    capacity: int = eqx.field(static=True, default=100_000)  # memories in the replay
    batch_size: int = eqx.field(static=True, default=64)
    gradient_steps: int = eqx.field(static=True, default=128)  # in each update
    double: bool = eqx.field(static=True, default=True)  # Q picks the next choice, and Q' says what it is worth
    bins_per_dim: int | None = eqx.field(static=True, default=None)  # values to choose from in each continuous entry
    discount: Real = real(0.99)
    rate: Real = real(1e-3)  # of Adam
    lr_decay_steps: Real = real(jnp.inf)  # [gradient steps] in which the rate falls to zero; infinite: it stays
    huber_delta: Real = real(30.0)  # error from which on the Huber loss is a line; at the scale of the values
    clip: Real = real(1000.0)  # greatest norm of a gradient
    tau: Real = real(1.0)  # share of the way that the target moves
    target_update_every: Whole = whole(128)  # [gradient steps] between its moves
    learning_starts: Whole = whole(1000)  # [memories]
    exploration_steps: Whole = whole(16_000)  # [memories] in which epsilon falls from 1 to `epsilon`
    epsilon: Real = real(0.04)

    def __check_init__(self) -> None:
        for name in ("envs", "length", "batch_size", "gradient_steps", "target_update_every"):
            check_within(self, name, 1.0)
        for name in ("discount", "tau", "epsilon"):
            check_within(self, name, 0.0, 1.0)
        check_within(self, "lr_decay_steps", 0.0, least_excluded=True)
        if self.capacity < self.batch_size:
            raise InputError(
                f"the replay must hold a batch of {self.batch_size}, got a capacity of {self.capacity}; "
                "enlarge capacity or lower batch_size"
            )
        if self.capacity < self.envs * self.length:
            raise InputError(
                f"the replay must hold the {self.envs} x {self.length} steps between two updates, "
                f"got a capacity of {self.capacity}; enlarge capacity or lower envs or length"
            )

    def init(self, key: PRNGKeyArray, task: Task) -> DQNState:
        """Raises `InputError` where actions are continuous and `bins_per_dim` is not given."""
        choices = Choices.of(task, self.bins_per_dim)
        worth: Any = Worth.init(key, task, self.hidden, choices.count)  # optax's parameters are no modules by type
        nets = Nets(worth, worth, self._direction().init(worth), jnp.zeros((), int))
        return DQNState(nets, Replay.empty(task.obs_size, self.capacity), choices)

    def actor(self, state: DQNState) -> EpsilonGreedy:
        gone = jnp.clip(state.replay.added / jnp.maximum(self.exploration_steps, 1), 0.0, 1.0)
        return EpsilonGreedy(state.nets.online, state.choices, 1.0 + gone * (self.epsilon - 1.0))

    def policy(self, state: DQNState) -> EpsilonGreedy:
        return EpsilonGreedy(state.nets.online, state.choices)

    def update(self, key: PRNGKeyArray, state: DQNState, batch: Transition) -> tuple[DQNState, Logged]:
        replay = state.replay.add(Memory.of(batch))
        places = replay.draw(key, (self.gradient_steps, self.batch_size))
        nets, (losses, values) = jax.lax.scan(lambda n, at: self.improved(n, replay.at(at)), state.nets, places)
        ready = (replay.held >= self.batch_size) & (replay.added >= self.learning_starts)
        trained = ready & jnp.isfinite(losses).all() & _finite(nets)
        nets = jax.tree.map(lambda new, old: jnp.where(trained, new, old), nets, state.nets)
        told = {
            "loss": jnp.where(trained, losses.mean(), 0.0),
            "value": jnp.where(trained, values.mean(), 0.0),
            "epsilon": self.actor(state).epsilon,
            "replay": replay.held.astype(float),
            "trained": trained.astype(float),
        }
        return DQNState(nets, replay, state.choices), told

    def improved(self, nets: Nets, batch: Memory) -> tuple[Nets, tuple[Float[Array, ""], Float[Array, ""]]]:
        """After one gradient step, with the loss before it and the mean value of the choices."""
        targets = jax.vmap(lambda memory: self.target(nets, memory))(batch)

        def loss(worth: Worth) -> tuple[Float[Array, ""], Float[Array, ""]]:
            values = jax.vmap(lambda obs, choice: worth(obs)[choice])(batch.obs, batch.choice)
            return optax.huber_loss(values, targets, delta=self.huber_delta).mean(), values.mean()

        told, gradient = jax.value_and_grad(loss, has_aux=True)(nets.online)
        direction, moments = self._direction().update(gradient, nets.moments)
        rate, steps = self.rate * jnp.maximum(1 - nets.steps / self.lr_decay_steps, 0.0), nets.steps + 1
        online = jax.tree.map(lambda weight, d: weight - rate * d, nets.online, direction)
        share = jnp.where(steps % self.target_update_every == 0, self.tau, 0.0)
        target = jax.tree.map(lambda new, old: share * new + (1 - share) * old, online, nets.target)
        return Nets(online, target, moments, steps), told

    def target(self, nets: Nets, memory: Memory) -> Float[Array, ""]:
        """What `Q(obs, choice)` should be, `y` above. Only termination ends the sum."""
        judged = nets.target(memory.next_obs)
        best = jnp.argmax(nets.online(memory.next_obs) if self.double else judged)
        return memory.reward + self.discount * jnp.where(memory.terminated, 0.0, judged[best])

    def _direction(self) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(self.clip), optax.scale_by_adam())


def _finite(tree: Any) -> Bool[Array, ""]:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf)]
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()
