"""A report on how well the data identify the physical parameters, and on their least identified combination."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from handful.models.physics import Physics


@dataclasses.dataclass(frozen=True)
class Identified:
    """NumPy values, one row per parameter. Stds are in the units of the parameter, to first order."""

    names: tuple[str, ...]
    values: np.ndarray  # most probable
    stds: np.ndarray
    prior_stds: np.ndarray  # at the guess
    left: np.ndarray  # fraction of the prior's variance that is left: 1 without information from the data
    worst: np.ndarray  # unit vector in free coordinates with the most variance
    worst_left: float  # fraction of the prior's variance that is left along it
    correlations: np.ndarray  # in free coordinates

    def table(self) -> str:
        """A table as text."""
        width = max(map(len, (*self.names, "parameter")))
        lines = [f"{'parameter':<{width}}  {'value':>11}  {'std':>9}  {'prior std':>9}  {'left':>6}"]
        rows = zip(self.names, self.values, self.stds, self.prior_stds, self.left, strict=True)
        lines += [f"{n:<{width}}  {v:>11.5g}  {s:>9.3g}  {p:>9.3g}  {share:>6.1%}" for n, v, s, p, share in rows]
        order = np.argsort(-np.abs(self.worst))
        direction = " ".join(f"{self.worst[i]:+.2f} {self.names[i]}" for i in order if abs(self.worst[i]) >= 0.1)
        return "\n".join([*lines, f"least known: {direction}, with {self.worst_left:.1%} of the prior's variance left"])


def identified(belief: Physics) -> Identified:
    """The report on a fitted belief. In free coordinates every prior variance is one."""
    factor = np.asarray(belief.factor, np.float64)
    cov = factor @ factor.T
    std = np.sqrt(np.diag(cov))
    shares, directions = np.linalg.eigh(cov)
    worst = directions[:, -1]
    parameters = belief.parameters
    return Identified(
        names=parameters.names,
        values=np.asarray(parameters.values(belief.centre)),
        stds=np.asarray(parameters.slopes(belief.centre)) * std,
        prior_stds=np.asarray(parameters.slopes(jnp.zeros_like(belief.centre))),
        left=std**2,
        worst=worst * np.sign(worst[np.argmax(np.abs(worst))]),
        worst_left=float(shares[-1]),
        correlations=cov / np.outer(std, std),
    )
