"""Shift consistency, fidelity and what goes with them, by hand and by loops."""

import numpy as np
import pytest

from anypool.lab.measures.shifts import (
    circular_consistency,
    diagonal_steps,
    diagonal_wobble,
    fidelity,
    moved_classes,
    rolled,
    shift_consistency,
    shifted,
)


def test_shifted_is_what_a_loop_says(rng):
    images = rng.random((40, 5, 6, 2)).astype(np.float32)
    offsets = rng.integers(-4, 5, (40, 2))
    result = shifted(images, offsets)
    assert result.dtype == np.float32
    for image, (dy, dx), moved in zip(images, offsets, result, strict=True):
        border = [image[r, c] for r in range(5) for c in range(6) if r in (0, 4) or c in (0, 5)]
        background = np.median(border, axis=0)
        for r in range(5):
            for c in range(6):
                inside = 0 <= r - dy < 5 and 0 <= c - dx < 6
                np.testing.assert_array_equal(moved[r, c], image[r - dy, c - dx] if inside else background)


def test_shift_does_not_care_which_is_dark(rng):
    images = rng.integers(0, 9, (20, 8, 8, 1)) / 8
    offsets = rng.integers(-2, 3, (20, 2))
    np.testing.assert_array_equal(shifted(1 - images, offsets), 1 - shifted(images, offsets))


def bright_spot(count):
    """Images with one bright pixel in the middle, and a classifier that says where it is."""
    images = np.zeros((count, 9, 9, 1))
    images[:, 4, 4] = 1
    return images, lambda x: x.reshape(len(x), -1).argmax(axis=1)


def test_every_move_within_reach_is_drawn_and_no_image_stays():
    images, where = bright_spot(5000)
    moved = moved_classes(where, images, max_shift=2, draws=2)
    rows, columns = moved // 9 - 4, moved % 9 - 4
    expected = {(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)} - {(0, 0)}
    counts = {move: int(np.sum((rows == move[0]) & (columns == move[1]))) for move in expected}
    assert sum(counts.values()) == 10_000
    assert all(300 < count < 540 for count in counts.values())  # 417 expected, six standard deviations either way


def test_moves_are_each_images_own_and_the_seeds():
    images, where = bright_spot(50)
    moved = moved_classes(where, images, draws=2, seed=3)
    assert moved.shape == (2, 50)
    assert len(set(moved[0])) > 10
    assert (moved[0] != moved[1]).any()
    np.testing.assert_array_equal(moved, moved_classes(where, images, draws=2, seed=3))
    assert (moved != moved_classes(where, images, draws=2, seed=4)).any()


def test_constant_classifier_is_consistent_but_not_right():
    images = np.zeros((10, 8, 8, 1))
    still = np.zeros(10, int)
    moved = moved_classes(lambda x: np.zeros(len(x), int), images)
    labels = np.arange(10) % 5
    assert shift_consistency(still, moved) == 1
    assert fidelity(still, moved, labels) == 0.2


def test_measures_by_hand():
    still, labels = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])
    moved = np.array([[0, 2, 2, 2], [0, 1, 2, 0], [1, 1, 2, 2]])
    assert shift_consistency(still, moved) == 9 / 12
    assert fidelity(still, moved, labels) == 6 / 12


@pytest.mark.parametrize(("arguments", "message"), [
    ({"max_shift": 0}, r"max_shift must be at least 1 .* got 0"),
    ({"max_shift": 8}, r"less than a side of the images, \(8, 8\), got 8"),
    ({"draws": 0}, "draws must be at least 1, got 0"),
])  # fmt: skip
def test_moves_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        moved_classes(lambda x: x, np.zeros((2, 8, 8, 1)), **arguments)


def test_rolled_is_what_numpy_says(rng):
    images, offsets = rng.random((20, 5, 6, 2)), rng.integers(-9, 10, (20, 2))
    for image, offset, moved in zip(images, offsets, rolled(images, offsets), strict=True):
        np.testing.assert_array_equal(moved, np.roll(image, offset, (0, 1)))


def test_what_sees_no_places_is_wholly_consistent_in_a_circle(rng):
    images = rng.random((50, 8, 8, 1))
    assert circular_consistency(lambda x: (x.sum((1, 2, 3)) > 32).astype(int), images, 2, 3) == 1
    assert circular_consistency(lambda x: x.reshape(len(x), -1).argmax(1), images, 2, 3) < 0.2


def test_circular_offsets_are_drawn_twice():
    """The share of pairs of the 8 moves within one pixel that are the same: 1/8."""
    images, where = bright_spot(8000)
    assert circular_consistency(where, images, 1, 1) == pytest.approx(1 / 8, abs=0.02)


def test_wobble_by_hand():
    """The probability of a class is the brightness of the middle pixel; one spot has a bright diagonal neighbour."""
    images = np.zeros((2, 9, 9, 1))
    images[0, 4, 4], images[0, 3, 3], images[1, 4, 4] = 0.6, 0.9, 0.5

    def probabilities(x):
        middle = x[:, 4, 4, 0]
        return np.stack([middle, 1 - middle], axis=1)

    # moved by (−1, −1), (0, 0) and (1, 1) the middle sees 0, 0.6 and 0.9; and 0, 0.5 and 0
    assert diagonal_wobble(probabilities, images, np.array([0, 0]), 1) == pytest.approx((0.9 + 0.5) / 2)
    assert diagonal_wobble(probabilities, images, np.array([0, 1]), 1) == pytest.approx((0.9 + 0.5) / 2)
    assert diagonal_wobble(lambda x: np.full((len(x), 2), 0.5), images, np.array([0, 1]), 1) == 0


@pytest.mark.parametrize("most", range(1, 40))
def test_diagonal_steps_are_symmetric_and_reach_the_end(most):
    steps = diagonal_steps(most)
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1], sum(steps)) == (-most, most, 0)
    assert 0 in steps
    assert len(steps) <= 5
