"""JAX arrays: concrete, traced, sharded, or of symbolic shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from anypool import definition, padding
from anypool.adapters.base import Adapter, Definition, Implementation, Lifted
from anypool.adapters.jax import rules
from anypool.adapters.jax.windows import ALONG_ONE_AXIS, MAX, MIN, SUM, AxisWindows, Slices, Windows
from anypool.arguments import FLOATS, INTEGERS, is_known
from anypool.operators import Average, Defaults, Max, Min, Sum, is_fixed
from anypool.plans import AdaptiveAxis, AxisPlan, FractionalAxis, SlidingAxis
from anypool.pooling import Pooling, counted
from anypool.windows import Sliding

MOST_SLICES = 64

WITHOUT_X64 = Defaults(floating="float32", signed="int32", unsigned="uint32", widest="float32")
WITH_X64 = Defaults(floating="float64", signed="int64", unsigned="uint64")


class Namespace:
    """jax.numpy's functions, and those that it spells otherwise."""

    abs = staticmethod(jnp.abs)
    any = staticmethod(jnp.any)
    arange = staticmethod(jnp.arange)
    asarray = staticmethod(jnp.asarray)
    broadcast_to = staticmethod(jnp.broadcast_to)
    concat = staticmethod(jnp.concatenate)
    exp = staticmethod(jnp.exp)
    expand_dims = staticmethod(jnp.expand_dims)
    expm1 = staticmethod(jnp.expm1)
    isfinite = staticmethod(jnp.isfinite)
    isnan = staticmethod(jnp.isnan)
    log = staticmethod(jnp.log)
    log1p = staticmethod(jnp.log1p)
    matmul = staticmethod(partial(jnp.matmul, precision="highest"))
    max = staticmethod(jnp.max)
    max_of_all = staticmethod(jnp.max)
    maximum = staticmethod(jnp.maximum)
    min = staticmethod(jnp.min)
    minimum = staticmethod(jnp.minimum)
    moveaxis = staticmethod(jnp.moveaxis)
    reshape = staticmethod(jnp.reshape)
    round = staticmethod(jnp.rint)
    shape = staticmethod(jnp.shape)
    sign = staticmethod(jnp.sign)
    sort = staticmethod(jnp.sort)
    sqrt = staticmethod(jnp.sqrt)
    squeeze = staticmethod(jnp.squeeze)
    stop_gradient = staticmethod(lax.stop_gradient)
    sum = staticmethod(jnp.sum)
    transpose = staticmethod(jnp.transpose)
    where = staticmethod(jnp.where)

    @staticmethod
    def view_as_real(x: jax.Array) -> jax.Array:
        return jnp.stack((x.real, x.imag), -1)

    @staticmethod
    def view_as_complex(pairs: jax.Array) -> jax.Array:
        return lax.complex(pairs[..., 0], pairs[..., 1])

    @staticmethod
    def astype(x: Any, dtype: str) -> jax.Array:
        return jnp.asarray(x).astype(dtype)

    @staticmethod
    def is_floating(x: Any) -> bool:
        return x.dtype.name in FLOATS

    @staticmethod
    def lowest(x: Any) -> jax.Array:
        return jnp.asarray(-jnp.inf if x.dtype.name in FLOATS else jnp.iinfo(x.dtype).min, x.dtype)

    @staticmethod
    def highest(x: Any) -> jax.Array:
        return jnp.asarray(jnp.inf if x.dtype.name in FLOATS else jnp.iinfo(x.dtype).max, x.dtype)

    @staticmethod
    def astype_like(x: Any, other: Any) -> jax.Array:
        return x.astype(other.dtype)

    @staticmethod
    def index_ones_like(x: Any) -> jax.Array:
        return jnp.ones(jnp.shape(x), jnp.result_type(int))

    @staticmethod
    def nan_like(x: Any) -> jax.Array:
        return jnp.asarray(jnp.nan, x.dtype)

    @staticmethod
    def zero(x: Any) -> jax.Array:
        return jnp.zeros((), x.dtype)

    @staticmethod
    def zeros(shape: tuple[Any, ...], x: Any) -> jax.Array:
        return jnp.zeros(shape, x.dtype)

    @staticmethod
    def take(x: Any, places: Any, axis: int) -> jax.Array:
        return jnp.take(x, places, axis=axis, mode="clip")

    @staticmethod
    def take_along_axis(x: Any, places: Any) -> jax.Array:
        if is_known(x.shape[-1]) and places.shape[-1] == 1 and not all(map(is_known, x.shape)):
            # Where a length is unknown, a gather would have to know that it is not 0.
            here = jnp.arange(x.shape[-1]) == places
            return jnp.sum(jnp.where(here, x, 0), axis=-1, keepdims=True, dtype=x.dtype)
        return jnp.take_along_axis(x, places, axis=-1, mode="clip")

    @staticmethod
    def scatter_last(places: Any, size: int) -> jax.Array:
        """For places (rows, sources): the last source of each of `size` places in its row, −1 where there is none."""
        rows, sources = places.shape
        nowhere = jnp.full((rows, size), -1, jnp.result_type(int))
        return nowhere.at[jnp.arange(rows)[:, None], places].max(jnp.arange(sources)[None, :], mode="drop")


class Framework(Implementation):
    """`lax.reduce_window` and what is made of JAX's own operations, with derivatives of their own."""

    name = "framework"

    def refusal(self, x: Any, pooling: Pooling) -> str | None:
        if type(pooling.operator) not in (Max, Min, Sum, Average):  # a subclass may reduce otherwise
            return f"JAX has no operation for {type(pooling.operator).__name__}"
        if any(isinstance(plan, FractionalAxis) for plan in pooling.plan):
            return "JAX has no operation for windows at steps that differ"
        unknown = [plan for plan in pooling.plan if not _is_known(plan)]
        if unknown and not (_is_plain(unknown, pooling) and any(map(_may_be_short, unknown))):
            return "the length of a pooled axis is unknown"
        if pooling.return_indices and any(map(_overhangs, pooling.plan)):
            return "padding could be taken for the least number there is, and its index be given"
        if any(isinstance(plan, AdaptiveAxis) and plan.outputs > MOST_SLICES for plan in pooling.plan):
            return f"adaptive windows that do not tile their axis are slices here, {MOST_SLICES} at most"
        if 0 in pooling.output_shape or any(plan.length == 0 for plan in pooling.plan):
            return "the output or an axis is empty"
        return None

    def run(self, x: Any, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        operator, windows = pooling.operator, _windows(pooling)
        x = x.astype(pooling.accumulator)
        known = all(map(_is_known, pooling.plan))
        if isinstance(operator, Max | Min):
            reduction = MAX if isinstance(operator, Max) else MIN
            if pooling.return_indices:
                values, indices = rules.extreme_with_indices(x, windows, reduction)
                return values.astype(pooling.result), indices
            return (rules.extreme if known else rules.reduce_windows)(x, windows, reduction).astype(pooling.result)
        whole, counts = _counts(pooling)
        if known:
            values = rules.total(x, counts, windows, operator, whole)
        else:
            values = operator.finish((rules.reduce_windows(x, windows, SUM),), whole, Namespace)
        if pooling.result in INTEGERS and pooling.accumulator in FLOATS:
            values = jnp.rint(values)
        return values.astype(pooling.result)


class Jitted(Implementation):
    """Another implementation as one compiled program, whatever is set of what single operations may do: numbers of ours
    are its constants and not transfers, and infinities within it are no results."""

    def __init__(self, inner: Implementation) -> None:
        super().__init__(inner.adapter)
        self.inner, self.name = inner, inner.name

    def run(self, x: Any, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        arrays = tuple(value for value in parameters if not is_fixed(value))
        return _run(x, arrays, self.inner, pooling)


@partial(jax.jit, static_argnums=(2, 3))
def _run(x: Any, arrays: tuple[Any, ...], implementation: Implementation, pooling: Pooling) -> Any:
    with jax.numpy_rank_promotion("allow"):  # masks of windows and parameters of operators are broadcast
        return implementation.run(x, pooling, pooling.operator.values(arrays))


@partial(jax.jit, static_argnums=(2, 3))
def _unpool(x: Any, indices: Any, axes: tuple[int, ...], lengths: tuple[Any, ...]) -> Any:
    with jax.numpy_rank_promotion("allow"):
        return definition.unpool(x, indices, axes, lengths, Namespace)


@partial(jax.jit, static_argnums=1)
def _padded(x: Any, pooling: Pooling) -> Any:
    return padding.padded(x, pooling, Namespace)


@partial(jax.jit, static_argnums=1)
def _indices_in_array(indices: Any, pooling: Pooling) -> Any:
    return padding.indices_in_array(indices, pooling)


class Jax(Adapter):
    name = "JAX"
    complex_as_pairs = True

    def __init__(self) -> None:
        framework = Framework(self)
        self.implementations = (framework, Lifted(framework), Definition(self))
        self._jitted: dict[Implementation, Jitted] = {each: Jitted(each) for each in self.implementations}

    @property
    def defaults(self) -> Defaults:
        return WITH_X64 if jax.config.jax_enable_x64 else WITHOUT_X64

    def array(self, x: Any) -> jax.Array:
        if isinstance(x, jax.Array):
            return x
        if type(x).__module__.partition(".")[0] == "jax":
            raise TypeError(
                f"x must be a dense array, whose windows are whole, got a {type(x).__name__}: x.todense(), say"
            )
        return jnp.asarray(x)

    def namespace(self, x: Any) -> type[Namespace]:
        return Namespace

    def choose(self, impl: str, x: Any, pooling: Pooling) -> Implementation:
        if jax.dtypes.canonicalize_dtype(pooling.result).name != pooling.result:
            raise ValueError(
                f"dtype {pooling.result} needs 64 bits, which JAX has with jax.config.update('jax_enable_x64', True)"
            )
        positions = math.prod(plan.length for plan in pooling.plan) if pooling.return_indices else 0
        if is_known(positions) and positions > jnp.iinfo(jnp.result_type(int)).max:
            raise ValueError(
                f"return_indices=True: {positions} positions need jax.config.update('jax_enable_x64', True)"
            )
        chosen = super().choose(impl, x, pooling)
        if not isinstance(chosen, Framework):
            for axis, plan in zip(pooling.axes, pooling.plan, strict=True):
                if _may_be_short(plan):
                    raise ValueError(_too_short(axis, plan))
        return self._jitted[chosen]

    def padded(self, x: Any, pooling: Pooling) -> tuple[Any, Pooling]:
        assert isinstance(pooling.window, Sliding)
        for axis, plan, pads in zip(pooling.axes, pooling.plan, padding.amounts(pooling), strict=True):
            least = pooling.window.least_length(*pads)
            if not (is_known(plan.length) or _is_at_least(plan.length, least)):
                raise ValueError(
                    f"padding_mode {pooling.window.padding_mode!r} takes {least} elements of axis {axis} of length "
                    f"{plan.length}, and JAX must know beforehand that it is as long: say so in "
                    f"jax.export.symbolic_shape(…, constraints=['{plan.length} >= {least}'])"
                )
        with_padding = _padded(x, pooling)
        return with_padding, padding.of_padded(self, with_padding, pooling)

    def indices_in_array(self, indices: Any, pooling: Pooling) -> Any:
        return _indices_in_array(indices, pooling)

    def unpool(self, x: Any, indices: Any, axes: Sequence[int], lengths: Sequence[int]) -> Any:
        return _unpool(x, indices, tuple(axes), tuple(lengths))

    def is_traced(self, x: Any) -> bool:
        return isinstance(x, jax.core.Tracer)

    def largest(self, indices: Any) -> tuple[int, int] | None:
        if self.is_traced(indices) or not indices.size:
            return None
        return int(jax.device_get(indices.min())), int(jax.device_get(indices.max()))


def _windows(pooling: Pooling) -> Windows:
    """The pooling's windows as the rules take them."""
    windows: list[AxisWindows | Slices] = []
    for axis, plan in zip(pooling.axes, pooling.plan, strict=True):
        if isinstance(plan, AdaptiveAxis):
            starts = [plan.start(i) for i in range(plan.outputs)]
            windows.append(Slices(axis, tuple((start, start + plan.count(i)) for i, start in enumerate(starts))))
        elif not _is_known(plan):
            assert isinstance(plan, SlidingAxis)
            windows.append(AxisWindows(axis, plan.kernel_size, plan.stride, plan.dilation))
        elif isinstance(plan, SlidingAxis):
            windows.append(AxisWindows.of(axis, plan))
        else:
            windows.append(AxisWindows(axis, plan.length, plan.length))
    return tuple(windows)


def _is_known(plan: AxisPlan) -> bool:
    return is_known(plan.length) and is_known(plan.outputs)


def _is_plain(unknown: Sequence[AxisPlan], pooling: Pooling) -> bool:
    """Whether small windows lie within these axes, whose lengths are unknown.

    Then reduce_window can be traced, with JAX's own derivative, whether or not JAX can tell that there is a window.
    """
    if pooling.return_indices or not isinstance(pooling.window, Sliding) or pooling.window.ceil_mode:
        return False
    return all(
        isinstance(plan, SlidingAxis)
        and plan.kernel_size <= ALONG_ONE_AXIS
        and is_known(plan.pad_before)
        and plan.pad_before == plan.pad_after == 0
        for plan in unknown
    )


def _may_be_short(plan: AxisPlan) -> bool:
    """Whether JAX cannot tell that an axis is as long as a window: then it takes no array of so many windows."""
    return not (_is_known(plan) or _is_at_least(plan.outputs, 0))


def _is_at_least(length: Any, least: Any) -> bool:
    """Whether JAX can tell that a symbolic length is no less."""
    try:
        return bool(length >= least)
    except Exception:  # InconclusiveDimensionOperation, whose module depends on the version of JAX
        return False


def _too_short(axis: int, plan: AxisPlan) -> str:
    span = (plan.kernel_size - 1) * plan.dilation + 1
    return (
        f"windows span {span} positions along axis {axis} of length {plan.length}, and JAX must know beforehand that "
        f"it is as long: say so in jax.export.symbolic_shape(…, constraints=['{plan.length} >= {span}'])"
    )


def _overhangs(plan: AxisPlan) -> bool:
    """Whether a window reaches past the axis."""
    return isinstance(plan, SlidingAxis) and bool((plan.clipped()[1] < plan.kernel_size).any())


def _counts(pooling: Pooling) -> tuple[int, tuple[jax.Array, ...]]:
    """The number of elements that each window counts: a product of a number, and of arrays that broadcast."""
    whole, counts = 1, []
    for axis, plan in zip(pooling.axes, pooling.plan, strict=True):
        if not _is_known(plan):
            whole = whole * plan.kernel_size
            continue
        count = counted(plan, pooling.operator)
        if (count == count[:1]).all():
            whole = whole * int(count[0])
        else:
            shape = [1] * len(pooling.shape)
            shape[axis] = len(count)
            counts.append(jnp.asarray(count.reshape(shape), pooling.accumulator))
    return whole, tuple(counts)


ADAPTER = Jax()
