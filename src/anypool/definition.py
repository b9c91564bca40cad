"""The definition at work: any operator over any plan, in any framework's functions, within bounded memory.

This is the slow twin that every acceleration is tested against, and what runs where nothing is accelerated. Windows are
taken by position, so it serves sliding, adaptive and global windows alike, and a framework that differentiates
indexing differentiates pooling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from anypool.operators import FLOATS, INTEGERS, Operator
from anypool.windows import AxisPlan, Plan, Window, is_known

WINDOWS_AT_ONCE = 256 * 2**20
"""Bytes of windows laid out at once, at most; more outputs than fit are computed in blocks."""


@dataclass(frozen=True, eq=False)
class Pooling:
    """One pooling, decided: checked arguments for arrays of one shape and dtype.

    `axes` are not negative and in the caller's order, as `plan` is; `dtype`, `accumulator` and `result` are the
    names of the dtypes of
    the elements, the arithmetic and the output. `empty` says that some window holds no element.
    """

    operator: Operator
    window: Window
    axes: tuple[int, ...]
    plan: Plan
    shape: tuple[Any, ...]
    dtype: str
    accumulator: str
    result: str
    return_indices: bool = False
    empty: bool = False

    @cached_property
    def output_shape(self) -> tuple[Any, ...]:
        outputs = {axis: plan.outputs for axis, plan in zip(self.axes, self.plan, strict=True)}
        return tuple(outputs.get(axis, length) for axis, length in enumerate(self.shape))


def pool(x: Any, pooling: Pooling, xp: Any) -> Any:
    """The values, and with `return_indices` the flat positions of the winners within the pooled axes."""
    operator = pooling.operator
    groups = (
        [(i,) for i in reversed(range(len(pooling.axes)))] if operator.separable else [tuple(range(len(pooling.axes)))]
    )
    state: tuple[Any, ...] = (xp.astype(x, pooling.accumulator),)
    inner = 1  # positions within the axes already pooled, for the flat index
    for group in groups:
        plans = tuple(pooling.plan[i] for i in group)
        axes = tuple(pooling.axes[i] for i in group)
        if pooling.return_indices:
            state = _each_block(_Winners(operator, plans, inner, xp), state, axes, plans, xp)
            inner = inner * math.prod(plan.length for plan in plans)
        else:
            state = _each_block(_Values(operator, plans, xp), state, axes, plans, xp)
    values = operator.finish(state[0], _counts(pooling, xp), xp)
    if pooling.empty and operator.needs_element:
        values = xp.where(_counts(pooling, xp) > 0, values, operator.loser(values, xp))
    if pooling.result in INTEGERS and pooling.accumulator in FLOATS:
        values = xp.round(values)
    values = xp.astype(values, pooling.result)
    return (values, state[1]) if pooling.return_indices else values


def unpool(x: Any, indices: Any, axes: Sequence[int], lengths: Sequence[int], xp: Any) -> Any:
    """Zeros with x at flat positions within the `axes` of the output; of equal positions the last in row-major order
    wins."""
    last = tuple(range(-len(axes), 0))
    values, places = (xp.moveaxis(array, tuple(axes), last) for array in (x, indices))
    shape, outputs = xp.shape(values), math.prod(lengths)
    lead, inputs = shape[: -len(axes)], math.prod(shape[-len(axes) :])
    values = xp.reshape(values, (math.prod(lead), inputs))
    source = xp.latest(xp.reshape(places, (math.prod(lead), inputs)), outputs)
    if not is_known(inputs) or inputs:
        taken = xp.take_along_last(values, xp.where(source < 0, 0, source))
        result = xp.where(source < 0, xp.zero(values), taken)
    else:
        result = xp.where(source < 0, xp.zero(values), xp.zero(values))
    return xp.moveaxis(xp.reshape(result, (*lead, *lengths)), last, tuple(axes))


# ---------------------------------------------------------------------------------------------------------------------
# What is computed of a block of windows

Range = tuple[Any, Any]
"""First and one past the last, of the leading positions or of the outputs along an axis."""


@dataclass(frozen=True)
class _Values:
    operator: Operator
    plans: Plan
    xp: Any

    def __call__(self, arrays: Sequence[Any], ranges: Sequence[Range]) -> tuple[Any, ...]:
        windows, valid = _windows(arrays[0], self.operator, self.plans, ranges, self.xp)
        return (self.operator.reduce(windows, valid, self.xp),)


@dataclass(frozen=True)
class _Winners:
    """Values and flat indices along one axis; the second array, if any, holds the indices of the axes already
    pooled."""

    operator: Operator
    plans: Plan
    inner: Any
    xp: Any

    def __call__(self, arrays: Sequence[Any], ranges: Sequence[Range]) -> tuple[Any, ...]:
        (plan,), xp = self.plans, self.xp
        windows, valid = _windows(arrays[0], self.operator, self.plans, ranges, xp)
        winner = self.operator.winner(windows, valid, xp)[..., None]
        index = plan.positions(xp.asarray(_numbers(ranges[1], xp)), winner[..., 0]) * self.inner
        if len(arrays) > 1:
            within, _ = _windows(arrays[1], self.operator, self.plans, ranges, xp)
            index = index + xp.take_along_last(within, winner)[..., 0]
        return xp.take_along_last(windows, winner)[..., 0], index


# ---------------------------------------------------------------------------------------------------------------------
# Windows laid out along a last axis, block by block


def _each_block(
    compute: Callable[..., tuple[Any, ...]], arrays: Sequence[Any], axes: tuple[int, ...], plans: Plan, xp: Any
) -> tuple[Any, ...]:
    """`compute` over all windows along `axes`: its results, with the outputs where the axes were."""
    last = tuple(range(-len(axes), 0))
    moved = [xp.moveaxis(array, axes, last) for array in arrays]
    shape = xp.shape(moved[0])
    lead, lengths = shape[: -len(axes)], shape[-len(axes) :]
    # Lengths that are not known are not multiplied: JAX cannot tell that a product such as b·(w − 2) is no less than 0.
    merged = (math.prod(lead),) if all(map(is_known, lead)) else lead
    flat = [xp.reshape(array, (*merged, *lengths)) for array in moved]
    ranges = [(0, math.prod(lead)), *((0, plan.outputs) for plan in plans)]
    results = _in_blocks(compute, flat, ranges, plans, xp)
    outputs = tuple(plan.outputs for plan in plans)
    return tuple(xp.moveaxis(xp.reshape(result, (*lead, *outputs)), last, axes) for result in results)


def _in_blocks(
    compute: Callable[..., tuple[Any, ...]], arrays: Sequence[Any], ranges: list[Range], plans: Plan, xp: Any
) -> tuple[Any, ...]:
    """`compute` over these ranges, in halves where their windows would take too much memory at once."""
    if all(is_known(stop) for _, stop in ranges) and all(is_known(plan.width) for plan in plans):
        sizes = [stop - start for start, stop in ranges]
        bytes_laid_out = 8 * math.prod(sizes) * math.prod(plan.width for plan in plans)
        if bytes_laid_out > WINDOWS_AT_ONCE and max(sizes) > 1:
            axis = 0 if sizes[0] > 1 else sizes.index(max(sizes))
            (start, stop), middle = ranges[axis], ranges[axis][0] + sizes[axis] // 2
            halves = [
                _in_blocks(compute, arrays, [*ranges[:axis], half, *ranges[axis + 1 :]], plans, xp)
                for half in ((start, middle), (middle, stop))
            ]
            return tuple(xp.concat(parts, axis) for parts in zip(*halves, strict=True))
    return compute(arrays, ranges)


def _windows(x: Any, operator: Operator, plans: Plan, ranges: Sequence[Range], xp: Any) -> tuple[Any, Any]:
    """Windows (lead…, outputs…, elements) of x (lead…, lengths…), 0 outside the array, and which elements are valid."""
    rank = len(plans)
    lead = len(xp.shape(x)) - rank
    start, stop = ranges[0]
    if is_known(stop) and (start, stop) != (0, xp.shape(x)[0]):
        x = x[start:stop]
    inside, valid = [], []
    for number, (plan, outputs) in enumerate(zip(plans, ranges[1:], strict=True)):
        axis = lead + 2 * number
        grid = _Grid(plan, outputs, xp)
        x = xp.expand_dims(x, axis) if plan.whole else _take(x, grid, axis, xp)
        inside.append(grid.inside)
        valid.append(grid.padded if operator.counts_padding else grid.inside)
    end = lead + 2 * rank
    order = (*range(lead), *range(lead, end, 2), *range(lead + 1, end, 2))
    shape = xp.shape(x)
    windows = xp.transpose(x, order) if rank > 1 else x
    windows = xp.reshape(windows, (*shape[:lead], *shape[lead::2], math.prod(shape[lead + 1 :: 2])))
    if not _all(inside):
        windows = xp.where(_joined(inside, xp), windows, xp.zero(windows))
    return windows, _joined(valid, xp)


def _take(x: Any, grid: _Grid, axis: int, xp: Any) -> Any:
    """x with an axis replaced by two: outputs and elements."""
    shape = xp.shape(x)
    if is_known(shape[axis]) and shape[axis] == 0:  # nothing to take: every element is padding
        return xp.zeros((*shape[:axis], *grid.shape, *shape[axis + 1 :]), x)
    taken = xp.take(x, xp.reshape(grid.positions, (math.prod(grid.shape),)), axis)
    return xp.reshape(taken, (*shape[:axis], *grid.shape, *shape[axis + 1 :]))


class _Grid:
    """The elements of a range of windows along one axis, shape (outputs, elements): NumPy arrays where lengths are
    known."""

    def __init__(self, plan: AxisPlan, outputs: Range, xp: Any) -> None:
        i, j = _numbers(outputs, xp)[:, None], _numbers((0, plan.width), xp)[None, :]
        if not is_known(plan.length):  # arithmetic with it is the framework's
            i, j = xp.asarray(i), xp.asarray(j)
        self.shape = (outputs[1] - outputs[0], plan.width)
        self.inside = plan.valid(i, j)
        self.padded = plan.padded(i, j)
        position = plan.positions(i, j)
        self.positions = (
            np.where(self.inside, position, 0) if _is_numpy(position) else xp.where(self.inside, position, 0)
        )
        if _is_numpy(self.positions):
            self.positions = xp.asarray(self.positions)


def _numbers(numbers: Range, xp: Any) -> Any:
    """The integers of a range: in NumPy where it is known, in the framework's own integers where not."""
    start, stop = numbers
    return np.arange(start, stop, dtype=np.int64) if is_known(stop) else xp.arange(stop)


def _is_numpy(array: Any) -> bool:
    return isinstance(array, np.ndarray)


def _all(masks: Sequence[Any]) -> bool:
    return all(_is_numpy(mask) and bool(mask.all()) for mask in masks)


def _joined(masks: Sequence[Any], xp: Any) -> Any:
    """Masks (outputs, elements) per axis as one mask (outputs…, elements)."""
    rank = len(masks)
    if _all(masks):
        return xp.asarray(np.ones((1,) * (rank + 1), dtype=bool))
    joined: Any = np.ones((1,) * (2 * rank), dtype=bool)
    for axis, mask in enumerate(masks):
        mask = xp.asarray(mask)
        outputs, elements = xp.shape(mask)
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = outputs, elements
        joined = xp.asarray(joined) & xp.reshape(mask, tuple(shape))
    shape = xp.shape(joined)
    return xp.reshape(joined, (*shape[:rank], math.prod(shape[rank:])))


def _counts(pooling: Pooling, xp: Any) -> Any:
    """The number of valid elements of every window, in a shape that broadcasts to the output."""
    total: Any = 1
    for axis, plan in zip(pooling.axes, pooling.plan, strict=True):
        padded = pooling.operator.counts_padding
        if is_known(plan.length):
            count = xp.asarray(plan.padded_counts() if padded else plan.clipped()[1])
        else:
            grid = _Grid(plan, (0, plan.outputs), xp)
            count = xp.sum(xp.astype(xp.asarray(grid.padded if padded else grid.inside), "int32"), axis=-1)
        shape = [1] * len(pooling.shape)
        shape[axis] = plan.outputs
        total = total * xp.reshape(count, tuple(shape))
    return xp.astype(total, pooling.accumulator) if pooling.accumulator in FLOATS else total
