"""What an operator alone does to images, without a network: windows of 2×2 with stride 2, channels apart."""

from __future__ import annotations

import numpy as np

import anypool as ap

from .information import FACTOR, LinearDecoder, bilinear, kept
from .selection import selection_entropy
from .spectrum import aliasing, detail_kept, variation_ratio

MOST_IMAGES = 200
"""Measured on so many test images, evenly spaced, and a decoder made of as many training images."""


def measure_operator(operator: ap.Operator, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Information, detail, aliasing and selection of an operator on these images.

    Args:
        operator: what pools.
        train, test: images of shape (count, height, width, channels), floats; the best linear decoder is made of the
            former, and everything measured on the latter. An odd last row or column is left out.
    """
    train, test = _even(train), _even(test)
    pooled = _pool(test, operator)
    plain = kept(test, bilinear(pooled))
    best = kept(test, LinearDecoder(_pool(train, operator), train)(pooled))
    dense = dense_map(operator, test)
    found = {
        "error_bilinear": plain.error,
        "psnr_bilinear": plain.psnr,
        "ssim_bilinear": plain.ssim,
        "error_linear": best.error,
        "psnr_linear": best.psnr,
        "ssim_linear": best.ssim,
        "detail_kept": detail_kept(test, dense, FACTOR),
        "variation_ratio": variation_ratio(test, dense),
        "aliasing": aliasing(dense, FACTOR),
        "selection": selection_entropy(window_gradients(operator, test)),
    }
    return {name: value for name, value in found.items() if value is not None}


def dense_map(operator: ap.Operator, images: np.ndarray) -> np.ndarray:
    """The operator at stride 1 on images continued in a circle: as many places as there are pixels."""
    continued = np.pad(images, ((0, 0), (0, FACTOR - 1), (0, FACTOR - 1), (0, 0)), mode="wrap")
    return np.asarray(ap.pool(continued, operator, ap.Sliding(FACTOR, stride=1), axes=(1, 2)))


def window_gradients(operator: ap.Operator, images: np.ndarray) -> np.ndarray:
    """The gradient of each window's output in its elements: shape (windows, 4)."""
    import jax
    import jax.numpy as jnp

    def total(x: jax.Array) -> jax.Array:
        return jnp.sum(ap.pool(x, operator, ap.Sliding(FACTOR), axes=(1, 2)).astype(x.dtype))  # counts are integers

    gradient = np.asarray(jax.jit(jax.grad(total))(jnp.asarray(images)))
    count, height, width, channels = gradient.shape
    blocks = gradient.reshape(count, height // FACTOR, FACTOR, width // FACTOR, FACTOR, channels)
    return blocks.transpose(0, 1, 3, 5, 2, 4).reshape(-1, FACTOR * FACTOR)


def _pool(images: np.ndarray, operator: ap.Operator) -> np.ndarray:
    return np.asarray(ap.pool(images, operator, ap.Sliding(FACTOR), axes=(1, 2)))


def _even(images: np.ndarray) -> np.ndarray:
    height, width = (side - side % FACTOR for side in images.shape[1:3])
    return images[:, :height, :width]
