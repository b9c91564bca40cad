"""`page`: the playground as one HTML document, with its picture, numbers, style and scripts in it."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from importlib.resources import files
from typing import Any

import numpy as np

from anypool.functional import adaptive_pool
from anypool.playground.operators import definitions

LONGEST = 96
"""Pixels of the longer side of the picture that is shown."""
MOST_NUMBERS = 12
"""Rows, and columns, of a table."""

COURSE = ((2, 2, 7, 3), (9, 4, 6, 1), (8, 5, 2, 4), (3, 1, 2, 6))
"""The sixteen numbers of the lesson."""
PHOTOGRAPH = "a photograph of the astronaut Eileen Collins, by NASA"

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""What red, green and blue weigh in grey (Recommendation ITU-R BT.709)."""


def page(image: Any = None, *, numbers: Any = COURSE, name: str | None = None) -> str:
    """The playground: a self-contained HTML page that loads nothing.

    Args:
        image: what to move a window over, shape (height, width) or (height, width, channels) with 1, 3 or 4 channels;
            bytes are shown as they are, other numbers between their least and their greatest. It is made grey, and
            reduced to at most 96 pixels a side by averages. Default: a photograph.
        numbers: the table of numbers to begin with, at most 12×12.
        name: what the image is called. Default: "your image", or what the photograph shows.

    Raises:
        TypeError: image or numbers hold no real numbers. ValueError: their shape is another, or they are not finite.

    >>> text = page()
    >>> text.startswith("<!doctype html>"), "https://" in text
    (True, False)
    """
    picture = _photograph() if image is None else _picture(image)
    shown = PHOTOGRAPH if image is None else "your image"
    data = {
        "operators": definitions(),
        "picture": {"rows": picture.shape[0], "columns": picture.shape[1], "bytes": _encoded(picture)},
        "numbers": _table(numbers).tolist(),
        "name": shown if name is None else name,
    }
    return _inlined(data)


def _inlined(data: dict[str, Any]) -> str:
    """The document, with what it is made of in the place of marks such as {{ playground.css }}."""
    parts = {
        # In a script element no text may look like its end.
        "data": json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
        "name": html.escape(data["name"]),
    }
    parts |= {
        name: _read(name) for name in ("playground.css", "pooling.js", "drawing.js", "explain.js", "playground.js")
    }
    return re.sub(r"\{\{ ([\w.]+) \}\}", lambda mark: parts[mark[1]], _read("playground.html"))


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _encoded(picture: np.ndarray) -> str:
    return base64.b64encode(picture.tobytes()).decode()


# ---------------------------------------------------------------------------------------------------------------------
# What is pooled


def _photograph() -> np.ndarray:
    return np.load(io.BytesIO(files(__package__).joinpath("photograph.npy").read_bytes()))


def _picture(image: Any) -> np.ndarray:
    """An image in grey bytes, reduced."""
    array = _numbers("image", image)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or 0 in array.shape:
        rule = "(height, width) or (height, width, channels) with 1, 3 or 4 channels"
        raise ValueError(f"image must have shape {rule}, got {array.shape}")
    pixels = array.astype("float64")
    if array.dtype != np.uint8:
        least, span = pixels.min(), np.ptp(pixels)
        pixels = (pixels - least) * (255 / span if span else 0)
    height, width = pixels.shape[:2]
    share = min(1, LONGEST / max(height, width))
    size = (max(1, round(height * share)), max(1, round(width * share)))
    reduced = adaptive_pool(_grey(pixels), "average", output_size=size)
    return np.rint(reduced).astype("uint8")


def _grey(pixels: np.ndarray) -> np.ndarray:
    """One channel of one, three or four; what is transparent is white."""
    if pixels.ndim == 2:
        return pixels
    grey = pixels[..., :3] @ LUMINANCE if pixels.shape[2] > 1 else pixels[..., 0]
    if pixels.shape[2] < 4:
        return grey
    opaque = pixels[..., 3] / 255
    return grey * opaque + 255 * (1 - opaque)


def _table(numbers: Any) -> np.ndarray:
    array = _numbers("numbers", numbers)
    if array.ndim != 2 or 0 in array.shape or max(array.shape) > MOST_NUMBERS:
        raise ValueError(f"numbers must be a table of at most {MOST_NUMBERS}×{MOST_NUMBERS}, got shape {array.shape}")
    return array.astype("float64")


def _numbers(argument: str, given: Any) -> np.ndarray:
    array = np.asarray(given)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{argument} must hold real numbers, got dtype {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError(f"{argument} must be finite, got NaN or infinity")
    return array
