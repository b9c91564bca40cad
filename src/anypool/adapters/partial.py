"""Windows over many chunks: each chunk is reduced on its own, and the partial results once more.

For windows without dilation that are wider than chunks, of operators that are reductions. Sums of floats go on in
float64, in row-major order of the chunks; everything else is exact.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from anypool import definition, masks
from anypool.adapters.tasks import NUMPY, Along, Block, pooling_of
from anypool.arguments import FLOATS, INTEGERS
from anypool.cpu.settings import one_thread
from anypool.operators import Average, Max, Min, Operator, Sum, is_fixed
from anypool.plans import AxisPlan, WholeAxis
from anypool.pooling import Pooling
from anypool.windows import Adaptive, Global

Slices = tuple[slice, ...]
COMBINE = {"max": np.maximum, "min": np.minimum, "sum": np.add}


FEW = 3
"""Sliding windows of so many elements along each axis give the same bits however an array is cut."""


def suits(pooling: Pooling, chunks: Sequence[Sequence[int]], parameters: Sequence[Any]) -> bool:
    """Whether windows are wider than these chunks of x, and their values can be made of partial results."""
    operator = pooling.operator
    whole = all(plan.whole for plan in pooling.plan)
    few = all(plan.kernel_size <= FEW for plan in pooling.plan)
    if pooling.return_indices or not ((whole and not few) or isinstance(pooling.window, Adaptive | Global)):
        return False
    if not any(
        len(chunks[axis]) > 1 and (plan.whole or plan.kernel_size >= 2 * max(chunks[axis]) > 0)
        for axis, plan in zip(pooling.axes, pooling.plan, strict=True)
    ):
        return False
    if any(not is_fixed(value) for value in parameters):
        return False
    named = bool(operator.reductions) and all(name in COMBINE for name in operator.reductions)
    reduces = type(operator) in (Max, Min, Sum) or named  # a subclass may reduce otherwise
    return reduces and operator.lift_refusal(pooling.dtype, pooling.accumulator) is None


def cut_by_chunks(plan: AxisPlan | None, chunks: Sequence[int]) -> list[Along]:
    """Of every chunk of an axis, the outputs whose windows it holds a part of, and their plan from the chunk alone."""
    bounds = [0, *itertools.accumulate(chunks)]
    if plan is None:
        return [Along(lo, hi, lo, hi) for lo, hi in itertools.pairwise(bounds)]
    outputs = np.arange(plan.outputs, dtype=np.int64)
    starts = plan.start(outputs)
    stops = starts + plan.count(outputs)
    found = []
    for begin, end in itertools.pairwise(bounds):
        lo, hi = int(np.searchsorted(stops, begin, side="right")), int(np.searchsorted(starts, end, side="left"))
        if begin == end or lo >= hi:
            found.append(Along(lo, lo, begin, begin, plan.within(lo, lo, begin, begin)))
        elif hi - lo == 1 and starts[lo] <= begin and end <= stops[lo]:
            found.append(Along(lo, hi, begin, end, WholeAxis(end - begin, 1, end - begin)))
        else:
            found.append(Along(lo, hi, begin, end, plan.within(lo, hi, begin, end)))
    return found


# ---------------------------------------------------------------------------------------------------------------------
# What tasks do


def reduce_chunk(block: Block, x: np.ndarray, where: Any, parameters: Sequence[Any]) -> list[np.ndarray]:
    """The operator's reductions of a chunk; where elements are masked, behind them how many there are."""
    pooling, xp = pooling_of(block), NUMPY.namespace(x)
    operator = pooling.operator

    def reduce(array: np.ndarray, each: Pooling) -> np.ndarray:
        return NUMPY.choose(block.impl, array, each).run(array, each, ())

    full, numbers = None, []
    with one_thread(), NUMPY.quiet():
        if block.settings is not None:
            mask = masks.mask_of(NUMPY, x, where, pooling, block.settings)
            numbers = [xp.broadcast_to(masks.numbers(NUMPY, x, mask, pooling, reduce), pooling.output_shape)]
            full = xp.broadcast_to(mask, x.shape)
        alone = _alone(pooling)
        if alone is not None:
            x = x if full is None else masks.with_identity(x, full, alone, xp)
            return [reduce(x, alone), *numbers]
        x = x if full is None else masks.without_values(x, full, operator, xp)
        return [*definition.lift_and_reduce(x, pooling, parameters, reduce, xp, full), *numbers]


def combine(
    block: Block, parts: Sequence[Sequence[np.ndarray]], cuts: Sequence[tuple[Slices, Slices]]
) -> list[np.ndarray]:
    """The reductions of a block of outputs, of those of parts: of each what belongs to the block, and where."""
    pooling, names = pooling_of(block), _names(block)
    totals = [
        np.full(pooling.output_shape, _identity(name, part.dtype), _dtype_of_totals(name, part.dtype))
        for name, part in zip(names, parts[0], strict=True)
    ]
    with NUMPY.quiet():
        for part, (of_part, of_block) in zip(parts, cuts, strict=True):
            for name, total, each in zip(names, totals, part, strict=True):
                COMBINE[name](total[of_block], each[of_part], out=total[of_block])
    return totals


def finish(block: Block, totals: Sequence[np.ndarray], parameters: Sequence[Any]) -> np.ndarray:
    """The values of a block of outputs, of their reductions."""
    pooling, xp = pooling_of(block), NUMPY.namespace(totals[0])
    reduced: Any = totals
    number: Any = definition.count(pooling, xp)
    if block.settings is not None:
        reduced, number = totals[:-1], xp.maximum(totals[-1], 1)
    with NUMPY.quiet():
        if type(pooling.operator) in (Max, Min, Sum):
            values = reduced[0].astype(pooling.result, copy=False)
        elif _is_whole_average(pooling) and pooling.result in INTEGERS:
            divisor = getattr(pooling.operator, "divisor_override", None)
            values = _half_even(reduced[0], np.asarray(number).astype(np.int64) if divisor is None else divisor)
            values = values.astype(pooling.result)
        else:
            values = definition.finish(reduced, number, pooling, parameters, xp)
            values = definition.result_of(values, pooling, xp)
        values = np.broadcast_to(values, pooling.output_shape)
        return values if block.settings is None else masks.filled(values, totals[-1], pooling, block.settings, xp)


def _half_even(total: np.ndarray, number: Any) -> np.ndarray:
    """total / number, rounded half to even, exactly."""
    sign = np.where(np.asarray(number) < 0, -1, 1)
    total, number = total * sign, np.abs(number)
    quotient, rest = np.divmod(total, number)
    up = (2 * rest > number) | ((2 * rest == number) & (quotient % 2 == 1))
    return quotient + up


# ---------------------------------------------------------------------------------------------------------------------
# What is reduced


def _alone(pooling: Pooling) -> Pooling | None:
    """The pooling that reduces elements as they are, so that integers are exact; None where they are lifted first."""
    operator: Operator = pooling.operator
    accumulator = pooling.accumulator
    if type(operator) in (Max, Min):
        return pooling
    if _is_whole_average(pooling):
        accumulator = "int64"
    elif type(operator) is not Sum:
        return None
    return Pooling(
        Sum(), pooling.window, pooling.axes, pooling.plan, pooling.shape, pooling.dtype, accumulator, accumulator
    )


def _is_whole_average(pooling: Pooling) -> bool:
    """Whether it averages integers whose sums are whole numbers that fit."""
    return type(pooling.operator) is Average and pooling.dtype not in (*FLOATS, "int64", "uint64")


def _names(block: Block) -> tuple[str, ...]:
    """How what `reduce_chunk` gives is reduced further."""
    operator = block.operator
    names = operator.reductions or (operator.info.name,)
    return names if block.settings is None else (*names, "sum")


def _dtype_of_totals(name: str, dtype: np.dtype) -> np.dtype:
    return np.dtype("float64") if name == "sum" and dtype.name in FLOATS else dtype


def _identity(name: str, dtype: np.dtype) -> Any:
    if name == "sum":
        return 0
    if dtype.name == "bool":
        return name == "min"
    like = np.empty(0, dtype)
    return NUMPY.namespace(like).lowest(like) if name == "max" else NUMPY.namespace(like).highest(like)


def groups(number: int) -> list[tuple[int, int]]:
    """So many parts, a few at a time: no task waits for more."""
    size = AT_ONCE if number <= AT_ONCE**2 else math.isqrt(number - 1) + 1
    return [(first, min(first + size, number)) for first in range(0, number, size)]


AT_ONCE = 16
"""Parts that one task combines; more are combined in two steps."""
