"""Descriptors: one vector or matrix for all elements of an array, by attention, covariances or residuals to centres.

What can be learned is an argument here, an array of x's framework; layers for torch and Keras hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anypool.adapters import adapter_for
from anypool.arguments import as_flag, as_integer, is_known, wide
from anypool.calls import floats
from anypool.pooling import Axes, channels_beside, pooled_axes, shown
from anypool.windows import Adaptive


def attention_pool(x: Any, query: Any, axes: Axes = None, *, channel_axis: int | None = None, where: Any = None) -> Any:
    """The average of vectors weighted by how well they answer a query.

    y_h = Σᵢ softmaxᵢ(q_h·x_{i,h}/√d) x_{i,h} for every head h, which has d = C/heads of the channels.

    Args:
        x: an array of floats of any framework, vectors along one of its axes.
        query: (C,), or (heads, C/heads): what each head looks for.
        axes: the pooled axes; default: the last two.
        channel_axis: the axis of the vectors; default: the axis before the pooled ones where these are the last,
            otherwise the last axis.
        where: booleans that broadcast to x, with length 1 along the vectors: which of them count. Where none does, the
            value is NaN.

    Returns:
        x's shape without the pooled axes and with the vectors last, in x's dtype.

    Raises:
        TypeError: x holds no floats, or where no booleans. ValueError: query does not fit the channels.

    Source: Ilse et al. 2018, arXiv 1802.04712; Vaswani et al. 2017, arXiv 1706.03762.

    >>> import numpy as np
    >>> attention_pool(np.array([[0.0, 1.0], [0.0, 3.0]]), np.array([5.0, 0.0]), axes=0)
    array([0., 2.])
    """
    return adapter_for(x).call(_attention_pool, x, query, where, axes, channel_axis)


def _attention_pool(
    adapter: Any, x: Any, query: Any, where: Any = None, axes: Axes = None, channel_axis: int | None = None
) -> Any:
    tokens, mask = _tokens(adapter, x, axes, channel_axis, where)
    xp = adapter.namespace(x)
    query = xp.astype_like(xp.asarray(query), tokens)
    shape, channels = adapter.shape(query), adapter.shape(tokens)[-1]
    if not 1 <= len(shape) <= 2 or not _fit(shape, channels):
        raise ValueError(
            f"query must have shape ({_known(channels)},) or (heads, channels of each), got {shown(shape)}"
        )
    heads, each = (1, shape[0]) if len(shape) == 1 else shape
    split = xp.reshape(tokens, (*xp.shape(tokens)[:-1], heads, each))
    scores = xp.sum(split * query, axis=-1) / np.sqrt(each)
    weights = _softmax_over_elements(scores, mask, xp)
    values = xp.sum(split * weights[..., None], axis=-3)
    return xp.astype(xp.reshape(values, (*xp.shape(tokens)[:-2], heads * each)), adapter.dtype(x))


def gated_attention_pool(
    x: Any,
    value: Any,
    gate: Any,
    score: Any,
    axes: Axes = None,
    *,
    channel_axis: int | None = None,
    where: Any = None,
) -> Any:
    """The average of vectors weighted by a small gated network, as for bags of instances.

    y = Σᵢ aᵢ xᵢ, a = softmaxᵢ(wᵀ(tanh(Vᵀxᵢ) ⊙ σ(Uᵀxᵢ))).

    Args:
        x, axes, channel_axis, where: as in `attention_pool`.
        value: V, (C, hidden). gate: U, (C, hidden). score: w, (hidden,).

    Returns:
        x's shape without the pooled axes and with the vectors last, in x's dtype.

    Raises:
        TypeError: x holds no floats, or where no booleans. ValueError: shapes do not fit.

    Source: Ilse et al. 2018, arXiv 1802.04712.

    >>> import numpy as np
    >>> gated_attention_pool(np.array([[0.0, 1.0], [0.0, 3.0]]), np.ones((2, 4)), np.ones((2, 4)), np.zeros(4), axes=0)
    array([0., 2.])
    """
    return adapter_for(x).call(_gated_attention_pool, x, value, gate, score, where, axes, channel_axis)


def _gated_attention_pool(
    adapter: Any,
    x: Any,
    value: Any,
    gate: Any,
    score: Any,
    where: Any = None,
    axes: Axes = None,
    channel_axis: int | None = None,
) -> Any:
    tokens, mask = _tokens(adapter, x, axes, channel_axis, where)
    xp = adapter.namespace(x)
    value, gate, score = (xp.astype_like(xp.asarray(each), tokens) for each in (value, gate, score))
    channels, hidden = adapter.shape(tokens)[-1], adapter.shape(score)[-1]
    for name, array, wanted in (("value", value, (channels, hidden)), ("gate", gate, (channels, hidden))):
        _check_shape(adapter, name, array, wanted)
    _check_shape(adapter, "score", score, (hidden,))
    signal = 2 * _sigmoid(2 * xp.matmul(tokens, value), xp) - 1  # tanh
    scores = xp.matmul(signal * _sigmoid(xp.matmul(tokens, gate), xp), score[:, None])
    return xp.astype(xp.sum(tokens * _softmax_over_elements(scores, mask, xp), axis=-2), adapter.dtype(x))


def covariance_pool(
    x: Any,
    iterations: int = 5,
    axes: Axes = None,
    *,
    channel_axis: int | None = None,
    triangle: bool = False,
    where: Any = None,
) -> Any:
    """The matrix square root of the covariances of the channels, by Newton–Schulz iterations (iSQRT-COV).

    Σ = (1/n) Σᵢ (xᵢ − x̄)(xᵢ − x̄)ᵀ, A = Σ/tr Σ; Y₀ = A, Z₀ = I; T = (3I − ZY)/2, Y ← YT, Z ← TZ; y = √(tr Σ) Y.

    Args:
        x: an array of floats of any framework.
        iterations: how many; 0 gives Σ itself.
        axes: the pooled axes; default: the last two.
        channel_axis: the axis of the channels; default: the axis before the pooled ones where these are the last,
            otherwise the last axis.
        triangle: whether to give the upper triangle alone, row by row, C(C + 1)/2 numbers.
        where: booleans that broadcast to x, with length 1 along the channels: which elements count.

    Returns:
        x's shape without pooled axes and channels, and (C, C) or (C(C + 1)/2,) behind it. Zeros where all are equal.

    Raises:
        TypeError: x holds no floats. ValueError: iterations are below 0, or axes do not fit.

    Source: Li et al. 2018, arXiv 1712.01034.

    >>> import numpy as np
    >>> covariance_pool(np.array([[0.0, 2.0], [3.0, 3.0]]), iterations=0, axes=1)
    array([[1., 0.],
           [0., 0.]])
    >>> covariance_pool(np.array([[0.0, 4.0], [3.0, 3.0]]), 20, axes=1).round(3)
    array([[2., 0.],
           [0., 0.]])
    """
    iterations, triangle = as_integer("iterations", iterations, 0), as_flag("triangle", triangle)
    return adapter_for(x).call(_covariance_pool, x, where, iterations, axes, channel_axis, triangle)


def _covariance_pool(
    adapter: Any,
    x: Any,
    where: Any = None,
    iterations: int = 5,
    axes: Axes = None,
    channel_axis: int | None = None,
    triangle: bool = False,
) -> Any:
    tokens, mask = _tokens(adapter, x, axes, channel_axis, where)
    xp, size = adapter.namespace(x), adapter.shape(tokens)[-1]
    weights = xp.astype_like(mask, tokens) if mask is not None else xp.zeros((), tokens) + 1 + tokens[..., :1] * 0
    number = xp.sum(weights, axis=-2, keepdims=True)
    centred = (tokens - xp.sum(tokens * weights, axis=-2, keepdims=True) / number) * weights
    covariance = xp.matmul(_transposed(centred, xp), centred) / number
    result = _square_root(covariance, iterations, size, xp) if iterations else covariance
    if triangle:
        upper = np.flatnonzero(np.triu(np.ones((size, size), bool)))
        flat = xp.reshape(result, (*xp.shape(result)[:-2], size * size))
        result = xp.take(flat, xp.asarray(upper), len(xp.shape(flat)) - 1)
    return xp.astype(result, adapter.dtype(x))


def _square_root(matrix: Any, iterations: int, size: int, xp: Any) -> Any:
    """The root of a covariance matrix; zeros, without a slope, where it is 0."""
    identity = xp.astype_like(xp.asarray(np.eye(size)), matrix)
    trace = xp.sum(xp.sum(matrix * identity, axis=-1, keepdims=True), axis=-2, keepdims=True)
    some = trace > 0
    trace = xp.where(some, trace, trace * 0 + 1)
    root, inverse = matrix / trace, identity
    for _ in range(iterations):
        step = 1.5 * identity - 0.5 * xp.matmul(inverse, root)
        root, inverse = xp.matmul(root, step), xp.matmul(step, inverse)
    return xp.where(some, xp.sqrt(trace) * root, matrix * 0)


def net_vlad(
    x: Any,
    centers: Any,
    weight: Any,
    bias: Any,
    axes: Axes = None,
    *,
    channel_axis: int | None = None,
    where: Any = None,
    normalize_input: bool = True,
) -> Any:
    """The residuals of vectors to centres, each to those that it belongs to by a soft assignment (NetVLAD).

    V_k = Σᵢ softmax_k(w_kᵀxᵢ + b_k) (xᵢ − c_k); y = V/‖V‖ after V_k/‖V_k‖.

    With w_k = 2αc_k and b_k = −α‖c_k‖² the assignment is by distance, the sharper the greater α.

    Args:
        x, axes, channel_axis, where: as in `attention_pool`.
        centers: (K, C). weight: (C, K). bias: (K,).
        normalize_input: whether the vectors xᵢ are brought to length 1 before.

    Returns:
        x's shape without pooled axes and channels, and K·C numbers behind it, in x's dtype.

    Raises:
        TypeError: x holds no floats, or where no booleans. ValueError: shapes do not fit.

    Source: Arandjelović et al. 2016, arXiv 1511.07247.

    >>> import numpy as np
    >>> centers = np.array([[0.0, 0.0], [4.0, 0.0]])
    >>> x, alpha = np.array([[1.0, 0.0], [4.0, 2.0]]), 100
    >>> weight, bias = 2 * alpha * centers.T, -alpha * (centers**2).sum(1)
    >>> net_vlad(x, centers, weight, bias, axes=0, normalize_input=False).round(3)
    array([0.707, 0.   , 0.   , 0.707])
    """
    arrays = centers, weight, bias, where
    return adapter_for(x).call(_net_vlad, x, *arrays, axes, channel_axis, as_flag("normalize_input", normalize_input))


def _net_vlad(
    adapter: Any,
    x: Any,
    centers: Any,
    weight: Any,
    bias: Any,
    where: Any = None,
    axes: Axes = None,
    channel_axis: int | None = None,
    normalize_input: bool = True,
) -> Any:
    tokens, mask = _tokens(adapter, x, axes, channel_axis, where)
    xp = adapter.namespace(x)
    centers, weight, bias = (xp.astype_like(xp.asarray(each), tokens) for each in (centers, weight, bias))
    channels, number = adapter.shape(tokens)[-1], adapter.shape(bias)[-1]
    for name, array, wanted in (
        ("centers", centers, (number, channels)),
        ("weight", weight, (channels, number)),
        ("bias", bias, (number,)),
    ):
        _check_shape(adapter, name, array, wanted)
    tokens = _unit(tokens, xp) if normalize_input else tokens
    logits = xp.matmul(tokens, weight) + bias
    shares = xp.exp(logits - xp.stop_gradient(xp.max(logits, axis=-1, keepdims=True)))
    shares = shares / xp.sum(shares, axis=-1, keepdims=True)
    shares = shares if mask is None else xp.where(mask, shares, shares * 0)
    shares = _transposed(shares, xp)
    residuals = xp.matmul(shares, tokens) - xp.sum(shares, axis=-1, keepdims=True) * centers
    flat = xp.reshape(_unit(residuals, xp), (*xp.shape(residuals)[:-2], number * channels))
    return xp.astype(_unit(flat, xp), adapter.dtype(x))


# ---------------------------------------------------------------------------------------------------------------------
# Vectors


def _tokens(adapter: Any, x: Any, axes: Axes, channel_axis: int | None, where: Any) -> tuple[Any, Any]:
    """x as vectors (…, elements, channels) in the dtype to compute in, and which elements count: (…, elements, 1), or
    None where all do; what does not count is 0."""
    x = floats(adapter, x)
    xp, shape = adapter.namespace(x), adapter.shape(x)
    pooled = pooled_axes(axes, len(shape), Adaptive(1))
    channels = channels_beside(channel_axis, pooled, len(shape))
    tokens = _rows(xp.astype(x, wide(adapter.dtype(x))), pooled, channels, xp)
    if where is None:
        return tokens, None
    mask = adapter.mask(where, x)
    given = (*(1 for _ in range(len(shape) - len(adapter.shape(mask)))), *adapter.shape(mask))
    if adapter.dtype(mask) != "bool":
        raise TypeError(f"where must hold booleans, True where an element counts, got dtype {adapter.dtype(mask)}")
    wanted = tuple(1 if axis == channels else n for axis, n in enumerate(shape))
    if len(given) != len(shape) or any(
        is_known(n) and is_known(m) and n not in (1, m) for n, m in zip(given, wanted, strict=True)
    ):
        raise ValueError(
            f"where must broadcast to x with length 1 along the channels: x has shape {shown(shape)} with channels "
            f"along axis {channels}, where {shown(adapter.shape(mask))}"
        )
    full = tuple(1 if axis == channels else n for axis, n in enumerate(xp.shape(x)))
    mask = _rows(xp.broadcast_to(mask, full), pooled, channels, xp)
    return xp.where(mask, tokens, xp.zero(tokens)), mask


def _rows(x: Any, pooled: Sequence[int], channels: int, xp: Any) -> Any:
    """(…, elements of the pooled axes, channels)."""
    ndim = len(xp.shape(x))
    moved = xp.moveaxis(x, (*pooled, channels), tuple(range(ndim - len(pooled) - 1, ndim)))
    shape = xp.shape(moved)
    return xp.reshape(moved, (*shape[: ndim - len(pooled) - 1], -1, shape[-1]))


def _softmax_over_elements(scores: Any, mask: Any, xp: Any) -> Any:
    """exp(s)/Σ exp(s) over the last axis but one, of what counts; NaN where nothing does."""
    if mask is not None:
        scores = xp.where(mask, scores, xp.lowest(scores))
    highest = xp.stop_gradient(xp.max(scores, axis=-2, keepdims=True))
    if mask is None:
        shares = xp.exp(scores - highest)
        return shares / xp.sum(shares, axis=-2, keepdims=True)
    none = xp.zero(scores)
    highest = xp.where(xp.isfinite(highest), highest, none)
    shares = xp.where(mask, xp.exp(xp.where(mask, scores - highest, none)), none)
    total = xp.sum(shares, axis=-2, keepdims=True)
    return xp.where(total > 0, shares / xp.where(total > 0, total, total * 0 + 1), xp.nan_like(shares))


def _unit(x: Any, xp: Any) -> Any:
    """x at length 1 along its last axis; 0 stays 0."""
    least = xp.astype_like(xp.asarray(np.asarray(1e-24)), x)
    return x / xp.sqrt(xp.maximum(xp.sum(x * x, axis=-1, keepdims=True), least))


def _sigmoid(x: Any, xp: Any) -> Any:
    """1/(1 + exp(−x)), without an overflow."""
    small = xp.exp(-xp.abs(x))
    return xp.where(x < 0, small, small * 0 + 1) / (1 + small)


def _transposed(x: Any, xp: Any) -> Any:
    ndim = len(xp.shape(x))
    return xp.transpose(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def _fit(query: Sequence[Any], channels: Any) -> bool:
    size = query[0] if len(query) == 1 else query[0] * query[1]
    return not is_known(channels) or bool(size == channels)


def _known(length: Any) -> str:
    return str(length) if is_known(length) else "?"


def _check_shape(adapter: Any, name: str, array: Any, wanted: Sequence[Any]) -> None:
    shape = adapter.shape(array)
    if len(shape) != len(wanted) or any(is_known(n) and n != m for n, m in zip(wanted, shape, strict=True)):
        raise ValueError(f"{name} must have shape {shown(wanted)}, got {shown(shape)}")
