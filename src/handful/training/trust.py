"""Which of a user's files may be run: those that this user has run by their names before.

A run folder says which files made it, and anyone may have written it. So a file that only a folder names is run if its
content is one that was run here before, or where the caller trusts the folder.
"""

import hashlib
import os
from pathlib import Path

from handful.errors import InputError


def home_folder(variable: str, usual: str) -> Path | None:
    """Our folder in one of the user's; None without a home. A relative value of the variable counts as none."""
    given = Path(os.environ.get(variable, ""))
    try:
        return (given if given.is_absolute() else Path.home() / usual) / "handful"
    except RuntimeError:  # an unknown user without HOME
        return None


def _store() -> Path | None:
    """The folder that remembers contents, by their digests."""
    home = home_folder("XDG_STATE_HOME", ".local/state")
    return None if home is None else home / "trusted"


def digest_of(file: Path) -> str:
    """The digest of a file's content. Raises `InputError` where it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or type(error).__name__})") from error


def remember(file: Path) -> None:
    """The user has named this file: its content may be run from a run folder too. Without a home nothing is kept."""
    place = _store()
    if place is None:
        return
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        (place / digest_of(file)).write_text(str(file.resolve().parent), encoding="utf-8")
    except OSError:
        return


def known(digest: str) -> Path | None:
    """The folder in which a file of this content was last run here; None where none was."""
    place = _store()
    if place is None or not digest.isalnum():
        return None
    try:
        return Path((place / digest).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
