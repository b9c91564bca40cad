"""One call of pooling on an array of any framework: decide, choose an implementation, run it.

Adapters find these functions by their names (`CALLS`), which programs and files hold too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from anypool import masks
from anypool.arguments import FLOATS, as_flag, is_known, per_axis
from anypool.operators import Operator, operator_for
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
    operator, arrays = split(operator)
    pooling = decide(adapter, x, operator, window, axes, return_indices, dtype)
    return run(adapter, x, pooling, arrays, impl, out)


def split(operator: Any) -> tuple[Any, tuple[Any, ...]]:
    """An operator without the arrays of its parameters, which no cache may keep, and these arrays."""
    return operator.split() if isinstance(operator, Operator) else (operator, ())


def run(adapter: Any, x: Any, pooling: Pooling, arrays: Sequence[Any] = (), impl: str = "auto", out: Any = None) -> Any:
    """The values, or (values, indices), once all is decided."""
    parameters: tuple[Any, ...] = ()
    if pooling.has_parameters:
        parameters = pooling.operator.values(adapter.parameters(x, pooling, arrays) if arrays else ())
    implementation = adapter.choose(impl, x, pooling)
    if out is None:
        return implementation.run(x, pooling, parameters)
    return implementation.run_into(out, x, pooling, parameters)


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
    if pooling.operator.counts_padding:
        raise ValueError("count_include_pad=True counts what is no element, where= what is one: give one of the two")
    given = adapter.parameters(x, pooling, arrays) if arrays else ()
    parameters = pooling.operator.values(given) if pooling.has_parameters else ()
    return adapter.masked(x, where, pooling, parameters, settings, impl)


def floats(adapter: Any, x: Any) -> Any:
    """x as an array of the framework; TypeError where it holds no floats."""
    x = adapter.array(x)
    if adapter.dtype(x) not in FLOATS:
        raise TypeError(f"x must hold floats ({', '.join(FLOATS)}), got dtype {adapter.dtype(x)}")
    return x


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
    extremes = adapter.largest(indices)
    if extremes is not None and not 0 <= extremes[0] <= extremes[1] < math.prod(lengths):
        raise ValueError(
            f"indices must lie within [0, {math.prod(lengths)}), the {' × '.join(map(str, lengths))} positions of the "
            f"output, got values from {extremes[0]} to {extremes[1]}"
        )
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
    "max_unpool": max_unpool,
}
"""The functions that programs and files name."""
