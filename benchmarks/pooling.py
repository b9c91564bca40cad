"""The group "kernels": every row of the table of cases, by anypool and by every peer."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from anypool import Sliding
from benchmarks.cases import BACKWARD, Row
from benchmarks.contenders import INTO, TORCH, Clone, Contender
from benchmarks.tasks import Refused, Task, bytes_moved
from benchmarks.timing import Call, Copy, interleave, median, seconds_each

COPY, CLONE = "two-thread copy", "fresh clone"
PATIENCE = 1.0  # seconds a peer may take for the whole of a case that has a share
PREPARATION = 20.0  # seconds it may take to get ready and be checked on the whole
LONG = 0.5  # seconds; a call of a share that takes longer is timed once

Record = dict[str, Any]


def measure(
    rows: Iterable[Row], ours: Sequence[Contender], peers: Sequence[Contender], report: Callable[[Record], None]
) -> None:
    """One record per row; `report` gets each as it is done."""
    for row in rows:
        report(measure_row(row, ours, peers))
        gc.collect()


def measure_row(row: Row, ours: Sequence[Contender], peers: Sequence[Contender], budget: float = 0.2) -> Record:
    """Everyone's time for a row, once their values are found equal; who could not, and why."""
    entry = Entry(row, ours)
    for contender in (*ours, *peers):
        entry.admit(contender)
    calls = dict(entry.whole)
    if row.case.floor_is_memory and INTO in calls:
        calls[COPY] = Copy(bytes_moved(row))
        if row.direction != BACKWARD:
            calls[CLONE] = Clone().forward(entry.task)
    times = {name: median(taken) for name, taken in interleave(calls, budget).items()}
    if entry.shared:
        scale = math.prod(row.case.shape) / math.prod(row.case.share or row.case.shape)
        brief = {name: call for name, call in entry.shared.items() if entry.taken[name] < LONG}
        taken = entry.taken | {name: median(taken) for name, taken in interleave(brief, budget).items()}
        times |= {name: taken[name] * scale for name in entry.shared}
    return describe(row) | {
        "seconds": times,
        "scaled from a share": sorted(entry.shared),
        "refused": entry.refused,
        "beside": {peer.name: peer.beside for peer in peers if peer.name in times},
    }


def describe(row: Row) -> Record:
    """What the row is about, for the results."""
    case = row.case
    return {
        "name": row.name,
        "what": case.what,
        "shape": list(case.shape),
        "window": case.window_name,
        "dtype": case.dtype,
        "operator": row.operator,
        "layout": row.layout,
        "direction": row.direction,
        "family": row.family,
        "bytes moved": bytes_moved(row),
        "sliding": isinstance(case.window, Sliding),
        "memory bound": case.floor_is_memory,
        "overlaps little": case.overlaps_little,
    }


class Entry:
    """Who takes part in a row: on the whole case, or on its share, or not at all."""

    def __init__(self, row: Row, ours: Sequence[Contender]) -> None:
        self.row, self.task, self.ours = row, Task(row), ours
        self.whole: dict[str, Call] = {}
        self.shared: dict[str, Call] = {}
        self.taken: dict[str, float] = {}  # seconds that a share's call took, the second time
        self.refused: dict[str, str] = {}
        self._references: dict[int, np.ndarray] = {}

    def admit(self, contender: Contender) -> None:
        """Have a contender make its call, check what it gives, and take it or write down why not."""
        try:
            if contender.beside is not None and self.row.case.share is not None and self._is_slow(contender):
                return
            self.whole[contender.name] = self._checked(contender, self.task)
        except Refused as reason:
            self.refused[contender.name] = str(reason)
        except ImportError as error:
            self.refused[contender.name] = f"is not installed: {error}"
        except Exception as error:  # whatever it is, the others are measured and the page says so
            self.refused[contender.name] = f"{type(error).__name__}: {_gist(str(error))}"

    def _is_slow(self, contender: Contender) -> bool:
        """Whether the whole would take too long; then the share's call is taken."""
        share = Task(self.row, self.row.case.share)
        scale = math.prod(self.task.shape) / math.prod(share.shape)
        start = time.perf_counter()
        call = self._checked(contender, share)
        preparation = time.perf_counter() - start
        self.taken[contender.name] = seconds_each(call)
        if self.taken[contender.name] * scale <= PATIENCE and preparation * scale <= PREPARATION:
            return False
        self.shared[contender.name] = call
        return True

    def _checked(self, contender: Contender, task: Task) -> Call:
        call = contender.call(task)
        values = contender.values(task, call())
        size = math.prod(task.shape)
        if size not in self._references:
            self._references[size] = self._reference(task)
        if not task.equal(values, self._references[size]):
            raise Refused("gives other values than anypool")
        return call

    def _reference(self, task: Task) -> np.ndarray:
        """What all must agree with: the values of anypool's first form that can."""
        for contender in self.ours:
            try:
                return np.array(contender.values(task, contender.call(task)()))
            except Exception:  # said where that form is admitted
                continue
        raise Refused("has nothing of anypool to agree with")


def ratios(record: Record) -> dict[str, float]:
    """How many times faster than each peer anypool is, in the form beside it; where that has no gradient, in torch."""
    seconds = record["seconds"]
    forms = {peer: form if form in seconds else TORCH for peer, form in record["beside"].items()}
    return {peer: seconds[peer] / seconds[form] for peer, form in forms.items() if form in seconds}


def _gist(message: str) -> str:
    """The first line that says something other than where in the source it was raised."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (said or lines or ["no reason given"])[0][:160]
