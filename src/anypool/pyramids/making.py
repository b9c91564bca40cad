"""From a source and settings to a finished pyramid in zarr."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import zarr

from . import ome, zarrs
from .errors import IncompletePyramid
from .job import Call, Cluster, Job, Target, Threads, assemble, run_all, run_block, share
from .plan import CELL_BYTES, Grid, Lengths, Level, cell, superblock
from .reductions import LARGEST_WINDOW, Missing, Reduction, reduction_for
from .state import State

Progress = Callable[[int, int, str], None]
"""Is told how many of how many are done, and of what."""

MANY_BYTES = 16 * 2**20
"""No superblock is smaller only to have more of them."""

IN_THE_MAKING = 3
"""Cells at once: decoded, reduced, written."""


@dataclass(frozen=True)
class Wanted:
    """A pyramid that is wanted, all of it checked; nothing of it is written yet."""

    source: zarrs.Source
    image: ome.Image
    operator: Any
    name: str
    """Of the operator."""
    missing: Missing
    levels: tuple[Level, ...]
    version: str
    """Of OME-Zarr."""
    copies: bool
    """Whether level 0 is written too."""
    by: str
    """The version of anypool."""

    @property
    def reduction(self) -> Reduction:
        return reduction_for(self.operator, self.name, self.source.dtype, self.missing)

    @property
    def written(self) -> tuple[Level, ...]:
        rank = len(self.source.shape)
        first = (Level(0, (1,) * rank, self.source.shape),) if self.copies else ()
        return (*first, *self.levels)

    def units(self, level: Level) -> Lengths:
        """What of a level is written at once."""
        chunks = tuple(map(min, self.source.layout, level.shape))
        return tuple(c * -(-min(u, n) // c) for c, u, n in zip(chunks, self.source.units, level.shape, strict=True))

    def described(self) -> dict[str, Any]:
        """The settings that the values depend on, in JSON."""
        nodata = self.missing.nodata
        return {
            "operator": "mean" if self.name == "average" else self.name,
            "factors": [list(level.factors) for level in self.levels],
            "shape": list(self.source.shape),
            "dtype": self.source.dtype.name,
            "nodata": None if nodata is None else repr(nodata.item()),
        }

    def block(self, memory: int, threads: int) -> Lengths:
        """The lengths of superblocks, of which a thread may hold two within `memory` bytes, and of which there are some
        for every thread."""
        most = self.elements(memory)
        share = max(MANY_BYTES // self.source.dtype.itemsize, math.prod(self.source.shape) // (2 * threads))
        return superblock(
            self.source.shape,
            self.source.chunks,
            self.levels[-1].factors,
            [tuple(u * f for u, f in zip(self.units(level), level.factors, strict=True)) for level in self.written],
            most,
            share,
        )

    def elements(self, memory: int) -> int:
        """Of a superblock, at most."""
        each = self.reduction.bytes_per_element(math.prod(self.levels[0].factors))
        free = memory - min(memory // 2, IN_THE_MAKING * CELL_BYTES)
        return int(free / max(each, 2 * self.source.dtype.itemsize))

    def cell(self, block: Lengths) -> Lengths:
        """The lengths of what is read at once."""
        units = map(math.lcm, self.source.chunks, self.levels[0].factors)
        if self.copies:
            units = map(math.lcm, units, self.units(self.written[0]))
        return cell(self.source.shape, block, tuple(units), CELL_BYTES // self.source.dtype.itemsize)


def fitted(wanted: Wanted, memory: int, threads: int, shrink: bool) -> tuple[Wanted, Lengths]:
    """What is wanted and its superblocks, for so many threads with so much memory each; with `shrink` with fewer
    levels, where memory cannot hold a window of the last.

    Raises:
        ValueError: memory is not enough.
    """
    while True:
        try:
            if math.prod(wanted.levels[-1].factors) > LARGEST_WINDOW:
                raise ValueError
            return wanted, wanted.block(memory, threads)
        except ValueError:
            if shrink and len(wanted.levels) > 1:
                wanted = replace(wanted, levels=wanted.levels[:-1])
                continue
            last = wanted.levels[-1]
            raise ValueError(
                f"memory must hold two windows of level {last.number} per thread, which have {last.factors} elements "
                f"of {wanted.source.dtype.name}, got {memory} bytes per thread: give more memory or fewer levels"
            ) from None


# ---------------------------------------------------------------------------------------------------------------------
# On disk


def prepare(wanted: Wanted, target: zarr.Group, block: Lengths, paths: tuple[str, ...]) -> tuple[State, Job]:
    """Make, or find, what the job writes into."""
    settings = {**wanted.described(), "block": list(block), "cell": list(wanted.cell(block))}
    state = State(target, settings)
    settings = state.settings
    same_source(wanted, settings)
    blocks = Grid(wanted.source.shape, tuple(settings["block"]))
    fill, known = _fill(wanted)
    targets = tuple(
        _target(wanted, state, target, level, path, blocks.lengths, tuple(settings["cell"]), fill)
        for level, path in zip(wanted.written, paths, strict=True)
    )
    done = state.marks("done", len(blocks))
    own = wanted.source.zarr_array
    alike = wanted.copies and own is not None and zarrs.are_encoded_alike(own, targets[0].array)
    return state, Job(
        wanted.source, wanted.reduction, targets, blocks, tuple(settings["cell"]), done, known, alike, state.is_there
    )


def same_source(wanted: Wanted, settings: Mapping[str, Any]) -> None:
    """ValueError if an unfinished pyramid has other settings."""
    for key, value in wanted.described().items():
        if settings.get(key) != value:
            raise ValueError(
                f"an unfinished pyramid with {key} {settings.get(key)} is there, not {value}: finish it with its own "
                "settings, or begin again with resume=False"
            )


def _target(
    wanted: Wanted, state: State, group: zarr.Group, level: Level, path: str, block: Lengths, piece: Lengths, fill: Any
) -> Target:
    dtype = wanted.reduction.result if level.number else wanted.source.dtype
    array = zarrs.level_array(group, path, level.shape, wanted.source, dtype, fill, wanted.image.names)
    unit = array.shards or array.chunks
    if array.shape != level.shape or array.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"{path!r} must not be there, got an array of shape {array.shape}: resume=False replaces it")
    lengths = piece if level.number == 0 else tuple(-(-n // f) for n, f in zip(block, level.factors, strict=True))
    if Grid(level.shape, lengths).aligned(unit):
        return Target(level, array, unit)
    parts = state.parts(f"level-{level.number}", level.shape, tuple(map(min, lengths, level.shape)), dtype, fill)
    marks = state.marks(f"assembled-{level.number}", len(Grid(level.shape, unit)))
    return Target(level, array, unit, parts, marks)


def _fill(wanted: Wanted) -> tuple[Any, bool]:
    """The fill value of the levels, and whether it is what windows of nothing but level 0's fill value give."""
    fill, dtype = wanted.source.fill, wanted.source.dtype
    if wanted.source.zarr_array is None or fill is None:
        return (0 if wanted.missing.nodata is None else wanted.missing.nodata), False
    value = np.asarray(fill, dtype)
    same = wanted.name in ("max", "min", "median", "mode") or (wanted.name == "average" and dtype.kind != "f")
    plain = not np.isfinite(value) or (value == 0 and not np.signbit(value))
    nodata = wanted.missing.nodata
    is_nodata = nodata is not None and bool(value == nodata or (np.isnan(value) and np.isnan(nodata)))
    if wanted.name == "sum" and not is_nodata:
        return 0, bool(value == 0 and not (dtype.kind == "f" and np.signbit(value)))
    return fill, bool(same or plain or is_nodata)


def run(job: Job, workers: int, client: Any, part: tuple[int, int], progress: Progress) -> tuple[bool, int]:
    """Do a part's superblocks, then what can be assembled; whether all of the pyramid is there, and how many
    superblocks were computed now.

    Raises:
        IncompletePyramid: not all that was to be done could be.
    """
    runner = Threads(job, workers) if client is None else Cluster(job, client)
    try:
        mine = share(len(job.blocks), part)
        missing = [number for number in job.pending() if number in mine]
        failures = _stage(runner, [(run_block, number) for number in missing], len(mine), "superblocks", progress)
        units = job.unassembled()
        ready = [(assemble, level, unit) for level, unit, is_ready in units if is_ready]
        _stage(runner, ready, len(ready), "shared chunks", progress)
    finally:
        runner.close()
    if failures:
        raise IncompletePyramid(
            f"{len(failures)} of {len(job.blocks)} superblocks could not be computed, the first because {failures[0]}"
        )
    return not job.pending() and not job.unassembled(), len(missing)


def _stage(runner: Threads | Cluster, calls: list[Call], total: int, what: str, progress: Progress) -> list[str]:
    done = total - len(calls)
    progress(done, total, what)

    def report(more: int) -> None:
        nonlocal done
        done += more
        progress(done, total, what)

    return run_all(runner, calls, report)


def publish(wanted: Wanted, target: zarr.Group, state: State, paths: tuple[str, ...], all_paths: Any) -> None:
    """Say in the metadata that the levels are there, and remove what only making them needed."""
    rank = len(wanted.source.shape)
    levels = (Level(0, (1,) * rank, wanted.source.shape), *wanted.levels)
    described = wanted.described()
    new = ome.attributes(wanted.image, levels, all_paths, described["operator"], described, wanted.version, wanted.by)
    if "ome" in new:
        old: dict[str, Any] = dict(target.attrs)
        new["ome"] = {**old.get("ome", {}), **new["ome"]}
    target.update_attributes(new)
    state.remove()
    zarrs.remove_leftovers(target, paths)
    zarrs.consolidate(target)
