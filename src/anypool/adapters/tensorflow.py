"""TensorFlow tensors and variables: eager, in graphs with unknown lengths, and compiled by XLA."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from anypool import definition
from anypool.adapters.base import Adapter, Definition, Implementation, Lifted
from anypool.arguments import FLOATS, INTEGERS, is_known
from anypool.operators import Average, Defaults, Max, Min, Sum
from anypool.plans import SlidingAxis
from anypool.pooling import Pooling, end_padding
from anypool.windows import Global, Sliding

POOLED_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16")
"""The integers that tf.nn.max_pool knows."""

WIDEST_AT_ONCE = 16
"""Windows of more elements go one axis after another, so that they cost the sum of their widths and not the product."""


class Namespace:
    """TensorFlow's functions under NumPy's names. Positions and lengths are int64."""

    multiplies_lengths = True
    row_major = True

    abs = staticmethod(tf.abs)
    broadcast_to = staticmethod(tf.broadcast_to)
    exp = staticmethod(tf.exp)
    expm1 = staticmethod(tf.math.expm1)
    isfinite = staticmethod(tf.math.is_finite)
    isnan = staticmethod(tf.math.is_nan)
    log = staticmethod(tf.math.log)
    log1p = staticmethod(tf.math.log1p)
    matmul = staticmethod(tf.linalg.matmul)
    max_of_all = staticmethod(tf.reduce_max)
    maximum = staticmethod(tf.maximum)
    minimum = staticmethod(tf.minimum)
    round = staticmethod(tf.round)
    sign = staticmethod(tf.sign)
    sort = staticmethod(tf.sort)
    sqrt = staticmethod(tf.sqrt)
    stop_gradient = staticmethod(tf.stop_gradient)
    transpose = staticmethod(tf.transpose)

    @staticmethod
    def any(x: tf.Tensor, axis: int, keepdims: bool = False) -> tf.Tensor:
        return tf.reduce_any(x, axis, keepdims)

    @staticmethod
    def max(x: tf.Tensor, axis: int, keepdims: bool = False) -> tf.Tensor:
        return tf.reduce_max(x, axis, keepdims)

    @staticmethod
    def min(x: tf.Tensor, axis: int, keepdims: bool = False) -> tf.Tensor:
        return tf.reduce_min(x, axis, keepdims)

    @staticmethod
    def sum(x: tf.Tensor, axis: int, keepdims: bool = False) -> tf.Tensor:
        return tf.reduce_sum(x, axis, keepdims)

    @staticmethod
    def arange(n: Any) -> tf.Tensor:
        return tf.range(n, dtype=tf.int64)

    @staticmethod
    def asarray(x: Any) -> tf.Tensor:
        return tf.convert_to_tensor(x)

    @staticmethod
    def astype(x: tf.Tensor, dtype: str) -> tf.Tensor:
        return tf.cast(x, dtype)

    @staticmethod
    def concat(arrays: Sequence[tf.Tensor], axis: int) -> tf.Tensor:
        return tf.concat(arrays, axis)

    @staticmethod
    def expand_dims(x: tf.Tensor, axis: int) -> tf.Tensor:
        return tf.expand_dims(x, axis)

    @staticmethod
    def squeeze(x: tf.Tensor, axes: Sequence[int]) -> tf.Tensor:
        return tf.squeeze(x, list(axes))

    @staticmethod
    def moveaxis(x: tf.Tensor, source: Sequence[int], destination: Sequence[int]) -> tf.Tensor:
        rank = x.shape.rank
        moved = dict(zip([d % rank for d in destination], [s % rank for s in source], strict=True))
        rest = iter(axis for axis in range(rank) if axis not in moved.values())
        return _transposed(x, [moved[axis] if axis in moved else next(rest) for axis in range(rank)])

    @staticmethod
    def shape(x: tf.Tensor) -> tuple[Any, ...]:
        """Integers where known, scalar tensors where not."""
        known = x.shape.as_list()
        if None not in known:
            return tuple(known)
        unknown = tf.shape(x, out_type=tf.int64)
        return tuple(unknown[axis] if length is None else length for axis, length in enumerate(known))

    @staticmethod
    def reshape(x: tf.Tensor, shape: Sequence[Any]) -> tf.Tensor:
        return tf.reshape(x, _lengths(shape))

    @staticmethod
    def where(condition: Any, x: Any, y: Any) -> tf.Tensor:
        dtype = x.dtype if tf.is_tensor(x) else y.dtype
        return tf.where(condition, tf.cast(x, dtype), tf.cast(y, dtype))

    @staticmethod
    def take(x: tf.Tensor, places: tf.Tensor, axis: int) -> tf.Tensor:
        return tf.gather(x, places, axis=axis)

    @staticmethod
    def take_along_axis(x: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        return tf.gather(x, places, axis=-1, batch_dims=x.shape.rank - 1)

    @staticmethod
    def scatter_last(places: tf.Tensor, size: Any) -> tf.Tensor:
        """For places (rows, sources): the last source of each of `size` places in its row, −1 where there is none."""
        rows, sources = Namespace.shape(places)
        row, source = Namespace.arange(rows)[:, None], Namespace.arange(sources)[None, :]
        place = tf.reshape(row * size + tf.cast(places, tf.int64), [-1])
        source = tf.reshape(tf.broadcast_to(source, _lengths((rows, sources))), [-1])
        latest = tf.math.unsorted_segment_max(source, place, rows * size)
        return tf.reshape(tf.maximum(latest, -1), _lengths((rows, size)))

    @staticmethod
    def is_floating(x: tf.Tensor) -> bool:
        return x.dtype.is_floating

    @staticmethod
    def lowest(x: tf.Tensor) -> tf.Tensor:
        return tf.constant(-np.inf if x.dtype.is_floating else x.dtype.min, x.dtype)

    @staticmethod
    def highest(x: tf.Tensor) -> tf.Tensor:
        return tf.constant(np.inf if x.dtype.is_floating else x.dtype.max, x.dtype)

    @staticmethod
    def astype_like(x: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        return tf.cast(x, other.dtype)

    @staticmethod
    def index_ones_like(x: tf.Tensor) -> tf.Tensor:
        return tf.ones_like(x, dtype=tf.int64)

    @staticmethod
    def nan_like(x: tf.Tensor) -> tf.Tensor:
        return tf.constant(np.nan, x.dtype)

    @staticmethod
    def zero(x: tf.Tensor) -> tf.Tensor:
        return tf.zeros((), x.dtype)

    @staticmethod
    def zeros(shape: Sequence[Any], x: tf.Tensor) -> tf.Tensor:
        return tf.zeros(_lengths(shape), x.dtype)


class Framework(Implementation):
    """TensorFlow's own operations, where they mean the same."""

    name = "framework"

    def refusal(self, x: tf.Tensor, pooling: Pooling) -> str | None:
        operator, selects = type(pooling.operator), isinstance(pooling.operator, Max | Min)
        if operator not in (Max, Min, Sum, Average):
            return f"TensorFlow has no operation for {operator.__name__}"
        if pooling.return_indices:
            return "TensorFlow's max_pool_with_argmax has other indices and no padding"
        if pooling.accumulator not in (*FLOATS, *(POOLED_INTEGERS if selects else ())):
            return f"TensorFlow has no {operator.__name__} pooling of {pooling.accumulator}"
        if 0 in [length for length in pooling.shape if is_known(length)] or (
            pooling.empty and pooling.operator.needs_element
        ):
            return "there is nothing to pool in some window"
        if isinstance(pooling.window, Global):
            return None
        if not all(isinstance(plan, SlidingAxis) and is_known(plan.kernel_size) for plan in pooling.plan):
            return "adaptive windows that do not divide their axis have no operation in TensorFlow"
        if any(plan.dilation > 1 for plan in pooling.plan):
            return "TensorFlow has no dilation with strides"
        return None

    def run(self, x: tf.Tensor, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        values = _framework(tf.cast(x, pooling.accumulator), pooling)
        if pooling.result in INTEGERS and pooling.accumulator in FLOATS:
            values = tf.round(values)
        return tf.cast(values, pooling.result)


class TensorFlow(Adapter):
    name = "TensorFlow"
    defaults = Defaults(floating="float32")

    def __init__(self) -> None:
        framework = Framework(self)
        self.implementations = (framework, Lifted(framework), Definition(self))

    def array(self, x: Any) -> tf.Tensor:
        if isinstance(x, tf.Variable):
            x = tf.convert_to_tensor(x)
        if not isinstance(x, tf.Tensor):
            raise TypeError(
                f"x must be a dense tensor, whose windows are whole, got a {type(x).__name__}: x.to_tensor(), say"
            )
        if x.shape.rank is None:
            raise ValueError("x must have a known number of axes: use tf.ensure_shape, whose lengths may be None")
        return x

    def shape(self, x: tf.Tensor) -> tuple[Any, ...]:
        return Namespace.shape(x)

    def namespace(self, x: tf.Tensor) -> type[Namespace]:
        return Namespace

    def is_traced(self, x: tf.Tensor) -> bool:
        return tf.get_static_value(x) is None

    def largest(self, indices: tf.Tensor) -> tuple[int, int] | None:
        value = tf.get_static_value(indices)
        return None if value is None or not value.size else (int(value.min()), int(value.max()))


# ---------------------------------------------------------------------------------------------------------------------
# TensorFlow's own operations, where they mean the same


def _framework(x: tf.Tensor, pooling: Pooling) -> tf.Tensor:
    operator = pooling.operator
    if isinstance(operator, Min):
        return _turned(_maxima(_turned(x), pooling))
    if isinstance(operator, Max):
        return _maxima(x, pooling)
    if isinstance(pooling.window, Global):
        sums = x
        for axis in pooling.axes:  # one after another, for the sake of their error
            sums = tf.reduce_sum(sums, axis, keepdims=True)
    elif operator == Average() and _padding(pooling) != "EXPLICIT":
        return _in_passes(tf.nn.avg_pool2d, x, pooling, _padding(pooling))
    else:
        elements = math.prod(plan.kernel_size for plan in pooling.plan)
        sums = _in_passes(tf.nn.avg_pool2d, _padded(x, pooling, 0), pooling, "VALID") * elements
    return operator.finish((sums,), definition.count(pooling, Namespace), Namespace)


def _maxima(x: tf.Tensor, pooling: Pooling) -> tf.Tensor:
    if isinstance(pooling.window, Global):
        return _greatest(x, pooling.axes)
    padding = _padding(pooling)
    if padding != "EXPLICIT":
        return _in_passes(tf.nn.max_pool2d, x, pooling, padding)
    return _in_passes(tf.nn.max_pool2d, _padded(x, pooling, Namespace.lowest(x)), pooling, "VALID")


def _turned(x: tf.Tensor) -> tf.Tensor:
    """Numbers in reversed order, so that the least become the greatest; its own inverse."""
    return -x if x.dtype.is_floating else tf.bitwise.invert(x)


def _greatest(x: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
    """The greatest of all elements along the axes; its gradient goes to the first, where tf.reduce_max's is split."""

    @tf.custom_gradient
    def greatest(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            order = [axis for axis in range(x.shape.rank) if axis not in axes] + list(axes)
            moved = _transposed(x, order)
            shape = Namespace.shape(moved)
            lead, elements = shape[: -len(axes)], math.prod(shape[-len(axes) :])
            offset = Max().offset(Namespace.reshape(moved, (*lead, elements)), tf.constant(True), Namespace)
            first = Namespace.reshape(Namespace.arange(elements) == offset[..., None], shape)
            return tf.where(_transposed_back(first, order), upstream, tf.zeros((), x.dtype))

        return tf.reduce_max(x, axes, keepdims=True), gradient

    return greatest(x)


def _in_passes(pool: Callable[..., tf.Tensor], x: tf.Tensor, pooling: Pooling, padding: str) -> tf.Tensor:
    """`pool` along the pooled axes, the last first, by one or two of them at a time: as images (lead, a, b, channels).

    So it serves any number of axes, a wide window costs the sum of its widths and not their product, and of tied maxima
    the first in row-major order has the gradient (all of them have tf.nn.max_pool3d's).
    """
    others = [axis for axis in range(x.shape.rank) if axis not in pooling.axes]
    order = [*others[:-1], *pooling.axes, *others[-1:]]
    x = _transposed(x, order)
    lengths, plan = list(Namespace.shape(x)), _sliding(pooling)
    at_once = 2 if math.prod(axis.kernel_size for axis in plan) <= WIDEST_AT_ONCE else 1
    for end in range(len(plan), 0, -at_once):
        start = max(end - at_once, 0)
        plans, ones = plan[start:end], [1] * (2 - (end - start))
        left, right = len(others[:-1]) + start, len(others[:-1]) + end
        sizes, strides = [axis.kernel_size for axis in plans] + ones, [axis.stride for axis in plans] + ones
        images = (len(lengths), left, right) == (4, 1, 3)  # already; a reshape of unknown lengths is not free
        if not images:
            x = Namespace.reshape(
                x, (math.prod(lengths[:left]), *lengths[left:right], *ones, math.prod(lengths[right:]))
            )
        x = pool(x, sizes, strides, padding)
        lengths[left:right] = [axis.outputs for axis in plans]
        if not images:
            x = Namespace.reshape(x, lengths)
    return _transposed_back(x, order)


def _padding(pooling: Pooling) -> str:
    """TensorFlow's name for the padding; "EXPLICIT" where it has none."""
    window = pooling.window
    if not isinstance(window, Sliding) or (window.padding == 0 and not window.ceil_mode):
        return "VALID"
    if window.padding == "same":
        return "SAME"
    known = all(map(is_known, pooling.shape))
    return "VALID" if known and not any(map(any, map(_pads, _sliding(pooling)))) else "EXPLICIT"


def _padded(x: tf.Tensor, pooling: Pooling, value: Any) -> tf.Tensor:
    """x with all padding, and what the last windows reach beyond it."""
    pads: list[tuple[Any, Any]] = [(0, 0)] * x.shape.rank
    for axis, plan in zip(pooling.axes, _sliding(pooling), strict=True):
        pads[axis] = _pads(plan)
    if tf.is_tensor(value) and not tf.executing_eagerly():
        return _between(x, pads, value)
    known = all(is_known(number) for pair in pads for number in pair)
    return tf.pad(x, pads if known else tf.reshape(_lengths(sum(pads, ())), (-1, 2)), constant_values=value)


def _between(x: tf.Tensor, pads: Sequence[tuple[Any, Any]], value: tf.Tensor) -> tf.Tensor:
    """x between constants: of the operation of tf.pad, `tf.vectorized_map` forgets the value."""
    for axis, pair in enumerate(pads):
        if not all(is_known(number) and number == 0 for number in pair):
            shape = Namespace.shape(x)
            before, after = (tf.fill(_lengths((*shape[:axis], number, *shape[axis + 1 :])), value) for number in pair)
            x = tf.concat([before, x, after], axis)
    return x


def _sliding(pooling: Pooling) -> list[SlidingAxis]:
    """The plan of a pooling that `refusal` let pass."""
    return [plan for plan in pooling.plan if isinstance(plan, SlidingAxis)]


def _pads(plan: SlidingAxis) -> tuple[Any, Any]:
    after = end_padding(plan)
    return plan.pad_before, max(after, 0) if is_known(after) else tf.maximum(after, 0)


# ---------------------------------------------------------------------------------------------------------------------
# Shapes


def _lengths(shape: Sequence[Any]) -> Any:
    """A shape as tf.reshape wants it, of integers and scalar tensors."""
    if all(map(is_known, shape)):
        return np.array(shape, np.int64)
    return tf.stack([tf.cast(length, tf.int64) for length in shape])


def _transposed(x: tf.Tensor, order: Sequence[int]) -> tf.Tensor:
    return x if list(order) == sorted(order) else tf.transpose(x, order)


def _transposed_back(x: tf.Tensor, order: Sequence[int]) -> tf.Tensor:
    return _transposed(x, [order.index(axis) for axis in range(len(order))])


ADAPTER = TensorFlow()
