"""What becomes of a prediction when the image is moved; docs/measures.md has the definitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

SHIFT_SHARE = 1 / 14
"""Of the shorter side of an image: how far images are moved where nobody says."""
DRAWS = 8


def shifted(images: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Every image moved by its own offset: result[i, r, c] = images[i, r − dy, c − dx].

    Pixels that this leaves without a value take the background of their image: the median of its border, per channel.

    Args:
        images: shape (count, height, width, channels), floats.
        offsets: shape (count, 2), integers: dy down and dx to the right.

    >>> shifted(np.array([[[0., 0, 0], [0, 7, 0], [0, 0, 0]]])[..., None], np.array([[1, 0]]))[0, :, :, 0]
    array([[0., 0., 0.],
           [0., 0., 0.],
           [0., 7., 0.]])
    """
    count, height, width = images.shape[:3]
    rows = np.arange(height) - offsets[:, :1]
    columns = np.arange(width) - offsets[:, 1:]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    sides = (images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1])
    background = np.median(np.concatenate(sides, axis=1), axis=1).astype(images.dtype)
    row, column = rows.clip(0, height - 1)[:, :, None], columns.clip(0, width - 1)[:, None, :]
    moved = images[np.arange(count)[:, None, None], row, column]
    return np.where(inside[..., None], moved, background[:, None, None, :])


def moved_classes(
    classify: Callable[[np.ndarray], np.ndarray], images: np.ndarray, max_shift: int = 2, draws: int = 8, seed: int = 0
) -> np.ndarray:
    """The predicted class of every image after a random move, `draws` times: shape (draws, count).

    In every draw each image gets an offset of its own, uniform over the (2·max_shift + 1)² − 1 that move it by at most
    `max_shift` pixels each way. The same seed draws the same offsets.

    Args:
        classify: images of shape (count, height, width, channels) to their predicted classes, shape (count,).

    Raises:
        ValueError: max_shift is below 1 or reaches across the image, or draws is below 1.

    Source: the consistency of Zhang 2019, arXiv 1904.11486, with the still image as one of the two.
    """
    _check_moves(images, max_shift, draws)
    moves = _moves(max_shift)
    generator = np.random.default_rng(seed)
    return np.stack([classify(shifted(images, generator.choice(moves, len(images)))) for _ in range(draws)])


def _check_moves(images: np.ndarray, max_shift: int, draws: int) -> None:
    if not 1 <= max_shift < min(images.shape[1:3]):
        rule = f"at least 1 and less than a side of the images, {images.shape[1:3]}"
        raise ValueError(f"max_shift must be {rule}, got {max_shift}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")


def _moves(max_shift: int) -> np.ndarray:
    """All offsets of at most so many pixels each way, but none of (0, 0)."""
    steps = np.arange(-max_shift, max_shift + 1)
    return np.array([(dy, dx) for dy in steps for dx in steps if dy or dx])


def shift_consistency(still: np.ndarray, moved: np.ndarray) -> float:
    """The share of moves that leave the predicted class as it is. `still`: (count,); `moved`: (draws, count).

    >>> shift_consistency(np.array([1, 2]), np.array([[1, 2], [1, 0]]))
    0.75
    """
    return float(np.mean(moved == still))


def fidelity(still: np.ndarray, moved: np.ndarray, labels: np.ndarray) -> float:
    """The share of moves before and after which the predicted class is the right one.

    A constant classifier is wholly consistent; its fidelity is the share of its favourite class.

    >>> fidelity(np.array([1, 2]), np.array([[1, 2], [1, 0]]), np.array([1, 3]))
    0.5
    """
    return float(np.mean((moved == still) & (still == labels)))


def circular_consistency(
    classify: Callable[[np.ndarray], np.ndarray], images: np.ndarray, max_shift: int, draws: int, seed: int = 0
) -> float:
    """The share of images whose class is the same after two independent circular shifts, over several draws.

    What leaves an image on one side enters on the other, so nothing is lost and nothing is made up. The offsets are
    those of `moved_classes`.

    Raises:
        ValueError: max_shift is below 1 or reaches across the image, or draws is below 1.

    Source: Chaman and Dokmanić 2021, arXiv 2011.14214.
    """
    _check_moves(images, max_shift, draws)
    moves = _moves(max_shift)
    generator = np.random.default_rng(seed)

    def rolled_classes() -> np.ndarray:
        return classify(rolled(images, generator.choice(moves, len(images))))

    return float(np.mean([rolled_classes() == rolled_classes() for _ in range(draws)]))


def rolled(images: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Every image moved in a circle by its own offset: result[i, r, c] = images[i, (r − dy) mod H, (c − dx) mod W].

    >>> rolled(np.arange(4.0).reshape(1, 2, 2, 1), np.array([[1, 0]]))[0, :, :, 0]
    array([[2., 3.],
           [0., 1.]])
    """
    count, height, width = images.shape[:3]
    rows = (np.arange(height) - offsets[:, :1]) % height
    columns = (np.arange(width) - offsets[:, 1:]) % width
    return images[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def diagonal_wobble(
    probabilities: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    labels: np.ndarray,
    max_shift: int,
    still: np.ndarray | None = None,
) -> float:
    """How much the probability of the right class varies while an image moves along its diagonal.

    The mean over the images of the greatest less the least probability, over the moves (d, d) of `diagonal_steps`.

    Args:
        probabilities: images to the probabilities of their classes, shape (count, classes).
        still: those of the images where they are, if they are known.

    Source: the diagonal shifts of Zhang 2019, arXiv 1904.11486.
    """
    right = []
    for step in diagonal_steps(max_shift):
        known = still if step == 0 else None
        found = probabilities(shifted(images, np.full((len(images), 2), step))) if known is None else known
        right.append(found[np.arange(len(images)), labels])
    return float(np.mean(np.max(right, axis=0) - np.min(right, axis=0)))


def diagonal_steps(max_shift: int) -> list[int]:
    """At most five steps from −max_shift to max_shift, evenly spaced, 0 among them.

    >>> diagonal_steps(1), diagonal_steps(2), diagonal_steps(16)
    ([-1, 0, 1], [-2, -1, 0, 1, 2], [-16, -8, 0, 8, 16])
    """
    half = [max_shift // 2] if max_shift > 1 else []
    positive = [*half, max_shift]
    return [*(-step for step in reversed(positive)), 0, *positive]


def pixels_of_shift(shift: float | None, sides: Sequence[int]) -> int:
    """How many pixels a shift is on images with these sides: an integer is pixels, a fraction a share of the shorter.

    None is 1/14, which on the 28 pixels of MNIST is two. A share is at least one pixel.

    Raises:
        ValueError: the shift is no positive number, or reaches across the image. TypeError: it is no number.

    >>> pixels_of_shift(None, (28, 28)), pixels_of_shift(None, (8, 8)), pixels_of_shift(0.25, (8, 9))
    (2, 1, 2)
    """
    side = min(sides)
    if shift is None:
        return max(1, round(side * SHIFT_SHARE))
    if isinstance(shift, bool) or not isinstance(shift, int | float):
        raise TypeError(f"shift must be a number, got {shift!r}")
    pixels = shift if isinstance(shift, int) else max(1, round(side * shift)) if 0 < shift < 1 else 0
    if not 1 <= pixels < side:
        rule = f"a share of the side between 0 and 1, or from 1 to {side - 1} pixels of {side}"
        raise ValueError(f"shift must be {rule}, got {shift}")
    return pixels
