"""Small finite systems, and their answers by NumPy in double precision."""

import itertools

import jax.numpy as jnp
import numpy as np

from handful.values.mdp import FiniteMDP


def random_mdp(discount=0.9, states=4, choices=3):
    """Nothing in it is zero, equal or symmetric; some steps end the trial with some probability."""
    rng = np.random.default_rng(7)
    transition = rng.dirichlet(np.full(states, 0.6), (states, choices))
    reward = rng.normal(0.7, 2.0, (states, choices))
    termination = rng.uniform(0.0, 0.4, (states, choices)) * (rng.uniform(size=(states, choices)) < 0.5)
    termination[1, 2] = 1.0
    mdp = FiniteMDP.dense(*(jnp.asarray(x, jnp.float32) for x in (transition, reward, termination)), discount)
    return mdp, transition * (1 - termination)[..., None], reward


def worth_of(going, reward, policy, discount):
    """Of a policy, by a linear solve."""
    matrix = np.einsum("sc,sct->st", policy, going)
    return np.linalg.solve(np.eye(len(reward)) - discount * matrix, (policy * reward).sum(1))


def best_of(going, reward, discount):
    """The best worth of each state, by trying every deterministic policy; and that policy."""
    states, choices = reward.shape
    tried = {
        policy: worth_of(going, reward, np.eye(choices)[list(policy)], discount)
        for policy in itertools.product(range(choices), repeat=states)
    }
    best = max(tried, key=lambda policy: tried[policy].sum())
    assert all((tried[best] >= worth - 1e-9).all() for worth in tried.values())
    return tried[best], best


def swept(table, discount, sweeps=3000):
    """The best worth in a toy-text table, by sweeps in NumPy over the table itself."""
    values = np.zeros(len(table))
    for _ in range(sweeps):
        before = values.copy()
        for state, actions in table.items():
            values[state] = max(
                sum(chance * (paid + discount * before[after] * (not over)) for chance, after, paid, over in outcomes)
                for outcomes in actions.values()
            )
        if np.abs(values - before).max() < 1e-12:
            break
    return values
