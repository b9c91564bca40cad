"""Pyramids defined by loops over exact numbers, and small images in zarr to make them of."""

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np


def exact(x, operator, factors, nodata=None):
    """The level of x with these composed factors, window by window, in Python's numbers; floats in Fractions."""
    shape = tuple(math.ceil(n / f) for n, f in zip(x.shape, factors, strict=True))
    dtype = x.dtype
    if operator == "sum" and x.dtype.kind in "iu":
        dtype = np.dtype("uint64" if x.dtype.kind == "u" else "int64")
    y = np.empty(shape, dtype)
    for place in itertools.product(*map(range, shape)):
        window = x[tuple(slice(i * f, (i + 1) * f) for i, f in zip(place, factors, strict=True))].ravel().tolist()
        y[place] = value(window, operator, nodata, x.dtype.kind == "f")
    return y


def value(window, operator, nodata, is_float):
    counted = [v for v in window if nodata is None or not same(v, nodata)]
    if not counted:
        return nodata
    if any(v != v for v in counted):
        return math.nan
    if operator in ("mean", "sum"):
        if is_float and any(math.isinf(v) for v in counted):
            return sum(counted)
        total = sum(map(Fraction, counted))
        if operator == "mean":
            total /= len(counted)
        return float(total) if is_float else round(total)
    if operator == "mode":
        counts = Counter(counted)
        return min(v for v in counts if counts[v] == max(counts.values()))
    if operator == "median":
        return sorted(counted)[(len(counted) - 1) // 2]
    return {"max": max, "min": min}[operator](counted)


def same(v, nodata):
    return v != v if nodata != nodata else v == nodata


def image(store, x, chunks, *, zarr_format=3, **settings):
    """A group with x as its level 0, without metadata."""
    import zarr

    group = zarr.create_group(store, zarr_format=zarr_format, overwrite=True)
    array = group.create_array("0", shape=x.shape, chunks=chunks, dtype=x.dtype, **settings)
    array[...] = x
    return group


def in_memory(x, chunks, **settings):
    from zarr.storage import MemoryStore

    return image(MemoryStore(), x, chunks, **settings)


def levels(group, number, first=1):
    return [group[str(level)][...] for level in range(first, number + 1)]
