"""Dynamic programming: the worth of states and actions, and the best policy, of an MDP that is known."""

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

TOLERANCE = 1e-3  # of a worth
MOST = 20_000  # sweeps; float32 may stop short of a tolerance that is too small for it


class Solution(eqx.Module):
    """What a method came to. `values` is the best action's worth, or that of the policy that was asked about."""

    values: Float[Array, "s"]
    q: Float[Array, "s c"]
    sweeps: Int[Array, ""]  # over all states; for policy iteration, policies that were evaluated
    bound: Float[Array, ""]  # no worth is further from the truth than this, rounding apart

    @property
    def policy(self) -> Int[Array, "s"]:
        """The greedy choice of each state, the first of equals."""
        return jnp.argmax(self.q, axis=1)


def evaluate(mdp: FiniteMDP, policy: Float[Array, "s c"], tolerance: float | Real = TOLERANCE) -> Solution:
    """The worth of a policy, given by each state's probabilities of actions: sweeps until the bound is met.

    `v <- sum over c of policy (r + discount P v)`. With `d` the greatest change of a sweep, no worth is further from
    its limit than `discount / (1 - discount) d`. Without discount there is no such bound: sweeps end where `d` is below
    the tolerance, and so says `bound`.

    Raises `InputError` where the policy is none, and where there is no discount and it never ends the trial from some
    state.

    Source: [Sutton18] section 4.1, [Puterman94] section 6.3. Deviates: sweeps are simultaneous.
    """
    _check_policy(mdp, policy)
    average = lambda q: jnp.sum(policy * q, axis=1)  # noqa: E731
    return _sweep(lambda values: average(mdp.backup(values)), mdp, tolerance)


def evaluate_exactly(mdp: FiniteMDP, policy: Float[Array, "s c"]) -> Solution:
    """The worth of a policy by a linear solve: `(I - discount P) v = r`.

    Raises `InputError` as `evaluate` does, and where the states are too many for a matrix.

    Source: [Sutton18] section 4.1. Deviates: no.
    """
    _check_policy(mdp, policy)
    going, reward = mdp.followed(policy)
    values = jnp.linalg.solve(jnp.eye(mdp.states) - mdp.discount * going, reward)
    return Solution(values, mdp.backup(values), jnp.ones((), int), jnp.zeros(()))


def value_iteration(mdp: FiniteMDP, tolerance: float | Real = TOLERANCE) -> Solution:
    """`v <- max over c of (r + discount P v)`, with the bound of `evaluate`.

    A policy that is greedy to the answer loses at most `2 discount / (1 - discount)` times the bound.

    >>> transition = jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])
    >>> reward, never = jnp.array([[0.2, -1.0], [0.5, 0.0]]), jnp.zeros((2, 2))
    >>> solved = value_iteration(FiniteMDP.dense(transition, reward, never, 0.9))
    >>> solved.values.round(2).tolist(), solved.policy.tolist()
    ([3.5, 5.0], [1, 0])

    Raises `InputError` where there is no discount and from some state no policy ends the trial.

    Source: [Sutton18] section 4.4, [Puterman94] section 6.3. Deviates: sweeps are simultaneous.
    """
    _check_ends(mdp, jnp.ones_like(mdp.reward), "no policy ends the trial")
    return _sweep(lambda values: mdp.backup(values).max(1), mdp, tolerance)


def q_value_iteration(mdp: FiniteMDP, tolerance: float | Real = TOLERANCE) -> Solution:
    """`q <- r + discount P max over c of q`: value iteration that keeps a worth for each action.

    Raises `InputError` as `value_iteration` does.

    Source: [Sutton18] section 4.4. Deviates: no.
    """
    _check_ends(mdp, jnp.ones_like(mdp.reward), "no policy ends the trial")
    q, sweeps, bound = _fixed_point(lambda q: mdp.backup(q.max(1)), jnp.zeros_like(mdp.reward), mdp, tolerance)
    return Solution(q.max(1), q, sweeps, bound)


def policy_iteration(mdp: FiniteMDP) -> Solution:
    """Evaluate a policy exactly, make it greedy, until it stays as it is: finitely many policies get ever better.

    Raises `InputError` where the states are too many for a matrix, and where there is no discount.

    The bound is that of one sweep of value iteration from the last policy's worth.

    Source: [Sutton18] section 4.3. Deviates: policies that rounding makes take turns end it too.
    """
    _check_discount(mdp)
    return _improve(mdp, lambda policy: evaluate_exactly(mdp, policy).q)


def q_policy_iteration(mdp: FiniteMDP, tolerance: float | Real = TOLERANCE) -> Solution:
    """Policy iteration on the worth of actions, each policy evaluated by sweeps: `q <- r + discount P q(., policy)`.

    It needs no matrix from states to states, so it serves where `policy_iteration` is too large.

    Raises `InputError` where there is no discount.

    Source: [Sutton18] section 4.3. Deviates: as `policy_iteration`.
    """
    _check_discount(mdp)

    def worth(policy: Float[Array, "s c"]) -> Float[Array, "s c"]:
        average = lambda q: mdp.backup(jnp.sum(policy * q, axis=1))  # noqa: E731
        return _fixed_point(average, jnp.zeros_like(mdp.reward), mdp, tolerance)[0]

    return _improve(mdp, worth)


def _improve(mdp: FiniteMDP, worth: Callable[[Float[Array, "s c"]], Float[Array, "s c"]]) -> Solution:
    """Policy iteration until a policy comes again: the last one, or one that it takes turns with.

    A policy is a function of the one before, so one that comes again does so for ever. Each is compared with the one
    that stood at the last power of two [Brent80], which every circle comes back to.
    """

    def going(carry: tuple) -> Bool[Array, ""]:
        _, _, _, evaluated, again = carry
        return ~again & (evaluated < MOST)

    def better(carry: tuple) -> tuple:
        choice, stood, _, evaluated, _ = carry
        stood = jnp.where((evaluated & (evaluated - 1)) == 0, choice, stood)
        q = worth(jax.nn.one_hot(choice, mdp.choices))
        held = jnp.take_along_axis(q, choice[:, None], axis=1)[:, 0]
        improved = jnp.where(q.max(1) > held, jnp.argmax(q, axis=1), choice)
        again = (improved == choice).all() | (improved == stood).all()
        return improved, stood, q, evaluated + 1, again

    first, none = jnp.zeros(mdp.states, int), jnp.zeros((), int)
    start = first, first, jnp.zeros_like(mdp.reward), none, jnp.zeros((), bool)
    _, _, q, evaluated, _ = jax.lax.while_loop(going, better, start)
    swept = mdp.backup(q.max(1))
    return Solution(swept.max(1), swept, evaluated, _factor(mdp) * jnp.abs(swept - q).max())


def _sweep(step: Callable[[Float[Array, "s"]], Float[Array, "s"]], mdp: FiniteMDP, tolerance: float | Real) -> Solution:
    values, sweeps, bound = _fixed_point(step, jnp.zeros(mdp.states), mdp, tolerance)
    return Solution(values, mdp.backup(values), sweeps, bound)


def _fixed_point(
    step: Callable[[Float[Array, "*b"]], Float[Array, "*b"]],
    start: Float[Array, "*b"],
    mdp: FiniteMDP,
    tolerance: float | Real,
) -> tuple[Float[Array, "*b"], Int[Array, ""], Float[Array, ""]]:
    """Sweep until the bound on the distance from the fixed point is at most the tolerance."""

    def going(carry: tuple) -> Bool[Array, ""]:
        _, sweeps, bound = carry
        return (bound > tolerance) & (sweeps < MOST)

    def once(carry: tuple) -> tuple:
        values, sweeps, _ = carry
        moved = step(values)
        return moved, sweeps + 1, _factor(mdp) * jnp.abs(moved - values).max()

    return jax.lax.while_loop(going, once, (start, jnp.zeros((), int), jnp.full((), jnp.inf)))


def _factor(mdp: FiniteMDP) -> Float[Array, ""]:
    """How far off a worth may be for each unit that the last sweep changed; without discount there is no such bound."""
    discount = mdp.discount
    return jnp.where(discount < 1, discount / jnp.maximum(1 - discount, 1e-30), 1.0)


def _check_discount(mdp: FiniteMDP) -> None:
    if not isinstance(mdp.discount, Tracer) and mdp.discount >= 1:
        raise InputError(
            "policy iteration needs a discount below 1, since a policy on the way may never end the trial, got "
            f"{float(mdp.discount)}; use value_iteration, or a discount"
        )


def _check_policy(mdp: FiniteMDP, policy: Array) -> None:
    if jnp.shape(policy) != mdp.reward.shape:
        raise InputError(
            f"a policy must give each of {mdp.states} states the probabilities of {mdp.choices} actions, got an array "
            f"of shape {jnp.shape(policy)}; of numbers of actions make it by jax.nn.one_hot(numbers, {mdp.choices})"
        )
    if not isinstance(policy, Tracer):
        rows = np.asarray(policy)
        sane = (rows >= 0).all(1) & (np.abs(rows.sum(1) - 1) <= ROUNDING)
        if not sane.all():
            state = int(sane.argmin())
            raise InputError(
                f"a policy's probabilities of actions must sum to one in each state, got {rows[state]} in {state}"
            )
    _check_ends(mdp, policy, "the policy may never end the trial")


def _check_ends(mdp: FiniteMDP, policy: Float[Array, "s c"], complaint: str) -> None:
    """Without a discount, the end must be within reach from each state along actions that the policy may take."""
    if any(isinstance(leaf, Tracer) for leaf in (*jax.tree.leaves(mdp), policy)) or mdp.discount < 1:
        return
    taken = np.asarray(policy) > 0
    used = taken.reshape(-1)[np.asarray(mdp.pair)] & (np.asarray(mdp.probability) > 0)
    source, following = np.asarray(mdp.pair)[used] // mdp.choices, np.asarray(mdp.following)[used]
    reaching = np.asarray((taken & (np.asarray(mdp.termination) > ROUNDING)).any(axis=1))
    before = -1
    while before != (before := int(reaching.sum())):
        np.logical_or.at(reaching, source, reaching[following])
    if not reaching.all():
        raise InputError(
            f"without a discount every worth must be a finite sum, but {complaint} from state {int(reaching.argmin())} "
            f"({int((~reaching).sum())} such states); use a discount below 1"
        )
