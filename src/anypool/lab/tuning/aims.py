"""What a search is for: measures, each to be high or low."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import le
from typing import Literal

import numpy as np

from ..data import Dataset
from ..measures import MEASURES

NAMES = {"latency": "ms_forward"}
"""Measures by what users call them, too."""

EVERY = 5
"""Every fifth training image of each class is held out, to choose by."""


def known_aims() -> list[str]:
    """The measures of a network that are better high or low, of which a search may take any."""
    return [name for name, info in MEASURES.items() if info.better is not None and info.of in ("network", "cost")]


def check_aims(aims: Sequence[str]) -> tuple[str, ...]:
    """The measures that these aims name, in their order.

    Raises:
        ValueError: one is none, or is named twice, or there is none.

    >>> check_aims(["accuracy", "latency"])
    ('accuracy', 'ms_forward')
    """
    given = [aims] if isinstance(aims, str) else list(aims)
    known = known_aims()
    found = [NAMES.get(aim, aim) for aim in given]
    wrong = next((aim for aim, name in zip(given, found, strict=True) if name not in known), None)
    if wrong is not None or not found:
        rule = f"one or more of {', '.join((*known, *NAMES))}"
        raise ValueError(f"aims must be {rule}, got {wrong!r}" if found else f"aims must be {rule}, got none")
    if len(set(found)) < len(found):
        raise ValueError(f"aims must name each measure once, got {', '.join(given)}")
    return tuple(found)


def directions(aims: Sequence[str]) -> list[Literal["maximize", "minimize"]]:
    """Optuna's word for each aim.

    >>> directions(["accuracy", "ms_forward"])
    ['maximize', 'minimize']
    """
    return ["maximize" if MEASURES[aim].better == "higher" else "minimize" for aim in aims]


def to_choose_by(data: Dataset, trained: bool) -> Dataset:
    """The images that trials train on and are measured on, none of which the best network is measured on at the end.

    A network that is trained here is chosen by every fifth training image of each class. One of the user's has seen
    those: it is chosen by every other test image of each class, and `to_tell_by` has the others.
    """
    if not trained:
        return _tested_on(data, 0)
    held = _places(data.y_train, EVERY, EVERY - 1)
    kept = np.setdiff1d(np.arange(len(data.y_train)), held)
    return replace(
        data,
        x_train=data.x_train[kept],
        y_train=data.y_train[kept],
        x_test=data.x_train[held],
        y_test=data.y_train[held],
    )


def to_tell_by(data: Dataset, trained: bool) -> Dataset:
    """The images that the best network is trained on, if it is, and measured on."""
    return data if trained else _tested_on(data, 1)


def _tested_on(data: Dataset, first: int) -> Dataset:
    places = _places(data.y_test, 2, first)
    return replace(data, x_test=data.x_test[places], y_test=data.y_test[places])


def _places(labels: np.ndarray, every: int, first: int) -> np.ndarray:
    """Of each class, every so manieth place from `first`, in order.

    >>> _places(np.array([0, 1, 0, 1, 0, 1]), 2, 1)
    array([2, 3])
    """
    chosen = [np.flatnonzero(labels == label)[first::every] for label in np.unique(labels)]
    return np.sort(np.concatenate(chosen))


def front(values: Sequence[Sequence[float]], aims: Sequence[str]) -> list[int]:
    """The places of the values that no others beat in all aims, the best in the first aim first.

    >>> front([(0.9, 5.0), (0.8, 9.0), (0.8, 2.0), (0.95, 7.0)], ["accuracy", "ms_forward"])
    [3, 0, 2]
    """
    signs = [-1 if direction == "maximize" else 1 for direction in directions(aims)]
    costs = [tuple(sign * value for sign, value in zip(signs, point, strict=True)) for point in values]

    def is_beaten(cost: tuple[float, ...]) -> bool:
        return any(other != cost and all(map(le, other, cost)) for other in costs)

    return sorted((place for place, cost in enumerate(costs) if not is_beaten(cost)), key=lambda place: costs[place])


def is_cost(aim: str) -> bool:
    """Whether an aim is what a network costs."""
    return MEASURES[aim].of == "cost"
