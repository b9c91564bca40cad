"""Pooling as functions: `pool` and its named forms. Arguments are checked and decided here; arrays do the work.

Every function takes NumPy, torch, JAX, TensorFlow, Keras and Dask arrays and returns the kind it was given; zarr arrays
are taken as Dask arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anypool import calls, masks
from anypool.adapters import adapter_for
from anypool.arguments import per_axis
from anypool.operators import Average, Operator, operator_for
from anypool.pooling import Axes
from anypool.windows import Adaptive, Global, Sliding, Window

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
    where: Any = None,
    min_count: int | None = None,
    fill_value: float | None = None,
    nan_policy: str = "propagate",
    chunks: Any = None,
) -> Any:
    """Look at x through windows and keep one number per window.

    y[…, o₁, …, oᵣ] = operator of x[…, elements of window o₁, …, elements of window oᵣ]

    Args:
        x: an array of any framework, shape (…, n₁, …, nᵣ) with any number of other axes anywhere; float16, bfloat16,
            float32, float64, integers or bool.
        operator: what to keep, an operator such as `Max()` or `GeM(p=3)`, or its name: "max", "gem:p=3", one of
            `OPERATORS`.
        window: where to look: `Sliding(…)`, `Adaptive(…)` or `Global()`.
        axes: the pooled axes, in the order of the window's entries; default: as many trailing axes as the window has
            entries, two where it was given integers for all.
        return_indices: also return the flat positions of the winners within the pooled axes, row-major in the order
            of `axes`
            (operators that select an element: max and min).
        dtype: the dtype of the result, for averages and sums.
        out: an array to write into, of the output's shape and dtype (NumPy and torch).
        impl: "auto", or by hand "kernel" (compiled), "framework" (the framework's own operations), "definition".
        where: booleans that broadcast to x: the elements that count. The others are left out, as padding is.
        min_count: how many elements a window must have left; with fewer it gets `fill_value`. Default: as many as the
            operator needs for a value, which is 1, or 0 for a sum, a norm and a count.
        fill_value: default NaN; it must be given where the result holds no floats.
        nan_policy: "propagate", "omit" (NaN does not count, as if where= were False) or "raise" (ValueError).
        chunks: how the outputs of Dask and zarr arrays are cut: an integer for all axes, one entry per axis, or a
            mapping of axes. An entry is a number of outputs, the lengths of all chunks, −1 for all outputs, "auto", or
            None for what follows x's chunks, the default.

    Returns:
        The values, shape (…, o₁, …, oᵣ) with oₐ = window.output_shape(nₐ); with `return_indices` the pair (values,
        indices).

    Raises:
        TypeError: x is no real-valued array, or an argument has the wrong type.
        ValueError: an argument is out of range, a window does not fit, or `impl` cannot run here (the message says
        why).

    >>> import anypool as ap
    >>> import numpy as np
    >>> pool(np.array([[2, 2, 7, 3], [9, 4, 6, 1], [8, 5, 2, 4], [3, 1, 2, 6]]), "max", ap.Sliding(2))
    array([[9, 7],
           [8, 6]])
    >>> pool(np.array([1.0, np.nan, 4.0, 6.0]), "average", ap.Sliding(2), axes=0, nan_policy="omit")
    array([1., 5.])
    """
    if not isinstance(window, Window):
        raise TypeError(f"window must be anypool's Sliding(…), Adaptive(…) or Global(), got {window!r}")
    operator = operator_for(operator)
    if _is_plain(where, min_count, fill_value, nan_policy):
        return adapter_for(x, chunks).call(calls.pool, x, operator, window, axes, return_indices, dtype, out, impl)
    if return_indices:
        raise ValueError(masks.NO_INDICES)
    settings = (min_count, fill_value, nan_policy)
    return adapter_for(x, chunks).call(
        calls.masked_pool, x, where, operator, window, axes, *settings, True, dtype, out, impl
    )


def _sliding(window: tuple[Any, ...]) -> Sliding:
    return Sliding(*window)


def _is_plain(where: Any, min_count: Any, fill_value: Any, nan_policy: Any) -> bool:
    """Whether every element counts."""
    return where is None and min_count is None and fill_value is None and nan_policy == "propagate"


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
    padding_mode: str = "exclude",
    axes: Axes = None,
    return_indices: bool = False,
    out: Any = None,
    impl: str = "auto",
    where: Any = None,
    min_count: int | None = None,
    fill_value: float | None = None,
    nan_policy: str = "propagate",
    chunks: Any = None,
) -> Any:
    """The greatest element of every window: `pool` with `Max()` and `Sliding(kernel_size, stride, padding, dilation,
    ceil_mode)`.

    y = max xᵢ over the elements of the window; padding is never one. Ties go to the first, NaN wins.
    See `pool` for shapes, dtypes, masks and errors.

    >>> import numpy as np
    >>> max_pool(np.array([[1.0, 5.0, 2.0, 0.0]]), (1, 2), return_indices=True)
    (array([[5., 2.]]), array([[1, 2]]))
    """
    window = (kernel_size, stride, padding, dilation, ceil_mode, padding_mode)
    if _is_plain(where, min_count, fill_value, nan_policy):
        return adapter_for(x, chunks).call(calls.pool, x, "max", window, axes, return_indices, None, out, impl)
    masking = {"where": where, "min_count": min_count, "fill_value": fill_value, "nan_policy": nan_policy}
    return pool(
        x, "max", _sliding(window), axes, return_indices=return_indices, out=out, impl=impl, chunks=chunks, **masking
    )


def min_pool(
    x: Any,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    *,
    padding_mode: str = "exclude",
    axes: Axes = None,
    return_indices: bool = False,
    out: Any = None,
    impl: str = "auto",
    where: Any = None,
    min_count: int | None = None,
    fill_value: float | None = None,
    nan_policy: str = "propagate",
    chunks: Any = None,
) -> Any:
    """The least element of every window: `pool` with `Min()` and `Sliding(kernel_size, stride, padding, dilation,
    ceil_mode)`.

    y = min xᵢ over the elements of the window; padding is never one. Ties go to the first, NaN wins.
    See `pool` for shapes, dtypes, masks and errors.

    >>> import numpy as np
    >>> min_pool(np.array([[2, 2, 7, 3], [9, 4, 6, 1]]), 2)
    array([[2, 1]])
    """
    window = (kernel_size, stride, padding, dilation, ceil_mode, padding_mode)
    if _is_plain(where, min_count, fill_value, nan_policy):
        return adapter_for(x, chunks).call(calls.pool, x, "min", window, axes, return_indices, None, out, impl)
    masking = {"where": where, "min_count": min_count, "fill_value": fill_value, "nan_policy": nan_policy}
    return pool(
        x, "min", _sliding(window), axes, return_indices=return_indices, out=out, impl=impl, chunks=chunks, **masking
    )


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
    padding_mode: str = "exclude",
    axes: Axes = None,
    dtype: Any = None,
    out: Any = None,
    impl: str = "auto",
    where: Any = None,
    min_count: int | None = None,
    fill_value: float | None = None,
    nan_policy: str = "propagate",
    chunks: Any = None,
) -> Any:
    """The average of every window: `pool` with `Average(count_include_pad, divisor_override)` and `Sliding(…)`.

    y = Σ xᵢ / n, with n the elements of the window; `count_include_pad` counts explicit padding too (torch's default,
    not ours), and `divisor_override` replaces n. See `pool` for shapes, dtypes, masks and errors.

    >>> import numpy as np
    >>> avg_pool(np.array([[2, 2, 7, 3], [9, 4, 6, 1]]), 2)
    array([[4.25, 4.25]])
    """
    average = count_include_pad, divisor_override
    window = kernel_size, stride, padding, dilation, ceil_mode, padding_mode
    if _is_plain(where, min_count, fill_value, nan_policy):
        return adapter_for(x, chunks).call(calls.pool, x, average, window, axes, False, dtype, out, impl)
    masking = {"where": where, "min_count": min_count, "fill_value": fill_value, "nan_policy": nan_policy}
    return pool(x, Average(*average), _sliding(window), axes, dtype=dtype, out=out, impl=impl, chunks=chunks, **masking)


def sum_pool(
    x: Any,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    *,
    padding_mode: str = "exclude",
    axes: Axes = None,
    dtype: Any = None,
    out: Any = None,
    impl: str = "auto",
    where: Any = None,
    min_count: int | None = None,
    fill_value: float | None = None,
    nan_policy: str = "propagate",
    chunks: Any = None,
) -> Any:
    """The sum of every window: `pool` with `Sum()` and `Sliding(kernel_size, stride, padding, dilation, ceil_mode)`.

    y = Σ xᵢ over the elements of the window; integers follow numpy.sum.
    See `pool` for shapes, dtypes, masks and errors.

    >>> import numpy as np
    >>> sum_pool(np.ones((2, 4), dtype=np.uint8), 2)
    array([[4, 4]], dtype=uint64)
    """
    window = (kernel_size, stride, padding, dilation, ceil_mode, padding_mode)
    if _is_plain(where, min_count, fill_value, nan_policy):
        return adapter_for(x, chunks).call(calls.pool, x, "sum", window, axes, False, dtype, out, impl)
    masking = {"where": where, "min_count": min_count, "fill_value": fill_value, "nan_policy": nan_policy}
    return pool(x, "sum", _sliding(window), axes, dtype=dtype, out=out, impl=impl, chunks=chunks, **masking)


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
    where: Any = None,
    min_count: int | None = None,
    fill_value: float | None = None,
    nan_policy: str = "propagate",
    chunks: Any = None,
) -> Any:
    """As many windows as outputs are wanted: `pool` with `Adaptive(output_size)`.

    Output i of m keeps one number of [⌊i·n/m⌋, ⌈(i+1)·n/m⌉). See `pool` for shapes, dtypes, masks and errors.

    >>> import numpy as np
    >>> adaptive_pool(np.arange(5.0), "average", 3, axes=0)
    array([0.5, 2. , 3.5])
    """
    window = Adaptive(output_size if output_size is None else per_axis("output_size", output_size, 1, optional=True))
    masking = {"where": where, "min_count": min_count, "fill_value": fill_value, "nan_policy": nan_policy}
    return pool(
        x,
        operator,
        window,
        axes,
        return_indices=return_indices,
        dtype=dtype,
        out=out,
        impl=impl,
        chunks=chunks,
        **masking,
    )


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
    where: Any = None,
    min_count: int | None = None,
    fill_value: float | None = None,
    nan_policy: str = "propagate",
    chunks: Any = None,
) -> Any:
    """One number for all of the pooled axes: `pool` with `Global()`; the axes go, or stay with length 1 where
    `keepdims`.

    See `pool` for shapes, dtypes, masks and errors.

    >>> import numpy as np
    >>> global_pool(np.array([[1.0, 5.0], [2.0, 9.0]]), "average", 0, where=np.array([[True], [False]]))
    array([1., 5.])
    >>> global_pool(np.array([[2, 2, 7, 3], [9, 4, 6, 1]]), "max", axes=(0, 1))
    array(9)
    """
    if _is_plain(where, min_count, fill_value, nan_policy):
        return adapter_for(x, chunks).call(
            calls.global_pool, x, operator, axes, keepdims, return_indices, dtype, out, impl
        )
    if return_indices:
        raise ValueError(masks.NO_INDICES)
    settings = (min_count, fill_value, nan_policy, keepdims, dtype, out, impl)
    return adapter_for(x, chunks).call(calls.masked_pool, x, where, operator_for(operator), Global(), axes, *settings)


def concat_pool(
    x: Any,
    operators: Sequence[Operator | str],
    window: Window,
    axes: Axes = None,
    *,
    axis: int = 1,
    dtype: Any = None,
    impl: str = "auto",
) -> Any:
    """The values of several operators over the same windows, one after another along an axis, as the channels' is.

    With ("average", "max") and `Global()` this is timm's "catavgmax". See `pool` for shapes, dtypes and errors.

    Args:
        operators: operators or their names. axis: the axis along which values stand behind one another, which is not
            pooled; default: 1, of the channels of images with channels first.

    Raises:
        ValueError: `axis` is pooled, or there are no operators.

    >>> import anypool as ap
    >>> import numpy as np
    >>> ap.concat_pool(np.arange(8.0).reshape(1, 2, 4), ("average", "max"), ap.Global(), 2)[..., 0]
    array([[1.5, 5.5, 3. , 7. ]])
    """
    return adapter_for(x).call(calls.concat_pool, x, tuple(operators), window, axes, axis, dtype, impl)


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
    return adapter_for(x).call(calls.max_unpool, x, indices, kernel_size, stride, padding, output_size, axes)
