"""Gymnasium's toy-text tasks as finite MDPs, and any finite MDP as an environment."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from handful.data.grid import Grid
from handful.envs.base import AbstractEnv
from handful.errors import InputError
from handful.task import Task
from handful.types import Step
from handful.values.mdp import FiniteMDP


def from_toy_text(env: Any, discount: float = 1.0) -> FiniteMDP:
    """The transition table `P` of FrozenLake, CliffWalking or Taxi, exactly.

    Raises `InputError` if the environment has no such table.
    """
    table = getattr(env.unwrapped, "P", None)
    if not isinstance(table, dict):
        raise InputError(
            "a toy-text environment must have its transitions as a table P, as FrozenLake-v1 does; "
            f"{type(env.unwrapped).__name__} has none: discretise it, or learn a model from counts"
        )
    action_count, pairs, next_states, probabilities = len(table[0]), [], [], []
    rewards = [[0.0] * action_count for _ in table]
    for state, actions in table.items():
        for action, outcomes in actions.items():
            for probability, next_state, reward, terminated in outcomes:
                rewards[state][action] += probability * reward
                if not terminated:
                    pairs.append(state * action_count + action)
                    next_states.append(next_state)
                    probabilities.append(probability)
    outcomes = jnp.array(pairs, int), jnp.array(next_states, int), jnp.array(probabilities, float)
    return FiniteMDP(*outcomes, jnp.array(rewards), discount)


class MDPEnv(AbstractEnv):
    """An environment made of a finite MDP. The observation is the state's index; after termination, `state_count`.

    The reward of a step is its expected one.

    >>> transition = jnp.array([[[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    >>> mdp = FiniteMDP.dense(transition, jnp.array([[-1.0, -0.5], [2.0, 0.0]]), jnp.array([[0, 0], [1, 1]]), 0.9)
    >>> env = MDPEnv.of(mdp, start=jnp.array([1.0, 0.0]), horizon=20)
    >>> state, obs = env.reset(jax.random.key(0))
    >>> state, step = env.step(jax.random.key(1), state, jnp.array([1.0, 0.0]))
    >>> step.obs.tolist(), float(step.reward), bool(step.terminated)
    ([1.0], -1.0, False)
    """

    task: Task
    mdp: FiniteMDP
    start: Float[Array, "s"]  # probability of each state at the start of an episode

    @classmethod
    def of(cls, mdp: FiniteMDP, start: Float[Array, "s"], horizon: int) -> "MDPEnv":
        task = Task(
            reward=_Reward(mdp.reward),
            low=jnp.zeros(mdp.action_count),
            high=jnp.ones(mdp.action_count),
            names=("state",),
            dt=1.0,
            horizon=horizon,
            terminated=_Terminated(jnp.asarray(mdp.state_count, float)),
            categorical=True,
            discount=mdp.discount,
        )
        return cls(task, mdp, start)

    @property
    def grid(self) -> Grid:
        """A grid with one cell per state."""
        return Grid.of_states(self.mdp.state_count)

    def reset(self, key: PRNGKeyArray) -> tuple[Int[Array, ""], Float[Array, "1"]]:
        state = jax.random.categorical(key, jnp.log(self.start))
        return state, state[None].astype(float)

    def step(self, key: PRNGKeyArray, state: Int[Array, ""], action: Float[Array, "c"]) -> tuple[Int[Array, ""], Step]:
        index = jnp.argmax(action)
        next_state, ended = self.mdp.sample(key, state, index)
        obs = jnp.where(ended, self.mdp.state_count, next_state)[None].astype(float)
        return next_state, Step(obs, self.mdp.reward[state, index], ended)


class _Reward(eqx.Module):
    reward: Float[Array, "s c"]

    def __call__(
        self, obs: Float[Array, "1"], action: Float[Array, "c"], next_obs: Float[Array, "1"]
    ) -> Float[Array, ""]:
        return self.reward[obs[0].astype(int), jnp.argmax(action)]


class _Terminated(eqx.Module):
    state_count: Float[Array, ""]

    def __call__(self, obs: Float[Array, "1"]) -> Array:
        return obs[0] >= self.state_count
