"""The report of a model folder: what the model knows, how sure it is, and how far that can be trusted."""

from typing import Any

import numpy as np

from handful.evaluation import model_figures, page, within_trial
from handful.evaluation.facts import number
from handful.evaluation.model_folder import ModelFolder
from handful.evaluation.page import Picture, Section
from handful.evaluation.record import Arrays, Labels, finite
from handful.training.files import write_whole

ONE_STEP = {
    "nrmse": "error of the mean (NRMSE)",
    "r2": "R\N{SUPERSCRIPT TWO} against \N{LEFT DOUBLE QUOTATION MARK}nothing moves\N{RIGHT DOUBLE QUOTATION MARK}",
    "nll": "NLL of the mixture [nats]",
    "nll_matched": "NLL, moments matched [nats]",
    "skill": "gained on a constant Gaussian [nats]",
    "crps": "CRPS",
    "ece": "calibration error (ECE)",
    "coverage50": "held by the 50% band",
    "coverage90": "held by the 90% band",
    "coverage95": "held by the 95% band",
    "width90": "width of the 90% band",
    "sharpness": "spread (sharpness)",
    "aleatoric": "of it noise (aleatoric)",
    "epistemic": "of it ignorance (epistemic)",
    "spread_skill": "spread over error",
}
ROLLOUT = {"nrmse": "NRMSE", "coverage": "held by 90%", "crps": "CRPS", "spread_skill": "spread / error"}


def write_model_report(folder: ModelFolder) -> None:
    """Write `figures/*.png` and `report.html`, whole each, in this order.

    Raises `InputError` where the folder is not whole or cannot be written.
    """
    config, scores, shown = folder.config(), folder.scores(), folder.shown()
    sections = [
        _sure(config, scores, shown),
        _far(config, scores, shown),
        _where(config, shown),
        _numbers(config, scores),
    ]
    for section in sections:
        for picture in section.pictures:
            write_whole(folder.path / picture.file, picture.data)
    whole = page.page(
        f"{config.get('model', 'a model')} of {config.get('data', 'a log')}",
        _subtitle(scores),
        verdict(scores),
        page.tiles(_headline(scores)) + page.notes([*config.get("notes", []), *_warnings(scores)]),
        sections,
    )
    write_whole(folder.report_path, whole)


def verdict(scores: dict[str, Any]) -> str:
    """What the scores say, in a sentence."""
    final = scores["after"] or scores["before"]
    rollout = final["rollout"]
    steps, last = rollout["trust_horizon"], rollout["steps"][-1]
    held = _percent(rollout["coverage"]["mean"][-1])
    lost = [
        step
        for step, error in zip(rollout["steps"], rollout["nrmse"]["mean"], strict=True)
        if step <= steps and (error is None or error >= 1)
    ]
    vague = f" From step {lost[0]} on its mean says less than the mean change." if lost else ""
    if steps == 0:
        return f"Not to be trusted: one step ahead its 90% band holds less than {_percent(scores['trusted_coverage'])}."
    if steps < last:
        said = f"To be trusted {steps} steps ahead; {last} steps ahead its 90% band holds {held} of what happens."
    else:
        said = f"To be trusted over all {last} steps that were tried: at the last its 90% band holds {held}."
    return said + vague


def table_one_step(scores: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: each score, averaged over entries, before and after."""
    both = [(when, scores[when]["one_step"]) for when in ("before", "after") if scores[when]]
    rows = [[text, *(_number(one[name]["mean"]) for _, one in both)] for name, text in ONE_STEP.items()]
    return ["one step ahead", *(when for when, _ in both)], rows


def table_rollout(scores: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a row for each number of steps ahead, before and after."""
    both = [(when, scores[when]["rollout"]) for when in ("before", "after") if scores[when]]
    header = [
        "steps ahead",
        *(when if place else f"{text} {when}" for text in ROLLOUT.values() for place, (when, _) in enumerate(both)),
    ]
    rows = [
        [str(step), *(_number(one[name]["mean"][place]) for name in ROLLOUT for _, one in both)]
        for place, step in enumerate(scores["before"]["rollout"]["steps"])
    ]
    return header, rows


def _sure(config: dict[str, Any], scores: dict[str, Any], shown: Arrays) -> Section:
    horizon = scores["before"]["rollout"]["steps"][-1]
    curve = Picture.drawn(
        "calibration",
        model_figures.calibration(shown, horizon),
        "A band of 60% should hold the truth 60 times of 100. Below the green line the model is too sure of itself, "
        "above it too careful.",
    )
    places = Picture.drawn(
        "places",
        model_figures.histogram(shown, horizon),
        "An honest forecast finds the truth anywhere in it equally often: level bars. A hill in the middle: too "
        "careful. Full ends: too sure. A slope: the mean is off to one side.",
    )
    return Section(
        "Is it as sure as it is right?",
        f"On trials that the model never saw ({_trials(scores['split']['held_out'])}). Being right one step ahead says "
        "little about many steps, so both are shown.",
        [curve, places],
    )


def _far(config: dict[str, Any], scores: dict[str, Any], shown: Arrays) -> Section:
    names = tuple(config["names"])
    labels = Labels(names, tuple(config["angles"]), config["dt"] if config["timed"] else None)
    trial = {name: finite(array) for name, array in shown.items()}
    held = Picture.drawn(
        "coverage",
        model_figures.coverage(shown, names, scores["trusted_coverage"]),
        "The trust horizon is the last step before the upper curve first falls below the dotted line.",
    )
    growth = Picture.drawn(
        "growth",
        model_figures.growth(shown),
        "Above: how large the error is, in units of how far the system moves in as many steps. Below: whether the "
        "spread of the particles grows as the error does.",
    )
    fan = Picture.drawn(
        "forecast",
        within_trial.forecast(trial, labels, int(shown["number"]), steps=len(trial["obs"])),
        "A held-out trial, or its first stretch without a gap. From each dotted line the model foretells what the "
        "trial's own actions will do. Blue should stay inside the bands, and the bands should be narrow.",
    )
    return Section("How far ahead can it be trusted?", pictures=[held, growth, fan])


def _where(config: dict[str, Any], shown: Arrays) -> Section:
    doubt = Picture.drawn(
        "doubt",
        model_figures.doubt(shown, config["names"]),
        "Each tick is a held-out transition. Where ignorance is large, trials in that region would teach the model "
        "most; where noise is, none will.",
    )
    return Section("Where does it doubt?", pictures=[doubt])


def _numbers(config: dict[str, Any], scores: dict[str, Any]) -> Section:
    below = page.table(*table_one_step(scores)) + "<br>" + page.table(*table_rollout(scores))
    told = {name: str(value) for name, value in config.items() if name not in {"kind", "notes"}}
    below += page.details("config.json", page.pairs(told))
    text = (
        "Means over the entries of the observation, in units of what was to be foretold: an error of 1 is one std of "
        "the change. scores.json holds the same for each entry."
    )
    return Section("All numbers", text, below=below)


def _subtitle(scores: dict[str, Any]) -> str:
    split = scores["split"]
    calibrated = f", calibrated on {_trials(split['calibration'])}" if split["calibration"] else ""
    return f"fitted on {_trials(split['training'])}{calibrated}, scored on {_trials(split['held_out'])}"


def _headline(scores: dict[str, Any]) -> list[tuple[str, str, str]]:
    before, after, found = scores["before"], scores["after"] or scores["before"], scores["calibration"]
    rollout, last = after["rollout"], after["rollout"]["steps"][-1]
    was = before["rollout"]["trust_horizon"]
    tiles = [
        ("trust horizon", f"{rollout['trust_horizon']} steps", f"{was} before recalibration" if found else ""),
        (f"held by the 90% band, step {last}", _percent(rollout["coverage"]["mean"][-1]),
         f"{_percent(before['rollout']['coverage']['mean'][-1])} before" if found else ""),
        ("error one step ahead", _number(after["one_step"]["nrmse"]["mean"]), "1 knows only the mean change"),
        (f"error {last} steps ahead", _number(rollout["nrmse"]["mean"][-1]), "of the particles' mean"),
    ]  # fmt: skip
    if found:
        remark = f"one step alone asks for {_number(found['one_step'])}"
        tiles.append(("doubt stretched by", _number(found["factor"]), remark))
    return tiles


def _warnings(scores: dict[str, Any]) -> list[str]:
    told = []
    if scores["calibration"] is None:
        told.append("No trial was left to recalibrate on: three trials or more are needed.")
    if np.any(scores["diverged"]):
        told.append("The fit met numbers that are not finite and kept its last good weights.")
    lost = 1 - min((scores["after"] or scores["before"])["rollout"]["finite"])
    if lost:
        told.append(f"{number(100 * lost)}% of the particles left all finite numbers; their forecasts count as misses.")
    return told


def _trials(numbers: list[int]) -> str:
    return f"trial{'s' if len(numbers) != 1 else ''} {', '.join(map(str, numbers))}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _number(value: float | None) -> str:
    return "not finite" if value is None else number(value)
