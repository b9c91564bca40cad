"""How much of a run's time a network computes, and how much is the lab's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import wraps
from time import perf_counter
from typing import ParamSpec, TypeVar

from .runs import Run

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass
class Clock:
    """The seconds that networks of this process have computed."""

    seconds: float = 0.0
    running: bool = False


_clock = Clock()


def computing(method: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Count the time of a method as computing; what it calls that counts, too, counts once."""

    @wraps(method)
    def counted(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Result:
        if _clock.running:
            return method(*arguments, **keywords)
        _clock.running, began = True, perf_counter()
        try:
            return method(*arguments, **keywords)
        finally:
            _clock.running = False
            _clock.seconds += perf_counter() - began

    return counted


def timed(runs: Iterator[Run]) -> Iterator[Run]:
    """Runs with the seconds that each took, and those of them in which its network trained and predicted."""
    while True:
        began, before = perf_counter(), _clock.seconds
        run = next(runs, None)
        if run is None:
            return
        spent = {"total": perf_counter() - began, "computing": _clock.seconds - before}
        yield replace(run, seconds=spent)


def overhead(runs: list[Run]) -> float | None:
    """The share of the runs' time that is neither training nor predicting; None where no run says."""
    told = [run.seconds for run in runs if run.seconds]
    total = sum(seconds["total"] for seconds in told)
    return 1 - sum(seconds["computing"] for seconds in told) / total if total else None
