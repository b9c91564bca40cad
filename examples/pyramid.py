"""A volume in three dimensions, and its pyramid: every level is exact, whatever is kept of a window."""

import tempfile
from pathlib import Path

import numpy as np
import zarr

import anypool as ap


def volume(shape=(64, 256, 256)):
    """Bright cells on a dim background, with the noise of a camera: 8 bits."""
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[tuple(slice(0, n) for n in shape)]
    light = 40 + 30 * np.sin(y / 40) * np.cos(x / 50) + 0 * z
    for _ in range(60):
        middle, radius = rng.uniform(0, shape), rng.uniform(5, 22)
        distance = sum((axis - m) ** 2 for axis, m in zip((2 * z, y, x), middle * (2, 1, 1), strict=True))
        light = np.where(distance < radius**2, rng.uniform(90, 220), light)
    return (light + rng.normal(0, 12, shape)).clip(0, 255).astype("uint8")


def labels(light, kinds=16):
    """A label for every shade, so many of them."""
    return (light // (256 // kinds)).astype("uint8")


if __name__ == "__main__":
    image = Path(tempfile.mkdtemp()) / "cells.zarr"
    level_0 = zarr.create_group(image).create_array("0", shape=(64, 256, 256), chunks=(32, 64, 64), dtype="uint8")
    level_0[...] = volume()

    made = ap.pyramid(image, operator="mean", levels=5)  # beside level 0, in place
    for level in made.levels:
        print(level.number, level.shape, zarr.open_group(image)[str(level.number)][...].mean().round(1))
