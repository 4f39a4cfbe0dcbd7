"""What every belief keeps to."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from probes import close, counted, differ, jitted, same, shaken

every_model = pytest.mark.parametrize("name", list(zoo.MODELS))
CALLS = {
    "predict": lambda model, key, obs, action: model.predict(obs, action),
    "sample": lambda model, key, obs, action: model.sample(key, obs, action),
}
every_call = pytest.mark.parametrize("call", list(CALLS))
COMPILED = {call: counted(function) for call, function in CALLS.items()}  # one program a model, for all tests here
EAGER = list(zoo.MODELS)[::4]
KEYS = jax.random.split(jax.random.key(7), 5)
ALL_OBS = zoo.OBS + jnp.linspace(-0.7, 1.1, 15).reshape(5, 3)
ACTIONS = zoo.ACTION + jnp.linspace(-0.2, 0.3, 10).reshape(5, 2)


@every_model
def test_is_a_pytree_that_comes_back_whole(name):
    model = zoo.MODELS[name]()
    leaves, structure = jax.tree.flatten(model)
    back = jax.tree.unflatten(structure, leaves)
    assert eqx.tree_equal(model, back)
    same(*(COMPILED["predict"][0](each, KEYS[0], zoo.OBS, zoo.ACTION) for each in (back, model)))
    assert all(eqx.is_inexact_array(leaf) for leaf in leaves), "every leaf is an array, and none is weakly typed"
    assert not any(leaf.weak_type for leaf in leaves)


@every_model
def test_shapes_and_types(name):
    model = zoo.MODELS[name]()
    prediction, following = (compiled(model, KEYS[0], zoo.OBS, zoo.ACTION) for compiled, _ in COMPILED.values())
    for value in (prediction.mean, prediction.aleatoric, prediction.epistemic, following):
        assert value.shape == (3,)
        assert value.dtype == jnp.float32
        assert np.isfinite(value).all()
    assert (np.asarray(prediction.aleatoric) >= 0).all()
    assert (np.asarray(prediction.epistemic) >= 0).all()


@every_call
@every_model
def test_jit_and_vmap_change_nothing(name, call):
    """And so does no other key, unless there is noise; nor the same key twice."""
    model, (single, _) = zoo.MODELS[name](), COMPILED[call]
    compiled = eqx.filter_jit(eqx.filter_vmap(CALLS[call], in_axes=(None, 0, 0, 0)))
    batched = jax.device_get(compiled(model, KEYS, ALL_OBS, ACTIONS))
    for index in range(5):
        one = single(model, KEYS[index], ALL_OBS[index], ACTIONS[index])
        close(jax.tree.map(lambda leaf, index=index: leaf[index], batched), one)
    if name in EAGER:  # operation by operation, which compiles each of them
        close(jax.tree.map(lambda leaf: leaf[0], batched), CALLS[call](model, KEYS[0], ALL_OBS[0], ACTIONS[0]))
    same(batched, compiled(model, KEYS, ALL_OBS, ACTIONS))


@every_model
def test_another_key_draws_another_step_where_there_is_noise(name):
    model = zoo.MODELS[name]()
    (predict, _), (sample, _) = COMPILED["predict"], COMPILED["sample"]
    one, other = (np.asarray(sample(model, key, zoo.OBS, zoo.ACTION)) for key in KEYS[:2])
    prediction = jax.device_get(predict(model, KEYS[0], zoo.OBS, zoo.ACTION))
    noisy = prediction.aleatoric + prediction.epistemic > 0
    np.testing.assert_array_equal(one != other, noisy)


@every_call
@every_model
def test_new_weights_change_the_answer_and_compile_nothing(name, call):
    model = zoo.MODELS[name]()
    compiled, traces = COMPILED[call]
    before, count = compiled(model, KEYS[0], zoo.OBS, zoo.ACTION), traces.count
    after = compiled(shaken(model), KEYS[0], zoo.OBS, zoo.ACTION)
    assert traces.count == count
    assert differ(before, after)


@every_model
def test_gradients_are_finite_and_reach_the_weights(name):
    def total(inputs):
        model, obs, action = inputs
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(model.predict(obs, action)))

    gradients = eqx.filter_jit(eqx.filter_grad(total))((zoo.MODELS[name](), zoo.OBS, zoo.ACTION))
    leaves = jax.tree.leaves(gradients)
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert all(np.any(leaf != 0) for leaf in leaves)


@pytest.mark.parametrize(
    "name", ["NetworkWorld", "KnownDynamics", "LinearWorld", "GPWorld", "PhysicsWorld", "ResidualWorld"]
)
def test_worlds_of_a_world_are_itself(name):
    model = zoo.MODELS[name]()
    worlds = jitted(model.worlds, KEYS[0], 4)
    answers = jitted(eqx.filter_vmap(lambda world: world.sample(KEYS[1], zoo.OBS, zoo.ACTION)), worlds)
    assert answers.shape == (4, 3)
    for answer in np.asarray(answers):
        close(jnp.asarray(answer), COMPILED["sample"][0](model, KEYS[1], zoo.OBS, zoo.ACTION))


def test_worlds_of_a_known_python_function():
    """A function without arrays has nothing to stack, and still gives as many worlds as asked for."""
    from handful.models.known import KnownDynamics
    from handful.policies.simple import OpenLoop
    from handful.propagation.trajectory_sampling import TSInf

    model = KnownDynamics(lambda obs, action: obs + 0.5 * action)
    plan = jnp.array([[0.3, -0.8], [1.1, 0.4], [0.2, 0.9]])
    rollout = jitted(TSInf(4), KEYS[0], model, OpenLoop(plan), jnp.array([2.0, -1.0]), 3)
    expected = np.concatenate([[[2.0, -1.0]], np.array([2.0, -1.0]) + 0.5 * np.cumsum(plan, axis=0)])
    np.testing.assert_allclose(rollout.obs, np.broadcast_to(expected, (4, 4, 2)), rtol=1e-6)


def drawn(worlds):
    """Which member each world is, told by its last bias: distinct from member to member in the zoo."""
    of = np.asarray(zoo.ensemble().members.net.biases[-1])
    assert len(np.unique(of[:, 0])) == zoo.MEMBERS
    return [int(np.flatnonzero((of == bias).all(1)).item()) for bias in np.asarray(worlds.net.biases[-1])]


def test_as_many_worlds_as_members_are_the_members_uncopied():
    belief = zoo.ensemble()
    worlds = belief.worlds(KEYS[0], zoo.MEMBERS)
    for world, member in zip(jax.tree.leaves(worlds), jax.tree.leaves(belief.members), strict=True):
        assert world is member
    assert drawn(worlds) == [0, 1, 2]


@pytest.mark.parametrize("count", [1, 2, 4, 5, 6, 7, 12, 13])
def test_worlds_are_stratified(count):
    """Each member is drawn the floor or the ceiling of count / members times, each world whole, whatever the key."""
    belief, orders = zoo.ensemble(), []
    for key in KEYS:
        worlds = jitted(belief.worlds, key, count)
        orders.append(tuple(drawn(worlds)))
        times = np.bincount(orders[-1], minlength=zoo.MEMBERS)
        assert times.sum() == count
        assert set(times) <= {count // zoo.MEMBERS, -(-count // zoo.MEMBERS)}
        for index, member in enumerate(orders[-1]):  # no world is put together from two members
            pick = lambda leaf, index: np.asarray(leaf[index])
            same(
                [pick(leaf, index) for leaf in jax.tree.leaves(worlds)],
                [pick(leaf, member) for leaf in jax.tree.leaves(belief.members)],
            )
    if count % zoo.MEMBERS:
        assert len(set(orders)) > 1, "the key decides who is drawn once more"
