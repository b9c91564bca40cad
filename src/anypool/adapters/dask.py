"""Dask arrays: lazy and in chunks. One task pools what one chunk of outputs reads, by NumPy's implementations.

`AxisPlan.part` says which positions the outputs of a chunk read, so that a task depends on those input chunks and on no
others: no rechunking, no overlap exchanged. Where a window is everything along an axis of many chunks, each chunk is
reduced on its own and the partial results once more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from anypool import calls, padding
from anypool.adapters.base import IMPLEMENTATIONS, Adapter, Implementation
from anypool.arguments import INTEGERS
from anypool.cpu.settings import one_thread
from anypool.operators import Defaults, Max, Min, Operator, Sum
from anypool.plans import AxisPlan
from anypool.pooling import Pooling, cleared_with_caches
from anypool.windows import Sliding, Window

Range = tuple[int, int]
"""First and one past the last."""


class Blocks(Implementation):
    """One task per chunk of outputs, which runs one of NumPy's implementations."""

    name = "kernel"

    def __init__(self, adapter: Adapter, impl: str) -> None:
        super().__init__(adapter)
        self.impl = impl

    def run(self, x: da.Array, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        if _is_reduction(x, pooling, parameters):
            return _of_partial_results(x, pooling, parameters, self.impl)
        return _pooled(x, pooling, parameters, self.impl)


class Namespace:
    """What calls need of dask arrays: operators see NumPy's, chunk by chunk."""

    asarray = staticmethod(np.asarray)

    @staticmethod
    def squeeze(x: da.Array, axes: Sequence[int]) -> da.Array:
        return da.squeeze(x, tuple(axes))


class Dask(Adapter):
    name = "Dask"
    defaults = Defaults()

    def array(self, x: Any) -> da.Array:
        if any(math.isnan(n) for n in x.shape):
            raise ValueError(f"x must have chunks of known lengths, got shape {x.shape}: call x.compute_chunk_sizes()")
        return x

    def choose(self, impl: str, x: da.Array, pooling: Pooling) -> Implementation:
        if impl not in ("auto", *IMPLEMENTATIONS):
            raise ValueError(f"impl must be one of 'auto', {', '.join(map(repr, IMPLEMENTATIONS))}, got {impl!r}")
        _numpy().choose(impl, np.empty(0, x.dtype), pooling)  # says why not before any task is made
        return Blocks(self, impl)

    def namespace(self, x: da.Array) -> type[Namespace]:
        return Namespace

    def parameters(self, x: da.Array, pooling: Pooling, arrays: Sequence[Any]) -> tuple[Any, ...]:
        lazy = [array for array in arrays if isinstance(array, da.Array)]
        if lazy:
            raise TypeError(f"a parameter of {type(pooling.operator).__name__} must be loaded: use p.compute()")
        return _numpy().parameters(np.broadcast_to(np.zeros((), x.dtype), x.shape), pooling, arrays)

    def padded(self, x: da.Array, pooling: Pooling) -> tuple[da.Array, Pooling]:
        window, pads, chunks = pooling.window, [(0, 0)] * x.ndim, list(x.chunks)
        assert isinstance(window, Sliding)
        for axis, (before, after) in zip(pooling.axes, padding.amounts(pooling), strict=True):
            pads[axis] = before, after
            own = list(chunks[axis])
            own[0] += before
            own[-1] += after
            chunks[axis] = tuple(own)
        mode = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
        with_padding = da.pad(x, pads, mode=mode[window.padding_mode]).rechunk(tuple(chunks))
        return with_padding, padding.of_padded(self, with_padding, pooling)

    def masked(
        self, x: da.Array, where: Any, pooling: Pooling, parameters: Sequence[Any], settings: Any, impl: str
    ) -> Any:
        raise TypeError(
            "where=, nan_policy=, min_count= and fill_value= need x in memory, got a dask array: x.compute()"
        )

    def unpool(self, x: Any, indices: Any, axes: Sequence[int], lengths: Sequence[int]) -> Any:
        raise TypeError("max_unpool needs x and indices in memory, got dask arrays: use x.compute()")

    def largest(self, indices: Any) -> None:
        return None


def _numpy() -> Adapter:
    from anypool.adapters.registry import adapter_for

    return adapter_for(np.empty(0))


# ---------------------------------------------------------------------------------------------------------------------
# What each chunk of outputs reads


@dataclass(frozen=True)
class _Along:
    """A chunk of outputs along an axis: its number of outputs, the pieces of input chunks it reads, and its windows."""

    outputs: int
    pieces: tuple[tuple[int, int, int], ...]
    """Of each input chunk its number, and the first and one past the last of its own positions."""
    start: int
    plan: AxisPlan | None


def _along_pooled(chunks: Sequence[int], plan: AxisPlan) -> list[_Along]:
    """The chunks of outputs of a pooled axis: those whose windows have their centre in an input chunk make one."""
    ends = list(itertools.accumulate(chunks))
    outputs = np.arange(plan.outputs, dtype=np.int64)
    centres = plan.start(outputs) + (plan.count(outputs) - 1) * plan.dilation // 2
    inside = np.clip(centres, 0, max(plan.length - 1, 0))
    bounds = [0, *np.searchsorted(inside, ends[:-1], side="left").tolist(), plan.outputs]
    found = []
    for low, high in itertools.pairwise(bounds):
        if high > low:
            start, stop, part = plan.part(low, high)
            found.append(_Along(high - low, tuple(_pieces(chunks, start, stop)), start, part))
    return found or [_Along(0, ((0, 0, 0),), 0, plan.part(0, 1)[2])]


def _pieces(chunks: Sequence[int], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    begin = 0
    for number, length in enumerate(chunks):
        low, high = max(start - begin, 0), min(stop - begin, length)
        if low < high or (start == stop and begin <= start <= begin + length):
            yield number, low, max(high, low)
            if start == stop:
                return
        begin += length


def _along_other(chunks: Sequence[int]) -> list[_Along]:
    begins = [0, *itertools.accumulate(chunks)]
    return [_Along(n, ((number, 0, n),), begins[number], None) for number, n in enumerate(chunks)]


# ---------------------------------------------------------------------------------------------------------------------
# Graphs


def _pooled(x: da.Array, pooling: Pooling, parameters: Sequence[Any], impl: str) -> Any:
    plans = dict(zip(pooling.axes, pooling.plan, strict=True))
    along = [
        _along_pooled(chunks, plans[axis]) if axis in plans else _along_other(chunks)
        for axis, chunks in enumerate(x.chunks)
    ]
    token = tokenize(x.name, _key(pooling), list(parameters), impl)
    name = f"anypool-{type(pooling.operator).__name__.lower()}-{token}"
    layer: dict[Any, Any] = {}
    for place in itertools.product(*(range(len(blocks)) for blocks in along)):
        blocks = [along[axis][number] for axis, number in enumerate(place)]
        block = _Block.of(pooling, blocks, x.shape)
        inputs = [list(each.pieces) for each in blocks]
        keys = _nested(x.name, inputs, ())
        cuts = [[(low, high) for _, low, high in pieces] for pieces in inputs]
        own = [_own(value, blocks, pooling) for value in parameters]
        layer[(name, *place)] = (_run, block, keys, cuts, own, impl)
    chunks = tuple(tuple(each.outputs for each in blocks) for blocks in along)
    sources: Any = (x,)
    graph = HighLevelGraph.from_collections(name, layer, dependencies=sources)
    if not pooling.return_indices:
        return da.Array(graph, name, chunks, meta=_meta(x, pooling.result))
    found = []
    for number, dtype in enumerate((pooling.result, "int64")):
        part = f"{name}-{number}"
        picks: Any = {(part, *key[1:]): (_pick, key, number) for key in layer}
        both = HighLevelGraph({**graph.layers, part: picks}, {**graph.dependencies, part: {name}})
        found.append(da.Array(both, part, chunks, meta=_meta(x, dtype)))
    return tuple(found)


def _nested(name: str, pieces: list[list[tuple[int, int, int]]], place: tuple[int, ...]) -> Any:
    """The keys of the input chunks of a task, in lists within lists, as numpy.block takes them."""
    if len(place) == len(pieces):
        return (name, *place)
    return [_nested(name, pieces, (*place, number)) for number, _, _ in pieces[len(place)]]


def _own(value: Any, blocks: Sequence[_Along], pooling: Pooling) -> Any:
    """A parameter's part that goes with a block."""
    if isinstance(value, int | float):
        return value
    first = len(blocks) - value.ndim
    cuts = []
    for axis, length in enumerate(value.shape, first):
        start = blocks[axis].start
        cuts.append(slice(None) if length == 1 else slice(start, start + blocks[axis].outputs))
    return value[tuple(cuts)]


# ---------------------------------------------------------------------------------------------------------------------
# Tasks


@dataclass(frozen=True)
class _Block:
    """The pooling of one block, as it travels to a worker: what a `Pooling` holds, and where the block lies."""

    operator: Operator
    window: Window
    axes: tuple[int, ...]
    plan: tuple[AxisPlan, ...]
    shape: tuple[int, ...]
    dtypes: tuple[str, str, str]
    return_indices: bool
    empty: bool
    starts: tuple[int, ...]
    """Of the pooled axes, as `lengths` are: where the block starts in the array, and how long the array is."""
    lengths: tuple[int, ...]

    @staticmethod
    def of(pooling: Pooling, blocks: Sequence[_Along], shape: Sequence[int]) -> _Block:
        plans: Any = tuple(blocks[axis].plan for axis in pooling.axes)
        lengths = tuple(sum(high - low for _, low, high in each.pieces) for each in blocks)
        return _Block(
            pooling.operator,
            pooling.window,
            pooling.axes,
            plans,
            lengths,
            (pooling.dtype, pooling.accumulator, pooling.result),
            pooling.return_indices,
            pooling.empty,
            tuple(blocks[axis].start for axis in pooling.axes),
            tuple(shape[axis] for axis in pooling.axes),
        )


@lru_cache(maxsize=1024)
def _pooling(block: _Block) -> Pooling:
    options = *block.dtypes, block.return_indices, block.empty
    return Pooling(block.operator, block.window, block.axes, block.plan, block.shape, *options)


cleared_with_caches(_pooling.cache_clear)


def _key(pooling: Pooling) -> tuple[Any, ...]:
    return (
        repr(pooling.operator),
        repr(pooling.window),
        pooling.axes,
        pooling.dtype,
        pooling.result,
        pooling.return_indices,
    )


def _run(block: _Block, chunks: Any, cuts: list[list[Range]], parameters: list[Any], impl: str) -> Any:
    """Pool what was cut from input chunks, in lists within lists."""
    x = _joined(chunks, cuts, ())
    adapter, pooling = _numpy(), _pooling(block)
    with one_thread():  # Dask runs as many tasks as there are cores
        result = adapter.choose(impl, x, pooling).run(x, pooling, tuple(parameters))
    if not block.return_indices:
        return result
    values, indices = result
    return values, _in_array(indices, block)


def _joined(chunks: Any, cuts: list[list[Range]], place: tuple[int, ...]) -> np.ndarray:
    axis = len(place)
    if axis == len(cuts):
        part = tuple(slice(*cuts[each][number]) for each, number in enumerate(place))
        return np.asarray(chunks)[part]
    parts = [_joined(chunk, cuts, (*place, number)) for number, chunk in enumerate(chunks)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)


def _in_array(indices: np.ndarray, block: _Block) -> np.ndarray:
    """Flat positions within a block's pooled axes as those within the array's."""
    lengths = [block.shape[axis] for axis in block.axes]
    flat = np.zeros_like(indices)
    for place, start, length in zip(np.unravel_index(indices, lengths), block.starts, block.lengths, strict=True):
        flat = flat * length + place + start
    return flat


def _pick(pair: tuple[Any, Any], number: int) -> Any:
    return pair[number]


# ---------------------------------------------------------------------------------------------------------------------
# Windows of everything, over many chunks


def _is_reduction(x: da.Array, pooling: Pooling, parameters: Sequence[Any]) -> bool:
    """Whether each chunk can be reduced on its own, and the partial results once more."""
    operator = pooling.operator
    several = any(len(x.chunks[axis]) > 1 for axis in pooling.axes)
    if not (several and all(plan.whole for plan in pooling.plan)) or pooling.return_indices:
        return False
    if any(not isinstance(value, int | float) for value in parameters):
        return False
    reduces = type(operator) in (Max, Min, Sum) or bool(operator.reductions)  # a subclass may reduce otherwise
    return reduces and operator.lift_refusal(pooling.dtype, pooling.accumulator) is None


def _of_partial_results(x: da.Array, pooling: Pooling, parameters: Sequence[Any], impl: str) -> da.Array:
    operator, axes = pooling.operator, pooling.axes
    names = operator.reductions or (operator.info.name,)
    dtype = pooling.dtype if operator.selects else operator.lift_dtype or pooling.accumulator
    settings = {"operator": operator, "parameters": tuple(parameters), "axes": axes, "within": dtype, "impl": impl}
    chunks = tuple((1,) * len(lengths) if axis in axes else lengths for axis, lengths in enumerate(x.chunks))
    partial = [
        da.map_blocks(
            _reduce_chunk, x, number=number, reduction=name, chunks=chunks, meta=_meta(x, dtype), **settings
        ).rechunk(dict.fromkeys(axes, -1))
        for number, name in enumerate(names)
    ]
    settings |= {"names": names, "count": math.prod(x.shape[axis] for axis in axes), "result": pooling.result}
    final = tuple((1,) if axis in axes else lengths for axis, lengths in enumerate(x.chunks))
    return da.map_blocks(_combine, *partial, chunks=final, meta=_meta(x, pooling.result), **settings)


def _meta(x: da.Array, dtype: str) -> np.ndarray:
    return np.empty((0,) * x.ndim, dtype)


def _reduce_chunk(
    chunk: np.ndarray,
    operator: Operator,
    parameters: Any,
    axes: Any,
    within: str,
    impl: str,
    number: int,
    reduction: str,
) -> np.ndarray:
    """One of an operator's reductions of all of a chunk."""
    if operator.reductions:
        with np.errstate(all="ignore"):
            chunk = operator.lift(np.asarray(chunk).astype(within), *parameters, _numpy().namespace(chunk))[number]
    return _reduced(chunk, reduction, axes, within, impl)


def _reduced(x: np.ndarray, name: str, axes: Any, dtype: str, impl: str) -> np.ndarray:
    with one_thread():
        return calls.global_pool(_numpy(), x, name, axes, True, dtype=dtype, impl=impl)


def _combine(
    *parts: np.ndarray,
    operator: Operator,
    parameters: Any,
    axes: Any,
    within: str,
    impl: str,
    names: Any,
    count: int,
    result: str,
) -> np.ndarray:
    """The value, from the partial results of all chunks."""
    reduced = tuple(_reduced(part, name, axes, within, impl) for part, name in zip(parts, names, strict=True))
    value, xp = reduced[0], _numpy().namespace(parts[0])
    if operator.reductions:
        with np.errstate(all="ignore"):
            value = operator.finish(reduced, xp.asarray(float(count)), *parameters, xp)
    rounds = result in INTEGERS and np.issubdtype(value.dtype, np.floating)
    return (np.rint(value) if rounds else value).astype(result, copy=False)


ADAPTER = Dask()
