"""TRPO against dense linear algebra, and what its line search lets through."""

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

import zoo
from handful.envs.pendulum import Pendulum
from handful.optimiser import Adam
from handful.policies.mlp import MLP
from handful.policies.stochastic import CategoricalHead, GaussianHead, StateDependentGaussianHead
from handful.policy_optimization.base import ActorCriticNets, Samples
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.trpo import TRPO, TrustRegion, conjugate_gradients, fisher_products
from handful.types import Batch, Transition
from probes import same

KEY, OTHER = jax.random.split(jax.random.key(5))
PRODUCTS = 37  # no other loop is as long
SEEN = jnp.asarray(np.random.default_rng(2).normal(size=(9, 3)), jnp.float32)
HEADS = {
    "gaussian": GaussianHead(MLP.init(KEY, (3, 4, 2)), jnp.array([-0.4, 0.3])),
    "categorical": CategoricalHead(MLP.init(KEY, (3, 4, 3))),
    "state-dependent": StateDependentGaussianHead(MLP.init(KEY, (3, 4, 4)), (-2.0, 1.0)),
}


def mean_kl(head, other):
    return jnp.mean(jax.vmap(lambda x: head(x).kl(other(x)))(SEEN))


@eqx.filter_jit
def dense_fisher(head):
    """The second derivative of the mean divergence at zero."""
    flat, unravel = jax.flatten_util.ravel_pytree(head)
    return jax.hessian(lambda weights: mean_kl(head, unravel(weights)))(flat)


@eqx.filter_jit
def samples_of(head):
    before = jax.vmap(head)(SEEN)
    choice = jax.vmap(lambda d, key: d.sample(key))(before, jax.random.split(KEY, 9))
    log_prob = jax.vmap(lambda d, c: d.log_prob(c))(before, choice)
    advantage = jax.random.normal(OTHER, (9,)) + 0.4
    return Samples(SEEN, choice, before, log_prob, advantage, advantage)


def gain(head, samples):
    """The surrogate, written anew."""
    log_prob = jax.vmap(lambda x, c: head(x).log_prob(c))(SEEN, samples.raw_action)
    advantage = (samples.advantage - samples.advantage.mean()) / samples.advantage.std()
    return jnp.mean(jnp.exp(log_prob - samples.log_prob) * advantage)


def learner(**settings):
    return TRPO(3, 3, region=TrustRegion(**settings), value_minibatches=3, nets=ActorCriticNets((4,)))


@eqx.filter_jit
def improved(learner, head, samples):
    return learner.trust_region_step(head, samples, learner.region.delta)


@pytest.mark.parametrize("name", list(HEADS))
def test_products_are_those_with_the_dense_matrix(name):
    head = HEADS[name]
    size = jax.flatten_util.ravel_pytree(head)[0].size
    products = eqx.filter_jit(lambda head: jax.vmap(fisher_products(head, SEEN))(jnp.eye(size)))(head)
    np.testing.assert_allclose(products, dense_fisher(head), rtol=1e-3, atol=1e-5)


def test_the_dense_matrix_is_the_mean_outer_product_of_scores():
    """A second oracle: every category's score at every observation, weighed by its probability."""
    head = HEADS["categorical"]
    flat, unravel = jax.flatten_util.ravel_pytree(head)
    of = lambda weights: jax.vmap(lambda x: jax.nn.log_softmax(unravel(weights)(x).logits))(SEEN)
    scores, log_p = np.asarray(eqx.filter_jit(jax.jacobian(of))(flat), float), np.asarray(of(flat), float)
    fisher = np.einsum("bc,bci,bcj->ij", np.exp(log_p), scores, scores) / 9
    np.testing.assert_allclose(dense_fisher(head), fisher, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", list(HEADS))
def test_the_whole_step_is_the_one_of_a_dense_solve(name):
    """`sqrt(2 delta / x'Ax) x`, `A x = g`: in a region so small that the first try is accepted."""
    head, samples = HEADS[name], samples_of(HEADS[name])
    flat, unravel = jax.flatten_util.ravel_pytree(head)
    gradient = np.asarray(jax.jit(jax.grad(lambda weights: gain(unravel(weights), samples)))(flat), float)
    matrix = np.asarray(dense_fisher(head), float) + 0.3 * np.eye(flat.size)
    direction = np.linalg.solve(matrix, gradient)
    step = np.sqrt(2 * 1e-4 / (direction @ gradient)) * direction
    new, accepted = improved(learner(delta=1e-4, damping=0.3, cg_iterations=40), head, samples)
    assert accepted
    moved = jax.flatten_util.ravel_pytree(new)[0] - flat
    np.testing.assert_allclose(moved, step, rtol=5e-3, atol=1e-5)


@pytest.mark.parametrize("every", [1, 4])
def test_thinned_out_the_fisher_matrix_is_that_of_the_steps_that_are_left(every):
    head, samples = HEADS["gaussian"], samples_of(HEADS["gaussian"])
    step = lambda one: jax.flatten_util.ravel_pytree(improved(one, head, samples)[0])[0]
    moved = (
        step(learner(delta=1e-4, damping=0.3, cg_iterations=40, fisher_subsampling=every))
        - jax.flatten_util.ravel_pytree(head)[0]
    )
    flat, unravel = jax.flatten_util.ravel_pytree(head)
    gradient = jax.jit(jax.grad(lambda weights: gain(unravel(weights), samples)))(flat)
    kl = lambda weights: jnp.mean(jax.vmap(lambda x: head(x).kl(unravel(weights)(x)))(SEEN[::every]))
    direction = jnp.linalg.solve(jax.jit(jax.hessian(kl))(flat) + 0.3 * jnp.eye(flat.size), gradient)
    unit = lambda vector: vector / jnp.linalg.norm(vector)
    np.testing.assert_allclose(unit(moved), unit(direction), atol=1e-3)


@pytest.mark.parametrize("settings", [{"cg_iterations": 0}, {"fisher_subsampling": 0}])
def test_a_trust_region_without_products_or_steps_is_refused(settings):
    with pytest.raises(ValueError, match="at least 1"):
        TrustRegion(**settings)


@pytest.mark.parametrize("name", list(HEADS))
def test_an_accepted_step_gains_and_keeps_within_delta(name):
    """A region so large that its quadratic model misleads: the Gaussian's first try is refused (see below)."""
    head, samples = HEADS[name], samples_of(HEADS[name])
    new, accepted = improved(learner(delta=0.5, damping=0.01, backtrack_iters=20), head, samples)
    assert accepted
    assert mean_kl(head, new) <= 0.5
    assert gain(new, samples) > gain(head, samples) + 1e-3


def test_a_line_search_that_fails_restores_the_old_policy_exactly_and_says_so():
    head, samples = HEADS["gaussian"], samples_of(HEADS["gaussian"])
    one = learner(delta=0.5, damping=0.01, backtrack_iters=1)
    new, accepted = improved(one, head, samples)
    assert not accepted
    same(new, head)
    poisoned = eqx.tree_at(lambda s: s.advantage, samples, samples.advantage.at[2].set(jnp.nan))
    new, accepted = improved(one, head, poisoned)
    assert not accepted
    same(new, head)


def test_delta_falls_to_zero_over_the_updates_that_it_is_given():
    stays, falls = TrustRegion(delta=0.02), TrustRegion(delta=0.02, decay_updates=8)
    np.testing.assert_allclose([stays.delta_at(0.0), stays.delta_at(1e6)], 0.02)
    np.testing.assert_allclose(
        [falls.delta_at(update) for update in (0.0, 6.0, 8.0, 9.0)], [0.02, 0.005, 0.0, 0.0], atol=1e-9
    )
    one, obs = TRPO(4, 6, falls, nets=ActorCriticNets((5,)), value_epochs=1, value_minibatches=2), jnp.zeros((6, 4, 2))
    reward, choice, no = jax.random.normal(jax.random.key(3), (3, 6, 4)), jnp.ones((6, 4, 1)), jnp.zeros((6, 4), bool)
    batch = Batch(Transition(obs, choice * reward[0][..., None], reward[1], obs, no, no), ~no)
    start = one.init(jax.random.key(4), Pendulum().task)
    update = eqx.filter_jit(
        lambda done: one.update(
            jax.random.key(5), Pendulum().task, eqx.tree_at(lambda s: s.updates, start, done), batch
        )[1]
    )
    early, late, last = (update(jnp.asarray(done)) for done in (0, 6, 8))
    assert 0.005 < early["kl"] <= 0.02
    assert 0 < late["kl"] <= 0.005
    assert last["accepted"] == last["kl"] == 0


def test_no_update_leaves_the_region_and_the_log_says_which_moved():
    """12 updates on rewards that are noise. An update that was refused has not moved at all."""
    one = TRPO(
        4,
        6,
        TrustRegion(delta=0.02, damping=1e-3, backtrack_iters=2),
        GAE(discount=0.9, gae_lambda=0.7),
        ActorCriticNets((5,), standardise=True),
        Adam(learning_rate=0.01),
        value_epochs=2,
        value_minibatches=2,
    )

    def update(state, key):
        obs_key, draw_key, pay_key = jax.random.split(key, 3)
        obs = jax.random.normal(obs_key, (6, 4, 3)) * 3
        choice = jax.vmap(jax.vmap(one.actor(zoo.TASK, state).sample))(jax.random.split(draw_key, (6, 4)), obs)
        never = jnp.zeros((6, 4), bool)
        rows = Transition(obs, choice, jax.random.normal(pay_key, (6, 4)), obs + 1, never, never)
        after, metrics = one.update(key, zoo.TASK, state, Batch(rows, ~never))
        before, after_head = (jax.flatten_util.ravel_pytree(s.policy.head)[0] for s in (state, after))
        return after, (metrics, jnp.abs(after_head - before).max())

    run = eqx.filter_jit(lambda key: jax.lax.scan(update, one.init(key, zoo.TASK), jax.random.split(key, 12))[1])
    metrics, moved = run(KEY)
    assert (metrics["kl"] <= 0.02 * 1.0001).all()
    assert set(np.unique(metrics["accepted"])) == {0.0, 1.0}
    np.testing.assert_array_equal(moved > 0, metrics["accepted"] == 1)
    assert (metrics["kl"][metrics["accepted"] == 1] > 1e-4).all()
    np.testing.assert_array_equal(metrics["kl"][metrics["accepted"] == 0], 0)


def products_of(jaxpr, inside=False):
    """The precision of every matrix product in conjugate gradients and in the line search, by the loops they are."""
    for equation in jaxpr.eqns:
        if inside and equation.primitive.name == "dot_general":
            yield equation.params["precision"]
        for sub in jaxprs_in_params(equation.params):
            yield from products_of(sub, inside or searches(equation))


def searches(equation):
    """A loop whose end the data decide, or one as long as conjugate gradients are."""
    return equation.primitive.name == "while" or equation.params.get("length") == PRODUCTS


def test_conjugate_gradients_and_line_search_multiply_at_the_highest_precision():
    """In the update as the learner is asked for it, whatever the default is."""
    one = learner(cg_iterations=PRODUCTS)
    state = one.init(KEY, zoo.TASK)
    shape = (3, 3)
    rows = Transition(
        jnp.ones((*shape, 3)),
        jnp.ones((*shape, 2)),
        jnp.ones(shape),
        jnp.ones((*shape, 3)),
        *[jnp.zeros(shape, bool)] * 2,
    )
    precisions = list(
        products_of(
            jax.make_jaxpr(lambda *data: one.update(KEY, zoo.TASK, *data))(
                state, Batch(rows, jnp.ones(shape, bool))
            ).jaxpr
        )
    )
    assert len(precisions) > 8
    assert {str(each) for pair in precisions for each in pair or (pair,)} == {"HIGHEST"}


def test_conjugate_gradients_of_many_systems_at_once_solve_each():
    """Systems of unlike sizes of solution, one of which is solved after its first step."""
    noise = np.random.default_rng(5).normal(size=(3, 7, 7))
    matrices = noise @ noise.transpose(0, 2, 1) + np.eye(7)
    matrices[1] = 2.5 * np.eye(7)
    targets = np.random.default_rng(6).normal(size=(3, 7)) * np.array([[1e-3], [1.0], [40.0]])
    solve = jax.jit(jax.vmap(lambda a, b: conjugate_gradients(lambda x: a @ x, b, 20)))
    found = solve(jnp.asarray(matrices, jnp.float32), jnp.asarray(targets, jnp.float32))
    np.testing.assert_allclose(found, np.linalg.solve(matrices, targets[..., None])[..., 0], rtol=2e-3, atol=1e-6)


def test_conjugate_gradients_of_nothing_are_nothing():
    found = jax.jit(lambda b: conjugate_gradients(lambda x: 3.0 * x, b, 5))(jnp.zeros(4))
    np.testing.assert_array_equal(found, np.zeros(4))


@pytest.mark.parametrize("rounds", [1, 3, 12])
def test_what_conjugate_gradients_leave_over_is_at_right_angles_to_what_they_find(rounds):
    """So the quadratic form of a step is its product with the gradient, however early the rounds end."""
    noise = np.random.default_rng(7).normal(size=(40, 31))
    matrix = jnp.asarray(noise.T @ noise / 31 + 0.1 * np.eye(31), jnp.float32)
    target = jnp.asarray(np.random.default_rng(8).normal(size=31), jnp.float32)
    found = conjugate_gradients(lambda x: matrix @ x, target, rounds)
    assert jnp.linalg.norm(target - matrix @ found) > 1e-2  # rounds that end early
    np.testing.assert_allclose(found @ target, found @ matrix @ found, rtol=1e-4)
