"""The report of a run: figures, an animation, and one page that holds them all."""

from collections.abc import Callable

from matplotlib.figure import Figure

from handful.errors import InputError
from handful.evaluation import by_round, by_trial, captions, facts, page, within_trial
from handful.evaluation.animation import animate
from handful.evaluation.page import Picture, Section
from handful.evaluation.record import Record, read
from handful.evaluation.within_trial import ACTIONS_SHOWN, OBS_SHOWN
from handful.training.files import write_whole
from handful.training.run import RunFolder


def write_report(folder: RunFolder) -> None:
    """Write `figures/*.png`, `videos/best-trial.gif` and `report.html`, whole each, in this order.

    What the run does not hold is left out and said: an interrupted run has no baselines, a run of one random trial no
    plans, an environment that draws nothing no animation. Of one that could be drawn only while it ran, the film that
    was taken then is shown.

    Raises `InputError` where no trial is finished or the folder cannot be written.
    """
    record = read(folder)
    sections = [
        _learned(record), _told(record), _plans(record), _trials(record), _forecasts(record), _model(record),
        _times(record), _metrics(record), _again(record),
    ]  # fmt: skip
    for section in sections:
        for picture in section.pictures:
            write_whole(folder.path / picture.file, picture.data)
    top = page.tiles(facts.headline(record)) + page.notes(record.notes)
    whole = page.page(
        facts.title(record),
        facts.subtitle(record),
        facts.verdict(record),
        top,
        [section for section in sections if section.pictures or section.below or section.text],
    )
    write_whole(folder.report_path, whole)


def _learned(record: Record) -> Section:
    curve = Picture.drawn(
        "learning-curve",
        by_trial.learning_curve(record),
        captions.curve(record),
    )
    try:
        moving = _film(record) if record.films else _animation(record)
        return Section("What it learned", pictures=[moving, curve])
    except InputError as error:
        return Section("What it learned", f"There is no animation of the best {record.words.unit}: {error}.", [curve])


def _film(record: Record) -> Picture:
    """Of the best trial; of another where there is none of that."""
    best = record.best.trial
    shown = best if best in record.films else max(record.films)
    return Picture(f"videos/trial-{shown:03d}.gif", record.films[shown], captions.moving(record, shown, ""))


def _animation(record: Record) -> Picture:
    if record.env is None or not record.trials:
        raise InputError("this environment was not filmed, and cannot be drawn at the observations on record")
    best = record.best_of(record.trials)
    data = animate(record.env, within_trial.visited(record.trials[best]))
    seconds = facts.number(len(record.trials[best]["reward"]) * record.labels.dt)
    return Picture("videos/best-trial.gif", data, captions.moving(record, best, f" ({seconds} s)"))


def _told(record: Record) -> Section:
    if not by_round.told(record):
        return Section("How it learned")
    picture = Picture.drawn("told", by_round.learning(record), by_round.caption(record))
    text = "What the optimiser told of itself: each point is the mean over the updates of a round."
    return Section("How it learned", text, [picture])


def _plans(record: Record) -> Section:
    if not record.planned:
        yet = record.last.trial == 0 and not record.by_rounds
        text = "No trial was controlled by a planner yet, so there is no plan to judge." if yet else ""
        return Section("What it planned", text)
    horizon = next(iter(record.planned.values()))["plan"].shape[1]
    below = {
        "planned-first": "The first controlled trial. Orange: the return that the controller expected of its next "
        f"{horizon} steps, and how far its particles spread around that. Blue: what those {horizon} steps paid.",
        "planned-best": "The best trial: the closer orange is to blue, the better the controller knew what it did.",
        "planned-last": "The last trial.",
    }
    trials = [min(record.planned), record.best_of(record.planned), max(record.planned)]
    scatter = Picture.drawn(
        "planned-by-trial",
        by_trial.planned_by_trial(record),
        "Each dot is a control step, each numbered circle the mean of a trial. On the dashed line the expectation came "
        "true; below it the controller hoped for too much.",
    )
    return Section(
        "What it planned, and what came of it",
        f"At each step the controller plans {horizon} steps ahead, takes the first, and plans again, so what comes can "
        "also be better than planned. Near the end of a trial no full window is left, and blue ends.",
        [*_each(record, trials, within_trial.planned, below), scatter],
    )


def _trials(record: Record) -> Section:
    if not record.trials:
        return Section("What happened", "The records of the trials cannot be read.")
    trials = [record.best_of(record.trials), max(record.trials)]
    unit, (title, text) = record.words.unit, captions.traces(record)
    which = f"The best {unit}" if trials[0] != trials[1] else f"The best {unit} is also the last"
    below = {
        "traces-best": f"{which}."
        + (" Green lines are the limits of the action." if record.task and not record.categorical else ""),
        "traces-last": f"The last {unit}, in the same way.",
    }
    actions = within_trial.done_in(record, record.trials[trials[0]]).shape[1]
    cut = f" Of {actions} actions the first {ACTIONS_SHOWN} are shown." if actions > ACTIONS_SHOWN else ""
    return Section(title, text + _cut(record) + cut, _each(record, trials, within_trial.traces, below))


def _forecasts(record: Record) -> Section:
    if not record.forecast:
        return Section("What the model foresaw", "" if record.by_rounds else "No trial holds forecasts of a model yet.")
    below = {
        "forecast-first": "The first controlled trial: what the model knew after random data alone.",
        "forecast-last": "The last trial: what it knew in the end.",
    }
    return Section(
        "What the model foresaw",
        "From the state at each dotted line the model, with what it had learned before the trial, foretells what the "
        "trial's own actions will do. Blue should stay inside the bands, and the bands should be narrow. Scales are "
        "those of what happened; bands that leave the picture are cut off." + _cut(record),
        _each(record, [min(record.forecast), max(record.forecast)], within_trial.fan, below),
    )


def _model(record: Record) -> Section:
    pictures = []
    if record.forecast:
        text = (
            "How often the blue line of the pictures above lay inside the wide band, over all entries and all steps "
            "ahead. Below 90% the model is too sure of itself, above it too careful."
        )
        pictures.append(Picture.drawn("coverage", by_trial.coverage_by_trial(record), text))
    if any(row.model_nll is not None for row in record.rows):
        text = (
            "One step ahead, on each trial before the model saw it, in units of what changes in a step. Less is better "
            "in both: the first also judges whether the stated uncertainty was right, the second only the mean."
        )
        pictures.append(Picture.drawn("model-scores", by_trial.model_scores(record), text))
    return Section("How good the model was", pictures=pictures)


def _times(record: Record) -> Section:
    wall = Picture.drawn("wall-time", by_trial.wall_time(record), captions.wall_time(record))
    if all(row.plan_ms_p50 is None for row in record.rows):
        return Section("How long it took", pictures=[wall])
    text = "How long a control step took to plan and do, on this machine."
    if record.task:
        text += f" Below the green line ({facts.number(1e3 * record.labels.dt)} ms) it keeps up with the real system."
    return Section(
        "How long it took", pictures=[Picture.drawn("planning-time", by_trial.planning_time(record), text), wall]
    )


def _metrics(record: Record) -> Section:
    return Section("All numbers", captions.table(record), below=page.table(*facts.table(record)))


def _again(record: Record) -> Section:
    below = page.code(facts.command(record.config)) + page.pairs(facts.machine(record))
    below += page.details("config.json", page.code(facts.configuration(record)))
    text = (
        "This command begins the same run. On the same machine, with the same versions, every number but the times is "
        "the same again."
    )
    return Section("To repeat this run", text, below=below)


def _each(
    record: Record, trials: list[int], draw: Callable[[Record, int, list[int]], Figure], below: dict[str, str]
) -> list[Picture]:
    """A picture of each trial, by name and caption in the same order; a trial that comes twice is drawn once."""
    named = dict(zip(reversed(trials), reversed(below.items()), strict=True))  # the first name of a trial wins
    shown = list(dict.fromkeys(trials))
    return [Picture.drawn(named[trial][0], draw(record, trial, shown), named[trial][1]) for trial in shown]


def _cut(record: Record) -> str:
    left_out = len(record.labels.names) - OBS_SHOWN
    return f" Of {len(record.labels.names)} entries the first {OBS_SHOWN} are shown." if left_out > 0 else ""
