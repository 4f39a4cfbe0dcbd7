"""What PETS is set to: ours for each kind of system, and the published ones for each task."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Our settings for a kind of system; the usual values are for light ones, such as a pole on a cart."""

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
    noise: bool = True  # whether plans meet the noise that nets foretell, or their members' doubt alone


@dataclass(frozen=True)
class Published:
    """The published settings for a task, [Chua18] appendix and released code."""

    hidden: tuple[int, ...]
    decay: tuple[float, ...]  # by layer
    rate: float
    candidates: int
    horizon: int


LIGHT = Settings()
SETTINGS = {
    "light": LIGHT,
    # Arms: wild data spoil the fit, small torques do the work, and plain likelihood learns the quiet places too.
    "arm": Settings(decay=5e-4, rate=1e-3, beta=0.0, first_colour=None, candidates=100, std=0.2),
    # Contact: rare and all that counts, so every example weighs the same, and what nets doubt is all that is random.
    "contact": Settings(
        hidden=(200, 200), beta=1.0, least_steps=5000, candidates=150, horizon=25, std=0.5, noise=False
    ),
    # Legs: data are many, so a longer fit pays; nothing but what nets miss is random; red noise is too slow for a gait.
    "legs": Settings(
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

_OF_TASK = {
    "reacher-7dof": "arm",
    "pusher-7dof": "arm",
    "gymnasium:Pusher-v5": "arm",
    "half-cheetah-pets": "legs",
    "gymnasium:HalfCheetah-v5": "legs",
    "gymnasium:Hopper-v5": "legs",
    "gymnasium:Walker2d-v5": "legs",
    "gymnasium:Swimmer-v5": "legs",
}

_CARTPOLE = Published((500, 500, 500), (1e-4, 2.5e-4, 2.5e-4, 5e-4), 1e-3, 400, 25)
_PUBLISHED = {
    "reacher-7dof": Published((200, 200, 200, 200), (2.5e-4, 5e-4, 5e-4, 5e-4, 7.5e-4), 7.5e-4, 400, 25),
    "pusher-7dof": Published((200, 200, 200), (2.5e-4, 5e-4, 5e-4, 7.5e-4), 1e-3, 500, 25),
    "half-cheetah-pets": Published((200, 200, 200, 200), (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4), 1e-3, 500, 30),
}


def settings_of(task: str) -> str:
    """The kind of settings that a task is known to learn well with: "light" where nothing is known.

    >>> settings_of("pusher-7dof"), settings_of("path/to/mine.py:Rig")
    ('arm', 'light')
    """
    return _OF_TASK.get(task, "light")


def published(task: str = "cartpole-swingup") -> Published:
    """The published settings of a task; the cart-pole's for one that was not published."""
    return _PUBLISHED.get(task, _CARTPOLE)
