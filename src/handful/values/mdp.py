"""A finite Markov decision process, the model that dynamic programming works on."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, real

MAX_TABLE = 20_000_000  # entries of a dense transition table; 80 MB in float32
MAX_STATES = 4096  # of a state-to-state matrix; 64 MB in float32
TOLERANCE = 1e-4  # of a sum of probabilities; float32 adds thousands of outcomes no better


class FiniteMDP(eqx.Module):
    """States and actions by index, and a list of outcomes of each pair of them.

    Outcome `e` says that the pair `pair[e] = state * action_count + action` leads to `next_state[e]` with
    `probability[e]`. The probability that is missing to 1 terminates the episode, which bootstraps nothing:

        q(s, a) = reward(s, a) + discount * sum of probability * v(next_state) over the outcomes of (s, a)

    >>> # From state 0, action 1 leads to state 1 or stays, and state 1 terminates with a reward.
    >>> transition = jnp.array([[[1.0, 0.0], [0.25, 0.75]], [[0.0, 1.0], [0.0, 1.0]]])
    >>> mdp = FiniteMDP.dense(transition, jnp.array([[0.0, -0.125], [3.0, 2.0]]), jnp.array([[0, 0], [1, 1]]), 0.5)
    >>> mdp.backup(jnp.array([1.0, 4.0])).tolist()
    [[0.5, 1.5], [3.0, 2.0]]

    Raises `InputError` if a number is not finite, probabilities are negative or sum to more than 1, or an index is out
    of range.
    """

    pair: Int[Array, "e"]
    next_state: Int[Array, "e"]
    probability: Float[Array, "e"]
    reward: Float[Array, "s c"]  # expected, of the step
    discount: Real = real()

    def __check_init__(self) -> None:
        leaves = (self.pair, self.next_state, self.probability, self.reward, self.discount)
        if any(isinstance(leaf, Tracer) or not eqx.is_array_like(leaf) for leaf in leaves):
            return
        pair, next_state, probability, reward, discount = (np.asarray(leaf) for leaf in leaves)
        if not (np.isfinite(reward).all() and np.isfinite(probability).all() and (probability >= 0).all()):
            raise InputError("rewards must be finite, and probabilities finite and not negative; got others")
        if not 0 <= discount <= 1:
            raise InputError(f"discount must be from 0 to 1, got {discount}")
        for what, values, size in (("pair", pair, reward.size), ("next_state", next_state, reward.shape[0])):
            if values.size and (values.min() < 0 or values.max() >= size):
                raise InputError(f"{what} must be indices below {size}, got {values.min()} to {values.max()}")
        total = np.bincount(pair, probability, reward.size)
        if (total > 1 + TOLERANCE).any():
            state, action = divmod(int(total.argmax()), reward.shape[1])
            raise InputError(
                "the probabilities of the outcomes of a state and an action must sum to at most one, got "
                f"{total.max():.6g} for state {state} and action {action}"
            )

    @classmethod
    def dense(
        cls,
        transition: Float[Array, "s c s"],
        reward: Float[Array, "s c"],
        termination: Float[Array, "s c"] | Int[Array, "s c"],
        discount: float | Real,
    ) -> "FiniteMDP":
        """From a table of transition probabilities, and the probability that a step terminates wherever it leads.

        Raises `InputError` if shapes do not agree, rows do not sum to one, or a termination is no probability.
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
            state, action = np.unravel_index(int(np.nanargmax(np.abs(total - 1))), total.shape)
            raise InputError(
                "the transition probabilities of a state and an action must sum to one, got "
                f"{total[state, action]:.6g} for state {state} and action {action}"
            )
        if not ((ends >= 0) & (ends <= 1)).all():
            raise InputError(f"a termination must be a probability, got {ends.min()} to {ends.max()}")
        continuing = table * (1 - ends)[..., None]
        states, actions, next_states = (jnp.asarray(index) for index in np.nonzero(continuing))
        probability = jnp.asarray(continuing[continuing != 0], float)
        return cls(states * table.shape[1] + actions, next_states, probability, reward, discount)

    @property
    def state_count(self) -> int:
        return self.reward.shape[0]

    @property
    def action_count(self) -> int:
        return self.reward.shape[1]

    @property
    def termination(self) -> Float[Array, "s c"]:
        """The probability that a step terminates."""
        continuing = jax.ops.segment_sum(self.probability, self.pair, self.reward.size)
        return jnp.clip(1 - continuing.reshape(self.reward.shape), 0.0, 1.0)

    def backup(self, values: Float[Array, "s"]) -> Float[Array, "s c"]:
        """The value of each action in each state, given the values of the next states."""
        expected = jax.ops.segment_sum(self.probability * values[self.next_state], self.pair, self.reward.size)
        return self.reward + self.discount * expected.reshape(self.reward.shape)

    def under_policy(self, policy: Float[Array, "s c"]) -> tuple[Float[Array, "s s"], Float[Array, "s"]]:
        """State-to-state probabilities and expected rewards under a policy, given as probabilities of actions.

        Raises `InputError` if there are too many states for a matrix.
        """
        if self.state_count > MAX_STATES:
            raise InputError(
                f"a state-to-state matrix is limited to {MAX_STATES} states, got {self.state_count}; evaluate the "
                "policy iteratively or use a coarser grid"
            )
        weight = self.probability * policy.reshape(-1)[self.pair]
        matrix = jnp.zeros((self.state_count, self.state_count))
        matrix = matrix.at[self.pair // self.action_count, self.next_state].add(weight)
        return matrix, jnp.sum(policy * self.reward, axis=1)

    def table(self) -> Float[Array, "s c s"]:
        """The transition probabilities as a dense table. Raises `InputError` if that would be too large."""
        entries = self.reward.size * self.state_count
        if entries > MAX_TABLE:
            raise InputError(
                f"a dense table of {self.state_count} states and {self.action_count} actions has {entries} entries, "
                f"more than the limit of {MAX_TABLE}; work on the outcomes or use a coarser grid"
            )
        flat = jnp.zeros((self.reward.size, self.state_count)).at[self.pair, self.next_state].add(self.probability)
        return flat.reshape(self.state_count, self.action_count, self.state_count)

    def sample(
        self, key: PRNGKeyArray, state: Int[Array, ""], action: Int[Array, ""]
    ) -> tuple[Int[Array, ""], Bool[Array, ""]]:
        """The next state of a step, and whether it terminates, in which case the state stays. Scans all outcomes."""
        cumulative = jnp.cumsum(jnp.where(self.pair == state * self.action_count + action, self.probability, 0.0))
        total = jnp.max(cumulative, initial=0.0)
        drawn = jax.random.uniform(key) * jnp.where(total > 1 - TOLERANCE, total, 1.0)  # rounding does not terminate
        outcome = jnp.sum(cumulative <= drawn)
        ended = outcome == self.pair.size
        return jnp.where(ended, state, jnp.append(self.next_state, 0)[outcome]), ended
