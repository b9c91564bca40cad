"""Poolings of several regions at once: pyramids of adaptive windows, and regional maxima.

Each is made of poolings and of arithmetic in an array's own namespace, which the framework differentiates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anypool.adapters import adapter_for
from anypool.arguments import as_flag, as_integer, as_number, is_known, per_axis, wide
from anypool.calls import floats
from anypool.functional import adaptive_pool, global_pool
from anypool.operators import Operator, operator_for
from anypool.pooling import Axes, channels_beside, pooled_axes
from anypool.windows import Adaptive

# ---------------------------------------------------------------------------------------------------------------------
# Pyramids


def spatial_pyramid(
    x: Any,
    operator: Operator | str = "max",
    levels: Sequence[int] = (1, 2, 4),
    axes: Axes = None,
    *,
    where: Any = None,
) -> Any:
    """The windows of several adaptive poolings in one axis, whose length does not depend on x's: spatial pyramid
    pooling.

    y[…, Σ levels before + i, …] = operator of window i of `Adaptive(level)`, in row-major order.

    Args:
        x: an array of any framework, shape (…, n₁, …, nᵣ) or with other axes behind the pooled ones.
        operator: what to keep of a window, or its name.
        levels: windows along each axis, level by level.
        axes: the pooled axes; default: the last two.
        where: booleans that broadcast to x: the elements that count.

    Returns:
        An array in which one axis of Σ levelʳ entries, in the place of the first pooled axis, stands for all of them.

    Raises:
        TypeError, ValueError: as `anypool.adaptive_pool`, or levels are no positive integers.

    Source: He et al. 2014, arXiv 1406.4729.

    >>> import numpy as np
    >>> spatial_pyramid(np.arange(16.0).reshape(1, 4, 4), levels=(1, 2))
    array([[15.,  5.,  7., 13., 15.]])
    """
    operator, levels = operator_for(operator), _levels(levels)
    return adapter_for(x).call(_spatial_pyramid, x, operator, levels, axes, where)


def _spatial_pyramid(
    adapter: Any, x: Any, operator: Operator, levels: tuple[int, ...], axes: Axes, where: Any = None
) -> Any:
    x = adapter.array(x)
    xp, shape = adapter.namespace(x), adapter.shape(x)
    pooled = pooled_axes(axes, len(shape), Adaptive(levels[0]))
    rank, place = len(pooled), min(pooled)
    parts = []
    for level in levels:
        values = adaptive_pool(x, operator, level, axes=pooled, where=where)
        values = xp.moveaxis(values, pooled, tuple(range(place, place + rank)))
        before, after = xp.shape(values)[:place], xp.shape(values)[place + rank :]
        parts.append(xp.reshape(values, (*before, level**rank, *after)))
    return xp.concat(parts, axis=place)


def pyramid_pool(
    x: Any,
    levels: Sequence[int] = (1, 2, 3, 6),
    operator: Operator | str = "average",
    axes: Axes = None,
    *,
    channel_axis: int | None = None,
    align_corners: bool = True,
) -> Any:
    """An array and, behind its channels, what it is pooled to at several sizes, brought back by interpolation: the
    pyramid pooling of PSPNet, without its convolutions.

    y = concat(x, up(pool(x, level)) for every level), along the channels.

    Args:
        x: an array of floats of any framework.
        levels: windows along each axis, level by level.
        operator: what to keep of a window, or its name.
        axes: the pooled axes; default: the last two.
        channel_axis: along which levels are concatenated; default: the axis before the pooled ones where these are the
            last, otherwise the last axis.
        align_corners: whether the first and the last of the pooled elements lie at the ends of x, as the authors'
            program has it; otherwise each lies in the middle of its part.

    Returns:
        An array of x's shape with (1 + number of levels) times the channels.

    Raises:
        TypeError: x holds no floats. ValueError: as `anypool.adaptive_pool`, or channel_axis is a pooled axis.

    Source: Zhao et al. 2017, arXiv 1612.01105.

    >>> import numpy as np
    >>> pyramid_pool(np.array([[[0.0, 2.0], [4.0, 6.0]]]), levels=(1,))
    array([[[0., 2.],
            [4., 6.]],
    <BLANKLINE>
           [[3., 3.],
            [3., 3.]]])
    """
    operator, levels = operator_for(operator), _levels(levels)
    align_corners = as_flag("align_corners", align_corners)
    return adapter_for(x).call(_pyramid_pool, x, levels, operator, axes, channel_axis, align_corners)


def _pyramid_pool(
    adapter: Any,
    x: Any,
    levels: tuple[int, ...],
    operator: Operator,
    axes: Axes,
    channel_axis: int | None,
    align_corners: bool,
) -> Any:
    x = floats(adapter, x)
    xp, shape = adapter.namespace(x), adapter.shape(x)
    pooled = pooled_axes(axes, len(shape), Adaptive(levels[0]))
    channels = channels_beside(channel_axis, pooled, len(shape))
    accumulator = wide(adapter.dtype(x))
    parts = [x]
    for level in levels:
        values = xp.astype(adaptive_pool(x, operator, level, axes=pooled), accumulator)
        for axis in pooled:
            values = _interpolated(values, axis, level, shape[axis], align_corners, xp)
        parts.append(xp.astype(values, adapter.dtype(x)))
    return xp.concat(parts, axis=channels)


def _interpolated(x: Any, axis: int, length: int, wanted: Any, align_corners: bool, xp: Any) -> Any:
    """x, of `length` along the axis, at `wanted` places by linear interpolation."""
    ramp = xp.astype_like(xp.arange(wanted), x)
    last = ramp[-1:]
    if align_corners:
        places = ramp * (length - 1) / xp.maximum(last, last * 0 + 1)
    else:
        places = xp.maximum((ramp + 0.5) * length / (last + 1) - 0.5, ramp * 0)
    places = xp.minimum(places, ramp * 0 + (length - 1))
    below = xp.stop_gradient(xp.astype(places, "int32"))
    above = xp.minimum(below + 1, below * 0 + (length - 1))
    shape = [1] * len(xp.shape(x))
    shape[axis] = -1
    weight = xp.reshape(places - xp.astype_like(below, x), tuple(shape))
    lower, upper = xp.take(x, below, axis), xp.take(x, above, axis)
    return lower + weight * (upper - lower)


# ---------------------------------------------------------------------------------------------------------------------
# Regional maximum activations


def rmac(
    x: Any,
    levels: int = 3,
    operator: Operator | str = "max",
    axes: Axes = None,
    *,
    channel_axis: int | None = None,
    eps: float = 1e-6,
) -> Any:
    """The sum over square regions of several sizes of what is kept of each, a vector of length 1: regional maximum
    activations of convolutions (R-MAC).

    y = v/‖v‖, v = Σ_R f_R/max(‖f_R‖, ε), f_R = operator of region R, per channel.

    At level l the side of the regions is ⌊2·min(H, W)/(l + 1)⌋, with l of them along the shorter axis and l + m − 1
    along the longer one, evenly spread; m is chosen so that at level 1 neighbours overlap by as near 40% as can be. The
    paper whitens f_R in between, which is for the caller.

    Args:
        x: an array of floats of any framework, shape (…, C, H, W) or (…, H, W, C).
        levels: how many sizes of regions.
        operator: what to keep of a region, or its name.
        axes: the two pooled axes; default: the last two.
        channel_axis: the axis of the vector; default: the axis before the pooled ones where these are the last,
            otherwise the last axis.
        eps: the least norm that a vector is divided by.

    Returns:
        Vectors, x's shape without the pooled axes.

    Raises:
        TypeError: x holds no floats. ValueError: there are not two pooled axes, or a level leaves no region.

    Source: Tolias, Sicre, Jégou 2016, arXiv 1511.05879.

    >>> import numpy as np
    >>> rmac(np.array([[[3.0, 0.0], [0.0, 3.0]], [[4.0, 0.0], [0.0, 4.0]]]), levels=1)
    array([0.6, 0.8])
    """
    operator, levels, eps = operator_for(operator), as_integer("levels", levels, 1), as_number("eps", eps)
    return adapter_for(x).call(_rmac, x, levels, operator, axes, channel_axis, eps)


def _rmac(
    adapter: Any, x: Any, levels: int, operator: Operator, axes: Axes, channel_axis: int | None, eps: float
) -> Any:
    x = floats(adapter, x)
    xp, shape = adapter.namespace(x), adapter.shape(x)
    pooled = pooled_axes(axes, len(shape), Adaptive(1))
    if len(pooled) != 2:
        raise ValueError(f"axes must be two for regional maximum activations, got {pooled}")
    channels = channels_beside(channel_axis, pooled, len(shape))
    vector = channels - sum(axis < channels for axis in pooled)
    total: Any = None
    for rows, columns in rmac_regions(shape[pooled[0]], shape[pooled[1]], levels):
        cut = [slice(None)] * len(shape)
        cut[pooled[0]], cut[pooled[1]] = slice(*rows), slice(*columns)
        values = xp.astype(global_pool(x[tuple(cut)], operator, pooled), wide(adapter.dtype(x)))
        values = _unit(values, vector, eps, xp)
        total = values if total is None else total + values
    return xp.astype(_unit(total, vector, eps, xp), adapter.dtype(x))


def rmac_regions(height: int, width: int, levels: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The regions of `rmac`: (first row, row after the last), (first column, column after the last).

    >>> rmac_regions(4, 6, 1)
    [((0, 4), (0, 4)), ((0, 4), (2, 6))]
    """
    if not (is_known(height) and is_known(width)):
        raise ValueError("rmac needs known lengths of the pooled axes, of which its regions are made")
    short, long = sorted((height, width))
    more = 0
    if long > short:
        overlaps = {m: 1 - (long - short) / ((m - 1) * short) for m in range(2, 8)}
        more = min(overlaps, key=lambda m: abs(overlaps[m] - 0.4)) - 1
    regions = []
    for level in range(1, levels + 1):
        side = 2 * short // (level + 1)
        if side < 1:
            raise ValueError(
                f"levels must leave a region of an element, but {levels} of a map {height} × {width} do not"
            )
        counts = (level + more * (height > width), level + more * (width > height))
        rows, columns = (
            [i * (length - side) // max(count - 1, 1) for i in range(count)]
            for length, count in zip((height, width), counts, strict=True)
        )
        regions += [((row, row + side), (column, column + side)) for row in rows for column in columns]
    return regions


def _unit(x: Any, axis: int, eps: float, xp: Any) -> Any:
    """x at length 1 along the axis; vectors shorter than eps are divided by that."""
    squares = xp.sum(x * x, axis, keepdims=True)
    return x / xp.sqrt(xp.maximum(squares, xp.astype_like(xp.asarray(np.asarray(max(eps * eps, 1e-38))), x)))


# ---------------------------------------------------------------------------------------------------------------------
# Arguments


def _levels(levels: Any) -> tuple[int, ...]:
    checked = per_axis("levels", levels, 1)
    return checked if isinstance(checked, tuple) else (checked,)
