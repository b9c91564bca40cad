"""Pooling as functions: `pool` and its named forms. Arguments are checked and decided here; arrays do the work.

Every function takes NumPy, torch, JAX, TensorFlow and Keras arrays and returns the kind it was given.
"""

from __future__ import annotations

import marshal
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from anypool.adapters import Adapter, adapter_for
from anypool.definition import Pooling
from anypool.operators import DTYPES, Average, Defaults, Operator, operator_for
from anypool.windows import Adaptive, Global, Sliding, Window, is_known, per_axis

Axes = int | Sequence[int] | None


# ---------------------------------------------------------------------------------------------------------------------
# The general form


def pool(
    x: Any,
    operator: Operator | str,
    window: Window,
    axes: Axes = None,
    *,
    return_indices: bool = False,
    dtype: Any = None,
    out: Any = None,
    impl: str = "auto",
) -> Any:
    """Look at x through windows and keep one number per window.

    y[…, o₁, …, oᵣ] = operator of x[…, elements of window o₁, …, elements of window oᵣ]

    Args:
        x: an array of any framework, shape (…, n₁, …, nᵣ) with any number of other axes anywhere; float16, bfloat16,
            float32, float64,
            integers or bool.
        operator: what to keep: `Max()`, `Min()`, `Average()`, `Sum()`, `Lp(p)`, or a name: "max", "min", "average",
            "sum", "lp".
        window: where to look: `Sliding(…)`, `Adaptive(…)` or `Global()`.
        axes: the pooled axes, in the order of the window's entries; default: as many trailing axes as the window has
            entries, two where it was given integers for all.
        return_indices: also return the flat positions of the winners within the pooled axes, row-major in the order
            of `axes`
            (operators that select an element: max and min).
        dtype: the dtype of the result, for averages and sums.
        out: an array to write into, of the output's shape and dtype (NumPy and torch).
        impl: "auto", or by hand "kernel" (compiled), "framework" (the framework's own operations), "definition".

    Returns:
        The values, shape (…, o₁, …, oᵣ) with oₐ = window.output_shape(nₐ); with `return_indices` the pair (values,
        indices).

    Raises:
        TypeError: x is no real-valued array, or an argument has the wrong type.
        ValueError: an argument is out of range, a window does not fit, or `impl` cannot run here (the message says
        why).

    >>> import numpy as np
    >>> pool(np.array([[2, 2, 7, 3], [9, 4, 6, 1], [8, 5, 2, 4], [3, 1, 2, 6]]), "max", Sliding(2))
    array([[9, 7],
           [8, 6]])
    """
    if not isinstance(window, Window):
        raise TypeError(f"window must be anypool's Sliding(…), Adaptive(…) or Global(), got {window!r}")
    operator = operator_for(operator)
    return adapter_for(x).call(_pool, x, operator, window, axes, return_indices, dtype, out, impl)


def _pool(
    adapter: Adapter,
    x: Any,
    operator: Any,
    window: Any,
    axes: Any,
    return_indices: bool,
    dtype: Any,
    out: Any,
    impl: str,
) -> Any:
    x = adapter.array(x)
    pooling = decide(adapter, x, operator, window, axes, return_indices, dtype)
    return run(adapter, x, pooling, impl, out)


def decide(
    adapter: Adapter,
    x: Any,
    operator: Operator | str | tuple[Any, ...],
    window: Window | tuple[Any, ...],
    axes: Axes = None,
    return_indices: bool = False,
    dtype: Any = None,
    allow_empty: bool = False,
) -> Pooling:
    """The pooling of arrays like x, checked; remembered per window, shape and dtype.

    Operator and window are such, or tuples of the arguments of `Average` and `Sliding`: to build a window takes longer
    than a small pooling.
    """
    shape, given = adapter.shape(x), adapter.dtype(x)
    arguments = (operator, window, axes, shape, given, dtype, return_indices, allow_empty, adapter.defaults)
    try:
        return _remembered(_exact((operator, window, axes, return_indices)), *arguments)
    except TypeError:  # an argument is wrong, or cannot be hashed, as lengths not yet known: the checks will tell
        return _decide(*arguments)


def run(adapter: Adapter, x: Any, pooling: Pooling, impl: str = "auto", out: Any = None) -> Any:
    """What `pool` returns, once all is decided."""
    implementation = adapter.choose(impl, x, pooling)
    if out is None:
        return adapter.run(implementation, x, pooling)
    return adapter.run_into(out, implementation, x, pooling)


def _decide(
    operator: Any,
    window: Any,
    axes: Any,
    shape: tuple[Any, ...],
    given: str,
    dtype: Any,
    return_indices: bool,
    allow_empty: bool,
    defaults: Defaults,
) -> Pooling:
    operator = Average(*operator) if isinstance(operator, tuple) else operator_for(operator)
    window = Sliding(*window) if isinstance(window, tuple) else window
    if given not in DTYPES:
        raise TypeError(f"x must hold booleans, integers or real floats ({', '.join(DTYPES)}), got dtype {given}")
    if not isinstance(return_indices, bool | np.bool_):
        raise TypeError(f"return_indices must be True or False, got {return_indices!r}")
    if return_indices and not operator.selects:
        raise ValueError(
            f"return_indices=True: {type(operator).__name__} makes a new number and has no index; max and min have"
        )
    accumulator, result = operator.dtypes(given, None if dtype is None else dtype_name(dtype), defaults)
    pooled = pooled_axes(axes, len(shape), window)
    plan = window.plan([shape[axis] for axis in pooled])
    empty = False
    for axis, along in zip(pooled, plan, strict=True):
        if is_known(along.length) and along.has_empty_window:
            empty = True
            if operator.needs_element and not allow_empty:
                raise ValueError(
                    f"{window} leaves a window without any element along axis {axis} of length {along.length}, where "
                    f"{operator} has no value: use less padding or dilation"
                )
    pooling = Pooling(operator, window, pooled, plan, shape, given, accumulator, result, return_indices, empty)
    if all(map(is_known, pooling.output_shape)) and math.prod(pooling.output_shape) >= 2**60:
        raise ValueError(f"{window} gives an output of shape {pooling.output_shape}, which no memory holds")
    return pooling


@lru_cache(maxsize=4096)
def _remembered(exact: Any, *arguments: Any) -> Pooling:
    return _decide(*arguments)


def _exact(arguments: tuple[Any, ...]) -> Any:
    """What tells equal arguments of a cache apart: (1, 2) and (True, 2.0) are equal, but only one is right."""
    if type(arguments[1]) is tuple:
        try:
            return marshal.dumps(arguments, 2)  # plain values byte by byte, the quickest way there is
        except ValueError:
            pass
    return _types(arguments)


def _types(value: Any) -> Any:
    return tuple(map(_types, value)) if type(value) is tuple else type(value)


def pooled_axes(axes: Any, ndim: int, window: Window) -> tuple[int, ...]:
    """The pooled axes as non-negative integers, in the caller's order."""
    if axes is None:
        if isinstance(window, Global):
            raise ValueError("axes must say which axes Global() reduces, got None")
        rank = window.default_rank
        if rank > ndim:
            raise ValueError(
                f"x must have at least the {rank} axes that {window} pools, got {ndim}; for fewer, give axes="
            )
        return tuple(range(ndim - rank, ndim))
    given = axes if isinstance(axes, Sequence | np.ndarray) and not isinstance(axes, str) else (axes,)
    if len(given) == 0:
        raise ValueError("axes must name at least one axis, got none")
    normal = []
    for axis in given:
        number = as_axis(axis)
        if not -ndim <= number < ndim:
            raise ValueError(f"axes must lie within [-{ndim}, {ndim}) for an array of {ndim} axes, got {number}")
        normal.append(number % ndim)
    if len(set(normal)) < len(normal):
        raise ValueError(f"axes must be different axes, got {axes!r}")
    return tuple(normal)


def as_axis(axis: Any) -> int:
    if isinstance(axis, bool | np.bool_) or not hasattr(axis, "__index__"):
        raise TypeError(f"axes must be an integer or a tuple of integers, got {axis!r}")
    return axis.__index__()


def dtype_name(dtype: Any) -> str:
    """The name of a dtype of any framework, or of a dtype's name; TypeError where pooling has no such dtype."""
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        try:
            name = np.dtype(dtype).name
        except TypeError:
            name = None
    if name not in DTYPES:
        raise TypeError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    return name


# ---------------------------------------------------------------------------------------------------------------------
# Named forms


def max_pool(
    x: Any,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    *,
    axes: Axes = None,
    return_indices: bool = False,
    out: Any = None,
    impl: str = "auto",
) -> Any:
    """The greatest element of every window: `pool` with `Max()` and `Sliding(kernel_size, stride, padding, dilation,
    ceil_mode)`.

    y = max xᵢ over the elements of the window; padding is never one. Ties go to the first, NaN wins.
    See `pool` for shapes, dtypes and errors.

    >>> import numpy as np
    >>> max_pool(np.array([[1.0, 5.0, 2.0, 0.0]]), (1, 2), return_indices=True)
    (array([[5., 2.]]), array([[1, 2]]))
    """
    window = (kernel_size, stride, padding, dilation, ceil_mode)
    return adapter_for(x).call(_pool, x, "max", window, axes, return_indices, None, out, impl)


def min_pool(
    x: Any,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    *,
    axes: Axes = None,
    return_indices: bool = False,
    out: Any = None,
    impl: str = "auto",
) -> Any:
    """The least element of every window: `pool` with `Min()` and `Sliding(kernel_size, stride, padding, dilation,
    ceil_mode)`.

    y = min xᵢ over the elements of the window; padding is never one. Ties go to the first, NaN wins.
    See `pool` for shapes, dtypes and errors.

    >>> import numpy as np
    >>> min_pool(np.array([[2, 2, 7, 3], [9, 4, 6, 1]]), 2)
    array([[2, 1]])
    """
    window = (kernel_size, stride, padding, dilation, ceil_mode)
    return adapter_for(x).call(_pool, x, "min", window, axes, return_indices, None, out, impl)


def avg_pool(
    x: Any,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    divisor_override: int | None = None,
    *,
    axes: Axes = None,
    dtype: Any = None,
    out: Any = None,
    impl: str = "auto",
) -> Any:
    """The average of every window: `pool` with `Average(count_include_pad, divisor_override)` and `Sliding(…)`.

    y = Σ xᵢ / n, with n the elements of the window; `count_include_pad` counts explicit padding too (torch's default,
    not ours), and `divisor_override` replaces n. See `pool` for shapes, dtypes and errors.

    >>> import numpy as np
    >>> avg_pool(np.array([[2, 2, 7, 3], [9, 4, 6, 1]]), 2)
    array([[4.25, 4.25]])
    """
    average, window = (count_include_pad, divisor_override), (kernel_size, stride, padding, dilation, ceil_mode)
    return adapter_for(x).call(_pool, x, average, window, axes, False, dtype, out, impl)


def sum_pool(
    x: Any,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    *,
    axes: Axes = None,
    dtype: Any = None,
    out: Any = None,
    impl: str = "auto",
) -> Any:
    """The sum of every window: `pool` with `Sum()` and `Sliding(kernel_size, stride, padding, dilation, ceil_mode)`.

    y = Σ xᵢ over the elements of the window; integers follow numpy.sum. See `pool` for shapes, dtypes and errors.

    >>> import numpy as np
    >>> sum_pool(np.ones((2, 4), dtype=np.uint8), 2)
    array([[4, 4]], dtype=uint64)
    """
    window = (kernel_size, stride, padding, dilation, ceil_mode)
    return adapter_for(x).call(_pool, x, "sum", window, axes, False, dtype, out, impl)


def adaptive_pool(
    x: Any,
    operator: Operator | str,
    output_size: int | Sequence[int | None] | None,
    *,
    axes: Axes = None,
    return_indices: bool = False,
    dtype: Any = None,
    out: Any = None,
    impl: str = "auto",
) -> Any:
    """As many windows as outputs are wanted: `pool` with `Adaptive(output_size)`.

    Output i of m keeps one number of [⌊i·n/m⌋, ⌈(i+1)·n/m⌉). See `pool` for shapes, dtypes and errors.

    >>> import numpy as np
    >>> adaptive_pool(np.arange(5.0), "average", 3, axes=0)
    array([0.5, 2. , 3.5])
    """
    window = Adaptive(output_size if output_size is None else per_axis("output_size", output_size, 1, optional=True))
    return pool(x, operator, window, axes, return_indices=return_indices, dtype=dtype, out=out, impl=impl)


def global_pool(
    x: Any,
    operator: Operator | str,
    axes: int | Sequence[int],
    keepdims: bool = False,
    *,
    return_indices: bool = False,
    dtype: Any = None,
    out: Any = None,
    impl: str = "auto",
) -> Any:
    """One number for all of the pooled axes: `pool` with `Global()`; the axes go, or stay with length 1 where
    `keepdims`.

    See `pool` for shapes, dtypes and errors.

    >>> import numpy as np
    >>> global_pool(np.array([[2, 2, 7, 3], [9, 4, 6, 1]]), "max", axes=(0, 1))
    array(9)
    """
    return adapter_for(x).call(_pool_global, x, operator, axes, keepdims, return_indices, dtype, out, impl)


def _pool_global(
    adapter: Adapter,
    x: Any,
    operator: Any,
    axes: Any,
    keepdims: bool,
    return_indices: bool,
    dtype: Any,
    out: Any,
    impl: str,
) -> Any:
    if not isinstance(keepdims, bool | np.bool_):
        raise TypeError(f"keepdims must be True or False, got {keepdims!r}")
    x = adapter.array(x)
    pooling = decide(adapter, x, operator, Global(), axes, return_indices, dtype)
    if keepdims:
        return run(adapter, x, pooling, impl, out)
    xp, pooled = adapter.namespace(x), tuple(sorted(pooling.axes))
    into = None
    if out is not None:
        kept = tuple(length for axis, length in enumerate(pooling.shape) if axis not in pooled)
        adapter.check_out(out, kept, pooling.result)
        into = xp.expand_dims(out, pooled)
    result = run(adapter, x, pooling, impl, into)
    values, *indices = result if return_indices else (result,)
    values = xp.squeeze(values, pooled) if out is None else out
    return (values, xp.squeeze(indices[0], pooled)) if return_indices else values


def max_unpool(
    x: Any,
    indices: Any,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: Any = 0,
    output_size: int | Sequence[int] | None = None,
    *,
    axes: Axes = None,
) -> Any:
    """Put pooled values back where they came from, zeros elsewhere: the inverse of max and min pooling, as far as
    there is one.

    y[indices[o]] = x[o], flat within the pooled axes; where positions repeat, the last in row-major order wins.

    Args:
        x: pooled values, shape (…, o₁, …, oᵣ). indices: integers of the same shape, from `return_indices`.
        kernel_size, stride, padding: as they were in pooling.
        output_size: lengths of the pooled axes of the output; default (o − 1)·s − p₀ − p₁ + k.
        axes: the pooled axes, as they were in pooling.

    Raises:
        TypeError: indices are not integers. ValueError: shapes differ, or an index lies outside the output.

    >>> import numpy as np
    >>> values, indices = max_pool(np.array([[1, 5, 2, 0]]), (1, 2), return_indices=True)
    >>> max_unpool(values, indices, (1, 2))
    array([[0, 5, 2, 0]])
    """
    return adapter_for(x).call(_unpool, x, indices, kernel_size, stride, padding, output_size, axes)


def _unpool(
    adapter: Adapter,
    x: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
    axes: Any,
) -> Any:
    x, indices = adapter.array(x), adapter.array(indices)
    window = Sliding(kernel_size, stride, padding)
    shape, given = adapter.shape(x), adapter.dtype(x)
    if given not in DTYPES:
        raise TypeError(f"x must hold booleans, integers or real floats ({', '.join(DTYPES)}), got dtype {given}")
    pooled = pooled_axes(axes, len(shape), window)
    lengths = _unpooled_lengths(window, [shape[axis] for axis in pooled], output_size)
    places = adapter.shape(indices)
    if len(places) != len(shape) or any(
        is_known(m) and is_known(n) and m != n for m, n in zip(places, shape, strict=True)
    ):
        raise ValueError(f"indices must have x's shape {shape}, got {places}")
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
