"""What a step of training costs: time, what is kept between its halves, and memory."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from ..clock import computing
from ..networks.base import BATCH_SIZE, Network, spread_over

TIMES = 5
STEP = ("ms_training_forward", "ms_training_backward", "saved_bytes", "peak_bytes")
"""The measures of a step, by name."""


@computing
def measure_training(network: Network, images: np.ndarray) -> dict[str, float]:
    """Milliseconds and saved bytes per image, and peak memory, of a step on a batch of these images.

    What cannot be measured is not there. The network stays as it is.
    """
    batch = spread_over(images, BATCH_SIZE)
    step = network.training_step(batch)
    if step is None:
        return {}
    forward, both = least_seconds(step.forward), least_seconds(step.both)
    values = (
        1000 * forward / len(batch),
        1000 * max(0.0, both - forward) / len(batch),
        step.saved_bytes / len(batch),
        step.peak_bytes,
    )
    return {name: float(value) for name, value in zip(STEP, values, strict=True) if value is not None}


def least_seconds(run: Callable[[], object]) -> float:
    """The least time of several; one before them warms up."""
    run()
    times = []
    for _ in range(TIMES):
        began = perf_counter()
        run()
        times.append(perf_counter() - began)
    return min(times)
