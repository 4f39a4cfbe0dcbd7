"""One process at a time trains in a folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from handful.errors import InputError

try:
    import fcntl
except ImportError:  # a system without it has no lock
    fcntl = None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder. The system releases it when the process ends, however it ends.

    A file system that cannot lock folders has no lock. Raises `InputError` where another process holds it.
    """
    with contextlib.ExitStack() as held:
        if fcntl is not None:
            with contextlib.suppress(FileNotFoundError):  # who reads the folder says what is missing
                descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
                held.callback(os.close, descriptor)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise InputError(
                        f"{folder} is in use by another process; wait until it has ended, or stop it first"
                    ) from error
                except OSError:
                    pass
        yield
