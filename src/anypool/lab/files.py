"""Writing files so that none is ever there in part, and so that two processes never write over each other."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

POLL_SECONDS = 0.2


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that, whatever happens, the path holds the old content or the new, never a part.

    Raises:
        OSError: it cannot be written; names the path.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error
        raise


def remove_leftovers(path: Path) -> None:
    """Remove what processes left that were killed while they wrote `path`; for who holds its lock."""
    for leftover in path.parent.glob(f".{path.name}.*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        elif leftover.suffix != ".lock":
            leftover.unlink(missing_ok=True)


def check_writable(name: str, path: Path, directory: Path) -> None:
    """Refuse an argument that says where to write, unless its directory takes files; leaves nothing there."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"?")
    except OSError as error:
        said = f"got {str(path)!r}: {error.strerror}"
        raise ValueError(f"{name} must lie in a directory that can be written to, {said}") from error


def lock_beside(path: Path) -> BaseFileLock:
    """The lock that whoever writes `path` holds: a hidden file beside it. The system lets go of a dead process's."""
    from filelock import FileLock

    return FileLock(path.with_name(f".{path.name}.lock"))


@contextmanager
def held(
    lock: BaseFileLock, on_wait: Callable[[], None] | None = None, should_stop: Callable[[], bool] | None = None
) -> Iterator[bool]:
    """Hold a lock, waiting for it as long as it takes; gives False where `should_stop` ended the waiting.

    `on_wait` is called once where somebody else holds it.
    """
    from filelock import Timeout

    waiting = False
    while True:
        try:
            lock.acquire(timeout=POLL_SECONDS if waiting else 0)
            break
        except Timeout:
            if not waiting and on_wait:
                on_wait()
            waiting = True
            if should_stop and should_stop():
                yield False
                return
    try:
        yield True
    finally:
        lock.release()
