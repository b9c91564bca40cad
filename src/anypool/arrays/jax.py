"""JAX arrays: concrete, traced, sharded, or of symbolic shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from anypool.arrays import Adapter
from anypool.definition import Pooling
from anypool.operators import FLOATS, Average, Defaults, Max, Min, Sum
from anypool.windows import AdaptiveAxis, AxisPlan, SlidingAxis, is_known

WITHOUT_X64 = Defaults(floating="float32", signed="int32", unsigned="uint32")
WITH_X64 = Defaults(floating="float64", signed="int64", unsigned="uint64")


class Namespace:
    """jax.numpy's functions, and those that it spells otherwise."""

    abs = staticmethod(jnp.abs)
    any = staticmethod(jnp.any)
    arange = staticmethod(jnp.arange)
    asarray = staticmethod(jnp.asarray)
    concat = staticmethod(jnp.concatenate)
    constant = staticmethod(lax.stop_gradient)
    expand_dims = staticmethod(jnp.expand_dims)
    isnan = staticmethod(jnp.isnan)
    max = staticmethod(jnp.max)
    min = staticmethod(jnp.min)
    moveaxis = staticmethod(jnp.moveaxis)
    reshape = staticmethod(jnp.reshape)
    round = staticmethod(jnp.rint)
    shape = staticmethod(jnp.shape)
    squeeze = staticmethod(jnp.squeeze)
    sum = staticmethod(jnp.sum)
    transpose = staticmethod(jnp.transpose)
    where = staticmethod(jnp.where)

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
    def zero(x: Any) -> jax.Array:
        return jnp.zeros((), x.dtype)

    @staticmethod
    def zeros(shape: tuple[Any, ...], x: Any) -> jax.Array:
        return jnp.zeros(shape, x.dtype)

    @staticmethod
    def take(x: Any, places: Any, axis: int) -> jax.Array:
        return jnp.take(x, places, axis=axis, mode="clip")

    @staticmethod
    def take_along_last(x: Any, places: Any) -> jax.Array:
        return jnp.take_along_axis(x, places, axis=-1, mode="clip")

    @staticmethod
    def latest(places: Any, size: int) -> jax.Array:
        """For places (rows, sources): the last source of each of `size` places in its row, −1 where there is none."""
        rows, sources = places.shape
        nowhere = jnp.full((rows, size), -1, jnp.result_type(int))
        return nowhere.at[jnp.arange(rows)[:, None], places].max(jnp.arange(sources)[None, :], mode="drop")


class Jax(Adapter):
    name = "JAX"
    order = ("framework", "definition")

    @property
    def defaults(self) -> Defaults:  # type: ignore[override]
        return WITH_X64 if jax.config.jax_enable_x64 else WITHOUT_X64  # type: ignore[attr-defined]

    def namespace(self, x: Any) -> type[Namespace]:
        return Namespace

    def choose(self, impl: str, x: Any, pooling: Pooling) -> str:
        if jax.dtypes.canonicalize_dtype(pooling.result).name != pooling.result:
            raise ValueError(
                f"dtype {pooling.result} needs 64 bits, which JAX has with jax.config.update('jax_enable_x64', True)"
            )
        return super().choose(impl, x, pooling)

    def refusal(self, implementation: str, x: Any, pooling: Pooling) -> str | None:
        if implementation != "framework":
            return super().refusal(implementation, x, pooling)
        if not isinstance(pooling.operator, Max | Min | Sum | Average):
            return f"JAX has no operation for {type(pooling.operator).__name__}"
        if pooling.return_indices:
            return "JAX has no operation that gives the indices of winners"
        if any(isinstance(plan, AdaptiveAxis) for plan in pooling.plan):
            return "adaptive windows that do not divide their axis have no operation in JAX"
        if not all(is_known(length) for length in pooling.shape):
            return "a length is unknown"
        return None

    def run(self, implementation: str, x: Any, pooling: Pooling) -> Any:
        if implementation == "framework":
            return _reduce_window(x, pooling)
        return super().run(implementation, x, pooling)

    def largest(self, indices: Any) -> tuple[int, int] | None:
        if isinstance(indices, jax.core.Tracer) or not indices.size:
            return None
        return int(indices.min()), int(indices.max())


def _reduce_window(x: jax.Array, pooling: Pooling) -> jax.Array:
    """Any pooling whose windows are all of one width, by lax.reduce_window."""
    from anypool import definition

    operator, rank = pooling.operator, len(pooling.shape)
    sizes, strides, dilations, padding = [1] * rank, [1] * rank, [1] * rank, [(0, 0)] * rank
    for axis, plan in zip(pooling.axes, pooling.plan, strict=True):
        stride, before = (plan.stride, plan.before) if isinstance(plan, SlidingAxis) else (1, 0)
        sizes[axis], strides[axis], dilations[axis] = plan.width, stride, plan.step
        overhang = (plan.outputs - 1) * stride + plan.step * (plan.width - 1) + 1 - plan.length - before
        padding[axis] = (before, max(overhang, 0))
    x = x.astype(pooling.accumulator)
    if isinstance(operator, Max | Min):
        limits = (-np.inf, np.inf) if x.dtype.name in FLOATS else (jnp.iinfo(x.dtype).min, jnp.iinfo(x.dtype).max)
        initial, combine = (limits[0], lax.max) if isinstance(operator, Max) else (limits[1], lax.min)
    else:
        initial, combine = 0, lax.add
    values = lax.reduce_window(
        x, np.asarray(initial, x.dtype), combine, tuple(sizes), tuple(strides), padding, (1,) * rank, tuple(dilations)
    )
    values = operator.finish(values, definition._counts(pooling, Namespace), Namespace)
    if pooling.result not in FLOATS and pooling.accumulator in FLOATS:
        values = jnp.rint(values)
    return values.astype(pooling.result)


ADAPTER = Jax()
