"""A pooling in blocks of outputs: what each of them reads, and a task that makes it wherever it is called.

`AxisPlan.part` says which positions a range of outputs reads, so a block needs those and nothing else. Dask's graphs
are made of these blocks, and `tasks` hands them to whatever else runs functions: processes, Ray, Spark.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from anypool import calls, masks
from anypool.adapters.registry import adapter_for
from anypool.arguments import as_integer, plain
from anypool.cpu.settings import one_thread
from anypool.operators import Operator
from anypool.plans import AxisPlan
from anypool.pooling import Axes, Pooling, as_axis, cleared_with_caches, decide
from anypool.windows import Window

NUMPY = adapter_for(np.empty(0))
"""Who runs blocks."""

Bounds = Sequence[int]
"""Where the outputs along an axis are cut: 0, …, the number of outputs."""


@dataclass(frozen=True)
class Along:
    """Outputs `lo` to `hi` − 1 along one axis: they read positions `start` to `stop` − 1, and `plan` gives them from
    these alone. `plan` is None along an axis that is not pooled."""

    lo: int
    hi: int
    start: int
    stop: int
    plan: AxisPlan | None = None


def cut_along(plan: AxisPlan | None, bounds: Bounds) -> list[Along]:
    """The blocks of outputs between these bounds."""
    if plan is None:
        return [Along(lo, hi, lo, hi) for lo, hi in itertools.pairwise(bounds)]
    parts = ((lo, hi, *plan.part(lo, hi)) for lo, hi in itertools.pairwise(bounds))
    return [Along(lo, hi, start, stop, part) for lo, hi, start, stop, part in parts]


def bounds_like(chunks: Sequence[int], plan: AxisPlan | None) -> list[int]:
    """Bounds of outputs that follow the chunks of an axis: those whose windows have their centre in one chunk go
    together."""
    ends = list(itertools.accumulate(chunks))
    if plan is None:
        return [0, *ends]
    outputs = np.arange(plan.outputs, dtype=np.int64)
    centres = plan.start(outputs) + (plan.count(outputs) - 1) * plan.dilation // 2
    inside = np.clip(centres, 0, max(plan.length - 1, 0))
    inner = np.searchsorted(inside, ends[:-1], side="left").tolist()
    return [0, *sorted({each for each in inner if 0 < each < plan.outputs}), plan.outputs]


def bounds_of(chunks: Any, shape: Sequence[int], otherwise: Sequence[Bounds]) -> list[Bounds]:
    """Bounds along every axis of outputs of this shape, by `chunks=`; `otherwise` where it says nothing.

    TypeError or ValueError where it is no integer, one entry per axis, or mapping of axes; an entry is a length, the
    lengths of all blocks, −1 for all outputs or None.
    """
    rank = len(shape)
    if isinstance(chunks, Mapping):
        entries: list[Any] = [None] * rank
        for axis, entry in chunks.items():
            number = as_axis(axis)
            if not -rank <= number < rank:
                raise ValueError(f"chunks must name axes within [-{rank}, {rank}), got {number}")
            entries[number] = entry
    else:
        chunks = plain(chunks)
        entries = list(chunks) if isinstance(chunks, Sequence) and not isinstance(chunks, str) else [chunks] * rank
    if len(entries) != rank:
        raise ValueError(f"chunks must have one entry for each of the output's {rank} axes, got {len(entries)}")
    return [
        default if entry is None else _bounds(entry, axis, length)
        for axis, (entry, length, default) in enumerate(zip(entries, shape, otherwise, strict=True))
    ]


def _bounds(entry: Any, axis: int, length: int) -> list[int]:
    if isinstance(entry, Sequence) and not isinstance(entry, str):
        lengths = [as_integer("chunks", each, 0) for each in entry]
        if sum(lengths) != length:
            raise ValueError(
                f"chunks along axis {axis} must sum up to its {length} outputs, got {tuple(entry)}, together "
                f"{sum(lengths)}"
            )
        return [0, *itertools.accumulate(each for each in lengths if each)] if length else [0, 0]
    size = max(length, 1) if entry == -1 and not isinstance(entry, bool) else as_integer("chunks", entry, 1)
    return [*range(0, length, size), length] if length else [0, 0]


# ---------------------------------------------------------------------------------------------------------------------
# Blocks


@dataclass(frozen=True)
class Block:
    """The pooling of one block as it travels: what a `Pooling` holds, masks' settings, and where the block lies.

    `shape` is that of what the block reads. Where indices are wanted, `starts` and `lengths` are those of the pooled
    axes: where the block starts in the array, and how long the array is.
    """

    operator: Operator
    window: Window
    axes: tuple[int, ...]
    plan: tuple[AxisPlan, ...]
    shape: tuple[int, ...]
    dtypes: tuple[str, str, str]
    return_indices: bool
    empty: bool
    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    settings: masks.Settings | None
    impl: str

    def run(self, x: np.ndarray, where: Any = None, parameters: Sequence[Any] = ()) -> Any:
        """The values, or (values, indices), of the block, on one thread: blocks run side by side."""
        pooling = pooling_of(self)
        with one_thread():
            if self.settings is not None:
                return NUMPY.masked(x, where, pooling, parameters, self.settings, self.impl)
            result = NUMPY.choose(self.impl, x, pooling).run(x, pooling, tuple(parameters))
        if not self.return_indices:
            return result
        values, indices = result
        return values, self._in_array(indices)

    def _in_array(self, indices: np.ndarray) -> np.ndarray:
        """Flat positions within the block's pooled axes as those within the array's."""
        lengths = [self.shape[axis] for axis in self.axes]
        flat = np.zeros_like(indices)
        for place, start, length in zip(np.unravel_index(indices, lengths), self.starts, self.lengths, strict=True):
            flat = flat * length + place + start
        return flat


@lru_cache(maxsize=1024)
def pooling_of(block: Block) -> Pooling:
    """The pooling of a block's own array."""
    options = *block.dtypes, block.return_indices, block.empty
    return Pooling(block.operator, block.window, block.axes, block.plan, block.shape, *options)


cleared_with_caches(pooling_of.cache_clear)


class Division:
    """A pooling cut into blocks of outputs along every axis; `place` below is the number of a block along each.

    `parameters` are values of the operator's; `settings` and `where` are those of masks, and arrays are cut as x is.
    """

    def __init__(
        self,
        pooling: Pooling,
        bounds: Sequence[Bounds],
        parameters: Sequence[Any] = (),
        impl: str = "auto",
        settings: masks.Settings | None = None,
        where: Any = None,
    ) -> None:
        plans = dict(zip(pooling.axes, pooling.plan, strict=True))
        self.pooling, self.impl, self.settings = pooling, impl, settings
        self.parameters, self.where = parameters, where
        self.along = [cut_along(plans.get(axis), each) for axis, each in enumerate(bounds)]
        self._blocks: dict[Any, Block] = {}

    def over(self, along: Sequence[Sequence[Along]]) -> Division:
        """The same pooling in other blocks."""
        found = Division(self.pooling, (), self.parameters, self.impl, self.settings, self.where)
        found.along = [list(each) for each in along]
        return found

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """The lengths of the blocks of outputs along every axis."""
        return tuple(tuple(each.hi - each.lo for each in blocks) for blocks in self.along)

    def places(self) -> Iterator[tuple[int, ...]]:
        return itertools.product(*(range(len(blocks)) for blocks in self.along))

    def at(self, place: Sequence[int]) -> list[Along]:
        return [self.along[axis][number] for axis, number in enumerate(place)]

    def block(self, place: Sequence[int]) -> Block:
        """The block, the same object for all that do the same."""
        pooling, along = self.pooling, self.at(place)
        plan: Any = tuple(along[axis].plan for axis in pooling.axes)
        shape = tuple(each.stop - each.start for each in along)
        indexed = pooling.axes if pooling.return_indices else ()
        starts = tuple(along[axis].start for axis in indexed)
        block = self._blocks.get((plan, shape, starts))
        if block is None:
            block = self._blocks[plan, shape, starts] = Block(
                pooling.operator,
                pooling.window,
                pooling.axes,
                plan,
                shape,
                (pooling.dtype, pooling.accumulator, pooling.result),
                pooling.return_indices,
                pooling.empty,
                starts,
                tuple(pooling.shape[axis] for axis in indexed),
                self.settings,
                self.impl,
            )
        return block

    def parameters_at(self, place: Sequence[int]) -> list[Any]:
        """The parameters' parts that go with a block."""
        declared = self.pooling.operator.parameters()
        along = self.at(place)
        return [
            part_of(value, along, int(each.per_element)) for each, value in zip(declared, self.parameters, strict=True)
        ]

    def where_at(self, place: Sequence[int]) -> Any:
        """The mask's part that goes with a block."""
        return part_of(self.where, self.at(place))


def part_of(value: Any, along: Sequence[Along], own: int = 0) -> Any:
    """The part of an array that broadcasts against x which goes with a block; its last `own` axes are not x's."""
    if not isinstance(value, np.ndarray):
        return value
    first = len(along) - (value.ndim - own)
    ranges = [(each.start, each.stop) for each in along[max(first, 0) :]]
    cuts = [slice(None) if n == 1 else slice(*each) for n, each in zip(value.shape, ranges, strict=False)]
    return value[tuple(cuts)]


# ---------------------------------------------------------------------------------------------------------------------
# Tasks for whoever runs functions


@dataclass(frozen=True)
class Task:
    """One block of a pooling: `result[task.outputs] = task(x[task.inputs])`. It can be pickled, and runs on one thread.

    Attributes:
        inputs: the positions that the block reads, a slice per axis of x.
        outputs: where its values belong, a slice per axis of the result.

    Called with what `inputs` reads of x, and of a mask of x's shape as `where` if elements are masked, it returns the
    values, or (values, indices) where indices were asked for: flat positions within the whole array's pooled axes.
    Raises ValueError where x is not of the shape and dtype that `inputs` reads.

    >>> import anypool as ap
    >>> import numpy as np
    >>> x = np.arange(12.0)
    >>> task = ap.tasks(x, "max", ap.Sliding(3), axes=0, chunks=2)[1]
    >>> task.inputs, task.outputs
    ((slice(6, 12, None),), (slice(2, 4, None),))
    >>> task(x[task.inputs])
    array([ 8., 11.])
    """

    inputs: tuple[slice, ...]
    outputs: tuple[slice, ...]
    block: Block
    parameters: tuple[Any, ...] = ()

    def __call__(self, x: Any, where: Any = None) -> Any:
        x, block = NUMPY.array(x), self.block
        if x.shape != block.shape or NUMPY.dtype(x) != block.dtypes[0]:
            raise ValueError(
                f"x must be what the task's inputs read, shape {block.shape} and dtype {block.dtypes[0]}, got shape "
                f"{x.shape} and dtype {x.dtype}"
            )
        if where is not None and block.settings is None:
            raise ValueError("where= is for tasks that were made with masked=True")
        return block.run(x, where, self.parameters)


class Tasks(Sequence[Task]):
    """The tasks that together make a pooling's result, of `shape` and `dtype`; in row-major order of their outputs.

    A sequence; each task is made when it is asked for.

    >>> import anypool as ap
    >>> import numpy as np
    >>> todo = ap.tasks(np.zeros((100, 100), "uint8"), "average", ap.Sliding(2), chunks=10)
    >>> len(todo), todo.shape, todo.dtype
    (25, (50, 50), dtype('float64'))
    """

    def __init__(self, division: Division) -> None:
        self._division = division
        self.shape: tuple[int, ...] = division.pooling.output_shape
        self.dtype = np.dtype(division.pooling.result)

    def __len__(self) -> int:
        return math.prod(map(len, self._division.along))

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        number = as_axis(number)
        if not -len(self) <= number < len(self):
            raise IndexError(f"there are {len(self)} tasks, and none has number {number}")
        lengths = [len(blocks) for blocks in self._division.along]
        place = [int(each) for each in np.unravel_index(number % len(self), lengths)]
        along = self._division.at(place)
        return Task(
            tuple(slice(each.start, each.stop) for each in along),
            tuple(slice(each.lo, each.hi) for each in along),
            self._division.block(place),
            tuple(self._division.parameters_at(place)),
        )


def tasks(
    x: Any,
    operator: Operator | str,
    window: Window,
    axes: Axes = None,
    *,
    chunks: Any = None,
    return_indices: bool = False,
    dtype: Any = None,
    impl: str = "auto",
    masked: bool = False,
    min_count: int | None = None,
    fill_value: float | None = None,
    nan_policy: str = "propagate",
) -> Tasks:
    """A pooling as tasks: what `pool` does, cut into blocks that any number of processes or machines can run.

    result[task.outputs] = task(x[task.inputs]) for every task makes the result. Tasks read what their outputs need, so
    inputs of neighbours overlap where windows do; outputs never do.

    Args:
        x: an array, or anything with its `shape` and `dtype`; its elements are not looked at.
        operator, window, axes, return_indices, dtype, impl: as in `pool`.
        chunks: outputs per block: an integer for all axes, one entry per axis, or a mapping of axes. An entry is a
            number of outputs, the lengths of all blocks, −1 for all outputs, or None for what follows x's own chunks.
            Default: x's own, of arrays that have such, as zarr's and HDF5's do.
        masked: tasks are called with a part of a mask, `task(x[task.inputs], where=mask[task.inputs])`.
        min_count, fill_value, nan_policy: as in `pool`.

    Returns:
        A sequence of `Task`, with the `shape` and `dtype` of the result.

    Raises:
        TypeError, ValueError: as `pool` does, and where `chunks` fit no output.

    >>> import anypool as ap
    >>> import numpy as np
    >>> x = np.arange(100.0).reshape(10, 10)
    >>> todo = ap.tasks(x, "max", ap.Sliding(3, stride=2), chunks=2)
    >>> len(todo), todo.shape, todo[1].inputs, todo[1].outputs
    (4, (4, 4), (slice(0, 5, None), slice(4, 9, None)), (slice(0, 2, None), slice(2, 4, None)))
    >>> result = np.empty(todo.shape, todo.dtype)
    >>> for task in todo:
    ...     result[task.outputs] = task(x[task.inputs])
    >>> bool((result == ap.max_pool(x, 3, stride=2)).all())
    True
    """
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        raise TypeError(f"x must be an array or have its shape and dtype, got {type(x).__name__}")
    if not isinstance(window, Window):
        raise TypeError(f"window must be anypool's Sliding(…), Adaptive(…) or Global(), got {window!r}")
    like = np.broadcast_to(np.zeros((), x.dtype), tuple(x.shape))  # of x's shape and dtype, without its memory
    operator, arrays = calls.split(operator)
    pooling = decide(NUMPY, like, operator, window, axes, return_indices, dtype)
    if pooling.operator.composed or window.pads_with_data:
        what = pooling.operator if pooling.operator.composed else window
        raise ValueError(f"{what} reads more than tasks are given of x, their windows: pool a dask array")
    parameters = pooling.operator.values(NUMPY.parameters(like, pooling, arrays) if arrays else ())
    settings = None
    if masked or min_count is not None or fill_value is not None or nan_policy != "propagate":
        settings = masks.Settings(min_count, fill_value, nan_policy)
        masks.check(pooling, settings)
    NUMPY.choose(impl, like[(slice(0),) * like.ndim], pooling)  # says why not before any task is made
    own = [_own_chunks(x, axis) for axis in range(len(pooling.shape))]
    if chunks is None and any(each is None for each in own):
        raise ValueError("chunks must say how many outputs a task makes, where x has no chunks of its own")
    plans = dict(zip(pooling.axes, pooling.plan, strict=True))
    lengths = pooling.output_shape
    follow = [
        [0, lengths[axis]] if each is None else bounds_like(each, plans.get(axis)) for axis, each in enumerate(own)
    ]
    bounds = follow if chunks is None else bounds_of(chunks, lengths, follow)
    return Tasks(Division(pooling, bounds, parameters, impl, settings))


def _own_chunks(x: Any, axis: int) -> Sequence[int] | None:
    """The lengths of x's chunks along an axis, of arrays that say: zarr's, HDF5's and Dask's."""
    chunks = getattr(x, "chunks", None)
    if chunks is None:
        return None
    length, size = int(x.shape[axis]), chunks[axis]
    return size if isinstance(size, Sequence) else [stop - start for start, stop in _steps(length, int(size))]


def _steps(length: int, size: int) -> Iterator[tuple[int, int]]:
    return itertools.pairwise([*range(0, length, size), length] if length else [0, 0])
