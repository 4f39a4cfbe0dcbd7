"""Dynamic programming: the values and the optimal policy of a known finite MDP."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from handful.errors import InputError
from handful.fields import Real
from handful.values.mdp import TOLERANCE as ROUNDING
from handful.values.mdp import FiniteMDP

TOLERANCE = 1e-3  # of a value
MAX_SWEEPS = 20_000  # float32 may never reach a very small tolerance


class Solution(eqx.Module):
    """The result of a method. `values` are those of the best action, or of the evaluated policy."""

    values: Float[Array, "s"]
    q: Float[Array, "s c"]
    sweeps: Int[Array, ""]  # over all states; for policy iteration, policies evaluated
    bound: Float[Array, ""]  # on the error of every value, apart from rounding

    @property
    def policy(self) -> Int[Array, "s"]:
        """The greedy action of each state, the first of equal ones."""
        return jnp.argmax(self.q, axis=1)


def evaluate(mdp: FiniteMDP, policy: Float[Array, "s c"], tolerance: float | Real = TOLERANCE) -> Solution:
    """The value of a policy, given as probabilities of actions, by sweeps until the error bound is below `tolerance`.

    `v <- sum over a of policy (r + discount P v)`. If `d` is the largest change of a sweep, the error is at most
    `discount / (1 - discount) d`. Without discount there is no such bound: sweeps end when `d` is below the tolerance,
    and `bound` is `d`.

    Raises `InputError` if the probabilities do not sum to one, or if without discount the policy never terminates from
    some state.

    Source: [Sutton18] section 4.1, [Puterman94] section 6.3. Deviates: sweeps update all states at once.
    """
    _check_policy(mdp, policy)
    average = lambda q: jnp.sum(policy * q, axis=1)
    return _sweep(lambda values: average(mdp.backup(values)), mdp, tolerance)


def evaluate_exactly(mdp: FiniteMDP, policy: Float[Array, "s c"]) -> Solution:
    """The value of a policy by a linear solve: `(I - discount P) v = r`.

    Raises `InputError` as `evaluate` does, and if there are too many states for a matrix.

    Source: [Sutton18] section 4.1. Deviates: no.
    """
    _check_policy(mdp, policy)
    matrix, reward = mdp.under_policy(policy)
    values = jnp.linalg.solve(jnp.eye(mdp.state_count) - mdp.discount * matrix, reward)
    return Solution(values, mdp.backup(values), jnp.ones((), int), jnp.zeros(()))


def value_iteration(mdp: FiniteMDP, tolerance: float | Real = TOLERANCE) -> Solution:
    """`v <- max over a of (r + discount P v)`, with the bound of `evaluate`.

    The greedy policy of the result loses at most `2 discount / (1 - discount)` times the bound.

    >>> transition = jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])
    >>> reward, never = jnp.array([[0.2, -1.0], [0.5, 0.0]]), jnp.zeros((2, 2))
    >>> solved = value_iteration(FiniteMDP.dense(transition, reward, never, 0.9))
    >>> solved.values.round(2).tolist(), solved.policy.tolist()
    ([3.5, 5.0], [1, 0])

    Raises `InputError` if without discount no policy terminates from some state.

    Source: [Sutton18] section 4.4, [Puterman94] section 6.3. Deviates: sweeps update all states at once.
    """
    _check_ends(mdp, jnp.ones_like(mdp.reward), "no policy terminates")
    return _sweep(lambda values: mdp.backup(values).max(1), mdp, tolerance)


def q_value_iteration(mdp: FiniteMDP, tolerance: float | Real = TOLERANCE) -> Solution:
    """`q <- r + discount P max over a of q`: value iteration on action values.

    Raises `InputError` as `value_iteration` does.

    Source: [Sutton18] section 4.4. Deviates: no.
    """
    _check_ends(mdp, jnp.ones_like(mdp.reward), "no policy terminates")
    q, sweeps, bound = _fixed_point(lambda q: mdp.backup(q.max(1)), jnp.zeros_like(mdp.reward), mdp, tolerance)
    return Solution(q.max(1), q, sweeps, bound)


def policy_iteration(mdp: FiniteMDP) -> Solution:
    """Evaluates a policy exactly and makes it greedy, until it no longer changes.

    The bound is that of one sweep of value iteration from the last policy's values.

    Raises `InputError` if there are too many states for a matrix, or no discount.

    Source: [Sutton18] section 4.3. Deviates: also ends if rounding makes policies repeat in a cycle.
    """
    _check_discount(mdp)
    return _improve(mdp, lambda policy: evaluate_exactly(mdp, policy).q)


def q_policy_iteration(mdp: FiniteMDP, tolerance: float | Real = TOLERANCE) -> Solution:
    """Policy iteration on action values, each policy evaluated by sweeps: `q <- r + discount P q(., policy)`.

    Needs no state-to-state matrix, so it works where `policy_iteration` has too many states.

    Raises `InputError` if there is no discount.

    Source: [Sutton18] section 4.3. Deviates: as `policy_iteration`.
    """
    _check_discount(mdp)

    def q_of(policy: Float[Array, "s c"]) -> Float[Array, "s c"]:
        average = lambda q: mdp.backup(jnp.sum(policy * q, axis=1))
        return _fixed_point(average, jnp.zeros_like(mdp.reward), mdp, tolerance)[0]

    return _improve(mdp, q_of)


def _improve(mdp: FiniteMDP, q_of: Callable[[Float[Array, "s c"]], Float[Array, "s c"]]) -> Solution:
    """Policy iteration until a policy repeats: the last one, or one of a cycle.

    A policy is a function of the one before, so once one repeats, the cycle goes on for ever. Each is compared with the
    one stored at the last power of two [Brent80], which finds every cycle.
    """

    def running(carry: tuple) -> Bool[Array, ""]:
        _, _, _, evaluated, repeated = carry
        return ~repeated & (evaluated < MAX_SWEEPS)

    def improve(carry: tuple) -> tuple:
        action, stored, _, evaluated, _ = carry
        stored = jnp.where((evaluated & (evaluated - 1)) == 0, action, stored)
        q = q_of(jax.nn.one_hot(action, mdp.action_count))
        improved = jnp.argmax(q, axis=1)
        repeated = (improved == action).all() | (improved == stored).all()
        return improved, stored, q, evaluated + 1, repeated

    first, zero = jnp.zeros(mdp.state_count, int), jnp.zeros((), int)
    start = first, first, jnp.zeros_like(mdp.reward), zero, jnp.zeros((), bool)
    _, _, q, evaluated, _ = jax.lax.while_loop(running, improve, start)
    swept = mdp.backup(q.max(1))
    return Solution(swept.max(1), swept, evaluated, _factor(mdp) * jnp.abs(swept - q).max())


def _sweep(step: Callable[[Float[Array, "s"]], Float[Array, "s"]], mdp: FiniteMDP, tolerance: float | Real) -> Solution:
    values, sweeps, bound = _fixed_point(step, jnp.zeros(mdp.state_count), mdp, tolerance)
    return Solution(values, mdp.backup(values), sweeps, bound)


def _fixed_point(
    step: Callable[[Float[Array, "*b"]], Float[Array, "*b"]],
    start: Float[Array, "*b"],
    mdp: FiniteMDP,
    tolerance: float | Real,
) -> tuple[Float[Array, "*b"], Int[Array, ""], Float[Array, ""]]:
    """Sweeps until the bound on the distance from the fixed point is at most the tolerance."""

    def running(carry: tuple) -> Bool[Array, ""]:
        _, sweeps, bound = carry
        return (bound > tolerance) & (sweeps < MAX_SWEEPS)

    def once(carry: tuple) -> tuple:
        values, sweeps, _ = carry
        swept = step(values)
        return swept, sweeps + 1, _factor(mdp) * jnp.abs(swept - values).max()

    return jax.lax.while_loop(running, once, (start, jnp.zeros((), int), jnp.full((), jnp.inf)))


def _factor(mdp: FiniteMDP) -> Float[Array, ""]:
    """The error bound per unit of the last sweep's largest change; 1 without discount, where there is no bound."""
    discount = mdp.discount
    return jnp.where(discount < 1, discount / jnp.maximum(1 - discount, 1e-30), 1.0)


def _check_discount(mdp: FiniteMDP) -> None:
    if not isinstance(mdp.discount, Tracer) and mdp.discount >= 1:
        raise InputError(
            "policy iteration needs a discount below 1, since an intermediate policy may never terminate, got "
            f"{float(mdp.discount)}; use value_iteration, or a discount"
        )


def _check_policy(mdp: FiniteMDP, policy: Array) -> None:
    if jnp.shape(policy) != mdp.reward.shape:
        raise InputError(
            f"a policy must give each of {mdp.state_count} states the probabilities of {mdp.action_count} actions, got "
            f"an array of shape {jnp.shape(policy)}; make one from indices by jax.nn.one_hot(indices, "
            f"{mdp.action_count})"
        )
    if not isinstance(policy, Tracer):
        rows = np.asarray(policy)
        valid = (rows >= 0).all(1) & (np.abs(rows.sum(1) - 1) <= ROUNDING)
        if not valid.all():
            state = int(valid.argmin())
            raise InputError(
                f"a policy's probabilities of actions must sum to one in each state, got {rows[state]} in {state}"
            )
    _check_ends(mdp, policy, "the policy may never terminate")


def _check_ends(mdp: FiniteMDP, policy: Float[Array, "s c"], complaint: str) -> None:
    """Without a discount, termination must be reachable from each state by actions that the policy may take."""
    if any(isinstance(leaf, Tracer) for leaf in (*jax.tree.leaves(mdp), policy)) or mdp.discount < 1:
        return
    taken = np.asarray(policy) > 0
    used = taken.reshape(-1)[np.asarray(mdp.pair)] & (np.asarray(mdp.probability) > 0)
    source, target = np.asarray(mdp.pair)[used] // mdp.action_count, np.asarray(mdp.next_state)[used]
    reaching = np.asarray((taken & (np.asarray(mdp.termination) > ROUNDING)).any(axis=1))
    before = -1
    while before != (before := int(reaching.sum())):
        np.logical_or.at(reaching, source, reaching[target])
    if not reaching.all():
        raise InputError(
            f"without a discount every value must be a finite sum, but {complaint} from state {int(reaching.argmin())} "
            f"({int((~reaching).sum())} such states); use a discount below 1"
        )
