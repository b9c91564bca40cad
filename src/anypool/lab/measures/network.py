"""All that is measured on a network."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from time import perf_counter

import numpy as np

from ..data import Dataset
from ..networks.base import Network, accuracy_of, check_outputs, probabilities, spread_over
from . import shifts

FEWEST_TIMES = 4
"""Of predictions that are timed; those of moved images are more."""


def measure_network(
    network: Network,
    data: Dataset,
    max_shift: int,
    draws: int,
    moved_images: int | None,
    should_stop: Callable[[], bool],
    only: Collection[str] | None = None,
) -> dict[str, float]:
    """Accuracy, what moves do to the predictions, and what predicting costs.

    Args:
        network: what is measured.
        data: its test images are.
        max_shift: how far images are moved at most, in pixels.
        draws: how often each is moved.
        moved_images: how many are, evenly spaced; None for all.
        should_stop: asked between batches.
        only: the names of the measures to take; None for all.

    Raises:
        ValueError: the network's outputs are not one number per class. ArithmeticError: they are NaN or infinite.
    """

    seconds_per_image: list[float] = []

    def predict(images: np.ndarray) -> np.ndarray:
        began = perf_counter()
        found = network.predict(images, should_stop)
        seconds_per_image.append((perf_counter() - began) / len(images))
        return found

    def classify(images: np.ndarray) -> np.ndarray:
        return predict(images).argmax(axis=-1)

    outputs = predict(data.x_test)
    check_outputs(outputs, len(data.x_test), data.classes)
    if not np.isfinite(outputs).all():
        raise ArithmeticError("the network's outputs are NaN or infinite")
    chosen = spread_over(np.arange(len(data.x_test)), moved_images or len(data.x_test))
    images, labels = data.x_test[chosen], data.y_test[chosen]
    still = outputs[chosen].argmax(axis=-1)

    @cache
    def moved() -> np.ndarray:
        return shifts.moved_classes(classify, images, max_shift, draws)

    def wobble() -> float:
        known = probabilities(outputs[chosen])
        return shifts.diagonal_wobble(lambda x: probabilities(predict(x)), images, labels, max_shift, known)

    def milliseconds() -> float:
        while len(seconds_per_image) < FEWEST_TIMES:
            predict(data.x_test)
        return 1000 * min(seconds_per_image[1:])  # the first includes compilation

    measures: dict[str, Callable[[], float]] = {
        "accuracy": lambda: accuracy_of(outputs, data.y_test),
        "consistency": lambda: shifts.shift_consistency(still, moved()),
        "fidelity": lambda: shifts.fidelity(still, moved(), labels),
        "circular_consistency": lambda: shifts.circular_consistency(classify, images, max_shift, max(1, draws // 2)),
        "wobble": wobble,
        "ms_forward": milliseconds,
    }
    found = {name: measure() for name, measure in measures.items() if only is None or name in only}
    costs = network.cost(data.x_test[:1])
    return found | {name: value for name, value in costs.items() if only is None or name in only}
