"""`handful check`: does an environment do what its task declares?"""

import dataclasses
import sys

from handful.checks import environment, trials
from handful.cli import early
from handful.cli.options import Check
from handful.cli.tables import show, table_of
from handful.envs.base import AbstractEnv
from handful.envs.loading import load
from handful.training.files import write_json
from handful.version import __version__


def run(options: Check) -> int:
    """Run the trials and print the findings. Returns 1 where a check is off."""
    early.check(options)
    env = load(options.task)
    sizes = {"trials": options.trials, "steps": options.steps}
    sys.stdout.write(  # before it runs, since the system may be a real one
        f"{options.task}: {options.trials} random trials, the first of them again, and "
        f"{len(trials.short_actions(env.task))} of {trials.SHORT} steps: "
        f"{trials.most_steps(env.task, **sizes)} steps at most.\n"
    )
    sys.stdout.flush()
    try:
        done = trials.run(env, **sizes, seed=options.seed)
        found = environment.findings(env, done)
    finally:
        if not isinstance(env, AbstractEnv):
            env.close()
    rows = [(finding.check, finding.verdict, finding.found) for finding in found]
    show(table_of(("check", "verdict", "found"), rows, numbers=False))
    off = sum(finding.verdict == "off" for finding in found)
    sys.stdout.write(f"{off} of {len(found)} checks are off; {done.steps} steps were run.\n")
    if options.json is not None:
        asked = {"handful": __version__, "task": options.task, "trials": options.trials, "seed": options.seed}
        findings = [dataclasses.asdict(finding) for finding in found]
        write_json(options.json, asked | {"steps": done.steps, "findings": findings})
    return 1 if off else 0
