"""Max, min and sum over windows in JAX's own functions, each with a rule for its derivative.

Undifferentiated, small windows are one `lax.reduce_window`, which XLA fuses with its neighbours, and large ones go one
axis at a time. Differentiated, a max keeps which element won, as small unsigned integers, and its derivative picks that
element's tangent. The rules are `jax.custom_jvp`s of ordinary functions, so every transformation applies to them, in
any order and on any device.
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

from anypool.arrays.jax_steps import (
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


def fold(x: Any, windows: Windows, reduction: Reduction) -> Any:
    """The reduction of every window, with JAX's own derivative."""
    sliding = tuple(along for along in windows if isinstance(along, Along))
    if len(sliding) == len(windows) and math.prod(along.width for along in sliding) <= AT_ONCE:
        return _reduce_window(x, sliding, reduction)
    for along in reversed(windows):
        if isinstance(along, Along) and along.width <= ALONG_ONE_AXIS:
            x = _reduce_window(x, (along,), reduction)
        else:
            for step in folds((along,)):
                x = step.fold(padded(x, step.padding, reduction.neutral(x.dtype)), reduction)
    return x


def _winners(x: Any, windows: Windows, reduction: Reduction) -> tuple[Any, list[Any]]:
    """The extreme of every window, and which elements they are: what `_take` needs."""
    choices = []
    for step in steps(windows):
        x, choice = step.winners(padded(x, step.padding, reduction.neutral(x.dtype)), reduction)
        choices.append(choice)
    return x, [_kept(choice) for choice in _packed(choices, windows)]


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


def _kept(choice: Any) -> Any:
    """The choice, computed once: XLA must not fuse it into the gradient, where it would be computed for every element.

    A barrier says so, but XLA's CPU compiler drops barriers before it fuses; it does not fuse across a branch.
    """

    def branch(choice: Any) -> Any:
        return lax.cond(lax.optimization_barrier(jnp.asarray(True)), lambda kept: kept, jnp.zeros_like, choice)

    return lax.platform_dependent(choice, cpu=branch, default=lax.optimization_barrier)


def _take(choices: Sequence[Any], x: Any, windows: Windows) -> Any:
    """The chosen elements of x: linear in x."""
    for step, choice in zip(steps(windows), _unpacked(choices, x, windows), strict=True):
        x = step.take(choice, padded(x, step.padding, 0))
    return x


def _tangent(choices: Sequence[Any], x: Any, windows: Windows) -> Any:
    """As `_take`; whoever differentiates keeps the choices alone, and compares again where a mask is needed."""
    return jax.checkpoint(partial(_take, windows=windows), prevent_cse=False)(choices, x)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _extreme(x: Any, windows: Windows, reduction: Reduction) -> Any:
    return fold(x, windows, reduction)


@_extreme.defjvp
def _extreme_jvp(windows: Windows, reduction: Reduction, primals: Any, tangents: Any) -> tuple[Any, Any]:
    (x,), (tangent,) = primals, tangents
    values, choices = _winners(lax.stop_gradient(x), windows, reduction)
    return _selected(x, values, choices, windows), _tangent(choices, tangent, windows)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _selected(x: Any, values: Any, choices: list[Any], windows: Windows) -> Any:
    """The values, whose derivative by x is known: so that the winners are found once for every order of derivative."""
    return values


@_selected.defjvp
def _selected_jvp(windows: Windows, primals: Any, tangents: Any) -> tuple[Any, Any]:
    x, values, choices = primals
    return _selected(x, values, choices, windows), _tangent(choices, tangents[0], windows)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _total(x: Any, windows: Windows) -> Any:
    return fold(x, windows, SUM)


@_total.defjvp
def _total_jvp(windows: Windows, primals: Any, tangents: Any) -> tuple[Any, Any]:
    (x,), (tangent,) = primals, tangents
    for step in folds(windows):
        tangent = _tangents_summed(step, tangent)
    return _total(x, windows), tangent


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
    return _extreme(x, windows, reduction) if differentiable else fold(x, windows, reduction)


@partial(jax.jit, static_argnums=(1, 2))
def places(x: jax.Array, windows: Windows, reduction: Reduction) -> jax.Array:
    """Where those elements are: flat positions within the pooled axes, row-major in the order of `windows`."""
    _, choices = _winners(lax.stop_gradient(x), windows, reduction)
    dtype = jnp.result_type(int)
    position: Any = 0
    for along in windows:
        position = position * x.shape[along.axis] + lax.broadcasted_iota(dtype, x.shape, along.axis)
    return _take(choices, position, windows)


@partial(jax.jit, static_argnums=1)
def total(x: jax.Array, windows: Windows) -> jax.Array:
    """The sum of every window. Derivative: 1 at every element."""
    return _total(x, windows) if jnp.issubdtype(x.dtype, jnp.floating) else fold(x, windows, SUM)
