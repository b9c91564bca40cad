"""Writing files so that none is ever there in part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that, whatever happens, the path holds the old content or the new, never a part."""
    handle, temporary = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def check_writable(name: str, path: Path, directory: Path) -> None:
    """Refuse an argument that says where to write, unless its directory takes files; leaves nothing there."""
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        said = f"got {str(path)!r}: {error.strerror}"
        raise ValueError(f"{name} must lie in a directory that can be written to, {said}") from error
