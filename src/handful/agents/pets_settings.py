"""Settings of PETS for each kind of system; a task names its kind in its `TaskInfo`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PETSSettings:
    """Settings for a kind of system; the defaults are for light ones, such as a pole on a cart."""

    hidden: tuple[int, ...] = (64, 64)
    decay: float = 1e-4
    rate: float = 3e-3  # Adam's at the start of a fit; it falls to a hundredth
    beta: float = 0.5
    least_steps: int = 2000  # of a fit
    most_steps: int = 5000
    first_colour: float | None = 1.0  # of the random trial; None is uniform, as published
    candidates: int = 80
    horizon: int = 20
    colour: float = 2.0  # of iCEM's noise
    std: float = 0.5  # of iCEM's first samples, in half-ranges
    follow_best: bool = False  # the best candidate of the last iteration, not the elites' mean
    noise: bool = True  # plans include aleatoric noise, not epistemic uncertainty alone


ELITES = 10  # of the candidates, for all kinds
LIGHT = PETSSettings()
SETTINGS = {
    "light": LIGHT,
    # Arms: random data spoil the fit, small torques suffice, and the plain likelihood fits slow motion too.
    "arm": PETSSettings(decay=5e-4, rate=1e-3, beta=0.0, first_colour=None, candidates=100, std=0.2),
    # Contact: rare and decisive, so every example has the same weight; plans sample epistemic uncertainty alone.
    "contact": PETSSettings(
        hidden=(200, 200), beta=1.0, least_steps=5000, candidates=150, horizon=25, std=0.5, noise=False
    ),
    # Legs: many data, so a longer fit pays; deterministic dynamics; strongly correlated noise is too slow for a gait.
    "legs": PETSSettings(
        hidden=(128, 128),
        least_steps=8000,
        most_steps=8000,
        candidates=100,
        horizon=25,
        colour=0.25,
        follow_best=True,
        noise=False,
    ),
}
