"""The most frequent label of every window at every level, by counts that are carried from level to level.

Most windows of a picture of labels hold one label only. These are found by their least and their greatest label, and
need no counting; of the others every label is kept with how often it occurs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .plan import Lengths, ceil_divide

Extreme = Callable[[np.ndarray, Lengths], np.ndarray]


class ModeLevels:
    """Level 0, then level after level, by `next`."""

    def __init__(self, labels: np.ndarray, nodata: Any = None) -> None:
        self.low = self.high = labels
        self.nodata = nodata
        self.elements = np.ones((1,) * labels.ndim, np.int64)
        """How many elements of level 0 every window holds, in shapes that broadcast."""
        self.windows = np.empty(0, np.int64)
        """The flat number of a window of several labels, once for each of them, ascending; then the label, ascending
        within the window, and how often it occurs."""
        self.labels = np.empty(0, labels.dtype)
        self.counts = np.empty(0, np.int64)

    def next(self, window: Lengths, minima: Extreme, maxima: Extreme) -> np.ndarray:
        """The modes of the next level, whose windows hold so many of this one's."""
        shape = self.low.shape
        low, high = minima(self.low, window), maxima(self.high, window)
        mixed = low != high
        parent_of = _parents(shape, window, low.shape)
        pure = (self.low == self.high) & _repeated(mixed, window, shape)
        at = np.flatnonzero(pure)
        counts = np.broadcast_to(self.elements, shape).reshape(-1)[at]
        windows = np.concatenate([parent_of(at), parent_of(self.windows)])
        labels = np.concatenate([self.low.reshape(-1)[at], self.labels])
        counts = np.concatenate([counts, self.counts])
        if self.nodata is not None:
            counted = labels != self.nodata
            windows, labels, counts = windows[counted], labels[counted], counts[counted]
        self.windows, self.labels, self.counts = _merged(windows, labels, counts)
        self.elements = _summed(self.elements, window, shape)
        self.low, self.high = low, high
        return self._modes()

    def _modes(self) -> np.ndarray:
        values = self.low.copy()
        if self.windows.size:
            begins = np.flatnonzero(np.diff(self.windows, prepend=-1))
            lengths = np.diff(begins, append=self.windows.size)
            most = np.repeat(np.maximum.reduceat(self.counts, begins), lengths)
            winners = np.flatnonzero(self.counts == most)
            _, first = np.unique(self.windows[winners], return_index=True)
            values.reshape(-1)[self.windows[winners[first]]] = self.labels[winners[first]]
        return values


def _merged(windows: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every label of every window once, in ascending order, with the sum of its counts."""
    if not windows.size:
        return windows, labels, counts
    codes, decode = _codes(labels)
    bits = int(codes.max()).bit_length()
    keys = (windows.astype(np.uint64) << np.uint64(bits)) | codes
    if (counts == 1).all():
        keys.sort()
        begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        totals = np.diff(begins, append=keys.size)
    else:
        order = np.argsort(keys)
        keys = keys[order]
        begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        totals = np.add.reduceat(counts[order], begins)
    keys = keys[begins]
    return (keys >> np.uint64(bits)).astype(np.int64), decode(keys & np.uint64(2**bits - 1)), totals


def _codes(labels: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Labels as unsigned integers of the same order, in at most 33 bits, and the way back."""
    dtype = labels.dtype
    if dtype.itemsize == 8:
        distinct, codes = np.unique(labels, return_inverse=True)
        return codes.astype(np.uint64), lambda found: distinct[found]
    if dtype.kind == "b":
        return labels.astype(np.uint64), lambda found: found.astype(bool)
    least = int(np.iinfo(dtype).min)
    codes = (labels.astype(np.int64) - least).astype(np.uint64)
    return codes, lambda found: (found.astype(np.int64) + least).astype(dtype)


def _parents(shape: Lengths, window: Lengths, above: Lengths) -> Callable[[np.ndarray], np.ndarray]:
    """From flat positions to those of the next level."""

    def parents(flat: np.ndarray) -> np.ndarray:
        total, stride = np.zeros(flat.shape, np.int64), 1
        for n, f, m in zip(reversed(shape), reversed(window), reversed(above), strict=True):
            flat, at = np.divmod(flat, n)
            total += (at // f) * stride
            stride *= m
        return total

    return parents


def _repeated(mask: np.ndarray, window: Lengths, shape: Lengths) -> np.ndarray:
    """Every window's value at each of its elements."""
    for axis, f in enumerate(window):
        if f > 1:
            mask = np.repeat(mask, f, axis=axis)[(*(slice(None),) * axis, slice(0, shape[axis]))]
    return mask


def _summed(elements: np.ndarray, window: Lengths, shape: Lengths) -> np.ndarray:
    """How many elements of level 0 the windows of the next level hold."""
    for axis, f in enumerate(window):
        n = shape[axis]
        whole = np.broadcast_to(elements, (*elements.shape[:axis], n, *elements.shape[axis + 1 :]))
        starts = np.arange(0, n, f)
        elements = np.add.reduceat(whole, starts, axis=axis)
        if ceil_divide(n, f) > 1 and n % f == 0 and whole.strides[axis] == 0:
            elements = elements[(*(slice(None),) * axis, slice(0, 1))]
    return elements
