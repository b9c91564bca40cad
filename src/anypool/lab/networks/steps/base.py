"""What is asked of a step of training: to run its halves, and to say what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Step:
    """Forward on a batch in training, and backward from a gradient of the outputs to those of all trainable weights."""

    forward: Callable[[], object]
    """Runs the forward pass alone, to its end."""
    both: Callable[[], object]
    """Runs forward and backward, to their end."""
    saved_bytes: int
    """Of all that forward keeps for backward and that was not there before: neither weights nor images."""
    peak_bytes: int | None
    """Of what both hold at once at most, gradients included, beyond what was there before; None where none says so."""


def output_gradient(shape: tuple[int, ...]) -> np.ndarray:
    """A gradient of outputs to begin with: random, so that no compiler can leave anything out, and always the same."""
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
