"""The compiled kernels as Python sees them: run, or say why not.

They serve one to three axes of NumPy arrays and torch CPU tensors; an operator says which kernel computes it
(`Operator.compiled`). A `Pooling` gets its kernel once; a call then checks the arrays and runs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from anypool.arguments import FLOATS, is_known
from anypool.cpu.extension import available as available
from anypool.cpu.extension import compiled, why_not_built
from anypool.operators import Average, Sum
from anypool.operators.base import Place
from anypool.plans import AxisPlan, SlidingAxis, WholeAxis
from anypool.pooling import Pooling, counted, fixed_divisor, once_per_pooling

MOST_AXES = 3
DIFFERENTIABLE = ("max", "min", "sum", "average")
"""The kernels that have a gradient; max and min by the offsets of their elements."""
POWERS = ("power", "norm", "gem", "logsumexp", "soft")
"""The kernels that compute in float64 what is rounded to less."""
LARGEST_MASKED = 2**19
LARGEST_LAID_OUT = {"order": 2**15 - 1, "mode": 2**12, "variance": 2**20, **dict.fromkeys(POWERS, 2**19)}
"""Of how many elements the windows may be that a kernel looks at whole."""
LARGEST_WINDOW = 2**31
"""Of how many elements one can be told by its offset."""


LARGE: int = getattr(compiled, "LARGE", 0)
"""From so many bytes on, outputs lie in memory that is cached."""


def large_bytes(n: int) -> np.ndarray:
    """An array of n bytes in such memory, whatever they are."""
    return compiled.large_bytes(n)


@once_per_pooling
def refusal(pooling: Pooling) -> str | None:
    """Why the kernels cannot run this pooling; None if they can."""
    kernel = pooling.operator.own_kernel()
    if why_not_built is not None:
        if kernel is not None:
            _say_why_not()
        return why_not_built
    if kernel is None:
        return f"there is no kernel for {pooling.operator}"
    if len(pooling.axes) > MOST_AXES:
        return f"kernels pool at most {MOST_AXES} axes, not {len(pooling.axes)}"
    if len(pooling.shape) > 64:
        return f"kernels take at most 64 axes, not {len(pooling.shape)}"
    if not all(is_known(n) for n in (*pooling.shape, *pooling.output_shape)):
        return "kernels need lengths that are known"
    if pooling.dtype in FLOATS and pooling.result not in FLOATS:
        return f"there is no kernel from {pooling.dtype} to {pooling.result}"
    if kernel.name in LARGEST_LAID_OUT:
        return _laid_out_refusal(pooling, kernel.name)
    return offsets_refusal(pooling) if pooling.return_indices else None


def _laid_out_refusal(pooling: Pooling, name: str) -> str | None:
    """Why a kernel that looks at windows whole cannot run this pooling; None if it can."""
    if pooling.window_size > LARGEST_LAID_OUT[name]:
        return f"this kernel takes windows of up to {LARGEST_LAID_OUT[name]} elements, not {pooling.window_size}"
    if pooling.empty:
        return "this kernel needs an element in every window"
    if not pooling.operator.keeps_dtype and pooling.result not in FLOATS:
        return f"this kernel gives floats, not {pooling.result}"
    if name in POWERS and pooling.accumulator != "float32":
        return f"this kernel computes what is as exact as float32, not {pooling.accumulator}"
    return None


@once_per_pooling
def gradient_refusal(pooling: Pooling) -> str | None:
    """Why the kernels, which can run this pooling, have no gradient of it; None where they have."""
    kernel = pooling.operator.own_kernel()
    if kernel is not None and kernel.name not in DIFFERENTIABLE:
        return f"there is no kernel for the gradient of {pooling.operator}"
    return offsets_refusal(pooling)


@once_per_pooling
def offsets_refusal(pooling: Pooling) -> str | None:
    """Why the kernels cannot say which element of a window a max or min selected, as indices and gradients need."""
    sizes = [plan.kernel_size for plan in pooling.plan]
    if not pooling.operator.selects or not all(map(is_known, sizes)) or math.prod(sizes) <= LARGEST_WINDOW:
        return None
    return f"kernels number the elements of windows of up to {LARGEST_WINDOW}, not {math.prod(sizes)}"


def forward(x: Any, pooling: Pooling, out: Any = None) -> Any:
    """The values, in `out` if given, else in a NumPy array in the memory order of x.

    OverflowError where elements are beyond the kernel's arithmetic, as infinite exponents are: the definition has it.
    """
    return _kernel(pooling).forward(x, out)


@once_per_pooling
def masked_refusal(pooling: Pooling) -> str | None:
    """Why no kernel leaves elements out of this pooling; None if one does."""
    kernel = pooling.operator.own_kernel()
    if kernel is None or kernel.name not in DIFFERENTIABLE:
        return f"there is no kernel for {pooling.operator} that leaves elements out"
    if pooling.window.pads_with_data:
        return "padding that is data is laid around the array first"
    if pooling.dtype not in FLOATS or pooling.result not in FLOATS:
        return f"there is no such kernel from {pooling.dtype} to {pooling.result}"
    if pooling.window_size > LARGEST_MASKED:
        return f"such kernels take windows of up to {LARGEST_MASKED} elements, not {pooling.window_size}"
    return refusal(pooling)


def masked(
    x: Any, pooling: Pooling, where: Any, omits_nan: bool, least: int, filling: float, out: Any = None
) -> np.ndarray:
    """The values of the elements where the booleans `where`, of x's shape, are True, if given, and with `omits_nan` of
    those that are no NaN; `filling` where a window has fewer than `least`."""
    divisor = getattr(pooling.operator, "divisor_override", None) or 0
    return _kernel(pooling).forward_masked(x, where, out, omits_nan, divisor, least, filling)


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
"""A kernel that takes nothing but addresses, of x, out and offsets, unchecked."""


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


@cache
def _say_why_not() -> None:
    warnings.warn(f"anypool works, on its definitions, but slower: {why_not_built}", RuntimeWarning, stacklevel=2)


@once_per_pooling
def _kernel(pooling: Pooling) -> Any:
    reason = refusal(pooling)
    if reason is not None:
        raise ValueError(f"impl='kernel': {reason}")
    operator = pooling.operator
    kernel = operator.own_kernel()
    assert kernel is not None
    divisor = (fixed_divisor(pooling) or 0) if isinstance(operator, Average) else 0
    counts = isinstance(operator, Average) and not divisor
    return compiled.Kernel(
        kernel.name,
        pooling.dtype,
        _accumulator(pooling),
        pooling.result,
        list(pooling.shape),
        list(pooling.output_shape),
        list(pooling.axes),
        [_axis(plan, _numbers(counted(plan, operator)) if counts else _NONE) for plan in pooling.plan],
        divisor,
        kernel.place and _places(kernel.place, int(pooling.window_size)),
        kernel.numbers,
    )


def _places(place: Callable[[int], Place], size: int) -> np.ndarray:
    """A row for every number of elements from 0 to `size`; of such that no window has, within it all the same."""
    rows = np.array([(0, 0, 0), *map(place, range(1, size + 1))], np.float64)
    rows[1:, :2] = np.clip(rows[1:, :2], 0, np.arange(size)[:, None])
    return rows


def _accumulator(pooling: Pooling) -> str:
    """What sums accumulate in: integers exactly wherever they cannot overflow."""
    dtype = pooling.dtype
    if not isinstance(pooling.operator, Sum | Average) or dtype in FLOATS:
        return pooling.accumulator
    if dtype in ("int64", "uint64"):
        return "float64" if pooling.accumulator in FLOATS else "int64"
    bits = 8 * (1 if dtype == "bool" else np.dtype(dtype).itemsize)
    elements = int(np.prod([plan.kernel_size for plan in pooling.plan], dtype=object))
    return "int32" if bits <= 16 and elements << bits <= 2**31 else "int64"


def _axis(plan: AxisPlan, counts: np.ndarray) -> tuple[Any, ...]:
    if isinstance(plan, SlidingAxis):
        return plan.kernel_size, plan.dilation, plan.stride, plan.pad_before, _NONE, _NONE, _NONE, counts
    if isinstance(plan, WholeAxis):
        return plan.kernel_size, 1, 1, 0, _NONE, _NONE, _NONE, counts
    first, inside = plan.clipped()
    begin = plan.start(np.arange(plan.outputs, dtype=np.int64)) + first * plan.dilation
    return plan.kernel_size, plan.dilation, 1, 0, _numbers(begin), _numbers(inside), _numbers(first), counts


def _numbers(values: Any) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.int64)


_NONE = _numbers([])
