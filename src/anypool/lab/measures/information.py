"""How much of an image can be had back from what a pooling kept of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

FACTOR = 2
"""The pooling's stride, which the decoders undo."""
RIDGE = 1e-6
"""Of the mean square of the decoder's inputs: keeps the normal equations solvable where inputs depend on each other."""


@dataclass(frozen=True)
class Kept:
    """How near images come to what they were."""

    error: float
    """‖x − x̂‖ / ‖x‖."""
    psnr: float
    """10·log₁₀(range² / mean square error), in decibels."""
    ssim: float
    """Structural similarity, the mean over the images."""


def kept(images: np.ndarray, decoded: np.ndarray) -> Kept:
    """How near decoded images come to the images, both of shape (count, height, width, channels).

    A perfect decoder has no PSNR that is a number; it is given as 100 decibels.

    >>> kept(np.ones((1, 4, 4, 1)), np.full((1, 4, 4, 1), 0.5)).error
    0.5
    """
    images, decoded = images.astype(np.float64), decoded.astype(np.float64)
    span = float(images.max() - images.min()) or 1.0
    square = float(np.mean((images - decoded) ** 2))
    norm = math.sqrt(float(np.mean(images**2))) or 1.0
    psnr = 100.0 if square == 0 else min(100.0, 10 * math.log10(span**2 / square))
    return Kept(math.sqrt(square) / norm, psnr, _ssim(images, decoded, span))


def _ssim(images: np.ndarray, decoded: np.ndarray, span: float) -> float:
    """Wang et al. 2004 with uniform windows of 7 pixels, or of the largest odd number that fits."""
    from skimage.metrics import structural_similarity

    side = min(images.shape[1:3])
    window = min(7, side if side % 2 else side - 1)
    return float(
        np.mean(
            [
                structural_similarity(image, other, win_size=window, data_range=span, channel_axis=-1)
                for image, other in zip(images, decoded, strict=True)
            ]
        )
    )


def bilinear(pooled: np.ndarray) -> np.ndarray:
    """Images twice as high and wide, bilinearly: what a network's upsampling layer makes of a pooled map.

    Output pixel r lies at r/2 − 1/4 of the pooled map; beyond its border the border's values hold.

    >>> bilinear(np.array([0.0, 4.0]).reshape(1, 1, 2, 1))[0, 0, :, 0]
    array([0., 1., 3., 4.])
    """
    for axis in (1, 2):
        edge = np.pad(pooled, [(1, 1) if a == axis else (0, 0) for a in range(4)], mode="edge")
        before, here, after = (np.take(edge, range(o, o + pooled.shape[axis]), axis) for o in (0, 1, 2))
        pair = np.stack([(before + 3 * here) / 4, (3 * here + after) / 4], axis + 1)
        pooled = pair.reshape(*pooled.shape[:axis], -1, *pooled.shape[axis + 1 :])
    return pooled


class LinearDecoder:
    """The best linear decoder of a pooled map: from 3×3 pooled values, and one, to the 2×2 pixels in their middle.

    Least squares (ridge) over all places and channels of the images it is made of; its error on other images is what a
    first convolution could at best have back.
    """

    def __init__(self, pooled: np.ndarray, images: np.ndarray) -> None:
        inputs, targets = _neighbourhoods(pooled), _blocks(images)
        gram = inputs.T @ inputs
        gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram)
        self.weights = np.linalg.solve(gram, inputs.T @ targets)

    def __call__(self, pooled: np.ndarray) -> np.ndarray:
        """The images decoded from pooled maps of shape (count, height, width, channels)."""
        count, height, width, channels = pooled.shape
        blocks = (_neighbourhoods(pooled) @ self.weights).reshape(count, height, width, channels, FACTOR, FACTOR)
        return blocks.transpose(0, 1, 4, 2, 5, 3).reshape(count, height * FACTOR, width * FACTOR, channels)


def _neighbourhoods(pooled: np.ndarray) -> np.ndarray:
    """The 3×3 values around every pooled value and a one: shape (places, 10)."""
    padded = np.pad(pooled.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    windows = sliding_window_view(padded, (3, 3), (1, 2)).reshape(-1, 9)
    return np.concatenate([windows, np.ones((len(windows), 1))], axis=1)


def _blocks(images: np.ndarray) -> np.ndarray:
    """The 2×2 pixels of every window, in the order of `_neighbourhoods`: shape (places, 4)."""
    count, height, width, channels = images.shape
    blocks = images.reshape(count, height // FACTOR, FACTOR, width // FACTOR, FACTOR, channels)
    return blocks.transpose(0, 1, 3, 5, 2, 4).reshape(-1, FACTOR * FACTOR).astype(np.float64)
