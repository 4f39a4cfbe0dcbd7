"""The report of a model folder: its accuracy and calibration on held-out trials."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from handful.reports import model_figures as figures
from handful.reports import page
from handful.reports.model_figures import ModelRecord
from handful.reports.page import Block
from handful.reports.run_report import parameter_table
from handful.reports.wording import number
from handful.training.model_fit import ModelFolder

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
    record = ModelRecord(folder.config(), folder.scores(), folder.shown())
    config, scores = record.config, record.scores
    page.write(
        folder.report_path,
        f"{config.get('model', 'a model')} of {config.get('data', 'a log')}",
        _subtitle(scores["split"]),
        verdict(scores),
        tiles=_headline(scores),
        notes=[*config.get("notes", []), *_warnings(scores)],
        sections=page.gathered(SECTIONS, record),
    )


def verdict(scores: dict[str, Any]) -> str:
    """Up to how many steps ahead the model can be trusted, in a sentence."""
    rollout = _final(scores)["rollout"]
    steps, last, least = rollout["trust_horizon"], rollout["steps"][-1], scores["trusted_coverage"]
    if steps == 0:
        return f"Not to be trusted: one step ahead its 90% band contains less than {least:.0%} of the measurements."
    held = f"its 90% band contains {rollout['coverage']['mean'][-1]:.0%} of the measurements."
    text = f"To be trusted over all {last} steps that were tried; at the last {held}"
    if steps < last:
        text = f"To be trusted {steps} steps ahead; {last} steps ahead {held}"
    errors = zip(rollout["steps"], rollout["nrmse"]["mean"], strict=True)
    lost = [step for step, error in errors if step <= steps and (error is None or error >= 1)]
    return text + (f" From step {lost[0]} on its mean is no better than the mean change." if lost else "")


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


SECTIONS: dict[str, tuple[page.Maker, ...]] = {
    "Calibration": (figures.calibration, figures.histogram),
    "Accuracy by steps ahead": (figures.coverage, figures.growth, figures.held_out_trial),
    "Uncertainty": (figures.uncertainty,),
    "Fitted parameters": (lambda record: parameter_table(record.scores.get("parameters")),),
    "All scores": (all_scores,),
}


def _headline(scores: dict[str, Any]) -> page.Tiles:
    before, found = scores["before"]["rollout"], scores["calibration"]
    one_step, rollout = _final(scores)["one_step"], _final(scores)["rollout"]
    last, covered, covered_before = rollout["steps"][-1], rollout["coverage"]["mean"], before["coverage"]["mean"]
    tiles = [
        ("trust horizon", f"{rollout['trust_horizon']} steps", f"{before['trust_horizon']} before recalibration"),
        (f"coverage of the 90% band, step {last}", f"{covered[-1]:.0%}", f"{covered_before[-1]:.0%} before"),
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


def _number(value: float | None) -> str:
    return "not finite" if value is None else number(value)
