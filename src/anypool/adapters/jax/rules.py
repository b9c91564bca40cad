"""Max, min and sum over windows in JAX's own functions, each with a rule for its derivative.

Undifferentiated, small windows are one `lax.reduce_window`, which XLA fuses with its neighbours, and large ones go one
axis at a time; large arrays go band by band. Differentiated, or with indices, a max selects: it keeps the offset of the
element in its window, as small unsigned integers, and its derivative is that element's tangent. The rules are
`jax.custom_jvp`s of ordinary functions, so every transformation applies to them, in any order and on any device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from anypool.adapters.jax.bands import Bands, bands, fusion_barrier, materialize
from anypool.adapters.jax.steps import Doubling, Overlapping, Step, reduction_steps, selection_steps
from anypool.adapters.jax.windows import (
    ALONG_ONE_AXIS,
    MAX,
    SUM,
    SUM_OF_TANGENTS,
    AxisWindows,
    Reduction,
    Windows,
    padded,
)
from anypool.arguments import is_known
from anypool.operators import Operator

TANGENTS_ONE_BY_ONE = 128
"""Elements along an axis, at most, whose tangents are summed one by one."""

AT_ONCE = 10
"""Elements of a window, at most, that one reduce_window sums: more would exceed the error that averages promise."""


# ---------------------------------------------------------------------------------------------------------------------
# Values


def _reduce_window(x: Any, windows: Sequence[AxisWindows], reduction: Reduction) -> Any:
    """The windows of an array by the framework's own operation."""
    kernel_size, stride, dilation, padding = [1] * x.ndim, [1] * x.ndim, [1] * x.ndim, [(0, 0)] * x.ndim
    for along in windows:
        kernel_size[along.axis], stride[along.axis] = along.kernel_size, along.stride
        dilation[along.axis] = along.dilation
        padding[along.axis] = (along.pad_before, max(along.pad_after, 0))  # what no window reaches need not go
    return lax.reduce_window(
        x, reduction.identity(x.dtype), reduction.combine, kernel_size, stride, padding, window_dilation=dilation
    )


def _at_once(windows: Windows) -> tuple[AxisWindows, ...] | None:
    """The windows, if one reduce_window takes all their elements."""
    sliding = tuple(along for along in windows if isinstance(along, AxisWindows))
    fits = len(sliding) == len(windows) and math.prod(along.kernel_size for along in sliding) <= AT_ONCE
    return sliding if fits else None


def _one_by_one(x: Any, along: AxisWindows, reduction: Reduction) -> bool:
    """Whether reduce_window takes the windows along an axis; slices ask for its length."""
    sliced = along.stride == 1 and is_known(x.shape[along.axis])
    return along.kernel_size <= (reduction.one_by_one if sliced else ALONG_ONE_AXIS)


def reduce_windows(x: Any, windows: Windows, reduction: Reduction) -> Any:
    """The reduction of every window, with JAX's own derivative."""
    sliding = _at_once(windows)
    if sliding is not None:
        return _reduce_window(x, sliding, reduction)
    for along in reversed(windows):
        if isinstance(along, AxisWindows) and _one_by_one(x, along, reduction):
            x = _reduce_window(x, (along,), reduction)
        else:
            for step in reduction_steps((along,)):
                x = step.reduce(padded(x, step.padding, reduction.identity(x.dtype)), reduction)
    return x


def _values(x: Any, windows: Windows, reduction: Reduction) -> Any:
    """As `reduce_windows`, in bands where x is large and goes one axis at a time."""
    banded = None if _at_once(windows) else bands(x, windows)
    if banded is None:
        return reduce_windows(x, windows, reduction)
    (values,) = banded.pooled(lambda x, windows: (reduce_windows(x, windows, reduction),), x)
    return values


# ---------------------------------------------------------------------------------------------------------------------
# Extremes and their offsets


def _select(x: Any, windows: Windows, reduction: Reduction) -> tuple[Any, ...]:
    """The extreme of every window, NaN where there is one, and the offsets of the steps that select it."""
    offsets = []
    for step in selection_steps(windows):
        x, offset = step.select(padded(x, step.padding, reduction.identity(x.dtype)), reduction)
        offsets.append(offset)
    return x, *_packed(offsets, windows)


def _select_and_keep(x: Any, windows: Windows, reduction: Reduction) -> tuple[Any, ...]:
    """As `_select`, for who keeps the offsets; in bands where x is large and takes several steps."""
    function = partial(_select, reduction=reduction)
    banded = _selection_bands(x, windows)
    if banded is not None:
        return banded.pooled(function, x)
    values, *offsets = function(x, windows)
    if len(selection_steps(windows)) == 1:
        return values, *fusion_barrier(lambda x: function(x, windows)[1:], x)
    return values, *materialize(offsets)  # a step's values are the next one's: to select anew would take them twice


def _selection_bands(x: Any, windows: Windows) -> Bands | None:
    return bands(x, windows) if len(selection_steps(windows)) > 1 else None


def _bit_fields(windows: Windows) -> list[tuple[int, int]]:
    """Where every step's offset is kept: the number of a byte, and its first bit there; no offset is cut in two."""
    fields, byte, end = [], -1, 9
    for step in selection_steps(windows):
        bits = (step.window_size - 1).bit_length()
        if end + bits > 8:
            byte, end = byte + 1, 0
        fields.append((byte, end))
        end += bits
    return fields


def _packed(offsets: list[Any], windows: Windows) -> list[Any]:
    """The offsets of all steps in as few bytes as that; their shapes differ by what the later steps pool."""
    together: dict[int, list[tuple[int, Any]]] = {}
    for (byte, bit), offset in zip(_bit_fields(windows), offsets, strict=True):
        together.setdefault(byte, []).append((bit, offset))
    return [_byte(placed) if len(placed) > 1 else placed[0][1] for placed in together.values()]


def _byte(placed: list[tuple[int, Any]]) -> Any:
    shape = [max(lengths) for lengths in zip(*(offset.shape for _, offset in placed), strict=True)]
    byte: Any = np.uint8(0)
    for bit, offset in placed:
        padding = [(0, longest - length, 0) for longest, length in zip(shape, offset.shape, strict=True)]
        byte = byte | lax.pad(offset << np.uint8(bit), np.uint8(0), padding)
    return byte


def _unpacked(kept: Sequence[Any], x: Any, windows: Windows) -> Sequence[Any]:
    """The offsets of all steps over an array like x."""
    fields = _bit_fields(windows)
    if len(kept) == len(fields):
        return kept
    offsets = []
    like = jax.ShapeDtypeStruct(x.shape, x.dtype)
    for (byte, bit), step in zip(fields, selection_steps(windows), strict=True):
        like, offset = jax.eval_shape(lambda x, step=step: step.select(padded(x, step.padding, 0), MAX), like)
        if [other for other, _ in fields].count(byte) == 1:
            offsets.append(kept[byte])
        else:
            mask = np.uint8((1 << (step.window_size - 1).bit_length()) - 1)
            offsets.append(lax.slice(kept[byte], [0] * x.ndim, offset.shape) >> np.uint8(bit) & mask)
    return offsets


def _take(offsets: Sequence[Any], x: Any, windows: Windows) -> Any:
    """The elements of x at these offsets: linear in x."""
    for step, offset in zip(selection_steps(windows), _unpacked(offsets, x, windows), strict=True):
        x = step.take(offset, padded(x, step.padding, 0))
    return x


def _tangent(offsets: Sequence[Any], values: Any, x: Any, windows: Windows) -> Any:
    """As `_take`, in bands where `_select_and_keep` is; the values have the tangent's shape.

    Whoever differentiates keeps the offsets alone, and compares again where a mask is needed.
    """
    banded = _selection_bands(x, windows)
    if banded is not None:
        _, *spans = banded.spans(partial(_select, reduction=MAX), x)
        return banded.linear(_take, offsets, spans, x, values.shape)
    return jax.checkpoint(partial(_take, windows=windows), prevent_cse=False)(offsets, x)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _extreme(x: Any, windows: Windows, reduction: Reduction) -> Any:
    return _values(x, windows, reduction)


@_extreme.defjvp
def _extreme_jvp(windows: Windows, reduction: Reduction, primals: Any, tangents: Any) -> tuple[Any, Any]:
    (x,), (tangent,) = primals, tangents
    values, *offsets = _select_and_keep(lax.stop_gradient(x), windows, reduction)
    return _selected(x, values, offsets, windows), _tangent(offsets, values, tangent, windows)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _selected(x: Any, values: Any, offsets: list[Any], windows: Windows) -> Any:
    """The values, whose derivative by x is known: so that elements are selected once for every order of derivative."""
    return values


@_selected.defjvp
def _selected_jvp(windows: Windows, primals: Any, tangents: Any) -> tuple[Any, Any]:
    x, values, offsets = primals
    return _selected(x, values, offsets, windows), _tangent(offsets, values, tangents[0], windows)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _extreme_with_indices(x: Any, windows: Windows, reduction: Reduction) -> tuple[Any, Any]:
    values, *offsets = _select(x, windows, reduction)
    dtype = jnp.result_type(int)
    index: Any = np.zeros((), dtype)
    for along in windows:
        length = np.asarray(x.shape[along.axis], dtype)
        index = index * length + lax.broadcasted_iota(dtype, x.shape, along.axis)
    return values, _take(offsets, index, windows)


@_extreme_with_indices.defjvp
def _extreme_with_indices_jvp(windows: Windows, reduction: Reduction, primals: Any, tangents: Any) -> tuple[Any, Any]:
    values, tangent = _extreme_jvp(windows, reduction, primals, tangents)
    _, indices = _extreme_with_indices(*primals, windows, reduction)
    return (values, indices), (tangent, np.zeros(indices.shape, jax.dtypes.float0))


# ---------------------------------------------------------------------------------------------------------------------
# Sums


def _finished(x: Any, counts: tuple[Any, ...], windows: Windows, operator: Operator, whole: int) -> Any:
    return operator.finish((_values(x, windows, SUM),), math.prod(counts, start=whole), jnp)


_total = jax.custom_jvp(_finished, nondiff_argnums=(2, 3, 4))


@_total.defjvp
def _total_jvp(windows: Windows, operator: Operator, whole: int, primals: Any, tangents: Any) -> tuple[Any, Any]:
    x, counts = primals
    values = _total(x, counts, windows, operator, whole)

    def linear(counts: Any, tangents: Any, windows: Windows) -> Any:
        for step in reduction_steps(windows):
            tangents = _tangents_summed(step, tangents)
        return operator.finish((tangents,), math.prod(counts, start=whole), jnp)

    banded = bands(x, windows)
    if banded is None:
        return values, linear(counts, tangents[0], windows)
    spans = [banded.outputs if count.shape[banded.outputs.axis] > 1 else None for count in counts]
    return values, banded.linear(linear, counts, spans, tangents[0], values.shape)


def _tangents_summed(step: Step | Doubling, tangents: Any) -> Any:
    """The sums of a step as operations whose transposes are cheap.

    Of sliding windows that is JAX's own: it is transposed to another reduce_window, and slices to a padded array each.
    """
    along = step.along if isinstance(step, Doubling) else step.windows[0] if isinstance(step, Overlapping) else None
    if along is not None and along.kernel_size <= TANGENTS_ONE_BY_ONE:
        return _reduce_window(tangents, (along,), SUM)
    return step.reduce(padded(tangents, step.padding, 0), SUM_OF_TANGENTS)


# ---------------------------------------------------------------------------------------------------------------------
# What the adapter calls


def extreme(x: jax.Array, windows: Windows, reduction: Reduction) -> jax.Array:
    """The greatest (`MAX`) or least (`MIN`) element of every window. Derivative: 1 at the first of them, row-major."""
    differentiable = jnp.issubdtype(x.dtype, jnp.floating)
    return _extreme(x, windows, reduction) if differentiable else _values(x, windows, reduction)


def extreme_with_indices(x: jax.Array, windows: Windows, reduction: Reduction) -> tuple[jax.Array, jax.Array]:
    """Those elements, and their flat positions within the pooled axes, row-major in the order of `windows`."""
    return _extreme_with_indices(x, windows, reduction)


def total(x: jax.Array, counts: tuple[jax.Array, ...], windows: Windows, operator: Operator, whole: int) -> jax.Array:
    """What the operator makes of the sum of every window, linear in it, and of its count, `whole` times `counts`."""
    function = _total if jnp.issubdtype(x.dtype, jnp.floating) else _finished
    return function(x, counts, windows, operator, whole)
