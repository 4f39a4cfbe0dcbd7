"""Deep Q-learning: a network gives the value of every action and learns from a replay buffer."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.agent import AbstractAgent, Metrics
from handful.data.features import Features
from handful.data.replay import Replay
from handful.errors import InputError
from handful.fields import Real, Whole, check_hidden, check_within, real, whole
from handful.optimiser import Adam
from handful.policies.discrete_actions import DiscreteActions, EpsilonGreedy
from handful.policies.mlp import MLP
from handful.task import Task
from handful.types import Batch
from handful.values.transitions import DiscreteTransition


class QNetwork(eqx.Module):
    """Q(obs, .), the value of every action. Its inputs have angles as sine and cosine."""

    features: Features
    net: MLP

    @classmethod
    def init(cls, key: PRNGKeyArray, task: Task, hidden: tuple[int, ...], action_count: int) -> "QNetwork":
        features = Features(task.obs_size, 0, task.angles, task.memoryless)
        return cls(features, MLP.init(key, (features.input_size, *hidden, action_count), activation=jax.nn.relu))

    def __call__(self, obs: Float[Array, "o"]) -> Float[Array, "c"]:
        return self.net(self.features.inputs(obs, obs[:0]))


class QNetworks(eqx.Module):
    """The networks and what gradient steps change beside them."""

    online: QNetwork  # Q
    target: QNetwork  # Q'
    opt_state: Any
    steps: Int[Array, ""]  # gradient steps so far


class DQNState(eqx.Module):
    """Everything that is carried from one update to the next."""

    nets: QNetworks
    replay: Replay[DiscreteTransition]
    actions: DiscreteActions


class DQN(AbstractAgent):
    """Q-learning with a network, a replay buffer and a target network.

    An update adds the batch to the replay and takes `gradient_steps` steps of Adam, each on a batch drawn from the
    replay, on the mean Huber loss of `Q(obs, action) - y` with

        y = reward + discount (1 - terminated) Q'(next_obs, best)

    where `best` maximises `Q'(next_obs, .)`, or `Q(next_obs, .)` if `double` is set. Every `target_update_every`
    gradient steps the target's weights move by the fraction `tau` towards those of Q; 1 copies them.

    Nothing is learned before the replay holds a batch and `learning_starts` transitions. An update whose loss or
    weights are not finite is undone. Its metrics: `loss`, the mean `value` of the replayed actions, `epsilon`, the size
    of the `replay`, and `trained`, 1 if the weights changed.

    Raises `InputError` if the replay's capacity is smaller than a batch or a rollout.

    >>> from handful import PointMass
    >>> agent, task = DQN(hidden=(8,), capacity=500, bins_per_dim=3), PointMass().task
    >>> state = agent.init(jax.random.key(0), task)
    >>> state.nets.online(jnp.ones(4)).shape, float(agent.actor(task, state).epsilon)
    ((9,), 1.0)

    Source: [Mnih15]; double [vanHasselt16]. Deviates: Adam; soft target updates if `tau` is below 1; the gradient's
    norm is clipped instead of the error; the Huber loss becomes linear at `huber_delta` instead of 1; the gradient
    steps of a rollout are taken together at its end; epsilon is constant within a rollout.
    """

    num_envs: int = eqx.field(static=True, default=8)
    num_steps: int = eqx.field(static=True, default=32)
    hidden: tuple[int, ...] = eqx.field(static=True, default=(128, 128))
    capacity: int = eqx.field(static=True, default=100_000)  # [transitions] of the replay
    batch_size: int = eqx.field(static=True, default=64)
    gradient_steps: int = eqx.field(static=True, default=128)  # per update
    double: bool = eqx.field(static=True, default=True)  # double Q-learning
    bins_per_dim: int | None = eqx.field(static=True, default=None)  # values per dimension of continuous actions
    discount: Real = real(0.99)
    learning_rate: Real = real(1e-3)
    lr_decay_steps: Real = real(jnp.inf)  # [gradient steps] in which the learning rate decays to zero; inf: constant
    huber_delta: Real = real(30.0)  # error above which the Huber loss is linear; at the scale of the values
    max_grad_norm: Real = real(1000.0)
    tau: Real = real(1.0)
    target_update_every: Whole = whole(128)  # [gradient steps]
    learning_starts: Whole = whole(1000)  # [transitions]
    exploration_steps: Whole = whole(16_000)  # [transitions] in which epsilon falls from 1 to `epsilon`
    epsilon: Real = real(0.04)

    def __check_init__(self) -> None:
        for name in ("num_envs", "num_steps", "batch_size", "gradient_steps", "target_update_every"):
            check_within(self, name, 1.0)
        for name in ("discount", "tau", "epsilon"):
            check_within(self, name, 0.0, 1.0)
        for name in ("learning_rate", "learning_starts", "exploration_steps"):
            check_within(self, name, 0.0)
        for name in ("lr_decay_steps", "huber_delta", "max_grad_norm"):
            check_within(self, name, 0.0, least_excluded=True)
        check_hidden(self)
        if self.capacity < self.batch_size:
            raise InputError(
                f"the replay must hold a batch of {self.batch_size} transitions, got a capacity of {self.capacity}; "
                "enlarge capacity or lower batch_size"
            )
        if self.capacity < self.num_envs * self.num_steps:
            raise InputError(
                f"the replay must hold the {self.num_envs} x {self.num_steps} transitions of a rollout, "
                f"got a capacity of {self.capacity}; enlarge capacity or lower num_envs or num_steps"
            )

    def init(self, key: PRNGKeyArray, task: Task) -> DQNState:
        """Raises `InputError` if the actions are continuous and `bins_per_dim` is not given."""
        actions = DiscreteActions.of(task, self.bins_per_dim)
        online = QNetwork.init(key, task, self.hidden, actions.count)
        nets = QNetworks(online, online, self._adam().init(online), jnp.zeros((), int))
        return DQNState(nets, Replay.empty(DiscreteTransition.zeros(task.obs_size), self.capacity), actions)

    def actor(self, task: Task, state: DQNState) -> EpsilonGreedy:
        return EpsilonGreedy(state.nets.online, state.actions, self._epsilon(state))

    def policy(self, task: Task, state: DQNState) -> EpsilonGreedy:
        return EpsilonGreedy(state.nets.online, state.actions)

    def update(self, key: PRNGKeyArray, task: Task, state: DQNState, batch: Batch) -> tuple[DQNState, Metrics]:
        replay = state.replay.add(*DiscreteTransition.of(batch))
        indices = replay.draw(key, (self.gradient_steps, self.batch_size))
        nets, (losses, values) = jax.lax.scan(lambda n, i: self.gradient_step(n, replay.at(i)), state.nets, indices)
        ready = (replay.size >= self.batch_size) & (replay.added >= self.learning_starts)
        trained = ready & jnp.isfinite(losses).all() & _finite(nets)
        nets = jax.tree.map(lambda new, old: jnp.where(trained, new, old), nets, state.nets)
        metrics = {
            "loss": jnp.where(trained, losses.mean(), 0.0),
            "value": jnp.where(trained, values.mean(), 0.0),
            "epsilon": self._epsilon(state),
            "replay": replay.size.astype(float),
            "trained": trained.astype(float),
        }
        return DQNState(nets, replay, state.actions), metrics

    def gradient_step(
        self, nets: QNetworks, rows: DiscreteTransition
    ) -> tuple[QNetworks, tuple[Float[Array, ""], Float[Array, ""]]]:
        """The networks after one gradient step, with the loss before it and the mean value of the rows' actions."""
        targets = jax.vmap(lambda row: self.target(nets, row))(rows)

        def loss(online: QNetwork) -> tuple[Float[Array, ""], Float[Array, ""]]:
            values = jax.vmap(lambda obs, action: online(obs)[action])(rows.obs, rows.action)
            return optax.huber_loss(values, targets, delta=self.huber_delta).mean(), values.mean()

        metrics, gradient = jax.value_and_grad(loss, has_aux=True)(nets.online)
        online, opt_state = self._adam().descend(nets.online, nets.opt_state, gradient, nets.steps)
        steps = nets.steps + 1
        tau = jnp.where(steps % self.target_update_every == 0, self.tau, 0.0)
        target = jax.tree.map(lambda new, old: tau * new + (1 - tau) * old, online, nets.target)
        return QNetworks(online, target, opt_state, steps), metrics

    def target(self, nets: QNetworks, row: DiscreteTransition) -> Float[Array, ""]:
        """The regression target `y` above. Only termination, not truncation, ends the sum."""
        values = nets.target(row.next_obs)
        best = jnp.argmax(nets.online(row.next_obs) if self.double else values)
        return row.reward + self.discount * jnp.where(row.terminated, 0.0, values[best])

    def _epsilon(self, state: DQNState) -> Float[Array, ""]:
        progress = jnp.clip(state.replay.added / jnp.maximum(self.exploration_steps, 1), 0.0, 1.0)
        return 1.0 + progress * (self.epsilon - 1.0)

    def _adam(self) -> Adam:
        return Adam(self.learning_rate, self.lr_decay_steps, self.max_grad_norm, epsilon=1e-8)


def _finite(tree: Any) -> Bool[Array, ""]:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf)]
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()
