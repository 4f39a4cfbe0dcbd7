"""Gymnasium's toy-text tasks: their tables as a finite MDP, and any finite MDP as an environment."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from handful.envs.base import AbstractEnv
from handful.errors import InputError
from handful.task import Task
from handful.types import Step
from handful.values.grid import Grid
from handful.values.mdp import FiniteMDP


def from_toy_text(env: Any, discount: float = 1.0) -> FiniteMDP:
    """The table `P` that FrozenLake, CliffWalking and Taxi hold, exactly.

    Raises `InputError` where the environment has no such table.
    """
    table = getattr(env.unwrapped, "P", None)
    if not isinstance(table, dict):
        raise InputError(
            "a toy-text environment must hold its transitions as a table P, as FrozenLake-v1 does; "
            f"{type(env.unwrapped).__name__} holds none: discretise it, or learn a count model"
        )
    choices, pair, following, probability = len(table[0]), [], [], []
    reward = [[0.0] * choices for _ in table]
    for state, actions in table.items():
        for choice, outcomes in actions.items():
            for chance, next_state, paid, terminated in outcomes:
                reward[state][choice] += chance * paid
                if not terminated:
                    pair.append(state * choices + choice)
                    following.append(next_state)
                    probability.append(chance)
    return FiniteMDP(
        jnp.array(pair, int), jnp.array(following, int), jnp.array(probability, float), jnp.array(reward), discount
    )


class MDPEnv(AbstractEnv):
    """A finite MDP to act in. The observation is the state's number, that after the end of a trial one past the last.

    Every step pays the expected reward.

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
    start: Float[Array, "s"]  # probability of each state at the start of a trial

    @classmethod
    def of(cls, mdp: FiniteMDP, start: Float[Array, "s"], horizon: int) -> "MDPEnv":
        task = Task(
            reward=_Paid(mdp.reward),
            low=jnp.zeros(mdp.choices),
            high=jnp.ones(mdp.choices),
            names=("state",),
            dt=1.0,
            horizon=horizon,
            terminated=_Over(jnp.asarray(mdp.states, float)),
            categorical=True,
            discount=mdp.discount,
        )
        return cls(task, mdp, start)

    @property
    def grid(self) -> Grid:
        """A cell a state."""
        return Grid.of_states(self.mdp.states)

    def reset(self, key: PRNGKeyArray) -> tuple[Int[Array, ""], Float[Array, "1"]]:
        state = jax.random.categorical(key, jnp.log(self.start))
        return state, state[None].astype(float)

    def step(self, key: PRNGKeyArray, state: Int[Array, ""], action: Float[Array, "c"]) -> tuple[Int[Array, ""], Step]:
        choice = jnp.argmax(action)
        following, ended = self.mdp.sample(key, state, choice)
        obs = jnp.where(ended, self.mdp.states, following)[None].astype(float)
        return following, Step(obs, self.mdp.reward[state, choice], ended)


class _Paid(eqx.Module):
    reward: Float[Array, "s c"]

    def __call__(
        self, obs: Float[Array, "1"], action: Float[Array, "c"], next_obs: Float[Array, "1"]
    ) -> Float[Array, ""]:
        return self.reward[obs[0].astype(int), jnp.argmax(action)]


class _Over(eqx.Module):
    states: Float[Array, ""]

    def __call__(self, obs: Float[Array, "1"]) -> Array:
        return obs[0] >= self.states
