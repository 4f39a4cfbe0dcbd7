"""Options of the dynamics model that an agent learns."""

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from handful.agents.options.filled import check_least, filled, flag, given, refuse, unknown
from handful.agents.pets_settings import SETTINGS, PETSSettings
from handful.envs.info import Published
from handful.errors import InputError
from handful.user_code import is_own

LEARNERS = {"linear": "linear:LinearLearner"}  # name: module in `handful.models` and class, all with defaults
MODELS = ("ensemble", "gp", *LEARNERS, "physics", "physics+ensemble", "truth", "d", "p", "de", "pe")
if TYPE_CHECKING:
    Model = str
else:
    Model = Literal[MODELS]  # for help, and for commands that take no other
Kind = Literal["light", "arm", "contact", "legs"]

SINGLE, POINTS = {"d", "p"}, {"d", "de"}  # one network; networks that predict a point without a variance
NETWORKS = {"ensemble", "physics+ensemble", "pe", "de", "d", "p"}
OF_NETWORKS = (
    "members", "hidden", "learning_rate", "final_learning_rate", "weight_decay", "beta_nll", "batch_size", "epochs",
    "min_fit_steps", "fit_steps", "bootstrap", "held_out", "scale_targets",
)  # fmt: skip
OF_GPS = ("max_points", "world_features", "search_steps", "search_learning_rate", "search_starts")
OF_LINEAR = ("ridge",)
OF_MODELS = (*OF_NETWORKS, *OF_GPS, *OF_LINEAR)


@dataclass(frozen=True)
class ModelOptions:
    """Which dynamics model is learned, and how."""

    model: Model | str | None = None
    """the dynamics model: ensemble if left out, gp for pilco; FILE.py:NAME is a model learner of your own.
    physics needs equations: of a built-in task, or a PhysicsLearner that the file of your environment declares as
    `physics`; truth needs a simulator.
    d, p, de and pe are PETS's ablations: one network or an ensemble, deterministic or probabilistic"""
    settings: Kind | None = None
    """our settings for a kind of system: networks, first trial and planner (the task's own if left out)"""
    members: int | None = None  # networks in the ensemble
    hidden: tuple[int, ...] | None = None  # units of each hidden layer of a network, as in --hidden 64 64
    learning_rate: float | None = None  # Adam's learning rate at the start of a fit
    final_learning_rate: float | None = None  # Adam's learning rate at the end of a fit
    weight_decay: tuple[float, ...] | None = None  # of the networks: one number, or one for each layer
    beta_nll: float | None = None
    """power of the predicted variance that weighs an example in the loss; 0 is the plain likelihood"""
    batch_size: int | None = None  # transitions in a gradient step of a fit
    epochs: float | None = None  # passes over the data in a fit
    min_fit_steps: int | None = None  # gradient steps that a fit takes at least
    fit_steps: int | None = None  # gradient steps that a fit takes at most
    bootstrap: bool | None = None  # each member trains on a sample of the data, drawn with replacement
    held_out: bool | None = None  # each member stops early, judged by trials that it never trains on
    scale_targets: bool | None = None  # standardise the targets of the networks
    max_points: int | None = None  # data points that a Gaussian process keeps at most
    world_features: int | None = None  # random features of a function drawn from a Gaussian process
    search_steps: int | None = None  # gradient steps of each search for a Gaussian process's hyperparameters
    search_learning_rate: float | None = None  # Adam's learning rate at the start of that search
    search_starts: int | None = None  # points that the search starts from
    ridge: float | None = None  # precision of the prior on the weights of a linear model
    recalibrate: float | None = None
    """factor that stretches every predicted std of the model, as `handful fit` finds it"""
    guess_error: float | None = None
    """guessed parameters of physics are multiplied and divided by this in turn; the built-in guesses are the truth"""
    exploration_colour: float | Literal["uniform"] | None = None
    """first trial: Gaussian actions with spectrum 1/f^COLOUR, or independent uniform ones"""

    def resolved_model(self, info: Any, *, usual: str = "ensemble", paper: Published | None = None) -> Any:
        """The options with those of the model filled in; `paper`: by PETS's published settings.

        Raises `InputError` where an option does not apply to the model or is out of range.
        """
        from handful.agents.model_learners import usual_options

        model, kind = self.model or usual, self.settings or (None if paper else info.settings)
        self._check(model)
        options = filled(self, model=model, settings=kind)
        settings = SETTINGS[kind or "light"]
        colour = None if paper else settings.first_colour
        options = filled(options, exploration_colour="uniform" if colour is None else colour)
        if model in NETWORKS:
            return options.network(settings, paper)
        return filled(options, **usual_options(model))

    def network(self, settings: PETSSettings, paper: Published | None) -> Any:
        """The options with those of the networks filled in."""
        hidden = self.hidden or (paper.hidden if paper else settings.hidden)
        decay = self.weight_decay or (paper.decay if paper else (settings.decay,))
        rate = self.learning_rate or (paper.rate if paper else settings.rate)
        least, most = (0, 1_000_000) if paper else (settings.least_steps, settings.most_steps)
        least = least if self.fit_steps is None else min(least, self.fit_steps)
        options = filled(
            self,
            members=1 if self.model in SINGLE else 5,
            hidden=hidden,
            learning_rate=rate,
            final_learning_rate=rate if paper else rate / 100,
            beta_nll=0.0 if paper else settings.beta,
            batch_size=32 if paper else 64,
            epochs=5.0 if paper else 20.0,
            min_fit_steps=least,
            fit_steps=most,
            bootstrap=True,
            held_out=False,
            scale_targets=not paper,
        )
        layers = len(hidden) + 1
        return dataclasses.replace(options, weight_decay=decay * layers if len(decay) == 1 else decay)

    def _check(self, model: str) -> None:
        if not is_own(model) and model not in MODELS:
            raise unknown("model", model, MODELS)
        own = is_own(model)
        for names, applies, reason in (
            (OF_NETWORKS, own or model in NETWORKS, f"is an option of networks, not of --model {model}"),
            (
                ("members",),
                model not in SINGLE or self.members == 1,
                "is an option of ensembles, not of --model " + model,
            ),
            (OF_GPS, own or model == "gp", f"is an option of --model gp, not of {model}"),
            (OF_LINEAR, own or model in LEARNERS, f"is an option of --model linear, not of {model}"),
            (("guess_error",), "physics" in model, f"is an option of physics, not of --model {model}"),
            (("recalibrate",), model != "truth", "stretches the predicted std, and --model truth predicts none"),
        ):
            refuse(self, () if applies else names, reason)
        for name, value in given(self, ("recalibrate", "guess_error")).items():
            if not 0 < value < math.inf:
                raise InputError(f"{flag(name)} must be finite and above zero, got {value}")
        check_least(self, "members", "batch_size", "fit_steps", "max_points", "search_starts")
