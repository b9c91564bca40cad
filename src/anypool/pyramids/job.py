"""A pyramid being made: superblocks, then the chunks that several superblocks share, in threads or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np

from anypool.cpu import settings

from .errors import IncompletePyramid, Unreadable
from .plan import Grid, Lengths, Level, Region, shown
from .reductions import Overflow, Reduction
from .zarrs import Source, copy_encoded, reason

SILENCE = 60.0
"""Seconds that a cluster may be without a single worker."""


@dataclass(frozen=True)
class Target:
    """Where a level is written."""

    level: Level
    array: Any
    unit: Lengths
    """What is written at once: a chunk, or a shard where there are shards."""
    parts: Any = None
    """Where superblocks leave what they have of a unit that others share; None where they hold whole units."""
    assembled: Any = None
    """The marks of units made of parts."""

    @property
    def units(self) -> Grid:
        return Grid(self.level.shape, self.unit)


@dataclass(frozen=True)
class Job:
    """All it takes to compute any superblock, anywhere: it can be pickled."""

    source: Source
    reduction: Reduction
    targets: tuple[Target, ...]
    blocks: Grid
    cell: Lengths
    done: Any
    """The marks of superblocks."""
    fill_is_known: bool
    """Whether windows of nothing but level 0's fill value give the levels' fill values."""
    same_chunks: bool
    """Whether chunks of a copy of level 0 are, stored, those of level 0."""
    unfinished: Callable[[], bool]
    """Whether the pyramid is still being made."""

    @property
    def levels(self) -> list[Level]:
        return [target.level for target in self.targets if target.level.number > 0]

    def run_block(self, number: int) -> None:
        """Read a superblock once, write what it has of every level, and mark it."""
        region = self.blocks.region(number)
        if not (self.fill_is_known and self.source.is_missing(region)):
            self._compute(region)
        self.done[number : number + 1] = 1

    def _compute(self, region: Region) -> None:
        into = {target.level.number: target for target in self.targets}

        def read(part: Region) -> np.ndarray:
            values = self.source.read(part)
            if 0 in into:
                self._copy(into[0], part, values)
            return values

        try:
            for level, values in self.reduction.levels(read, region, self.cell, self.levels, self.source.shape):
                self._write(into[level.number], level.region(region), values)
        except Overflow as error:
            raise Unreadable(f"{error}, in superblock {shown(region)}") from error

    def _copy(self, target: Target, region: Region, values: np.ndarray) -> None:
        """Write a region of level 0; where nothing about its chunks changes, as they are stored."""
        if target.parts is not None or not self.same_chunks or self.source.zarr_array is None:
            self._write(target, region, values)
            return
        for place in target.units.overlapping(region):
            copy_encoded(self.source.zarr_array, target.array, place)

    @staticmethod
    def _write(target: Target, region: Region, values: np.ndarray) -> None:
        (target.array if target.parts is None else target.parts)[region] = values

    def assemble(self, number: int, unit: int) -> None:
        """Write a unit of a level, all of whose superblocks are done, from their parts."""
        target = next(each for each in self.targets if each.level.number == number)
        region = target.units.region(unit)
        values = target.parts[region]
        if not self.unfinished():  # someone else was faster, and removed the parts
            return
        target.array[region] = values
        target.assembled[unit : unit + 1] = 1

    def pending(self) -> list[int]:
        """The superblocks that are not done."""
        return np.flatnonzero(self.done[:] == 0).tolist()

    def unassembled(self) -> list[tuple[int, int, bool]]:
        """Of units made of parts those that are not written: level, unit, and whether its superblocks are done."""
        done, found = self.done[:].reshape(self.blocks.counts), []
        for target in self.targets:
            if target.parts is None:
                continue
            for unit in np.flatnonzero(target.assembled[:] == 0).tolist():
                ready = all(done[place] for place in self.blocks.overlapping(self._of_level_0(target, unit)))
                found.append((target.level.number, unit, ready))
        return found

    @staticmethod
    def _of_level_0(target: Target, unit: int) -> Region:
        """What a unit stands for; it may end after level 0 does."""
        region = target.units.region(unit)
        return tuple(slice(part.start * f, part.stop * f) for part, f in zip(region, target.level.factors, strict=True))


def run_block(job: Job, number: int) -> None:
    """`Job.run_block` with one thread for the kernels, since others run beside it."""
    with settings.one_thread():
        job.run_block(number)


def assemble(job: Job, level: int, unit: int) -> None:
    """`Job.assemble`, as `run_block`."""
    job.assemble(level, unit)


Call = tuple[Any, ...]
"""A function of this module, and what follows the job in its arguments."""


class Threads:
    """Runs calls in threads of this process."""

    def __init__(self, job: Job, workers: int) -> None:
        self.job, self.workers = job, workers
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix="anypool-pyramid")

    def submit(self, call: Call) -> Future[None]:
        return self.pool.submit(call[0], self.job, *call[1:])

    @property
    def most(self) -> int:
        """So many calls are submitted at once."""
        return self.workers

    def finished(self, futures: set[Any]) -> set[Any]:
        """Those that ended, at least one."""
        return wait(futures, return_when=FIRST_COMPLETED).done

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)


class Cluster:
    """Runs calls on the workers of a dask.distributed client."""

    def __init__(self, job: Job, client: Any) -> None:
        self.client, self.job = client, job  # what is scattered would go with the worker that has it

    def submit(self, call: Call) -> Any:
        return self.client.submit(call[0], self.job, *call[1:], pure=False)

    @property
    def most(self) -> int:
        return max(2, 2 * sum(self.client.nthreads().values()))

    def finished(self, futures: set[Any]) -> set[Any]:
        from distributed import wait

        waited = 0.0
        while True:
            try:
                return wait(list(futures), timeout=SILENCE / 4, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                waited = 0.0 if self.client.nthreads() else waited + SILENCE / 4
                if waited >= SILENCE:
                    raise IncompletePyramid("the cluster has had no worker for a minute") from None
            except Exception as error:  # what was to be computed is lost
                raise IncompletePyramid(_sentence(error)) from error

    def close(self) -> None:
        pass


Report = Callable[[int], None]


def run_all(runner: Threads | Cluster, calls: Iterable[Call], report: Report) -> list[str]:
    """Make all calls; what could not be read is said in the result, and the others go on.

    Raises:
        IncompletePyramid: something else went wrong, after which no call is made.
    """
    waiting: Iterator[Call] = iter(calls)
    running: set[Any] = set()
    unreadable: list[str] = []
    while True:
        while len(running) < runner.most and (call := next(waiting, None)) is not None:
            running.add(runner.submit(call))
        if not running:
            return unreadable
        ended = runner.finished(running)
        running -= ended
        for future in ended:
            error = future.exception()
            if error is None:
                report(1)
            elif isinstance(error, Unreadable):
                unreadable.append(str(error))
            else:
                raise IncompletePyramid(_sentence(error)) from error


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"a level cannot be written: {place}{reason(error)}"
    return f"{type(error).__name__}: {reason(error)}"


def share(numbers: int, part: tuple[int, int]) -> range:
    """The superblocks of part i of n, i from 1, which lie beside each other."""
    i, n = part
    return range((i - 1) * numbers // n, i * numbers // n)


def workers_here() -> int:
    """How many superblocks run at once: as many as kernels may have threads, or else processors."""
    affinity = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return min(settings.get_num_threads(), processors) if settings.get_cpu_capability() else processors
