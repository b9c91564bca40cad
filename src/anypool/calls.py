"""One call of pooling on an array of any framework: decide, choose an implementation, run it.

Adapters find these functions by their names (`CALLS`), which programs and files hold too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from anypool import definition, masks
from anypool.arguments import FLOATS, PARTS, as_flag, is_known, per_axis
from anypool.operators import Average, Operator, Sum, operator_for
from anypool.pooling import Pooling, check_dtype, decide, pooled_axes, shown
from anypool.windows import Global, Sliding


def pool(
    adapter: Any,
    x: Any,
    operator: Any,
    window: Any,
    axes: Any = None,
    return_indices: Any = False,
    dtype: Any = None,
    out: Any = None,
    impl: str = "auto",
) -> Any:
    """`anypool.pool`; operator and window may be tuples of the arguments of `Average` and `Sliding`."""
    x = adapter.array(x)
    if adapter.dtype(x) in PARTS:
        return complex_pool(adapter, x, operator, window, axes, return_indices, dtype, out, impl)
    operator, arrays = split(operator)
    pooling = decide(adapter, x, operator, window, axes, return_indices, dtype)
    return run(adapter, x, pooling, arrays, impl, out)


def split(operator: Any) -> tuple[Any, tuple[Any, ...]]:
    """An operator without the arrays of its parameters, which no cache may keep, and these arrays."""
    return operator.split() if isinstance(operator, Operator) else (operator, ())


def run(adapter: Any, x: Any, pooling: Pooling, arrays: Sequence[Any] = (), impl: str = "auto", out: Any = None) -> Any:
    """The values, or (values, indices), once all is decided."""
    if pooling.window.pads_with_data and not pooling.operator.composed:
        return _run_padded(adapter, x, pooling, arrays, impl, out)
    parameters: tuple[Any, ...] = ()
    if pooling.has_parameters:
        parameters = pooling.operator.values(adapter.parameters(x, pooling, arrays) if arrays else ())
    implementation = adapter.choose(impl, x, pooling)
    if out is None:
        return implementation.run(x, pooling, parameters)
    return implementation.run_into(out, x, pooling, parameters)


def _run_padded(adapter: Any, x: Any, pooling: Pooling, arrays: Sequence[Any], impl: str, out: Any) -> Any:
    """The same where what lies beyond the edge is data."""
    with_padding, inner = adapter.padded(x, pooling)
    result = run(adapter, with_padding, inner, arrays, impl, out)
    if not pooling.return_indices:
        return result
    values, indices = result
    return values, adapter.indices_in_array(indices, pooling)


def global_pool(
    adapter: Any,
    x: Any,
    operator: Any,
    axes: Any,
    keepdims: Any = False,
    return_indices: Any = False,
    dtype: Any = None,
    out: Any = None,
    impl: str = "auto",
) -> Any:
    """`anypool.global_pool`."""
    keepdims = as_flag("keepdims", keepdims)
    x = adapter.array(x)
    if adapter.dtype(x) in PARTS:
        return complex_pool(adapter, x, operator, Global(), axes, return_indices, dtype, out, impl, keepdims)
    operator, arrays = split(operator_for(operator))
    pooling = decide(adapter, x, operator, Global(), axes, return_indices, dtype)
    if keepdims:
        return run(adapter, x, pooling, arrays, impl, out)
    xp, pooled = adapter.namespace(x), tuple(sorted(pooling.axes))
    into = None
    if out is not None:
        kept = tuple(length for axis, length in enumerate(pooling.shape) if axis not in pooled)
        adapter.check_out(out, kept, pooling.result)
        into = xp.expand_dims(out, pooled)
    result = run(adapter, x, pooling, arrays, impl, into)
    values, *indices = result if return_indices else (result,)
    values = xp.squeeze(values, pooled) if out is None else out
    return (values, xp.squeeze(indices[0], pooled)) if return_indices else values


def masked_pool(
    adapter: Any,
    x: Any,
    where: Any,
    operator: Any,
    window: Any,
    axes: Any = None,
    min_count: Any = None,
    fill_value: Any = None,
    nan_policy: Any = "propagate",
    keepdims: Any = True,
    dtype: Any = None,
    out: Any = None,
    impl: str = "auto",
) -> Any:
    """`anypool.pool` and, without `keepdims`, `anypool.global_pool`, where elements or windows are left out."""
    keepdims, settings = as_flag("keepdims", keepdims), masks.Settings(min_count, fill_value, nan_policy)
    x = adapter.array(x)
    if adapter.dtype(x) in PARTS:
        return complex_pool(adapter, x, operator, window, axes, False, dtype, out, impl, keepdims, where, settings)
    operator, arrays = split(operator_for(operator))
    pooling = decide(adapter, x, operator, window, axes, False, dtype)
    pooled = tuple(sorted(pooling.axes))
    if out is not None:
        kept = tuple(n for axis, n in enumerate(pooling.output_shape) if keepdims or axis not in pooled)
        adapter.check_out(out, kept, pooling.result)
        adapter.check_writable(out, x)
    values = run_masked(adapter, x, where, pooling, arrays, settings, impl)
    values = values if keepdims else adapter.namespace(x).squeeze(values, pooled)
    if out is None:
        return values
    adapter.write(out, values)
    return out


def run_masked(
    adapter: Any,
    x: Any,
    where: Any,
    pooling: Pooling,
    arrays: Sequence[Any] = (),
    settings: masks.Settings = masks.NOTHING_MORE,
    impl: str = "auto",
) -> Any:
    """The values of the elements that count, once all else is decided."""
    masks.check(pooling, settings)
    given = adapter.parameters(x, pooling, arrays) if arrays else ()
    parameters = pooling.operator.values(given) if pooling.has_parameters else ()
    return adapter.masked(x, where, pooling, parameters, settings, impl)


def complex_pool(
    adapter: Any,
    x: Any,
    operator: Any,
    window: Any,
    axes: Any = None,
    return_indices: Any = False,
    dtype: Any = None,
    out: Any = None,
    impl: str = "auto",
    keepdims: bool = True,
    where: Any = None,
    settings: masks.Settings | None = None,
) -> Any:
    """The pooling of complex numbers, as pairs of real ones along a last axis; with settings, as `masked_pool`."""
    operator = Average(*operator) if isinstance(operator, tuple) else operator_for(operator)
    window = Sliding(*window) if isinstance(window, tuple) else window
    if type(operator) not in (Average, Sum) or not adapter.complex_as_pairs:
        taken = "sums and averages take complex ones" if adapter.complex_as_pairs else "pool their parts"
        raise TypeError(
            f"x must hold real numbers for {type(operator).__name__} of {adapter.name} arrays, got dtype "
            f"{adapter.dtype(x)}: {taken}"
        )
    xp, pooled = adapter.namespace(x), pooled_axes(axes, len(adapter.shape(x)), window)
    pairs = xp.view_as_real(x)
    arguments = operator, window, pooled, return_indices, _dtype_of_parts(dtype)
    part = decide(adapter, pairs[..., 0], *arguments)  # so that errors are of x's shape
    pooling = decide(adapter, pairs, *arguments)
    if out is not None:
        kept = tuple(n for axis, n in enumerate(pooling.output_shape[:-1]) if keepdims or axis not in pooled)
        adapter.check_out(out, kept, next(name for name, part in PARTS.items() if part == pooling.result))
        adapter.check_writable(out, x)
    if settings is None:
        values = run(adapter, pairs, pooling, (), impl)
    else:
        mask = None if where is None else masks.checked(adapter, where, pairs[..., 0], part)
        values = _masked_pairs(adapter, pairs, mask, pooling, settings, impl)
    values = xp.view_as_complex(values)
    values = values if keepdims else xp.squeeze(values, tuple(sorted(pooled)))
    if out is None:
        return values
    adapter.write(out, values)
    return out


def _masked_pairs(adapter: Any, pairs: Any, where: Any, pooling: Pooling, settings: masks.Settings, impl: str) -> Any:
    """A number counts with both of its parts, and NaN in one of them is NaN."""
    xp = adapter.namespace(pairs)
    mask = xp.asarray(np.ones((1,), bool)) if where is None else where[..., None]
    if settings.nan_policy == "omit":
        mask = mask & ~xp.any(xp.isnan(pairs), axis=-1, keepdims=True)
        settings = replace(settings, nan_policy="propagate")
    values = run_masked(adapter, pairs, mask, pooling, (), settings, impl)
    if settings.fill_value is None:
        return values
    # The value to fill with is real.
    imaginary = run_masked(adapter, pairs, mask, pooling, (), replace(settings, fill_value=0), impl)
    return xp.where(xp.asarray(np.array([True, False])), values, imaginary)


def _dtype_of_parts(dtype: Any) -> str | None:
    """The dtype of the parts of a complex result; TypeError where it is none."""
    if dtype is None:
        return None
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or str(dtype).removeprefix("torch.")
    name = name if name in PARTS or not isinstance(dtype, type) else np.dtype(dtype).name
    if name not in PARTS:
        raise TypeError(f"dtype of a complex result must be one of {', '.join(PARTS)}, got {dtype!r}")
    return PARTS[name]


def floats(adapter: Any, x: Any) -> Any:
    """x as an array of the framework; TypeError where it holds no floats."""
    x = adapter.array(x)
    if adapter.dtype(x) not in FLOATS:
        raise TypeError(f"x must hold floats ({', '.join(FLOATS)}), got dtype {adapter.dtype(x)}")
    return x


def concat_pool(
    adapter: Any,
    x: Any,
    operators: Any,
    window: Any,
    axes: Any = None,
    axis: Any = 1,
    dtype: Any = None,
    impl: str = "auto",
) -> Any:
    """`anypool.concat_pool`."""
    x = adapter.array(x)
    pooled = pooled_axes(axes, len(adapter.shape(x)), window)
    (place,) = pooled_axes(axis, len(adapter.shape(x)), window)
    if place in pooled:
        raise ValueError(f"axis must be one that is not pooled, got {axis!r} where axes {pooled} are")
    if not isinstance(operators, tuple | list) or not operators:
        raise ValueError(f"operators must be one or more operators or their names, got {operators!r}")
    return adapter.concat([pool(adapter, x, each, window, axes, False, dtype, None, impl) for each in operators], place)


def max_unpool(
    adapter: Any,
    x: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    axes: Any = None,
) -> Any:
    """`anypool.max_unpool`."""
    x, indices = adapter.array(x), adapter.array(indices)
    window = Sliding(kernel_size, stride, padding)
    shape, given = adapter.shape(x), adapter.dtype(x)
    check_dtype(given)
    pooled = pooled_axes(axes, len(shape), window)
    if output_size is None and adapter.is_traced(indices) and window.leaves_lengths_open:
        raise ValueError(
            f"output_size must be given in a program: at stride {window.stride} several lengths have {window}'s "
            "outputs, and indices, which tell them apart, are not known yet"
        )
    lengths = _unpooled_lengths(window, [shape[axis] for axis in pooled], output_size)
    places = adapter.shape(indices)
    if len(places) != len(shape) or any(
        is_known(m) and is_known(n) and m != n for m, n in zip(places, shape, strict=True)
    ):
        raise ValueError(f"indices must have x's shape {shown(shape)}, got {shown(places)}")
    if "int" not in adapter.dtype(indices):
        raise TypeError(f"indices must be integers, got dtype {adapter.dtype(indices)}")
    if not adapter.checks_indices(x, indices):
        extremes = adapter.largest(indices)
        if extremes is not None and not 0 <= extremes[0] <= extremes[1] < math.prod(lengths):
            raise definition.out_of_range(extremes[0], extremes[1], lengths)
    others = math.prod(length for axis, length in enumerate(shape) if axis not in pooled)
    outputs = others * math.prod(lengths)
    if is_known(outputs) and outputs >= 2**60:
        raise ValueError(f"output_size {lengths} gives an output which no memory holds")
    return adapter.unpool(x, indices, pooled, lengths)


def _unpooled_lengths(window: Sliding, outputs: Sequence[int], output_size: Any) -> tuple[int, ...]:
    if output_size is not None:
        sizes = per_axis("output_size", output_size, 1)
        sizes = sizes if isinstance(sizes, tuple) else (sizes,) * len(outputs)
        if len(sizes) != len(outputs):
            raise ValueError(f"output_size must have one entry per pooled axis ({len(outputs)}), got {output_size!r}")
        return sizes
    lengths = window.unpooled_shape(outputs)
    if any(is_known(length) and length < 1 for length in lengths):
        raise ValueError(
            f"{window} over {tuple(outputs)} outputs leaves an output of shape {lengths}: give output_size"
        )
    return lengths


CALLS: dict[str, Callable[..., Any]] = {
    "pool": pool,
    "global_pool": global_pool,
    "masked_pool": masked_pool,
    "concat_pool": concat_pool,
    "max_unpool": max_unpool,
}
"""The functions that programs and files name."""
