"""What a comparison or a search tells whoever started it, and asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .runs import Failure, Run, RunKey

if TYPE_CHECKING:
    from .comparison import Comparison
    from .tuning.outcome import Trial, Tuning
    from .tuning.search import Search
    from .tuning.space import Choice


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


class TuneCallback:
    """What a search tells and asks; it does nothing, and a subclass overrides what it wants to know.

    Where trials run in processes of their own, their begins and epochs are not told.
    """

    def on_wait(self, out: Path) -> None:
        """Another search works in this directory, and this one waits for its end."""

    def on_begin(self, search: Search, finished: Sequence[Any]) -> None:
        """The search is about to begin; these of its trials are there already."""

    def on_trial_begin(self, number: int, choices: Sequence[Choice]) -> None:
        """A trial begins, with these poolings."""

    def on_epoch_end(self, number: int, epoch: int, accuracy: float) -> None:
        """That many epochs of a trial are done, and the accuracy on the images to choose by is this."""

    def on_trial_end(self, trial: Trial, tuning: Tuning) -> None:
        """A trial is done, stopped early or failed, and kept."""

    def on_best_begin(self, trial: Trial) -> None:
        """The search is over; the network of this trial is made, and measured on images that chose nothing."""

    def should_stop(self) -> bool:
        """Asked between batches: True ends the search, and what is done is kept."""
        return False


class Stopped(Exception):
    """`should_stop` said yes."""


def check_stop(should_stop: Callable[[], bool]) -> None:
    """Raise `Stopped` where the comparison should stop."""
    if should_stop():
        raise Stopped
