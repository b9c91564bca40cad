"""The compiled kernels as Python sees them: run, or say why not.

They serve max, min, sum and average over one to three axes of NumPy arrays and torch CPU tensors. A `Pooling` gets its
kernel once; a call then checks the arrays and runs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from anypool.cpu.extension import available as available
from anypool.cpu.extension import compiled, why_not_built
from anypool.definition import Pooling
from anypool.operators import FLOATS, Average, Max, Min, Operator, Sum
from anypool.windows import AxisPlan, SlidingAxis, WholeAxis, is_known

NAMES: dict[type[Operator], str] = {Max: "max", Min: "min", Sum: "sum", Average: "average"}
MOST_AXES = 3


LARGE: int = getattr(compiled, "LARGE", 0)
"""From so many bytes on, outputs lie in memory that is cached."""


def large_bytes(n: int) -> np.ndarray:
    """An array of n bytes in such memory, whatever they are."""
    return compiled.large_bytes(n)


def refusal(pooling: Pooling) -> str | None:
    """Why the kernels cannot run this pooling; None if they can."""
    known = vars(pooling)
    if "refusal" not in known:
        known["refusal"] = _refusal(pooling)
    return known["refusal"]


def forward(x: Any, pooling: Pooling, out: Any = None) -> Any:
    """The values, in `out` if given, else in a NumPy array in the memory order of x."""
    return _kernel(pooling).forward(x, out)


def forward_with_offsets(x: Any, pooling: Pooling, out: Any = None, offsets_out: Any = None) -> tuple[Any, Any]:
    """The values of a max or min, and of each the number of its element in the unclipped window, row-major over `axes`.

    Offsets are uint8 where windows have up to 256 elements, uint16 up to 65,536, else uint32: see `offset_dtype`.
    """
    return _kernel(pooling).forward_with_offsets(x, out, offsets_out)


def backward(grad: Any, pooling: Pooling, offsets: Any = None, out: Any = None) -> Any:
    """The gradient of x from that of the values, in `out` if given; a max or min needs its offsets."""
    return _kernel(pooling).backward(grad, offsets, out)


Strides = Sequence[int]
"""Of an array, in elements."""
Launch = Callable[..., None]
"""A kernel that takes nothing but addresses, of x, out and offsets, and checks nothing: whoever calls it vouches."""


def bind_forward(pooling: Pooling, x: Strides, out: Strides, offsets: Strides | None = None) -> Launch:
    """`forward` for arrays of these strides, or `forward_with_offsets`."""
    return _kernel(pooling).bind_forward(x, out, offsets)


def bind_backward(pooling: Pooling, grad: Strides, offsets: Strides | None, out: Strides) -> Launch:
    """`backward` for arrays of these strides; the addresses are those of grad, out and offsets."""
    return _kernel(pooling).bind_backward(grad, offsets, out)


def offset_dtype(pooling: Pooling) -> str:
    """The name of the dtype of this pooling's offsets."""
    return _kernel(pooling).offset_dtype


def indices(offsets: Any, pooling: Pooling, out: Any = None) -> Any:
    """Offsets as flat positions within the pooled axes, row-major in the order of `axes` (int64)."""
    return _kernel(pooling).indices(offsets, out)


def _kernel(pooling: Pooling) -> Any:
    known = vars(pooling)
    if "kernel" not in known:
        reason = refusal(pooling)
        if reason is not None:
            raise ValueError(f"impl='kernel': {reason}")
        known["kernel"] = _build(pooling)
    return known["kernel"]


def _refusal(pooling: Pooling) -> str | None:
    if why_not_built is not None:
        if type(pooling.operator) in NAMES:
            _say_why_not()
        return why_not_built
    if type(pooling.operator) not in NAMES:
        return f"there is no kernel for {type(pooling.operator).__name__}, only for max, min, sum and average"
    if len(pooling.axes) > MOST_AXES:
        return f"kernels pool at most {MOST_AXES} axes, not {len(pooling.axes)}"
    if len(pooling.shape) > 64:
        return f"kernels take at most 64 axes, not {len(pooling.shape)}"
    if not all(is_known(n) for n in (*pooling.shape, *pooling.output_shape)):
        return "kernels need lengths that are known"
    if pooling.dtype in FLOATS and pooling.result not in FLOATS:
        return f"there is no kernel from {pooling.dtype} to {pooling.result}"
    return None


@cache
def _say_why_not() -> None:
    warnings.warn(f"anypool works, on its definitions, but slower: {why_not_built}", RuntimeWarning, stacklevel=2)


def _build(pooling: Pooling) -> Any:
    operator, divisor = pooling.operator, _divisor(pooling)
    counted = isinstance(operator, Average) and not divisor
    return compiled.Kernel(
        NAMES[type(operator)],
        pooling.dtype,
        _accumulator(pooling),
        pooling.result,
        list(pooling.shape),
        list(pooling.output_shape),
        list(pooling.axes),
        [_axis(plan, counted and operator.counts_padding, counted) for plan in pooling.plan],
        divisor,
    )


def _divisor(pooling: Pooling) -> int:
    """What an average divides every sum by; 0 where windows hold different numbers of elements."""
    operator = pooling.operator
    if not isinstance(operator, Average):
        return 0
    if operator.divisor_override is not None:
        return operator.divisor_override
    full = all(plan.all_full(operator.counts_padding) for plan in pooling.plan)
    return math.prod(plan.width for plan in pooling.plan) if full else 0


def _accumulator(pooling: Pooling) -> str:
    """What sums accumulate in: integers exactly wherever they cannot overflow."""
    dtype = pooling.dtype
    if isinstance(pooling.operator, Max | Min) or dtype in FLOATS:
        return pooling.accumulator
    if dtype in ("int64", "uint64"):
        return "float64" if pooling.accumulator in FLOATS else "int64"
    bits = 8 * (1 if dtype == "bool" else np.dtype(dtype).itemsize)
    elements = int(np.prod([plan.width for plan in pooling.plan], dtype=object))
    return "int32" if bits <= 16 and elements << bits <= 2**31 else "int64"


def _axis(plan: AxisPlan, padding_counts: bool, counted: bool) -> tuple[Any, ...]:
    counts = _NONE
    if counted:
        counts = _numbers(plan.padded_counts() if padding_counts else plan.clipped()[1])
    if isinstance(plan, SlidingAxis):
        return plan.width, plan.step, plan.stride, plan.before, _NONE, _NONE, _NONE, counts
    if isinstance(plan, WholeAxis):
        return plan.width, 1, 1, 0, _NONE, _NONE, _NONE, counts
    first, inside = plan.clipped()
    begin = plan.start(np.arange(plan.outputs, dtype=np.int64)) + first * plan.step
    return plan.width, plan.step, 1, 0, _numbers(begin), _numbers(inside), _numbers(first), counts


def _numbers(values: Any) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.int64)


_NONE = _numbers([])
