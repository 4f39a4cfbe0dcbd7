"""What the run folder and the model folder hold of physical parameters."""

import equinox as eqx
import jax.numpy as jnp
import pytest

from handful.models.known import KnownDynamics
from handful.models.physics import Physics
from handful.models.physics_laws import Acceleration
from handful.models.physics_parameters import Parameter, Parameters
from handful.models.recalibrated import Recalibrated
from handful.training.model_metrics import fitted_parameters


def pushed(obs, action, p):
    return (action - p["drag"] * obs[1:]) / p["mass"]


PHYSICS = Physics(
    Acceleration(pushed),
    Parameters.of([Parameter("mass", guess=2.0, low=0.0, prior_std=0.3), Parameter("drag", guess=-0.5, prior_std=4.0)]),
    centre=jnp.array([0.7, 0.25]),
    factor=jnp.array([[0.1, 0.0], [0.3, 0.4]]),
    noise=jnp.array([0.01, 0.02]),
    dt=0.1,
)


@pytest.mark.parametrize("model", [PHYSICS, Recalibrated(PHYSICS, 1.5)], ids=["alone", "inside"])
def test_parameters_have_their_values_and_stds(model):
    found = fitted_parameters(model)
    assert list(found) == ["mass", "drag"]
    # log-normal: 2 exp(0.3 z), whose slope is 0.3 times the value; Gaussian: -0.5 + 4 z
    mass = 2.0 * float(jnp.exp(0.3 * 0.7))
    expected = {
        "mass": {"guess": 2.0, "prior_std": 0.6, "fitted": mass, "std": 0.3 * mass * 0.1},
        "drag": {"guess": -0.5, "prior_std": 4.0, "fitted": 0.5, "std": 4.0 * 0.5},
    }
    for name, columns in expected.items():
        assert found[name] == pytest.approx(columns, rel=1e-5)


def test_other_models_have_none():
    assert fitted_parameters(KnownDynamics(lambda obs, action: obs)) == {}
    assert fitted_parameters(None) == {}


def test_what_is_not_finite_is_none():
    lost = eqx.tree_at(lambda physics: physics.factor, PHYSICS, PHYSICS.factor.at[0, 0].set(jnp.nan))
    assert fitted_parameters(lost)["mass"]["std"] is None
