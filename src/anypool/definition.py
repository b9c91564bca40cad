"""The definition at work: any operator over any plan, in any framework's functions, within bounded memory.

This is the slow twin that every acceleration is tested against, and what runs where nothing is accelerated. Windows are
taken by position, so it serves sliding, adaptive and global windows alike, and a framework that differentiates
indexing differentiates pooling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from anypool.arguments import FLOATS, INTEGERS, is_known
from anypool.operators import Operator, Parameter, is_fixed
from anypool.plans import AxisPlan, Plan
from anypool.pooling import Pooling, counted, lifted

WINDOWS_AT_ONCE = 256 * 2**20
"""Bytes of windows laid out at once, at most; more outputs than fit are computed in blocks. A namespace whose functions
run one by one may have less, so that blocks stay in cache (`windows_at_once`)."""


def pool(x: Any, pooling: Pooling, parameters: Sequence[Any], xp: Any) -> Any:
    """The values, and with `return_indices` the flat positions of the selected elements within the pooled axes.

    `parameters` are the values of the operator's, numbers or arrays that broadcast against x.
    """
    operator = pooling.operator
    x = xp.astype(x, pooling.accumulator)
    parameters = in_dtype(parameters, pooling.accumulator, xp)
    if operator.is_lifted():
        values = lift_and_finish(x, pooling, parameters, lambda array, each: pool(array, each, (), xp), xp)
        return result_of(values, pooling, xp)
    values, *indices = _reductions(x, pooling, parameters, xp)
    if pooling.empty and operator.needs_element:
        values = xp.where(count(pooling, xp) > 0, values, operator.identity(values, xp))
    values = result_of(values, pooling, xp)
    return (values, indices[0]) if pooling.return_indices else values


def reduce_masked(x: Any, mask: Any, pooling: Pooling, parameters: Sequence[Any], xp: Any) -> Any:
    """The values, in the accumulator's dtype, of the elements where `mask`, of x's shape, is True; x is 0 elsewhere."""
    parameters = in_dtype(parameters, pooling.accumulator, xp)
    return _reductions(xp.astype(x, pooling.accumulator), pooling, parameters, xp, mask)[0]


def lifts(pooling: Pooling, widest: str) -> bool:
    """Whether an operator's value is made of reductions, exactly enough where `widest` is the widest float."""
    operator = pooling.operator
    if operator.is_lifted() or not operator.reductions:
        return operator.is_lifted()
    enough = operator.lift_dtype != "float64" or widest == "float64"
    return enough and operator.lift_refusal(pooling.dtype, pooling.accumulator) is None


def lift_and_finish(
    x: Any,
    pooling: Pooling,
    parameters: Sequence[Any],
    reduce: Callable[[Any, Pooling], Any],
    xp: Any,
    mask: Any = None,
    number: Any = None,
) -> Any:
    """The values of an operator by its reductions, each by `reduce` of an array and its pooling.

    With a mask, of the elements where it is True; `number` says how many every window has.
    """
    reduced = lift_and_reduce(x, pooling, parameters, reduce, xp, mask)
    number = count(pooling, xp) if number is None else xp.maximum(number, 1)
    return finish(reduced, number, pooling, parameters, xp)


def lift_and_reduce(
    x: Any,
    pooling: Pooling,
    parameters: Sequence[Any],
    reduce: Callable[[Any, Pooling], Any],
    xp: Any,
    mask: Any = None,
) -> tuple[Any, ...]:
    """The reductions of what an operator lifts x to, and behind them what goes to `finish` as it is."""
    operator, poolings = pooling.operator, lifted(pooling)
    dtype = operator.lift_dtype or pooling.accumulator
    arrays = operator.lift(xp.astype(x, dtype), *in_dtype(parameters, dtype, xp), xp)
    if mask is not None:
        identities = (
            each.operator.identity(a, xp) if each.operator.selects else xp.zero(a)
            for a, each in zip(arrays, poolings, strict=False)
        )
        masked = (xp.where(mask, a, identity) for a, identity in zip(arrays, identities, strict=False))
        arrays = (*masked, *arrays[len(poolings) :])
    reduced = tuple(reduce(array, each) for array, each in zip(arrays, poolings, strict=False))
    return (*reduced, *arrays[len(reduced) :])


def finish(reduced: Sequence[Any], number: Any, pooling: Pooling, parameters: Sequence[Any], xp: Any) -> Any:
    """The values, of the reductions and the number of elements of every window."""
    operator = pooling.operator
    dtype = operator.lift_dtype or pooling.accumulator
    number = xp.astype(number, dtype) if dtype in FLOATS else number
    return operator.finish(tuple(reduced), number, *in_dtype(parameters, dtype, xp), xp)


def result_of(values: Any, pooling: Pooling, xp: Any) -> Any:
    """Values in the dtype of the result, integers rounded half to even."""
    if pooling.result in INTEGERS and pooling.accumulator in FLOATS:
        values = xp.round(values)
    return xp.astype(values, pooling.result)


def in_dtype(parameters: Sequence[Any], dtype: str, xp: Any) -> tuple[Any, ...]:
    """An operator's parameters, arrays in this dtype."""
    return tuple(value if is_fixed(value) else xp.astype(xp.asarray(value), dtype) for value in parameters)


def _reductions(x: Any, pooling: Pooling, parameters: Sequence[Any], xp: Any, mask: Any = None) -> tuple[Any, ...]:
    """The values, and with `return_indices` the indices, by the operator's `reduce` or `offset`; or, with a mask of x's
    elements, the values and which of them are of any."""
    operator, rank = pooling.operator, len(pooling.axes)
    groups = [(i,) for i in reversed(range(rank))] if operator.separable else [tuple(range(rank))]
    state: tuple[Any, ...] = (x,) if mask is None else (x, mask)
    inner = 1  # positions within the axes already pooled, for the flat index
    for group in groups:
        plans = tuple(pooling.plan[i] for i in group)
        axes = tuple(pooling.axes[i] for i in group)
        if pooling.return_indices:
            state = _each_block(_Indexed(operator, plans, inner, xp), state, (), axes, plans, xp)
            inner = inner * math.prod(plan.length for plan in plans)
        else:
            beside = [
                _beside_windows(value, xp.shape(state[0]), axes, plans, each, xp)
                for each, value in zip(operator.parameters(), parameters, strict=True)
            ]
            state = _each_block(_Values(operator, plans, xp), state, beside, axes, plans, xp)
    return state


def unpool(x: Any, indices: Any, axes: Sequence[int], lengths: Sequence[int], xp: Any) -> Any:
    """Zeros with x at flat positions within the `axes` of the output; of equal positions the last in row-major order
    wins."""
    last = tuple(range(-len(axes), 0))
    values, places = (xp.moveaxis(array, tuple(axes), last) for array in (x, indices))
    shape, outputs = xp.shape(values), math.prod(lengths)
    lead, inputs = shape[: -len(axes)], math.prod(shape[-len(axes) :])
    values = xp.reshape(values, (math.prod(lead), inputs))
    source = xp.scatter_last(xp.reshape(places, (math.prod(lead), inputs)), outputs)
    if not is_known(inputs) or inputs:
        taken = xp.take_along_axis(values, xp.where(source < 0, 0, source))
        result = xp.where(source < 0, xp.zero(values), taken)
    else:
        result = xp.where(source < 0, xp.zero(values), xp.zero(values))
    return xp.moveaxis(xp.reshape(result, (*lead, *lengths)), last, tuple(axes))


def out_of_range(least: int, greatest: int, lengths: Sequence[int]) -> ValueError:
    """The refusal of indices from the least to the greatest."""
    return ValueError(
        f"indices must lie within [0, {math.prod(lengths)}), the {' × '.join(map(str, lengths))} positions of the "
        f"output, got values from {least} to {greatest}"
    )


# ---------------------------------------------------------------------------------------------------------------------
# What is computed of a block of windows

Range = tuple[Any, Any]
"""First and one past the last, of the leading positions or of the outputs along an axis."""


@dataclass(frozen=True)
class _Values:
    """Values; and where the second array is a mask, which of them are of any elements."""

    operator: Operator
    plans: Plan
    xp: Any

    def __call__(self, arrays: Sequence[Any], parameters: Sequence[Any], ranges: Sequence[Range]) -> tuple[Any, ...]:
        windows, valid = _windows(arrays[0], self.operator, self.plans, ranges, self.xp)
        if len(arrays) == 1:
            return (self.operator.reduce(windows, valid, *parameters, self.xp),)
        valid, _ = _windows(arrays[1], self.operator, self.plans, ranges, self.xp)
        return self.operator.reduce(windows, valid, *parameters, self.xp), self.xp.any(valid, axis=-1)


@dataclass(frozen=True)
class _Indexed:
    """Values and flat indices along one axis; the second array, if any, holds the indices of the axes already
    pooled."""

    operator: Operator
    plans: Plan
    inner: Any
    xp: Any

    def __call__(self, arrays: Sequence[Any], parameters: Sequence[Any], ranges: Sequence[Range]) -> tuple[Any, ...]:
        (plan,), xp = self.plans, self.xp
        windows, valid = _windows(arrays[0], self.operator, self.plans, ranges, xp)
        offset = self.operator.offset(windows, valid, xp)[..., None]
        index = plan.positions(xp.asarray(numbers(ranges[1], xp)), offset[..., 0]) * self.inner
        if len(arrays) > 1:
            within, _ = _windows(arrays[1], self.operator, self.plans, ranges, xp)
            index = index + xp.take_along_axis(within, offset)[..., 0]
        return xp.take_along_axis(windows, offset)[..., 0], index


# ---------------------------------------------------------------------------------------------------------------------
# Windows laid out along a last axis, block by block


def _each_block(
    compute: Callable[..., tuple[Any, ...]],
    arrays: Sequence[Any],
    parameters: Sequence[Any],
    axes: tuple[int, ...],
    plans: Plan,
    xp: Any,
) -> tuple[Any, ...]:
    """`compute` over all windows along `axes`: its results, with the outputs where the axes were.

    `parameters` are numbers, or arrays (lead…, 1 for every axis, elements or 1).
    """
    last = tuple(range(-len(axes), 0))
    moved = [xp.moveaxis(array, axes, last) for array in arrays]
    shape = xp.shape(moved[0])
    lead, lengths = shape[: -len(axes)], shape[-len(axes) :]
    # Of lengths that are not known JAX cannot tell that a product such as b·(w − 2) is no less than 0; TFLite takes no
    # masks of more than four axes.
    merged = (math.prod(lead),) if all(map(is_known, lead)) or getattr(xp, "multiplies_lengths", False) else lead
    flat = [xp.reshape(array, (*merged, *lengths)) for array in moved]
    beside = [
        value
        if is_fixed(value) or len(merged) == len(lead)
        else xp.reshape(value, (*merged, *xp.shape(value)[len(lead) :]))
        for value in parameters
    ]
    ranges = [(0, math.prod(lead)), *((0, plan.outputs) for plan in plans)]
    results = _in_blocks(compute, flat, beside, ranges, plans, xp)
    outputs = tuple(plan.outputs for plan in plans)
    return tuple(xp.moveaxis(xp.reshape(result, (*lead, *outputs)), last, axes) for result in results)


def _in_blocks(
    compute: Callable[..., tuple[Any, ...]],
    arrays: Sequence[Any],
    parameters: Sequence[Any],
    ranges: list[Range],
    plans: Plan,
    xp: Any,
) -> tuple[Any, ...]:
    """`compute` over these ranges, in parts where their windows would take too much memory at once."""
    if all(is_known(stop) for _, stop in ranges) and all(is_known(plan.kernel_size) for plan in plans):
        sizes = [stop - start for start, stop in ranges]
        bytes_laid_out = 8 * math.prod(sizes) * math.prod(plan.kernel_size for plan in plans)
        limit = min(WINDOWS_AT_ONCE, getattr(xp, "windows_at_once", WINDOWS_AT_ONCE))
        if bytes_laid_out > limit and max(sizes) > 1:
            axis = 0 if sizes[0] > 1 else sizes.index(max(sizes))
            number = min(sizes[axis], -(-bytes_laid_out // limit))
            cuts = [ranges[axis][0] + sizes[axis] * i // number for i in range(number + 1)]
            blocks = [
                _in_blocks(compute, arrays, parameters, [*ranges[:axis], part, *ranges[axis + 1 :]], plans, xp)
                for part in pairwise(cuts)
            ]
            return tuple(xp.concat(parts, axis) for parts in zip(*blocks, strict=True))
    (start, stop), lead = ranges[0], xp.shape(arrays[0])[0]
    whole = not is_known(stop) or (start, stop) == (0, lead)
    cut = [value if is_fixed(value) else _cut(value, ranges, whole, plans, xp) for value in parameters]
    return compute(arrays, cut, ranges)


def _cut(value: Any, ranges: Sequence[Range], whole: bool, plans: Plan, xp: Any) -> Any:
    """The part of a parameter (lead…, outputs or 1…, elements or 1) that goes with these ranges."""
    value = value if whole else value[slice(*ranges[0])]
    first = len(xp.shape(value)) - 1 - len(plans)
    for axis, (plan, (start, stop)) in enumerate(zip(plans, ranges[1:], strict=True), first):
        if is_known(stop) and (start, stop) != (0, plan.outputs) and xp.shape(value)[axis] != 1:
            value = value[(*(slice(None),) * axis, slice(start, stop))]
    return value


def _beside_windows(
    value: Any, shape: Sequence[Any], axes: Sequence[int], plans: Plan, declared: Parameter, xp: Any
) -> Any:
    """A parameter that broadcasts against x, or the output, as it does against windows (lead…, outputs…, elements)."""
    if is_fixed(value):
        return value
    elements = xp.shape(value)[-1] if declared.per_element else 1
    outputs = {axis: plan.outputs if declared.per_window else 1 for axis, plan in zip(axes, plans, strict=True)}
    lengths = [outputs.get(axis, n) for axis, n in enumerate(shape)]
    spread = xp.broadcast_to(value if declared.per_element else value[..., None], (*lengths, elements))
    return xp.moveaxis(spread, axes, tuple(range(-len(axes) - 1, -1)))


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
        if is_known(plan.outputs) and outputs != (0, plan.outputs):
            begin, end, plan = plan.part(*outputs)
            x = x[(slice(None),) * axis + (slice(begin, end),)]
        grid = _Grid(plan, xp)
        x = xp.expand_dims(x, axis + 1) if plan.whole else _take(x, grid, axis, xp)
        inside.append(grid.inside)
        valid.append(grid.padded if operator.counts_padding else grid.inside)
    windows = _elements_last(x, lead, xp)
    if not _all(inside):
        windows = xp.where(_joined(inside, xp), windows, xp.zero(windows))
    return windows, _joined(valid, xp)


def _elements_last(x: Any, lead: int, xp: Any) -> Any:
    """(lead…, elements, outputs, elements, outputs, …) as (lead…, outputs…, elements).

    Of many small windows the elements stay first in memory, so that functions of the last axis run along the others;
    not of lengths that are not known, of which torch would ask whether such an array can be reshaped as a view, nor
    where an array has but one order in memory, and whose transpositions one after another TFLite's converter drops.
    """
    shape = xp.shape(x)
    every, elements = range(len(shape)), range(lead, len(shape), 2)
    others = [axis for axis in every if axis not in elements]
    lengths, size = [shape[axis] for axis in others], math.prod(shape[axis] for axis in elements)
    outputs = math.prod(lengths[lead:])
    if is_known(outputs) and is_known(size) and outputs >= size and not getattr(xp, "row_major", False):
        windows = xp.reshape(xp.transpose(x, (*elements, *others)), (size, *lengths))
        return xp.moveaxis(windows, (0,), (-1,))
    # Of lengths that are not known, row-major: a program would be bound to whatever order of strides it was made at.
    return xp.reshape(xp.transpose(x, (*others, *elements)), (*lengths, size))


def _take(x: Any, grid: _Grid, axis: int, xp: Any) -> Any:
    """x with an axis replaced by two: elements and outputs."""
    shape = xp.shape(x)
    if is_known(shape[axis]) and shape[axis] == 0:  # nothing to take: every element is padding
        return xp.zeros((*shape[:axis], *grid.shape, *shape[axis + 1 :]), x)
    taken = xp.take(x, xp.reshape(grid.positions, (math.prod(grid.shape),)), axis)
    return xp.reshape(taken, (*shape[:axis], *grid.shape, *shape[axis + 1 :]))


class _Grid:
    """The elements of all windows along one axis, shape (elements, outputs): NumPy arrays where lengths are known."""

    def __init__(self, plan: AxisPlan, xp: Any) -> None:
        i, j = numbers((0, plan.outputs), xp)[None, :], numbers((0, plan.kernel_size), xp)[:, None]
        if not _in_numpy(plan.length, xp):
            i, j = xp.asarray(i), xp.asarray(j)
        self.shape = (plan.kernel_size, plan.outputs)
        self.inside = plan.valid(i, j)
        self.padded = plan.padded(i, j)
        position = plan.positions(i, j)
        self.positions = (
            np.where(self.inside, position, 0) if _is_numpy(position) else xp.where(self.inside, position, 0)
        )
        if _is_numpy(self.positions):
            self.positions = xp.asarray(self.positions)


def numbers(bounds: Range, xp: Any) -> Any:
    """The integers of a range: in NumPy where it is known, in the framework's own integers where not."""
    start, stop = bounds
    if _in_numpy(stop, xp):
        return np.arange(start, stop, dtype=np.int64)
    return xp.arange(stop)[start:] if is_known(start) and start else xp.arange(stop)


def _in_numpy(length: Any, xp: Any) -> bool:
    """Whether arithmetic with a length is NumPy's, and not the framework's: it is known, and the results may be
    constants of the program that is being made, if one is."""
    return is_known(length) and getattr(xp, "may_have_constants", True)


def _is_numpy(array: Any) -> bool:
    return isinstance(array, np.ndarray)


def _all(masks: Sequence[Any]) -> bool:
    return all(_is_numpy(mask) and bool(mask.all()) for mask in masks)


def _joined(masks: Sequence[Any], xp: Any) -> Any:
    """Masks (elements, outputs) per axis as one mask (outputs…, elements), without axes where all are valid."""
    rank = len(masks)
    if _all(masks):
        return xp.asarray(np.ones((), dtype=bool))
    joined: Any = None
    for axis, mask in enumerate(masks):
        mask = xp.asarray(mask)
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = xp.shape(mask)
        along = xp.reshape(mask, tuple(shape))
        joined = along if joined is None else joined & along
    shape, order = xp.shape(joined), (*range(rank, 2 * rank), *range(rank))
    if all(map(is_known, shape)):
        return xp.moveaxis(xp.reshape(joined, (math.prod(shape[:rank]), *shape[rank:])), (0,), (-1,))
    return xp.reshape(xp.transpose(joined, order), (*shape[rank:], math.prod(shape[:rank])))


def count(pooling: Pooling, xp: Any) -> Any:
    """The number of valid elements of every window, in a shape that broadcasts to the output."""
    total: Any = 1
    for axis, plan in zip(pooling.axes, pooling.plan, strict=True):
        if _in_numpy(plan.length, xp):
            along = xp.asarray(counted(plan, pooling.operator))
        else:
            grid = _Grid(plan, xp)
            inside = grid.padded if pooling.operator.counts_padding else grid.inside
            along = xp.sum(xp.astype(xp.asarray(inside), "int32"), axis=0)
        shape = [1] * len(pooling.shape)
        shape[axis] = plan.outputs
        total = total * xp.reshape(along, tuple(shape))
    return xp.astype(total, pooling.accumulator) if pooling.accumulator in FLOATS else total
