"""What a pooling does to an image's frequencies: what it smooths away and what folds.

Both look at the pooling at stride 1 on images continued in a circle, so that the map has as many places as the image
and its spectrum is exact. Frequencies are in cycles per pixel; a stride of s keeps those below 1/(2s), and what lies
above folds into them. Means are left out: they are no detail, and would make a number of the background's brightness.
"""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-9
"""Of all energy: less is what rounding leaves, and nothing."""


def frequencies(height: int, width: int) -> np.ndarray:
    """The greater of the two frequencies, of rows and of columns, at every place of a spectrum: 0 to 1/2."""
    return np.maximum(np.abs(np.fft.fftfreq(height))[:, None], np.abs(np.fft.fftfreq(width))[None, :])


def energy(images: np.ndarray) -> np.ndarray:
    """The energy at every frequency, over all images and channels: shape (height, width); that of the means is 0."""
    spectrum = np.fft.fft2(images.astype(np.float64), axes=(1, 2))
    total = np.sum(np.abs(spectrum) ** 2, axis=(0, 3))
    total[0, 0] = 0.0
    return total


def aliasing(dense: np.ndarray, stride: int) -> float:
    """The share of the energy of the stride-1 map `dense` that the stride folds: at and above 1/(2·stride).

    >>> stripes = np.tile([0.0, 1.0], (1, 4, 2))[..., None]
    >>> aliasing(stripes, 2)
    1.0
    """
    spectrum = energy(dense)
    total = spectrum.sum()
    folded = spectrum[frequencies(*spectrum.shape) >= 1 / (2 * stride)].sum()
    return float(folded / total) if total else 0.0


def detail_kept(images: np.ndarray, dense: np.ndarray, stride: int) -> float | None:
    """The energy in the upper half of the band that survives the stride, of the map over that of the images.

    The band is 1/(4·stride) to 1/(2·stride). None where the images have nothing there.
    """
    before, after = energy(images), energy(dense)
    place = frequencies(*before.shape)
    band = (place >= 1 / (4 * stride)) & (place < 1 / (2 * stride))
    there = before[band].sum()
    return float(after[band].sum() / there) if there > ROUNDING * before.sum() else None


def variation_ratio(images: np.ndarray, dense: np.ndarray) -> float | None:
    """The total variation of the map over that of the images: sums of differences between neighbours, in a circle.

    None where the images are constant.
    """
    there = _variation(images)
    return _variation(dense) / there if there else None


def _variation(images: np.ndarray) -> float:
    exact = images.astype(np.float64)
    return float(sum(np.abs(exact - np.roll(exact, 1, axis)).sum() for axis in (1, 2)))
