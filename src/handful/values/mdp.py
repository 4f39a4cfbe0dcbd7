"""A finite Markov decision process: all that dynamic programming needs to know of a system."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, real

MOST_DENSE = 20_000_000  # entries of a dense transition tensor; 80 MB in float32
MOST_STATES = 4096  # of a matrix from states to states; 64 MB in float32
TOLERANCE = 1e-4  # of a sum of probabilities; float32 adds thousands of outcomes no better


class FiniteMDP(eqx.Module):
    """States and actions by number, and where each pair of them may lead, as a list of outcomes.

    Outcome `e` says that the pair `pair[e] = state * choices + choice` goes on to `following[e]` with `probability[e]`.
    Probability that a pair has in no outcome ends the trial, so what is terminated bootstraps nothing:

        q(s, c) = reward(s, c) + discount * sum of probability * v(following) over the outcomes of (s, c)

    >>> # From state 0, action 1 goes on to state 1 or stays, and state 1 ends the trial and pays.
    >>> transition = jnp.array([[[1.0, 0.0], [0.25, 0.75]], [[0.0, 1.0], [0.0, 1.0]]])
    >>> mdp = FiniteMDP.dense(transition, jnp.array([[0.0, -0.125], [3.0, 2.0]]), jnp.array([[0, 0], [1, 1]]), 0.5)
    >>> mdp.backup(jnp.array([1.0, 4.0])).tolist()
    [[0.5, 1.5], [3.0, 2.0]]

    Raises `InputError` where numbers are not finite, probabilities are not such, or states are unknown.
    """

    pair: Int[Array, "e"]
    following: Int[Array, "e"]
    probability: Float[Array, "e"]
    reward: Float[Array, "s c"]  # expected, of the step
    discount: Real = real()

    def __check_init__(self) -> None:
        leaves = (self.pair, self.following, self.probability, self.reward, self.discount)
        if any(isinstance(leaf, Tracer) or not eqx.is_array_like(leaf) for leaf in leaves):
            return
        pair, following, probability, reward, discount = (np.asarray(leaf) for leaf in leaves)
        if not (np.isfinite(reward).all() and np.isfinite(probability).all() and (probability >= 0).all()):
            raise InputError("rewards must be finite and probabilities finite and not negative, got others; mend them")
        if not 0 <= discount <= 1:
            raise InputError(f"a discount must be from 0 to 1, got {discount}")
        for what, values, size in (("pair", pair, reward.size), ("following", following, reward.shape[0])):
            if values.size and (values.min() < 0 or values.max() >= size):
                raise InputError(f"{what} must be numbers below {size}, got {values.min()} to {values.max()}")
        total = np.bincount(pair, probability, reward.size)
        if (total > 1 + TOLERANCE).any():
            state, choice = divmod(int(total.argmax()), reward.shape[1])
            raise InputError(
                "the probabilities of what follows a state and an action must sum to at most one, got "
                f"{total.max():.6g} for state {state} and action {choice}"
            )

    @classmethod
    def dense(
        cls,
        transition: Float[Array, "s c s"],
        reward: Float[Array, "s c"],
        termination: Float[Array, "s c"] | Int[Array, "s c"],
        discount: float | Real,
    ) -> "FiniteMDP":
        """From a whole table of probabilities, and the probability that a step ends the trial wherever it leads.

        Raises `InputError` where shapes do not agree, rows do not sum to one, or a termination is no probability.
        """
        table, ends = np.asarray(transition), np.asarray(termination)
        pairs = table.shape[:2]
        if table.ndim != 3 or table.shape != (*pairs, pairs[0]) or not ends.shape == jnp.shape(reward) == pairs:
            raise InputError(
                "a table must be of states x actions x states, and reward and termination of states x actions, got "
                f"shapes {table.shape}, {jnp.shape(reward)} and {ends.shape}"
            )
        total = table.sum(-1)
        if not (np.abs(total - 1) <= TOLERANCE).all():
            state, choice = np.unravel_index(int(np.nanargmax(np.abs(total - 1))), total.shape)
            raise InputError(
                "the probabilities of what follows a state and an action must sum to one, got "
                f"{total[state, choice]:.6g} for state {state} and action {choice}"
            )
        if not ((ends >= 0) & (ends <= 1)).all():
            raise InputError(f"a termination must be a probability, got {ends.min()} to {ends.max()}")
        going = table * (1 - ends)[..., None]
        states, choices, following = (jnp.asarray(index) for index in np.nonzero(going))
        probability = jnp.asarray(going[going != 0], float)
        return cls(states * table.shape[1] + choices, following, probability, reward, discount)

    @property
    def states(self) -> int:
        return self.reward.shape[0]

    @property
    def choices(self) -> int:
        return self.reward.shape[1]

    @property
    def termination(self) -> Float[Array, "s c"]:
        """The probability that a step ends the trial."""
        going = jax.ops.segment_sum(self.probability, self.pair, self.reward.size)
        return jnp.clip(1 - going.reshape(self.reward.shape), 0.0, 1.0)

    def backup(self, values: Float[Array, "s"]) -> Float[Array, "s c"]:
        """The worth of each action in each state, given the worth of the states that may follow."""
        expected = jax.ops.segment_sum(self.probability * values[self.following], self.pair, self.reward.size)
        return self.reward + self.discount * expected.reshape(self.reward.shape)

    def followed(self, policy: Float[Array, "s c"]) -> tuple[Float[Array, "s s"], Float[Array, "s"]]:
        """Probabilities of going on from state to state, and expected rewards, where actions have these probabilities.

        Raises `InputError` where the matrix would not fit.
        """
        if self.states > MOST_STATES:
            raise InputError(
                f"a matrix from states to states can be had of at most {MOST_STATES} of them, got {self.states}; "
                "evaluate the policy iteratively or take a coarser grid"
            )
        weight = self.probability * policy.reshape(-1)[self.pair]
        matrix = jnp.zeros((self.states, self.states)).at[self.pair // self.choices, self.following].add(weight)
        return matrix, jnp.sum(policy * self.reward, axis=1)

    def table(self) -> Float[Array, "s c s"]:
        """The probabilities of going on, as a whole table. Raises `InputError` where it would not fit."""
        entries = self.reward.size * self.states
        if entries > MOST_DENSE:
            raise InputError(
                f"a table of {self.states} states, {self.choices} actions and {self.states} states has {entries} "
                f"entries, at most {MOST_DENSE} can be had; work on the outcomes or take a coarser grid"
            )
        flat = jnp.zeros((self.reward.size, self.states)).at[self.pair, self.following].add(self.probability)
        return flat.reshape(self.states, self.choices, self.states)

    def sample(
        self, key: PRNGKeyArray, state: Int[Array, ""], choice: Int[Array, ""]
    ) -> tuple[Int[Array, ""], Bool[Array, ""]]:
        """Where a step leads, and whether it ends the trial; where it does, the state stays. Looks at all outcomes."""
        going = jnp.cumsum(jnp.where(self.pair == state * self.choices + choice, self.probability, 0.0))
        total = jnp.max(going, initial=0.0)
        drawn = jax.random.uniform(key) * jnp.where(total > 1 - TOLERANCE, total, 1.0)  # rounding ends no trial
        outcome = jnp.sum(going <= drawn)
        ended = outcome == self.pair.size
        return jnp.where(ended, state, jnp.append(self.following, 0)[outcome]), ended
