"""Ctrl-C as a wish: a flag that is read between batches, since an exception would land wherever Python happens to be.

Raised inside a callback of JAX or TensorFlow, KeyboardInterrupt is swallowed or ends the process in their C++.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class Interruption:
    """Whether somebody asked this process to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None
        """The signal that asked."""
        self._at_once = False

    @property
    def requested(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """As shells have it: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + (self.signal or 0)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as wishes inside; a second one ends the process at once, where it stands."""
        kept = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let the signals raise KeyboardInterrupt inside, where nothing but Python runs that may take long."""
        if self.requested:
            raise KeyboardInterrupt
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested:  # files are replaced whole, so there is nothing to put in order
            os._exit(self.exit_code)
        self.signal = number
        if self._at_once:
            raise KeyboardInterrupt
        with suppress(OSError):  # print may be what was interrupted, and does not enter twice
            os.write(2, b"anypool: stopping after this batch; once more ends it at once\n")
