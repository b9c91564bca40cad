"""What a comparison tells whoever started it, and asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .runs import Failure, Run, RunKey

if TYPE_CHECKING:
    from .comparison import Comparison


class Callback:
    """Does nothing; a subclass overrides what it wants to know."""

    def on_wait(self, out: Path) -> None:
        """Another comparison works in this directory, and this one waits for its end."""

    def on_begin(self, comparison: Comparison, missing: Sequence[RunKey]) -> None:
        """The comparison is about to begin; these of its runs are not there yet."""

    def on_run_begin(self, key: RunKey) -> None:
        """A run begins."""

    def on_epoch_end(self, key: RunKey, epoch: int, accuracy: float) -> None:
        """That many epochs of training are done, and the accuracy on the test images is this."""

    def on_run_end(self, run: Run) -> None:
        """A run is done, and kept."""

    def on_failure(self, failure: Failure) -> None:
        """A run came to no result; the others go on."""

    def should_stop(self) -> bool:
        """Asked between batches: True ends the comparison, and what is done is kept."""
        return False


class Stopped(Exception):
    """`should_stop` said yes."""


def check_stop(should_stop: Callable[[], bool]) -> None:
    """Raise `Stopped` where the comparison should stop."""
    if should_stop():
        raise Stopped
