"""The physical parameters that a model holds, for the run folder and the model folder."""

import math
from typing import Any

import jax

from handful.models.identified import identified
from handful.models.physics import Physics


def fitted_parameters(model: Any) -> dict[str, dict[str, float | None]]:
    """Guess, prior std, fitted value and std of each physical parameter of a model, by name.

    Physics inside another model, as under a learned correction, is found; empty where there is none. None stands for
    values that are not finite.
    """
    found = [leaf for leaf in jax.tree.leaves(model, is_leaf=_is_physics) if _is_physics(leaf)]
    if not found:
        return {}
    known = identified(found[0])
    columns = {"guess": found[0].parameters.guess, "prior_std": known.prior_stds, "fitted": known.values}
    columns["std"] = known.stds
    return {
        name: {column: _finite(float(values[index])) for column, values in columns.items()}
        for index, name in enumerate(known.names)
    }


def _is_physics(node: Any) -> bool:
    return isinstance(node, Physics)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
