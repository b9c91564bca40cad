"""Max, min and sum over windows in JAX's own functions, each with a rule for its derivative.

Undifferentiated, small windows are one `lax.reduce_window`, which XLA fuses with its neighbours, and large ones go one
axis at a time; large arrays go band by band. Differentiated, a max keeps which element won, as small unsigned integers,
and its derivative picks that element's tangent. The rules are `jax.custom_jvp`s of ordinary functions, so every
transformation applies to them, in any order and on any device.
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

from anypool.adapters.jax.bands import Bands, bands, once, settled
from anypool.adapters.jax.steps import (
    ALONG_ONE_AXIS,
    MAX,
    SUM,
    SUM_OF_TANGENTS,
    Along,
    Doubling,
    Overlapping,
    Reduction,
    Step,
    Windows,
    folds,
    padded,
    steps,
)
from anypool.arguments import is_known
from anypool.operators import Operator

TANGENTS_ONE_BY_ONE = 128
"""Elements along an axis, at most, whose tangents are summed one by one."""

AT_ONCE = 10
"""Elements of a window, at most, that one reduce_window sums: more would exceed the error that averages promise."""


# ---------------------------------------------------------------------------------------------------------------------
# Values, winners and derivatives


def _reduce_window(x: Any, windows: Sequence[Along], reduction: Reduction) -> Any:
    """The windows of an array by the framework's own operation."""
    width, stride, step, padding = [1] * x.ndim, [1] * x.ndim, [1] * x.ndim, [(0, 0)] * x.ndim
    for along in windows:
        width[along.axis], stride[along.axis], step[along.axis] = along.width, along.stride, along.step
        padding[along.axis] = (along.before, max(along.after, 0))  # what no window reaches need not go
    initial = reduction.neutral(x.dtype)
    return lax.reduce_window(x, initial, reduction.combine, tuple(width), tuple(stride), padding, None, tuple(step))


def _few(windows: Windows) -> tuple[Along, ...] | None:
    """The windows, if one reduce_window takes all their elements."""
    sliding = tuple(along for along in windows if isinstance(along, Along))
    few = len(sliding) == len(windows) and math.prod(along.width for along in sliding) <= AT_ONCE
    return sliding if few else None


def _one_by_one(x: Any, along: Along, reduction: Reduction) -> bool:
    """Whether reduce_window takes the windows along an axis; slices ask for its length."""
    sliced = along.stride == 1 and is_known(x.shape[along.axis])
    return along.width <= (reduction.one_by_one if sliced else ALONG_ONE_AXIS)


def fold(x: Any, windows: Windows, reduction: Reduction) -> Any:
    """The reduction of every window, with JAX's own derivative."""
    few = _few(windows)
    if few is not None:
        return _reduce_window(x, few, reduction)
    for along in reversed(windows):
        if isinstance(along, Along) and _one_by_one(x, along, reduction):
            x = _reduce_window(x, (along,), reduction)
        else:
            for step in folds((along,)):
                x = step.fold(padded(x, step.padding, reduction.neutral(x.dtype)), reduction)
    return x


def _values(x: Any, windows: Windows, reduction: Reduction) -> Any:
    """As `fold`, in bands where x is large and goes one axis at a time."""
    banded = None if _few(windows) else bands(x, windows)
    if banded is None:
        return fold(x, windows, reduction)
    (values,) = banded.pooled(lambda x, windows: (fold(x, windows, reduction),), x)
    return values


def _winners(x: Any, windows: Windows, reduction: Reduction) -> tuple[Any, ...]:
    """The extreme of every window, and which elements they are, in bands where x is large and takes several steps."""
    function = partial(_found, reduction=reduction)
    banded = _bands(x, windows)
    if banded is not None:
        return banded.pooled(function, x)
    values, *choices = function(x, windows)
    if len(steps(windows)) == 1:
        return values, *once(lambda x: function(x, windows)[1:], x)
    return values, *settled(
        choices
    )  # a step's values are the next one's: to look for choices anew would take them twice


def _bands(x: Any, windows: Windows) -> Bands | None:
    return bands(x, windows) if len(steps(windows)) > 1 else None


def _found(x: Any, windows: Windows, reduction: Reduction) -> tuple[Any, ...]:
    choices = []
    for step in steps(windows):
        x, choice = step.winners(padded(x, step.padding, reduction.neutral(x.dtype)), reduction)
        choices.append(choice)
    return x, *_packed(choices, windows)


def _places(windows: Windows) -> list[tuple[int, int]]:
    """Where every step's choice is kept: the number of a byte, and its first bit there; no choice is cut in two."""
    places, byte, end = [], -1, 9
    for step in steps(windows):
        bits = (step.choices - 1).bit_length()
        if end + bits > 8:
            byte, end = byte + 1, 0
        places.append((byte, end))
        end += bits
    return places


def _packed(choices: list[Any], windows: Windows) -> list[Any]:
    """The choices of all steps in as few bytes as that; their shapes differ by what the later steps pool."""
    together: dict[int, list[tuple[int, Any]]] = {}
    for (byte, bit), choice in zip(_places(windows), choices, strict=True):
        together.setdefault(byte, []).append((bit, choice))
    return [_byte(placed) if len(placed) > 1 else placed[0][1] for placed in together.values()]


def _byte(placed: list[tuple[int, Any]]) -> Any:
    shape = [max(lengths) for lengths in zip(*(choice.shape for _, choice in placed), strict=True)]
    byte: Any = np.uint8(0)
    for bit, choice in placed:
        padding = [(0, longest - length, 0) for longest, length in zip(shape, choice.shape, strict=True)]
        byte = byte | lax.pad(choice << np.uint8(bit), np.uint8(0), padding)
    return byte


def _unpacked(kept: Sequence[Any], x: Any, windows: Windows) -> Sequence[Any]:
    """The choices of all steps over an array like x."""
    places = _places(windows)
    if len(kept) == len(places):
        return kept
    choices = []
    like = jax.ShapeDtypeStruct(x.shape, x.dtype)
    for (byte, bit), step in zip(places, steps(windows), strict=True):
        like, choice = jax.eval_shape(lambda x, step=step: step.winners(padded(x, step.padding, 0), MAX), like)
        if [other for other, _ in places].count(byte) == 1:
            choices.append(kept[byte])
        else:
            mask = np.uint8((1 << (step.choices - 1).bit_length()) - 1)
            choices.append(lax.slice(kept[byte], [0] * x.ndim, choice.shape) >> np.uint8(bit) & mask)
    return choices


def _take(choices: Sequence[Any], x: Any, windows: Windows) -> Any:
    """The chosen elements of x: linear in x."""
    for step, choice in zip(steps(windows), _unpacked(choices, x, windows), strict=True):
        x = step.take(choice, padded(x, step.padding, 0))
    return x


def _tangent(choices: Sequence[Any], values: Any, x: Any, windows: Windows) -> Any:
    """As `_take`, in bands where `_winners` are; the values have the tangent's shape.

    Whoever differentiates keeps the choices alone, and compares again where a mask is needed.
    """
    banded = _bands(x, windows)
    if banded is not None:
        _, *spans = banded.spans(partial(_found, reduction=MAX), x)
        return banded.linear(_take, choices, spans, x, values.shape)
    return jax.checkpoint(partial(_take, windows=windows), prevent_cse=False)(choices, x)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _extreme(x: Any, windows: Windows, reduction: Reduction) -> Any:
    return _values(x, windows, reduction)


@_extreme.defjvp
def _extreme_jvp(windows: Windows, reduction: Reduction, primals: Any, tangents: Any) -> tuple[Any, Any]:
    (x,), (tangent,) = primals, tangents
    values, *choices = _winners(lax.stop_gradient(x), windows, reduction)
    return _selected(x, values, choices, windows), _tangent(choices, values, tangent, windows)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _selected(x: Any, values: Any, choices: list[Any], windows: Windows) -> Any:
    """The values, whose derivative by x is known: so that the winners are found once for every order of derivative."""
    return values


@_selected.defjvp
def _selected_jvp(windows: Windows, primals: Any, tangents: Any) -> tuple[Any, Any]:
    x, values, choices = primals
    return _selected(x, values, choices, windows), _tangent(choices, values, tangents[0], windows)


def _finished(x: Any, counts: tuple[Any, ...], windows: Windows, operator: Operator, whole: int) -> Any:
    return operator.finish((_values(x, windows, SUM),), math.prod(counts, start=whole), jnp)


_total = jax.custom_jvp(_finished, nondiff_argnums=(2, 3, 4))


@_total.defjvp
def _total_jvp(windows: Windows, operator: Operator, whole: int, primals: Any, tangents: Any) -> tuple[Any, Any]:
    x, counts = primals
    values = _total(x, counts, windows, operator, whole)

    def linear(counts: Any, tangents: Any, windows: Windows) -> Any:
        for step in folds(windows):
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
    if along is not None and along.width <= TANGENTS_ONE_BY_ONE:
        return _reduce_window(tangents, (along,), SUM)
    return step.fold(padded(tangents, step.padding, 0), SUM_OF_TANGENTS)


@partial(jax.jit, static_argnums=(1, 2))
def extreme(x: jax.Array, windows: Windows, reduction: Reduction) -> jax.Array:
    """The greatest (`MAX`) or least (`MIN`) element of every window. Derivative: 1 at the first of them, row-major."""
    differentiable = jnp.issubdtype(x.dtype, jnp.floating)
    return _extreme(x, windows, reduction) if differentiable else _values(x, windows, reduction)


@partial(jax.jit, static_argnums=(1, 2))
def places(x: jax.Array, windows: Windows, reduction: Reduction) -> jax.Array:
    """Where those elements are: flat positions within the pooled axes, row-major in the order of `windows`."""
    _, *choices = _found(lax.stop_gradient(x), windows, reduction)
    dtype = jnp.result_type(int)
    position: Any = 0
    for along in windows:
        position = position * x.shape[along.axis] + lax.broadcasted_iota(dtype, x.shape, along.axis)
    return _take(choices, position, windows)


@partial(jax.jit, static_argnums=(2, 3, 4))
def total(x: jax.Array, counts: tuple[jax.Array, ...], windows: Windows, operator: Operator, whole: int) -> jax.Array:
    """What the operator makes of the sum of every window, linear in it, and of its count, `whole` times `counts`."""
    function = _total if jnp.issubdtype(x.dtype, jnp.floating) else _finished
    return function(x, counts, windows, operator, whole)
