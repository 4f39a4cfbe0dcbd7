"""The entry point: find the command, parse its options, run it, and turn bad input into one sentence."""

import contextlib
import importlib
import io
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import Any

from handful.cli.stopping import INTERRUPTED, Stop
from handful.errors import InputError
from handful.version import __version__

# command: (module and function, one line of help); see `options.OPTIONS` for what the function takes
COMMANDS = {
    "tasks": ("tasks:run", "the tasks, their sizes, what is known of them"),
    "train": ("train:run", "learn a task, trial by trial, into a run folder"),
    "evaluate": ("evaluate:run", "run the learned controller from fresh starts: mean and spread"),
    "compare": ("reports:compare", "learning curves of many runs, with every seed, and what they come to"),
    "check": ("check:run", "is an environment what its task says of it: reward, end, actions, step length"),
    "fit": ("fit:run", "fit a model to recorded trials, and score it on trials that it has not seen"),
    "report": ("reports:report", "make report.html again from a run folder"),
    "bench plan": ("bench:plan", "time one plan, compared with the machine's own matrix rate"),
    "bench fit": ("bench:fit", "time gradient steps of an ensemble"),
}
OVERVIEW = """handful: learn to control a system in a handful of trials.

usage: handful COMMAND [options]

{}

Start with:  handful train cartpole-swingup
Options of a command:  handful COMMAND --help
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 2 bad input, 130 interrupted."""
    from handful.cli import runtime

    runtime.write_safely()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in {"-h", "--help", "help"}:
        sys.stdout.write(overview())
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"handful {__version__}\n")
        return 0
    name, rest = _split(words)
    if name is None:
        return _refuse(f"there is no command {' '.join(words[:1])!r}; the commands are {', '.join(COMMANDS)}")
    code = 0
    try:
        code = _run(name, rest)
        sys.stdout.flush()
    except OSError as error:  # of the output alone: all others are sentences by now
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to say, at exit either
        if not isinstance(error, BrokenPipeError) and name != "train":  # who read it has gone; training has said it
            return _refuse(f"the output cannot be written ({error.strerror})")
    return code


def overview() -> str:
    """The text of `handful --help`."""
    width = max(map(len, COMMANDS))
    return OVERVIEW.format("\n".join(f"  handful {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()))


def _split(words: list[str]) -> tuple[str | None, list[str]]:
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            return name, words[length:]
    return None, words


def _run(name: str, words: list[str]) -> int:
    """Run a command, and turn how it ends into an exit code. Help ends before its module imports JAX."""
    from handful.cli import early, runtime
    from handful.cli.options import OPTIONS
    from handful.cli.train_options import options_for

    try:
        options = _parse(options_for(words) if name == "train" else OPTIONS[name], name, words)
        early.check(options)
        with Stop(at_once=name != "train") as stop:
            runtime.start()
            module, _, function = COMMANDS[name][0].partition(":")
            run = getattr(importlib.import_module(f"handful.cli.{module}"), function)
            stop.check()
            return run(options) or 0
    except InputError as error:
        return _refuse(str(error))
    except KeyboardInterrupt as asked:
        sys.stderr.write("handful: stopped\n")
        return getattr(asked, "code", INTERRUPTED)
    except (Exception, SystemExit) as error:  # the last handler: whatever it is becomes a sentence
        if isinstance(error, OSError) and error.filename is None:
            raise  # of the output
        return _unexpected(error)


def _unexpected(error: BaseException) -> int:
    """Report an unexpected error in one sentence, and save its traceback to a file."""
    said = " ".join(str(error).split())
    if isinstance(error, SystemExit) and not isinstance(error.code, str):  # the parser's; ours are sentences
        raise error
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in said or "Out of memory" in said:
        return _refuse(f"there is not enough memory ({said[:200]}); choose smaller sizes; what was saved is whole")
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="handful-", suffix=".txt", delete=False) as file:
            file.write(text)
        where = f"please report it with the traceback in {file.name}"
    except OSError:
        where = "its traceback could not be saved"
    _refuse(f"unexpected {type(error).__name__}: {said[:300]}; what was saved is whole; {where}")
    return 1


def _parse(kind: type, name: str, words: list[str]) -> Any:
    """Options from words. Help exits with 0; anything wrong exits with 2 and one sentence."""
    import tyro

    from handful.cli.left_out import REGISTRY

    said, config = io.StringIO(), (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, prog=f"handful {name}", args=words, config=config, registry=REGISTRY)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise SystemExit(_refuse(f"{_sentence(said.getvalue())} (see handful {name} --help)")) from stop


def _sentence(message: str) -> str:
    """The parser's framed message as one line: its first section, and the option that it would suggest."""
    lines = [line.strip("│ ") for line in message.splitlines() if not line.startswith(("╭", "╰"))]
    sections = [section.split() for section in re.split(r"\n─+\n", "\n".join(lines))]
    text = " ".join(sections[0]).rstrip(".")
    text = re.sub(r"invalid literal for int\(\) with base 10: (.*)", r"expected INT, got \1", text)
    text = re.sub(r"could not convert string to float: (.*)", r"expected FLOAT, got \1", text)
    close = [words[3] for words in sections[1:] if words[:3] == ["Perhaps", "you", "meant:"]]
    return text + "".join(f"; did you mean {option}?" for option in close)


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"handful: {' '.join(sentence.split())}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
