"""The report of a model folder: its accuracy and calibration on held-out trials."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from handful.errors import InputError
from handful.reports import model_figures as figures
from handful.reports import page
from handful.reports.model_figures import ModelRecord
from handful.reports.page import Block
from handful.reports.run_report import parameter_table
from handful.reports.wording import count, number
from handful.scores.metrics import WIDE, least_samples
from handful.scores.model_score import PARTICLES, SEARCHED
from handful.scores.trust import PREDICTED
from handful.training.model_fit import ModelFolder
from handful.training.schema import NUMBER, check_arrays, check_content, check_forecasts

ONE_STEP = {
    "nrmse": "error of the mean (NRMSE)",
    "r2": "R\N{SUPERSCRIPT TWO} against no change",
    "nll": "NLL of the mixture [nats]",
    "nll_matched": "NLL, moments matched [nats]",
    "skill": "gain over a constant Gaussian [nats]",
    "crps": "CRPS",
    "ece": "calibration error (ECE)",
    "coverage50": "coverage of the 50% band",
    "coverage90": "coverage of the 90% band",
    "coverage95": "coverage of the 95% band",
    "width90": "width of the 90% band",
    "sharpness": "total std (sharpness)",
    "aleatoric": "aleatoric std",
    "epistemic": "epistemic std",
    "spread_skill": "spread over error",
}
ROLLOUT = {"nrmse": "NRMSE", "coverage": "90% coverage", "crps": "CRPS", "spread_skill": "spread over error"}


def write_model_report(folder: ModelFolder) -> None:
    """Write `figures/*.png` and `report.html`, in this order.

    Raises `InputError` where the folder is not whole or cannot be written.
    """
    record = read_model(folder)
    config, scores = record.config, record.scores
    page.write(
        folder.report_path,
        f"{config.get('model', 'a model')} of {config.get('data', 'a log')}",
        _subtitle(scores["split"]),
        verdict(scores, record.names),
        tiles=_headline(scores),
        notes=[*config.get("notes", []), *coarse(config), *_warnings(scores)],
        sections=page.gathered(SECTIONS, record),
    )


NUMBERS = [(*NUMBER, type(None))]
ONE = {name: {"mean": (*NUMBER, type(None)), "entries": NUMBERS} for name in ONE_STEP}
FAR = {name: {"mean": NUMBERS, "entries": [NUMBERS]} for name in ROLLOUT}
TRUST = {"steps": int, "failed": [str], "entry?": int}
SCORE = {"one_step": ONE, "rollout": {"steps": [int], "trust_horizon": int, "trust": TRUST, "finite": NUMBERS, **FAR}}
SCORES = {
    "split": {"training": [int], "calibration": [int], "held_out": [int]}, "trusted_coverage": NUMBER,
    "calibration?": {"factor": NUMBER, "coverage": NUMBER, "one_step?": NUMBER, "horizon": int, "at_limit": bool},
    "errors": {name: [NUMBERS] for name in ("model", "unchanged", "linear")}, "before": SCORE, "after?": SCORE,
    "parameters?": {},
}  # fmt: skip
CONFIG = {"names": [str], "angles": [int], "dt": NUMBER, "timed": bool, "notes?": [str], "particles?": int}
ARRAYS = {
    "seen": "b o", "aleatoric": "b o", "epistemic": "b o", "number": "", "obs": "t o", "next_obs": "t o",
    "fan_starts": "s", "fan_obs": "s p w o",
} | {f"{name}_before": "k o" for name in ROLLOUT} | {"pit_one_before": "b o", "pit_far_before": "n o"}  # fmt: skip
AFTER = {name.replace("before", "after"): axes for name, axes in ARRAYS.items() if name.endswith("before")}


def read_model(folder: ModelFolder) -> ModelRecord:
    """The contents of a model folder. Raises `InputError` where a file is missing, damaged or of another form."""
    config, scores, arrays = folder.config(), folder.scores(), folder.shown()
    try:
        check_content(config, CONFIG, "config.json")
        check_content(scores, SCORES, "scores.json")
        _check_lengths(scores, len(config["names"]))
        needed = [*ARRAYS, *(AFTER if scores.get("after") else ())]
        check_arrays(arrays, ARRAYS | AFTER, needed, o=len(config["names"]))
        check_forecasts(arrays, len(arrays["obs"]))
    except InputError as error:
        text = f"{folder.path} does not hold a model as this version writes it: {error}; {folder.REMEDY}"
        raise InputError(text) from None
    return ModelRecord(config, scores, arrays)


def _check_lengths(scores: dict[str, Any], entries: int) -> None:
    """Raises `InputError` unless scores have a value for each of their steps, and errors for each entry."""
    for when in _both(scores, "rollout").values():
        columns = [when["finite"], *(when[name]["mean"] for name in ROLLOUT), *scores["errors"].values()]
        if not when["steps"] or any(len(column) != len(when["steps"]) for column in columns):
            raise InputError("the scores of rollouts in scores.json must have one value for each of their steps")
    if any(len(at) != entries for column in scores["errors"].values() for at in column):
        raise InputError("'errors' of scores.json must have one value for each of 'names'")


def verdict(scores: dict[str, Any], names: Sequence[str] = ()) -> str:
    """Up to how many steps ahead the model can be trusted by `scores.trust`, and what ends it, in two sentences."""
    rollout = _final(scores)["rollout"]
    steps, last, trusted = rollout["trust_horizon"], rollout["steps"][-1], rollout["trust"]
    held = f"its 90% band contains {_share(rollout['coverage']['mean'][-1])} of the measurements."
    errors = zip(rollout["steps"], rollout["nrmse"]["mean"], strict=True)
    far = [step for step, error in errors if step <= steps and (error is None or error >= 1)]
    lost = f" From step {far[0]} on its mean is no better than the mean change." if far else ""
    if steps >= last:
        return f"To be trusted over all {count(last, 'step')} that were tried; at the last {held}{lost}"
    entry = trusted["entry"]
    which = "of an entry" if entry is None else f"of {names[entry] if entry < len(names) else f'entry {entry}'}"
    reasons = {
        "coverage": f"its 90% band contains less than {scores['trusted_coverage']:.0%} of the measurements",
        "unchanged": f"its mean predicts less than {PREDICTED:.0%} of the squared change {which}",
        "linear": f"a linear model fitted to the same trials predicts more of the change {which}",
    }
    why = " and ".join(reasons[limb] for limb in trusted["failed"] if limb in reasons) or "a limit was not kept"
    if steps == 0:
        return f"Not to be trusted: one step ahead {why}."
    text = f"To be trusted {count(steps, 'step')} ahead: {count(steps + 1, 'step')} ahead {why}."
    return f"{text} At the last of the {last} steps that were tried {held}{lost}"


def table_errors(scores: dict[str, Any], names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: the error of each entry in its own unit by steps ahead, of the model and of the baselines."""
    kinds = {"model": "model", "unchanged": "no change", "linear": "linear model"}
    rows = [
        [f"{name}, {text}", *(_number(at[entry]) for at in scores["errors"][kind])]
        for entry, name in enumerate(names)
        for kind, text in kinds.items()
    ]
    return ["RMSE in the entry's unit", *(count(step, "step") for step in scores["before"]["rollout"]["steps"])], rows


def calibrated(scores: dict[str, Any]) -> str:
    """The factor that was found, and whether its search ran into a limit; empty where there is none."""
    found = scores["calibration"]
    if not found:
        return ""
    at = f"trial {scores['split']['calibration'][0]} at {count(found['horizon'], 'step')} ahead"
    if not found["at_limit"]:
        return f"Every std was multiplied by {number(found['factor'])}, found on {at}."
    return (
        f"Every std was multiplied by {number(found['factor'])}, where the search for a factor ran into its limit "
        f"({number(SEARCHED[0])} to {number(SEARCHED[1])}): the 90% band still contains {_share(found['coverage'])} of "
        f"{at}, so no factor that was tried calibrates the model."
    )


def table_one_step(scores: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: each score, averaged over entries, before and after."""
    both = _both(scores, "one_step")
    rows = [[text, *(_number(one[name]["mean"]) for one in both.values())] for name, text in ONE_STEP.items()]
    return ["one step ahead", *both], rows


def table_rollout(scores: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: each score of rollouts by steps ahead, before and after."""
    both = _both(scores, "rollout")
    rows = [
        [f"{text}, {when}", *map(_number, one[name]["mean"])]
        for name, text in ROLLOUT.items()
        for when, one in both.items()
    ]
    return ["steps ahead", *map(str, both["before"]["steps"])], rows


def all_scores(record: ModelRecord) -> Iterator[Block]:
    """The tables of scores, and the configuration."""
    yield page.paragraph(
        "Means over the entries of the observation, in stds of the change. scores.json holds the same for each entry."
    )
    yield page.table(*table_one_step(record.scores)) + "<br>" + page.table(*table_rollout(record.scores))
    shown = {name: str(value) for name, value in record.config.items() if name not in {"kind", "notes"}}
    yield page.details("config.json", page.pairs(shown))


def errors(record: ModelRecord) -> Iterator[Block]:
    """The table of errors in units."""
    yield page.paragraph(
        "Root mean squared errors on held-out trials, by steps ahead: of the model's mean, of no change since the "
        "start, and of a linear model that was fitted to the same trials by least squares."
    )
    yield page.table(*table_errors(record.scores, record.names))


SECTIONS: dict[str, tuple[page.Maker, ...]] = {
    "Calibration": (figures.calibration, figures.histogram),
    "Accuracy by steps ahead": (figures.coverage, figures.growth, figures.held_out_trial),
    "Errors in units": (errors,),
    "Uncertainty": (figures.uncertainty,),
    "Fitted parameters": (lambda record: parameter_table(record.scores.get("parameters")),),
    "All scores": (all_scores,),
}


def coarse(config: dict[str, Any]) -> list[str]:
    """A note where particles are too few for the 90 % band to count all measurements beyond them as missed."""
    particles, least = config.get("particles", PARTICLES), least_samples(WIDE)
    if particles >= least:
        return []
    counted = 1 - (particles + 1) * (1 - WIDE) / 2
    text = (
        f"Bands of {particles} particles are coarse: the 90% band counts {counted:.0%} of the measurements beyond all "
    )
    return [f"{text}particles as inside it. With --particles {least} or more it counts none."]


def _headline(scores: dict[str, Any]) -> page.Tiles:
    before, found = scores["before"]["rollout"], scores["calibration"]
    one_step, rollout = _final(scores)["one_step"], _final(scores)["rollout"]
    last, covered, covered_before = rollout["steps"][-1], rollout["coverage"]["mean"], before["coverage"]["mean"]
    tiles = [
        ("trust horizon", f"{rollout['trust_horizon']} steps", f"{before['trust_horizon']} before recalibration"),
        (f"coverage of the 90% band, step {last}", _share(covered[-1]), f"{_share(covered_before[-1])} before"),
        ("error one step ahead", _number(one_step["nrmse"]["mean"]), "1: predicts only the mean change"),
        (f"error {last} steps ahead", _number(rollout["nrmse"]["mean"][-1]), "of the particles' mean"),
    ]
    if not found:
        return [(*tile[:2], "") for tile in tiles[:2]] + tiles[2:]
    return [
        *tiles,
        ("factor on every std", _number(found["factor"]), f"for one step alone {_number(found['one_step'])}"),
    ]


def _warnings(scores: dict[str, Any]) -> Iterator[str]:
    if scores["calibration"] and scores["calibration"]["at_limit"]:
        yield calibrated(scores)
    if scores["calibration"] is None:
        yield "No trial was left to recalibrate on: three trials or more are needed."
    if np.any(scores["diverged"]):
        yield "The fit reached values that are not finite and kept its last finite weights."
    lost = 1 - min(_final(scores)["rollout"]["finite"])
    if lost:
        yield f"{number(100 * lost)}% of the particles became infinite or NaN; their forecasts count as misses."


def _final(scores: dict[str, Any]) -> dict[str, Any]:
    return scores["after"] or scores["before"]


def _both(scores: dict[str, Any], kind: str) -> dict[str, Any]:
    """Scores of a kind before recalibration, and after it where there was one."""
    return {when: scores[when][kind] for when in ("before", "after") if scores[when]}


def _subtitle(split: dict[str, list[int]]) -> str:
    calibrated = f", calibrated on {_trials(split['calibration'])}" if split["calibration"] else ""
    return f"fitted on {_trials(split['training'])}{calibrated}, scored on {_trials(split['held_out'])}"


def _trials(numbers: Sequence[int]) -> str:
    return f"trial{'s' * (len(numbers) != 1)} {', '.join(map(str, numbers))}"


def _share(value: float | None) -> str:
    return "not a finite share" if value is None else f"{value:.0%}"


def _number(value: float | None) -> str:
    return "not finite" if value is None else number(value)
