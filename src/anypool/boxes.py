"""Pooling of boxes within maps, as detectors do: region pooling and region align."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anypool.adapters import adapter_for
from anypool.arguments import as_flag, as_integer, as_number, is_known, per_axis, wide
from anypool.calls import floats
from anypool.functional import global_pool
from anypool.pooling import shown

ELEMENTS_AT_ONCE = 2**24
"""How many elements of maps are laid out, one copy for each box, before the next boxes are."""


def roi_pool(x: Any, boxes: Any, output_size: int | Sequence[int], spatial_scale: float = 1.0) -> Any:
    """The greatest elements of the bins of every box, whose corners are rounded to elements: region pooling.

    A box covers the elements from round(x₁·scale) to round(x₂·scale), both included and at least one; bin i of m over n
    elements is [⌊i·n/m⌋, ⌈(i+1)·n/m⌉), in whole numbers. A bin outside the map is 0.

    Args:
        x: maps (N, C, H, W) of any framework's floats.
        boxes: (K, 5) with rows (number of the map, x₁, y₁, x₂, y₂), or a sequence of N arrays (L, 4) with rows
            (x₁, y₁, x₂, y₂). They have no gradient.
        output_size: bins along both axes, an int or (rows, columns).
        spatial_scale: elements of the map per unit of the boxes.

    Returns:
        Values (K, C, rows, columns), in x's dtype; ties have the gradient of their first, as in `max_pool`.

    Raises:
        TypeError: x holds no floats. ValueError: a shape is wrong, or a box is of a map that there is not.

    Source: Girshick 2015, arXiv 1504.08083; `torchvision.ops.roi_pool` has these arguments.

    >>> import numpy as np
    >>> roi_pool(np.arange(16.0).reshape(1, 1, 4, 4), np.array([[0, 0, 0, 2, 2]]), 2)[0, 0]
    array([[ 5.,  6.],
           [ 9., 10.]])
    """
    sizes, scale = both_sizes(output_size), as_number("spatial_scale", spatial_scale)
    return adapter_for(x).call(_roi_pool, x, *_given(boxes), sizes, scale)


def roi_align(
    x: Any,
    boxes: Any,
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Any:
    """The averages of the bins of every box, of values between elements by bilinear interpolation: region align.

    Bin (i, j) averages the map at g × g' places spread evenly over it; places beyond the map by more than an element
    count as 0, others are moved to its edge.

    Args:
        x, boxes, output_size, spatial_scale: as in `roi_pool`; corners are not rounded.
        sampling_ratio: g and g'; −1: as many as the bin has elements, ⌈height/rows⌉ and ⌈width/columns⌉, which a
            program that does not know its boxes yet cannot have.
        aligned: whether the middle of an element is at its whole number plus ½, so that boxes are moved by −½;
            otherwise boxes are at least one element high and wide.

    Returns:
        Values (K, C, rows, columns), in x's dtype.

    Raises:
        TypeError: x holds no floats. ValueError: a shape is wrong, or a box is of a map that there is not.

    Source: He et al. 2017, arXiv 1703.06870; `torchvision.ops.roi_align` has these arguments.

    >>> import numpy as np
    >>> roi_align(np.arange(16.0).reshape(1, 1, 4, 4), np.array([[0, 0.0, 0.0, 2.0, 2.0]]), 1, aligned=True)[0, 0]
    array([[2.5]])
    """
    sizes, scale = both_sizes(output_size), as_number("spatial_scale", spatial_scale)
    ratio, aligned = as_integer("sampling_ratio", sampling_ratio, -1), as_flag("aligned", aligned)
    return adapter_for(x).call(_roi_align, x, *_given(boxes), sizes, scale, ratio, aligned)


# ---------------------------------------------------------------------------------------------------------------------
# On one framework's arrays. Boxes come as one array (K, 5), or as as many arrays (L, 4) as there are maps.


def _roi_pool(adapter: Any, x: Any, boxes: Any, sizes: tuple[int, int], scale: float) -> Any:
    x, maps, corners = _checked(adapter, x, boxes)
    xp, (_, _, height, width) = adapter.namespace(x), adapter.shape(x)
    corners = _floor(corners * scale + 0.5, xp)
    bins = [
        _bins(xp.take(corners, xp.asarray(np.array(column)), 1), size, length, xp)
        for column, size, length in (((1, 3), sizes[0], height), ((0, 2), sizes[1], width))
    ]

    def pooled(chosen: Any, rows: Any, columns: Any) -> Any:
        # Columns first: then the element kept is the first of its equals in row-major order.
        values = _of_each_bin(xp.take(x, chosen, 0), columns, xp)
        values = xp.transpose(_of_each_bin(xp.transpose(values, (0, 1, 3, 2)), rows, xp), (0, 1, 3, 2))
        held = xp.any(rows, axis=-1)[:, None, :, None] & xp.any(columns, axis=-1)[:, None, None, :]
        return xp.where(held, values, xp.zero(x))

    return _in_blocks(pooled, x, (maps, *bins), adapter)


def _bins(ends: Any, size: int, length: Any, xp: Any) -> Any:
    """Which elements along an axis are in which bin: (boxes, bins, elements), of first and last elements (boxes, 2)."""
    first, last = ends[:, :1, None], ends[:, 1:, None]
    span = xp.maximum(last - first + 1, xp.astype_like(xp.asarray(np.ones(())), ends))
    number = xp.astype_like(xp.arange(size), ends)[None, :, None]
    starts = _floor(number * span / size + _SLACK, xp) + first
    stops = -_floor(-(number + 1) * span / size + _SLACK, xp) + first
    places = xp.astype_like(xp.arange(length), ends)[None, None, :]
    return (places >= starts) & (places < stops)


_SLACK = 1e-4
"""What the quotient of a whole number may lack, by rounding, for being one; others lack at least 1 by the bins."""


def _of_each_bin(values: Any, bins: Any, xp: Any) -> Any:
    """The greatest along the last axis within every bin: (boxes, channels, n, bins); −∞ where there is none."""
    lowest = [
        global_pool(values, "max", -1, True, where=bins[:, None, None, number, :], fill_value=-np.inf)
        for number in range(xp.shape(bins)[1])
    ]
    return xp.concat(lowest, axis=-1)


def _roi_align(
    adapter: Any, x: Any, boxes: Any, sizes: tuple[int, int], scale: float, ratio: int, aligned: bool
) -> Any:
    x, maps, corners = _checked(adapter, x, boxes)
    xp, (_, _, height, width) = adapter.namespace(x), adapter.shape(x)
    corners = corners * scale - (0.5 if aligned else 0.0)
    weights = [
        _weights(adapter, corners[:, first], corners[:, first + 2], size, length, ratio, aligned, xp)
        for first, size, length in ((1, sizes[0], height), (0, sizes[1], width))
    ]

    def averaged(chosen: Any, rows: Any, columns: Any) -> Any:
        features = xp.astype_like(xp.take(x, chosen, 0), rows)
        values = xp.matmul(xp.matmul(rows[:, None], features), xp.transpose(columns, (0, 2, 1))[:, None])
        return xp.astype(values, adapter.dtype(x))

    return _in_blocks(averaged, x, (maps, *weights), adapter)


def _weights(adapter: Any, start: Any, end: Any, size: int, length: Any, ratio: int, aligned: bool, xp: Any) -> Any:
    """What every element along an axis weighs in every bin: (boxes, bins, elements)."""
    one = xp.astype_like(xp.asarray(np.ones(())), start)
    span = end - start if aligned else xp.maximum(end - start, one)
    if ratio > 0:
        most, samples = ratio, one * ratio
    else:
        if adapter.is_traced(start):
            raise ValueError("sampling_ratio must be given in a program that does not know its boxes yet, got -1")
        samples = xp.maximum(-_floor(-span / size, xp), one)
        most = int(xp.max_of_all(samples)) if xp.shape(start)[0] else 1
    step = span / size
    number = xp.astype_like(xp.arange(most), start)[None, None, :]
    samples = samples * one if ratio <= 0 else xp.broadcast_to(samples, xp.shape(start))
    offsets = xp.astype_like(xp.arange(size), start)[None, :, None] + (number + 0.5) / samples[:, None, None]
    places = start[:, None, None] + offsets * step[:, None, None]
    inside = (places >= -1) & (places <= length) & (number < samples[:, None, None])
    places = xp.minimum(xp.maximum(places, one * 0), one * (length - 1))
    near = xp.maximum(1 - xp.abs(places[..., None] - xp.astype_like(xp.arange(length), start)), one * 0)
    return xp.sum(xp.where(inside[..., None], near, one * 0), axis=-2) / samples[:, None, None]


def _in_blocks(function: Callable[..., Any], x: Any, arrays: Sequence[Any], adapter: Any) -> Any:
    """function(*arrays), of so many boxes at once that their copies of maps take bounded memory."""
    xp, shape, boxes = adapter.namespace(x), adapter.shape(x), adapter.shape(arrays[0])[0]
    if not (is_known(boxes) and all(map(is_known, shape))) or boxes == 0:
        return function(*arrays)
    block = max(ELEMENTS_AT_ONCE // max(int(np.prod(shape[1:])), 1), 1)
    parts = [function(*(each[lo : lo + block] for each in arrays)) for lo in range(0, boxes, block)]
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)


# ---------------------------------------------------------------------------------------------------------------------
# Arguments


def both_sizes(output_size: Any) -> tuple[int, int]:
    """(rows, columns), checked."""
    sizes = per_axis("output_size", output_size, 1)
    pair = sizes if isinstance(sizes, tuple) else (sizes, sizes)
    if len(pair) != 2:
        raise ValueError(f"output_size must be an integer or a pair, got {output_size!r}")
    return pair


def _given(boxes: Any) -> tuple[Any]:
    """Boxes as one argument: an array, or a tuple of arrays."""
    return (tuple(boxes) if isinstance(boxes, list) else boxes,)


def _checked(adapter: Any, x: Any, boxes: Any) -> tuple[Any, Any, Any]:
    """x, the number of the map of every box, and the boxes' corners (K, 4) in the dtype to compute in."""
    x = floats(adapter, x)
    xp, shape, dtype = adapter.namespace(x), adapter.shape(x), wide(adapter.dtype(x))
    if len(shape) != 4:
        raise ValueError(f"x must be maps (N, C, H, W), got shape {shown(shape)}")
    if isinstance(boxes, tuple):
        return x, *_of_every_map([xp.asarray(each) for each in boxes], shape, dtype, adapter, xp)
    rows = xp.asarray(boxes)
    if len(adapter.shape(rows)) != 2 or adapter.shape(rows)[1] != 5:
        raise ValueError(
            f"boxes must be an array (K, 5) of maps' numbers and corners, or a sequence of arrays (L, 4), got shape "
            f"{shown(adapter.shape(rows))}"
        )
    rows = xp.stop_gradient(xp.astype(rows, dtype))
    maps = xp.astype(rows[:, 0], "int64" if adapter.defaults.signed == "int64" else "int32")
    extremes = adapter.largest(maps)
    if extremes is not None and not (is_known(shape[0]) and 0 <= extremes[0] <= extremes[1] < shape[0]):
        raise ValueError(f"boxes must be of maps 0 to {shape[0] - 1}, got numbers from {extremes[0]} to {extremes[1]}")
    return x, maps, rows[:, 1:]


def _of_every_map(boxes: Sequence[Any], shape: Sequence[Any], dtype: str, adapter: Any, xp: Any) -> tuple[Any, Any]:
    if len(boxes) != shape[0] or any(len(adapter.shape(each)) != 2 or adapter.shape(each)[1] != 4 for each in boxes):
        raise ValueError(
            f"boxes must be an array (K, 5), or have one array (L, 4) for each of x's {shape[0]} maps, got "
            f"{len(boxes)} of shapes {', '.join(shown(adapter.shape(each)) for each in boxes)}"
        )
    maps = np.repeat(np.arange(len(boxes)), [adapter.shape(each)[0] for each in boxes])
    corners = xp.concat([xp.astype(each, dtype) for each in boxes], axis=0)
    return xp.asarray(maps), xp.stop_gradient(corners)


def _floor(x: Any, xp: Any) -> Any:
    """⌊x⌋, of numbers that index elements."""
    whole = xp.round(x)
    return xp.where(whole > x, whole - 1, whole)
