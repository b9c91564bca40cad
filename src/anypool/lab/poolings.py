"""The poolings on offer in the lab and on the command line, by name. A later operator adds a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anypool as ap


@dataclass(frozen=True)
class Pooling:
    """An operator for arrays, and the name of the layer of `anypool.keras` that applies it to a batch of images."""

    operator: ap.Operator
    layer: str


POOLINGS = {
    "max": Pooling(ap.Max(), "MaxPooling2D"),
    "min": Pooling(ap.Min(), "MinPooling2D"),
    "average": Pooling(ap.Average(), "AveragePooling2D"),
}


def check_names(pool: Sequence[str]) -> tuple[str, ...]:
    """The names, each known and said once.

    Raises:
        ValueError: there is none, or one is unknown or repeated.

    >>> check_names(["max", "average"])
    ('max', 'average')
    """
    known = ", ".join(POOLINGS)
    if not pool:
        raise ValueError(f"pool must name one or more of {known}, got none")
    for place, name in enumerate(pool):
        if name not in POOLINGS:
            raise ValueError(f"pool must name some of {known}, got {name!r}")
        if name in pool[:place]:
            raise ValueError(f"pool must name each pooling once, got {name!r} twice")
    return tuple(pool)
