"""Dask arrays: lazy and in chunks. One task pools what one chunk of outputs reads, by NumPy's implementations.

`AxisPlan.part` says which positions the outputs of a chunk read, so that a task depends on those input chunks and on
no others: no rechunking, no overlap exchanged. Where a chunk of outputs reads one chunk, the graph stays a recipe
(`Blockwise`), which Dask fuses with what loads the chunk. Windows wider than chunks are made of partial results.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
from dask.array.core import normalize_chunks
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from dask.layers import ArrayValuesDep

from anypool import masks, padding
from anypool.adapters import partial
from anypool.adapters.base import IMPLEMENTATIONS, Adapter, Implementation
from anypool.adapters.tasks import NUMPY, Along, Block, Division, bounds_like, bounds_of
from anypool.cpu.settings import one_thread
from anypool.operators import Defaults
from anypool.pooling import Pooling, primitive
from anypool.windows import Sliding


class Blocks(Implementation):
    """One task per chunk of outputs, which runs one of NumPy's implementations."""

    name = "kernel"

    def __init__(self, adapter: Dask, impl: str) -> None:
        super().__init__(adapter)
        self.impl, self.chunks = impl, adapter.chunks

    def run(self, x: da.Array, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        if pooling.operator.composed:
            result = _composed(x, pooling, parameters)
            return result if self.chunks is None else result.rechunk(_chunks(self.chunks, pooling, result.chunks))
        return _pooled(x, None, _division(x, pooling, parameters, self.impl, self.chunks))


class Namespace:
    """What calls need of dask arrays: operators see NumPy's, chunk by chunk."""

    asarray = staticmethod(np.asarray)

    @staticmethod
    def squeeze(x: da.Array, axes: Sequence[int]) -> da.Array:
        return da.squeeze(x, tuple(axes))


class Dask(Adapter):
    """Dask arrays, and zarr arrays, which it makes such; outputs are cut by `chunks`, or as x is where it is None."""

    name = "Dask"
    defaults = Defaults()

    def __init__(self, chunks: Any = None) -> None:
        self.chunks = chunks

    def with_chunks(self, chunks: Any) -> Dask:
        return Dask(chunks)

    def array(self, x: Any) -> da.Array:
        x = _lazy(x)
        if not isinstance(x, da.Array):
            raise TypeError(f"x must be an array, got {type(x).__module__.partition('.')[0]}'s {type(x).__name__}")
        return _with_known_lengths("x", x)

    def choose(self, impl: str, x: da.Array, pooling: Pooling) -> Implementation:
        if impl not in ("auto", *IMPLEMENTATIONS):
            raise ValueError(f"impl must be one of 'auto', {', '.join(map(repr, IMPLEMENTATIONS))}, got {impl!r}")
        NUMPY.choose(impl, np.empty(0, x.dtype), pooling)  # says why not before any task is made
        return Blocks(self, impl)

    def namespace(self, x: da.Array) -> type[Namespace]:
        return Namespace

    def parameters(self, x: da.Array, pooling: Pooling, arrays: Sequence[Any]) -> tuple[Any, ...]:
        if arrays and any(each.per_window or each.per_position for each in pooling.operator.parameters()):
            kind = type(pooling.operator).__name__
            raise TypeError(f"{kind} takes numbers of windows or elements only of arrays in memory: use x.compute()")
        lazy = [array for array in arrays if isinstance(array, da.Array)]
        if lazy:
            raise TypeError(f"a parameter of {type(pooling.operator).__name__} must be loaded: use p.compute()")
        return NUMPY.parameters(np.broadcast_to(np.zeros((), x.dtype), x.shape), pooling, arrays)

    def concat(self, arrays: Sequence[da.Array], axis: int) -> da.Array:
        return da.concatenate(arrays, axis)

    def mask(self, where: Any, x: da.Array) -> Any:
        where = _lazy(where)
        return _with_known_lengths("where", where) if isinstance(where, da.Array) else np.asarray(where)

    def padded(self, x: da.Array, pooling: Pooling) -> tuple[da.Array, Pooling]:
        with_padding = _padded(x, pooling)
        return with_padding, padding.of_padded(self, with_padding, pooling)

    def masked(
        self, x: da.Array, where: Any, pooling: Pooling, parameters: Sequence[Any], settings: Any, impl: str
    ) -> Any:
        where = None if where is None else masks.checked(self, where, x, pooling)
        if pooling.window.pads_with_data:
            if where is not None:
                whole = da.broadcast_to(da.asarray(where), masks.with_pooled_axes(where.shape, pooling))
                where = ~_padded(~whole, pooling)
            x, pooling = self.padded(x, pooling)
        self.choose(impl, x, primitive(pooling, "sum", "float32", pooling.shape))
        division = _division(x, pooling, parameters, impl, self.chunks, settings, where)
        return _pooled(x, where if isinstance(where, da.Array) else None, division)

    def unpool(self, x: Any, indices: Any, axes: Sequence[int], lengths: Sequence[int]) -> Any:
        raise TypeError("max_unpool needs x and indices in memory, got dask arrays: use x.compute()")

    def largest(self, indices: Any) -> None:
        return None


def _lazy(x: Any) -> Any:
    """A zarr array as a Dask array of its chunks, or of its shards where it has such; anything else as it is."""
    if type(x).__module__.partition(".")[0] == "zarr" and hasattr(x, "chunks"):
        return da.from_zarr(x, chunks=getattr(x, "shards", None) or x.chunks)
    return x


NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _padded(x: da.Array, pooling: Pooling) -> da.Array:
    """x with the padding that is data, in as many chunks."""
    window, pads, chunks = pooling.window, [(0, 0)] * x.ndim, list(x.chunks)
    assert isinstance(window, Sliding)
    for axis, (before, after) in zip(pooling.axes, padding.amounts(pooling), strict=True):
        pads[axis] = before, after
        lengths = list(chunks[axis])
        lengths[0] += before
        lengths[-1] += after
        chunks[axis] = tuple(lengths)
    return da.pad(x, pads, mode=NUMPY_MODES[window.padding_mode]).rechunk(tuple(chunks))


def _with_known_lengths(name: str, x: da.Array) -> da.Array:
    if any(math.isnan(n) for n in x.shape):
        raise ValueError(
            f"{name} must have chunks of known lengths, got shape {x.shape}: call {name}.compute_chunk_sizes()"
        )
    return x


def _division(
    x: da.Array,
    pooling: Pooling,
    parameters: Sequence[Any],
    impl: str,
    chunks: Any,
    settings: masks.Settings | None = None,
    where: Any = None,
) -> Division:
    """The blocks of outputs; a lazy mask is no part of them, for its chunks are dependencies as x's are."""
    plans = dict(zip(pooling.axes, pooling.plan, strict=True))
    bounds: Any = [bounds_like(lengths, plans.get(axis)) for axis, lengths in enumerate(x.chunks)]
    if chunks is not None:
        bounds = _bounds(chunks, pooling, bounds)
    return Division(pooling, bounds, parameters, impl, settings, None if isinstance(where, da.Array) else where)


def _bounds(chunks: Any, pooling: Pooling, otherwise: Sequence[Any]) -> Any:
    """Where outputs are cut by `chunks=`, and as they would be where it says nothing."""
    if isinstance(chunks, str) or (isinstance(chunks, Mapping | tuple | list) and "auto" in _entries(chunks)):
        chunks = normalize_chunks(chunks, pooling.output_shape, dtype=pooling.result)
    return bounds_of(chunks, pooling.output_shape, otherwise)


def _chunks(chunks: Any, pooling: Pooling, otherwise: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """The lengths between these bounds, of outputs that are cut already."""
    before = [[0, *itertools.accumulate(lengths)] for lengths in otherwise]
    return tuple(tuple(np.diff(bounds).tolist()) for bounds in _bounds(chunks, pooling, before))


def _entries(chunks: Any) -> list[Any]:
    return [each for each in (chunks.values() if isinstance(chunks, Mapping) else chunks) if isinstance(each, str)]


def _composed(x: da.Array, pooling: Pooling, parameters: Sequence[Any]) -> da.Array:
    """An operator that sees all of an array along some axes: a task per chunk of the others."""
    whole = x.rechunk(dict.fromkeys(pooling.operator.whole_axes(pooling.axes, x.ndim), -1))
    outputs = dict(zip(pooling.axes, pooling.plan, strict=True))
    chunks = tuple(
        (outputs[axis].outputs,) if axis in outputs else lengths for axis, lengths in enumerate(whole.chunks)
    )
    settings = {"pooling": replace(pooling, memo={}), "parameters": tuple(parameters)}
    return da.map_blocks(
        _composed_chunk, whole, chunks=chunks, meta=np.empty((0,) * x.ndim, pooling.result), **settings
    )


def _composed_chunk(x: np.ndarray, pooling: Pooling, parameters: Sequence[Any]) -> np.ndarray:
    chunk = replace(pooling, shape=x.shape, memo={})
    with one_thread():  # Dask runs as many tasks as there are cores
        return NUMPY.choose("auto", x, chunk).run(x, chunk, parameters)


# ---------------------------------------------------------------------------------------------------------------------
# What each block reads of an array's chunks

Piece = tuple[int, int, int]
"""The number of a chunk along an axis, and the first and one past the last of its own positions."""


def _reads(source: da.Array, along: Sequence[Sequence[Along]]) -> list[list[list[Piece]]]:
    """The pieces of an array, which broadcasts to x, that every block reads along every axis of it."""
    found = []
    for chunks, blocks in zip(source.chunks, along[len(along) - source.ndim :], strict=True):
        bounds = [0, *itertools.accumulate(chunks)]
        broadcasts = bounds[-1] == 1
        found.append([list(_pieces(bounds, *((0, 1) if broadcasts else (each.start, each.stop)))) for each in blocks])
    return found


def _pieces(bounds: Sequence[int], start: int, stop: int) -> Iterator[Piece]:
    """The pieces that positions `start` to `stop` − 1 are made of, one of no length where there are none."""
    if start == stop:
        number = min(bisect.bisect_right(bounds, start), len(bounds) - 1) - 1
        yield number, start - bounds[number], start - bounds[number]
        return
    for number in range(bisect.bisect_right(bounds, start) - 1, bisect.bisect_left(bounds, stop)):
        low, high = max(start, bounds[number]), min(stop, bounds[number + 1])
        if low < high:
            yield number, low - bounds[number], high - bounds[number]


def _are_aligned(source: da.Array, reads: list[list[list[Piece]]]) -> bool:
    """Whether every block reads one whole chunk along every axis, its own or the only one."""
    for chunks, blocks in zip(source.chunks, reads, strict=True):
        one = len(chunks) == 1
        if not one and len(chunks) != len(blocks):
            return False
        own = [0 if one else number for number in range(len(blocks))]
        if any(pieces != [(mine, 0, chunks[mine])] for mine, pieces in zip(own, blocks, strict=True)):
            return False
    return True


@dataclass(frozen=True)
class _Cuts:
    """What a block reads of an array: the keys of chunks, in row-major order, and what is cut of each along every
    axis."""

    keys: list[Any]
    ranges: list[list[tuple[int, int]]]

    @staticmethod
    def of(name: str, pieces: list[list[Piece]]) -> _Cuts:
        numbers = itertools.product(*([number for number, _, _ in along] for along in pieces))
        ranges = [[(low, high) for _, low, high in along] for along in pieces]
        return _Cuts([(name, *place) for place in numbers], ranges)


def _joined(chunks: Sequence[Any], ranges: list[list[tuple[int, int]]]) -> np.ndarray:
    """The pieces of chunks, one array."""
    cuts = itertools.product(*ranges)
    parts = [np.asarray(chunk)[tuple(slice(*each) for each in cut)] for chunk, cut in zip(chunks, cuts, strict=True)]
    for axis in reversed(range(len(ranges))):
        together = len(ranges[axis])
        if together > 1:
            parts = [np.concatenate(parts[i : i + together], axis) for i in range(0, len(parts), together)]
    return parts[0]


# ---------------------------------------------------------------------------------------------------------------------
# Graphs


@dataclass(frozen=True)
class _Job:
    """A block, what goes with it, and how it is cut of chunks; None where it takes whole ones."""

    block: Block
    parameters: list[Any]
    where: Any = None
    ranges: Any = None
    where_ranges: Any = None

    def arrays(self, chunks: Any, where_chunks: Any) -> tuple[np.ndarray, Any]:
        x = np.asarray(chunks) if self.ranges is None else _joined(chunks, self.ranges)
        if where_chunks is None:
            return x, self.where
        return x, where_chunks if self.where_ranges is None else _joined(where_chunks, self.where_ranges)


def _run(job: _Job, chunks: Any, where: Any = None) -> Any:
    return job.block.run(*job.arrays(chunks, where), job.parameters)


def _reduce(job: _Job, chunks: Any, where: Any = None) -> Any:
    return partial.reduce_chunk(job.block, *job.arrays(chunks, where), job.parameters)


def _pooled(x: da.Array, where: da.Array | None, division: Division) -> Any:
    """The values, or (values, indices), of x; `where` is a lazy mask."""
    pooling = division.pooling
    name = f"anypool-{type(pooling.operator).__name__.lower()}-{_token(x, where, division)}"
    if partial.suits(pooling, x.chunks, division.parameters):
        return _of_partial_results(x, where, division, name)
    result = _of_blocks(_run, x, where, division, name, pooling.result)
    if not pooling.return_indices:
        return result
    index = tuple(range(x.ndim))
    return tuple(
        da.blockwise(_pick, index, result, index, number, None, name=f"{name}-{number}", meta=_meta(x, dtype))
        for number, dtype in enumerate((pooling.result, "int64"))
    )


def _token(x: da.Array, where: da.Array | None, division: Division) -> str:
    pooling = division.pooling
    decided = (
        repr(pooling.operator),
        repr(pooling.window),
        pooling.axes,
        pooling.dtype,
        pooling.result,
        pooling.return_indices,
        division.settings,
        division.impl,
        division.chunks,
    )
    return tokenize(x.name, where.name if where is not None else division.where, decided, list(division.parameters))


def _pick(pair: tuple[Any, Any], number: int) -> Any:
    return pair[number]


def _meta(x: da.Array, dtype: str) -> np.ndarray:
    return np.empty((0,) * x.ndim, dtype)


def _of_blocks(
    function: Any, x: da.Array, where: da.Array | None, division: Division, name: str, dtype: str
) -> da.Array:
    """`function(job, chunks of x, chunks of where)` for every block, as an array."""
    sources = [x] if where is None else [x, where]
    reads = [_reads(source, division.along) for source in sources]
    chunks, meta = division.chunks, _meta(x, dtype)
    if all(itertools.starmap(_are_aligned, zip(sources, reads, strict=True))):
        jobs = {place: _job(division, place) for place in division.places()}
        arguments: list[Any] = [ArrayValuesDep(chunks, jobs), tuple(range(x.ndim))]
        for source in sources:
            arguments += [source, tuple(range(x.ndim - source.ndim, x.ndim))]
        options = {"adjust_chunks": dict(enumerate(chunks)), "align_arrays": False, "name": name, "meta": meta}
        return da.blockwise(function, tuple(range(x.ndim)), *arguments, **options)
    layer: dict[Any, Any] = {}
    for place in division.places():
        cuts = [
            _Cuts.of(
                source.name,
                [blocks[number] for blocks, number in zip(each, place[x.ndim - source.ndim :], strict=True)],
            )
            for source, each in zip(sources, reads, strict=True)
        ]
        job = _job(division, place, *(each.ranges for each in cuts))
        layer[(name, *place)] = (function, job, *(each.keys for each in cuts))
    dependencies: Any = sources
    graph = HighLevelGraph.from_collections(name, layer, dependencies=dependencies)
    return da.Array(graph, name, chunks, meta=meta)


def _job(division: Division, place: tuple[int, ...], ranges: Any = None, where_ranges: Any = None) -> _Job:
    block, parameters, where = division.block(place), division.parameters_at(place), division.where_at(place)
    return _Job(block, parameters, where, ranges, where_ranges)


# ---------------------------------------------------------------------------------------------------------------------
# Windows wider than chunks


def _of_partial_results(x: da.Array, where: da.Array | None, division: Division, name: str) -> da.Array:
    """A task per chunk of x, which reduces what windows hold of it, and one per chunk of outputs, which combines."""
    plans = dict(zip(division.pooling.axes, division.pooling.plan, strict=True))
    along = [partial.cut_by_chunks(plans.get(axis), chunks) for axis, chunks in enumerate(x.chunks)]
    parts = division.over(along)
    reduced = _of_blocks(_reduce, x, where, parts, f"{name}-parts", division.pooling.result)
    overlaps = [[_overlaps(mine, blocks) for mine in each] for each, blocks in zip(division.along, along, strict=True)]
    layer: dict[Any, Any] = {}
    for place in division.places():
        block, parameters = division.block(place), division.parameters_at(place)
        held = [each[number] for each, number in zip(overlaps, place, strict=True)]
        keys = [(reduced.name, *(number for number, _, _ in each)) for each in itertools.product(*held)]
        cuts = [tuple(zip(*(cut for _, *cut in each), strict=True)) for each in itertools.product(*held)]
        groups = partial.groups(len(keys))
        for number, (low, high) in enumerate(groups if len(groups) > 1 else ()):
            some = (f"{name}-some", *place, number)
            layer[some] = (_combine, _Parts(block, cuts[low:high]), keys[low:high])
        if len(groups) > 1:
            keys = [(f"{name}-some", *place, number) for number in range(len(groups))]
            cuts = [((slice(None),) * x.ndim,) * 2] * len(groups)
        layer[(name, *place)] = (_finish, _Parts(block, cuts, parameters), keys)
    dependencies: Any = [reduced]
    graph = HighLevelGraph.from_collections(name, layer, dependencies=dependencies)
    return da.Array(graph, name, division.chunks, meta=_meta(x, division.pooling.result))


def _overlaps(mine: Along, parts: Sequence[Along]) -> list[tuple[int, slice, slice]]:
    """Of the parts that hold something of a block of outputs along an axis: their number, and the outputs that both
    have, counted in the part and in the block."""
    found = []
    for number, part in enumerate(parts):
        lo, hi = max(mine.lo, part.lo), min(mine.hi, part.hi)
        if lo < hi:
            found.append((number, slice(lo - part.lo, hi - part.lo), slice(lo - mine.lo, hi - mine.lo)))
    return found


@dataclass(frozen=True)
class _Parts:
    """A block of outputs, and of each of its parts what belongs to the block and where."""

    block: Block
    cuts: list[Any]
    parameters: Sequence[Any] = ()


def _combine(parts: _Parts, reduced: list[Any]) -> Any:
    return partial.combine(parts.block, reduced, parts.cuts)


def _finish(parts: _Parts, reduced: list[Any]) -> np.ndarray:
    return partial.finish(parts.block, _combine(parts, reduced), parts.parameters)


ADAPTER = Dask()
