"""Images, pooled and drawn: what a file holds, what a pooling keeps of it, and both side by side."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

import anypool as ap

MOST_PIXELS = 50_000_000
CHANNELS = (1, 3, 4)

SMALL, LARGE = 320, 480
"""Panels: images are enlarged to about the one and reduced to the other, in pixels of their longer side."""
MARGIN, LINE, TEXT = 24, 22, 16


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def read_image(path: Path) -> np.ndarray:
    """The image in a PNG, JPEG or .npy file: shape (height, width) or (height, width, channels), real numbers.

    Raises:
        ValueError: there is no such file, or it holds no image of 1, 3 or 4 channels, finite, of at most 50 million
            pixels.
    """
    if not path.is_file():
        raise ValueError(f"image must be a PNG, JPEG or .npy file, got {str(path)!r}, which is {_what(path)}")
    read = _read_array if path.suffix.lower() == ".npy" else _read_picture
    try:
        with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
            image = read(path)
    except _Refused:
        raise
    except Exception as error:  # Pillow and NumPy raise many kinds for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        said = f"{str(path)!r} cannot be read: {reason}"
        raise ValueError(f"image must be a PNG, JPEG or .npy file, but {said}") from error
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ValueError(f"image must be finite, but {str(path)!r} holds NaN or infinity")
    return image


class _Refused(ValueError):
    """The file was read and breaks a rule."""


def _read_picture(path: Path) -> np.ndarray:
    with Image.open(path, formats=("PNG", "JPEG")) as picture:
        _check_shape(path, (picture.height, picture.width))
        upright = ImageOps.exif_transpose(picture)
        if upright.mode in ("L", "RGB", "RGBA", "I;16", "I", "F"):
            return np.asarray(upright)
        if upright.mode == "1":
            return np.asarray(upright.convert("L"))
        transparent = upright.has_transparency_data
        return np.asarray(upright.convert("RGBA" if transparent else "RGB"))


def _read_array(path: Path) -> np.ndarray:
    # Mapped, so that shape and dtype are known before anything is read; this refuses pickled objects.
    mapped = np.lib.format.open_memmap(path, mode="r")
    if mapped.dtype.kind not in "buif":
        raise _Refused(f"image must hold real numbers, but {str(path)!r} has dtype {mapped.dtype}")
    _check_shape(path, mapped.shape)
    image = np.array(mapped)
    return image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image


def _check_shape(path: Path, shape: tuple[int, ...]) -> None:
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in CHANNELS) or 0 in shape:
        rule = "(height, width) or (height, width, channels) with 1, 3 or 4 channels"
        raise _Refused(f"image must have shape {rule}, but {str(path)!r} has {shape}")
    if shape[0] * shape[1] > MOST_PIXELS:
        raise _Refused(f"image must have at most {MOST_PIXELS:,} pixels, but {str(path)!r} has {shape[0]} × {shape[1]}")


def _what(path: Path) -> str:
    return "a directory" if path.is_dir() else "no file" if path.exists() else "not there"


# ---------------------------------------------------------------------------------------------------------------------
# Pooling and drawing


@dataclass(frozen=True)
class Panel:
    """An array and what to say under it."""

    title: str
    image: np.ndarray

    @property
    def shape(self) -> str:
        return " × ".join(map(str, self.image.shape))

    @property
    def values(self) -> str:
        return f"values {readable(self.image.min())} to {readable(self.image.max())}"


def readable(value: Any) -> str:
    """A number as people write it: all digits of an integer, otherwise four digits after the point at most.

    >>> readable(np.uint16(65535)), readable(65534.5), readable(0.1234567), readable(2.5e-07)
    ('65535', '65534.5', '0.1235', '2.5e-07')
    """
    number = value.item() if isinstance(value, np.generic) else value
    if not isinstance(number, float):
        return str(int(number))
    if number == 0 or 1e-3 <= abs(number) < 1e15:
        return f"{number:.4f}".rstrip("0").rstrip(".")
    return f"{number:.4g}"


def pooled(image: np.ndarray, operators: Sequence[tuple[str, ap.Operator]], window: ap.Window) -> list[Panel]:
    """The image and what each pooling keeps of it, through the same window over height and width.

    >>> [panel.shape for panel in pooled(np.zeros((28, 28)), [("max", ap.Max())], ap.Sliding(2))]
    ['28 × 28', '14 × 14']
    """
    versions = [Panel(name, ap.pool(image, operator, window, axes=(0, 1))) for name, operator in operators]
    return [Panel("image", image), *versions]


def to_pixels(image: np.ndarray, least: float, greatest: float) -> np.ndarray:
    """The image as bytes, `least` black and `greatest` white."""
    span = greatest - least if greatest > least else 1.0
    share = (np.asarray(image, np.float64) - least) / span
    return np.rint(255 * share.clip(0, 1)).astype(np.uint8)


def png(picture: Image.Image) -> bytes:
    """The picture as a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def side_by_side(panels: Sequence[Panel]) -> Image.Image:
    """The panels in a row at one size, each with its title, shape and values below, all on the grey scale of the first.

    Images of bytes keep theirs, 0 to 255. A panel whose values leave the scale gets its own.
    """
    first = panels[0].image
    least, greatest = (0.0, 255.0) if first.dtype == np.uint8 else (float(first.min()), float(first.max()))
    size = _panel_size(*first.shape[:2])
    font = ImageFont.load_default(TEXT)
    captions = [(panel.title, panel.shape.replace("×", "x"), panel.values) for panel in panels]  # the font has no ×
    widths = [max(size[0], *(int(font.getlength(line)) + 1 for line in lines)) for lines in captions]
    sheet = Image.new("RGB", (sum(widths) + MARGIN * (len(panels) + 1), size[1] + 3 * LINE + 5 * MARGIN // 2), "white")
    pen = ImageDraw.Draw(sheet)
    left = MARGIN
    for panel, lines, width in zip(panels, captions, widths, strict=True):
        inside = least <= panel.image.min() and panel.image.max() <= greatest
        scale = (least, greatest) if inside else (float(panel.image.min()), float(panel.image.max()))
        sheet.paste(_resized(to_pixels(panel.image, *scale), size), (left, MARGIN))
        pen.rectangle((left - 1, MARGIN - 1, left + size[0], MARGIN + size[1]), outline="#b8bcc4")
        for row, line in enumerate(lines):
            top = MARGIN + size[1] + MARGIN // 2 + row * LINE
            pen.text((left, top), line, fill="#16181d" if row == 0 else "#5c6370", font=font)
        left += width + MARGIN
    return sheet


def _panel_size(height: int, width: int) -> tuple[int, int]:
    longer = max(height, width)
    factor = LARGE / longer if longer > LARGE else max(1, SMALL // longer)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _resized(pixels: np.ndarray, size: tuple[int, int]) -> Image.Image:
    picture = Image.fromarray(pixels)
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    larger = size[0] >= picture.width and size[1] >= picture.height
    return picture.convert("RGB").resize(size, Image.Resampling.NEAREST if larger else Image.Resampling.BOX)
