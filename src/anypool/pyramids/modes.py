"""The most frequent label of every window at every level, in one of two ways.

Where every element counts, `modes_of` compares level 0 with candidates: a label that most of a window's elements have
is its mode, and only windows without such a majority are pooled. Where some are nodata, `ModeLevels` carries counts
from level to level: windows of one label are found by their least and their greatest, and need no counting; of the
others every label is kept with how often it occurs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .plan import Lengths

Extreme = Callable[[np.ndarray, Lengths], np.ndarray]
Entries = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Flat numbers of windows, labels in them, and how often each occurs."""

COMPARED = 16
"""In windows of up to so many elements each is compared with each other."""


POOLED = 16
"""Windows of up to so many elements are pooled at once, which is faster than looking for a majority first."""

AT_ONCE = 2**20
"""Elements of windows without a majority that are pooled at once."""

Pool = Callable[[np.ndarray, Lengths], np.ndarray]
"""The modes, or the sums, of windows that tile an array."""


def modes_of(labels: np.ndarray, window: Lengths, before: np.ndarray, step: Lengths, modes: Pool, sums: Pool) -> Any:
    """The modes of a level of windows; `before` has those of the level before, of whose windows `step` make one.

    `modes` and `sums` pool by windows, the last of an axis being shorter.
    """
    if math.prod(window) <= POOLED:
        return modes(labels, window)
    values = modes(before, step)  # candidates, until they are counted
    for box, outputs, lengths in _boxes(labels.shape, window):
        _correct(labels[box], lengths, values[outputs], modes, sums)
    return values


def _boxes(shape: Lengths, window: Lengths) -> Any:
    """The regions of an array in which windows have the same lengths: the regions, those of their windows, lengths."""
    axes = []
    for n, f in zip(shape, window, strict=True):
        whole, rest = divmod(n, f)
        parts = [(slice(0, whole * f), slice(0, whole), f), (slice(whole * f, n), slice(whole, whole + 1), rest)]
        axes.append([part for part in parts if part[0].stop > part[0].start])
    for each in itertools.product(*axes):
        yield tuple(zip(*each, strict=True))


def _correct(labels: np.ndarray, window: Lengths, values: np.ndarray, modes: Pool, sums: Pool) -> None:
    """Replace the candidates in `values` that less than a majority of their windows' elements have by the modes."""
    rank, size = labels.ndim, math.prod(window)
    by_windows = [n for pair in zip(values.shape, window, strict=True) for n in pair]
    rows = np.repeat(values, window[-1], axis=-1)  # compared along whole rows, which is what is fast
    rows = np.expand_dims(rows, tuple(range(1, 2 * rank - 2, 2)))
    equal = labels.reshape(*by_windows[:-2], labels.shape[-1]) == rows
    is_open = 2 * sums(equal.reshape(labels.shape).view(np.uint8), window) <= size
    if not is_open.any():
        return
    elements = labels.reshape(by_windows).transpose(*range(0, 2 * rank, 2), *range(1, 2 * rank, 2))
    places, many = np.nonzero(is_open), max(1, AT_ONCE // size)
    for at in range(0, len(places[0]), many):
        some = tuple(place[at : at + many] for place in places)
        columns = np.ascontiguousarray(elements[some].reshape(-1, size).T)
        values[some] = modes(columns, (size, 1)).reshape(-1)


class ModeLevels:
    """Level 0, then level after level, by `next`."""

    def __init__(self, labels: np.ndarray, nodata: Any, minima: Extreme, maxima: Extreme) -> None:
        self.low = self.high = labels
        self.nodata, self.minima, self.maxima = nodata, minima, maxima
        self.mixed: np.ndarray | None = None
        """Which windows hold several labels; None of level 0, where none does."""
        self.elements = np.ones((1,) * labels.ndim, np.int64)
        """How many elements of level 0 every window holds, in shapes that broadcast."""
        self.entries: Entries = (np.empty(0, np.int64), np.empty(0, labels.dtype), np.empty(0, np.int64))
        """Of the windows that hold several labels."""

    def next(self, window: Lengths) -> np.ndarray:
        """The modes of the next level, whose windows hold so many of this one's."""
        low, high = self.minima(self.low, window), self.maxima(self.high, window)
        mixed, values = low != high, low.copy()
        left = mixed
        compared: Entries | None = None
        if self.mixed is None and math.prod(window) <= COMPARED:
            compared, left = self._compare(window, mixed, values)
        merged = self._merge(window, left, low.shape)
        _set_most_frequent(values, merged)
        if compared is not None:
            merged = _joined(compared, merged)
        self.elements = _summed(self.elements, window, self.low.shape)
        self.entries, self.mixed, self.low, self.high = merged, mixed, low, high
        return values

    def _compare(self, window: Lengths, mixed: np.ndarray, values: np.ndarray) -> tuple[Entries, np.ndarray]:
        """The entries of whole windows of level 0, whose modes are set; and which windows are left."""
        shape = self.low.shape
        whole = mixed.copy()
        for axis, (n, f) in enumerate(zip(shape, window, strict=True)):
            whole[(*(slice(None),) * axis, slice(n // f, None))] = False
        strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        corners = sum(at * (f * stride) for at, f, stride in zip(np.nonzero(whole), window, strides, strict=True))
        flat = np.ascontiguousarray(self.low).reshape(-1)
        offsets = (
            sum(a * b for a, b in zip(place, strides, strict=True)) for place in itertools.product(*map(range, window))
        )
        columns = [flat[corners + offset] for offset in offsets]
        modes, found = _compared(columns, self.nodata)
        values[whole] = modes
        numbers = np.flatnonzero(whole)
        entries = [(numbers[first], column[first], count[first]) for column, count, first in found]
        windows, labels, counts = _joined(*entries)
        return (windows, labels, counts.astype(np.int64)), mixed & ~whole

    def _merge(self, window: Lengths, mixed: np.ndarray, above: Lengths) -> Entries:
        """The entries of these windows of the next level, sorted, from this level's."""
        shape = self.low.shape
        if not mixed.any():
            windows, labels, counts = self.entries
            return windows[:0], labels[:0], counts[:0]
        pure = _repeated(mixed, window, shape)
        if self.mixed is not None:
            pure = pure & ~self.mixed
        at = np.flatnonzero(pure)
        parents = _parents(shape, window, above)
        counts = np.broadcast_to(self.elements, shape).reshape(-1)[at] if self.elements.size > 1 else self.elements
        counts = np.broadcast_to(counts.reshape(-1), at.shape)
        windows, labels, counts = _joined(
            (parents[at], self.low.reshape(-1)[at], counts),
            (parents[self.entries[0]], *self.entries[1:]),
        )
        if self.nodata is not None:
            counted = labels != self.nodata
            windows, labels, counts = windows[counted], labels[counted], counts[counted]
        return _merged(windows, labels, counts)


def _joined(*entries: Entries) -> Entries:
    windows, labels, counts = (np.concatenate(each) for each in zip(*entries, strict=True))
    return windows, labels, counts


def _compared(
    columns: list[np.ndarray], nodata: Any
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """The modes of windows whose elements stand in columns, and of each column how often its label occurs in the
    window and where it is the first with that label."""
    counts = [np.ones(len(columns[0]), np.uint8) for _ in columns]
    first = [np.ones(len(columns[0]), bool) for _ in columns]
    for j, i in itertools.combinations(range(len(columns)), 2):
        equal = columns[j] == columns[i]
        counts[j] += equal
        counts[i] += equal
        first[i] &= ~equal
    if nodata is not None:
        for column, count, is_first in zip(columns, counts, first, strict=True):
            is_nodata = column == nodata
            count[is_nodata] = 0
            is_first &= ~is_nodata
    modes, most = columns[0].copy(), counts[0].copy()
    for column, count in zip(columns[1:], counts[1:], strict=True):
        better = (count > most) | ((count == most) & (column < modes))
        np.copyto(modes, column, where=better)
        np.maximum(most, count, out=most)
    return modes, list(zip(columns, counts, first, strict=True))


def _set_most_frequent(values: np.ndarray, entries: Entries) -> None:
    """Set the modes of windows by their entries, sorted by window and label."""
    windows, labels, counts = entries
    if windows.size:
        begins = np.flatnonzero(np.diff(windows, prepend=-1))
        lengths = np.diff(begins, append=windows.size)
        winners = np.flatnonzero(counts == np.repeat(np.maximum.reduceat(counts, begins), lengths))
        first = winners[np.flatnonzero(np.diff(windows[winners], prepend=-1))]
        values.reshape(-1)[windows[first]] = labels[first]


def _merged(windows: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> Entries:
    """Every label of every window once, in ascending order, with the sum of its counts."""
    if not windows.size:
        return windows, labels, counts
    codes, decode = _codes(labels)
    label_bits, count_bits = (int(each.max()).bit_length() for each in (codes, counts))
    keys = (windows.astype(np.uint64) << np.uint64(label_bits)) | codes
    if int(windows.max()).bit_length() + label_bits + count_bits <= 64:  # sorted together, which is faster
        keys <<= np.uint64(count_bits)
        keys |= counts.astype(np.uint64)
        keys.sort()
        counts = (keys & np.uint64(2**count_bits - 1)).astype(np.int64)
        keys >>= np.uint64(count_bits)
    else:
        order = np.argsort(keys)
        keys, counts = keys[order], counts[order]
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    totals, keys = np.add.reduceat(counts, begins), keys[begins]
    return (keys >> np.uint64(label_bits)).astype(np.int64), decode(keys & np.uint64(2**label_bits - 1)), totals


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


def _parents(shape: Lengths, window: Lengths, above: Lengths) -> np.ndarray:
    """The flat position in the next level of every flat position."""
    total = np.zeros((1,) * len(shape), np.int64)
    for axis, (n, f) in enumerate(zip(shape, window, strict=True)):
        along = np.arange(n, dtype=np.int64) // f * math.prod(above[axis + 1 :])
        total = total + along.reshape(-1, *(1,) * (len(shape) - axis - 1))
    return total.reshape(-1)


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
        same = n % f == 0 and elements.shape[axis] == 1
        elements = np.add.reduceat(whole, np.arange(0, n, f), axis=axis)
        if same:
            elements = elements[(*(slice(None),) * axis, slice(0, 1))]
    return elements
