"""What the report says of pictures that a run by trials and one by rounds have in common."""

from handful.evaluation.record import Record

_SCALES = "Observations, actions and reward at every control step; pictures side by side have the same scales."


def curve(record: Record) -> str:
    """Of the learning curve."""
    flat = ""
    if record.baselines:
        episodes = max(map(len, record.baselines.values()))
        flat = f" The flat lines are the same task without learning, with the spread over {episodes} episodes."
    if record.by_rounds:
        return (
            "The mean return of the trials that ended in each round, noise of exploring included; more is better. "
            "Round 0 is one trial of the untrained policy." + flat
        )
    expected = (
        " Orange is what the controller expected while it acted: far above blue, it believed a wrong model."
        if record.planned
        else ""
    )
    return "Blue is the return that each trial achieved, more is better." + expected + flat


def shown(record: Record, trial: int | None = None) -> str:
    """Of the trial that stands for a round, for any of them where none is named."""
    if trial == 0:
        return "a trial of the untrained policy"
    if record.hosted:
        return "its first trial, noise of exploring included"
    return "a trial under what was learned by its end, without the noise of exploring"


def moving(record: Record, trial: int, seconds: str) -> str:
    """Of the animation of a trial, or of the film that was taken of it."""
    best = record.best.trial
    unit = record.words.unit
    what = f"The best {unit}, number {best}" if trial == best else f"{unit.capitalize()} {trial}"
    if record.by_rounds:
        what += f": {shown(record, trial)}"
    if trial != best:
        what += f"; of the best, {best}, there is no film"
    return f"{what}, at the speed at which it happened{seconds}, over and over."


def traces(record: Record) -> tuple[str, str]:
    """Title and text of the section of single trials."""
    if record.by_rounds:
        each = "Each round shows " + shown(record) + ". " if record.hosted is not None else ""
        return "What the policy did in the best round and in the last", each + _SCALES
    return "What happened in the best trial and in the last", _SCALES


def wall_time(record: Record) -> str:
    """Of where the seconds went."""
    if not record.by_rounds:
        return "Where the seconds went. The first trials also hold the compiling."
    acting = "" if record.hosted else " Acting on a simulator is one program with learning, and counts as that."
    return f"Where the seconds went. The first rounds also hold the compiling.{acting}{_speed(record)}"


def table(record: Record) -> str:
    """Of all numbers."""
    same = "metrics.csv holds the same with all digits. "
    if record.by_rounds:
        return same + (
            "A row is a round, and row 0 the untrained policy. return is the mean over the trials that ended in the "
            "round, or that of the one shown where none did; fit_s is the time of learning."
        )
    planned = "planned_return is the mean planned reward a step, times the steps of the trial; "
    rest = (
        "model_nll and model_rmse are of the model that drove the trial, before it saw it; plan_ms is the time of a "
        "control step."
    )
    return same + (planned if record.planned else "") + rest


def _speed(record: Record) -> str:
    """Of the last round, once one before it has compiled."""
    if record.last.trial < 2:
        return ""
    before = record.rows[-2]
    steps, seconds = record.last.env_steps - before.env_steps, record.last.wall_s - before.wall_s
    return f" The last round made {steps / seconds:,.0f} steps a second.".replace(",", "\N{THIN SPACE}")
