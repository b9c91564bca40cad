"""Sorting networks: minima and maxima of whole arrays in place of a sort of each of their rows."""

from __future__ import annotations

from functools import cache

LONGEST = 64
"""Up to this many elements, a network is faster than sorting rows."""


@cache
def comparisons(n: int) -> tuple[tuple[int, int], ...]:
    """Which of n lanes to compare, in turn: the lesser goes to the first of each pair. Batcher's odd-even merge sort.

    >>> lanes = [3, 1, 2]
    >>> for low, high in comparisons(3):
    ...     lanes[low], lanes[high] = sorted((lanes[low], lanes[high]))
    >>> lanes
    [1, 2, 3]
    """
    pairs = []
    run = 1  # what is sorted already, in runs of this length
    while run < n:
        apart = run
        while apart >= 1:
            for first in range(apart % run, n - apart, 2 * apart):
                for low in range(first, min(first + apart, n - apart)):
                    if low // (2 * run) == (low + apart) // (2 * run):
                        pairs.append((low, low + apart))
            apart //= 2
        run *= 2
    return tuple(pairs)
