"""Fair times: everyone in one process, in turns, so that a busy moment of the machine strikes all alike."""

from __future__ import annotations

import gc
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

import numpy as np

THREADS = 2
"""For everyone."""

Call = Callable[[], object]

_PAUSE = 0.003  # seconds between turns, in which the last one's worker threads fall asleep
_TURN = 0.002  # seconds a turn lasts at least: faster calls are repeated within it
_AGAIN = 0.5  # seconds; a faster call is made once, untimed, before its turn is timed: it finds memory as it left it


def interleave(calls: Mapping[str, Call], budget: float = 0.3, least: int = 1, most: int = 7) -> dict[str, list[float]]:
    """Seconds per call, one for each turn, where in each round everyone has a turn and the order rotates.

    Every call must have been made before, so that nothing is compiled in its turn. Each takes about `budget` seconds in
    all, and at least three turns; two from 0.3 seconds a call, one from 1.5, but never under `least`.
    """
    names = list(calls)
    estimates = {name: estimate(call) for name, call in calls.items()}
    repeats = {name: _repeats(seconds) for name, seconds in estimates.items()}
    turns = {name: max(least, _turns(seconds, budget, most)) for name, seconds in estimates.items()}
    times: dict[str, list[float]] = {name: [s] if s >= _AGAIN else [] for name, s in estimates.items()}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(max(turns.values(), default=0)):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                if len(times[name]) < turns[name]:
                    times[name].append(_turn(calls[name], repeats[name], estimates[name]))
    finally:
        if collecting:
            gc.enable()
    return times


def estimate(call: Call) -> float:
    """Seconds of a call as it is when it has run a few times, not as the first finds caches and memory."""
    seconds = seconds_each(call)
    for _ in range(2):
        if seconds < 2 * _AGAIN:
            seconds = seconds_each(call, _repeats(seconds))
    return seconds


def _repeats(seconds: float) -> int:
    return max(1, math.ceil(_TURN / max(seconds, 1e-7)))


def in_rounds(calls: Mapping[str, Call], budget: float, least: int) -> list[dict[str, float]]:
    """Seconds of every call, one right after the other, in rounds of any order: for the medians of their ratios.

    For calls whose times scatter more than they differ: a layer beside itself came to 0.77 by medians of 42 rounds each
    and to 0.97 by the median of their ratios. Every call must have been made before. `budget` seconds, or
    `least` rounds.
    """
    names, random = list(calls), Random(0)
    repeats = {name: _repeats(estimate(call)) for name, call in calls.items()}
    rounds: list[dict[str, float]] = []
    end = time.perf_counter() + budget
    while len(rounds) < least or time.perf_counter() < end:
        gc.collect()
        random.shuffle(names)  # in rotation everyone would find the caches as always the same one leaves them
        rounds.append({name: seconds_each(calls[name], repeats[name]) for name in names})
    return rounds


def median_ratio(rounds: Sequence[Mapping[str, float]], above: str, under: str) -> float:
    """How many times longer the one takes than the other, in the median of rounds."""
    return statistics.median(each[above] / each[under] for each in rounds)


def _turns(seconds: float, budget: float, most: int) -> int:
    few = 3 if seconds < 0.3 else 2 if seconds < 1.5 else 1
    return min(most, max(few, int(budget / max(seconds, _TURN))))


def _turn(call: Call, repeats: int, estimate: float) -> float:
    time.sleep(_PAUSE)
    if estimate < _AGAIN:
        call()
    return seconds_each(call, repeats)


def seconds_each(call: Call, repeats: int = 1) -> float:
    """Seconds of one of so many calls."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def median(times: Sequence[float]) -> float:
    return statistics.median(times)


def geometric_mean(ratios: Sequence[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, ratios)))


_HELPER = ThreadPoolExecutor(THREADS - 1)


class Copy:
    """The floor: a two-thread copy into touched memory that reads and writes so many bytes in all."""

    def __init__(self, bytes_moved: int) -> None:
        half = max(bytes_moved // 2, THREADS)
        self.source, self.target = np.ones(half, np.uint8), np.zeros(half, np.uint8)

    def __call__(self) -> None:
        middle = self.source.size // THREADS
        other = _HELPER.submit(np.copyto, self.target[:middle], self.source[:middle])
        np.copyto(self.target[middle:], self.source[middle:])
        other.result()


def use_two_processors() -> None:
    """Keep this process, and those it starts, to as many processors as everyone has threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
