"""What is kept for pictures: flips worked by hand, feature maps, and files that come back."""

import numpy as np
import pytest
from torch import nn

from anypool.lab.data import from_arrays
from anypool.lab.networks.torch import TorchNetwork
from anypool.lab.runs import AS_GIVEN, RunKey
from anypool.lab.shown import Shown, look, worst_flips


def column_classes(images):
    """Probabilities of the column that the one bright pixel of 5×5 is in, surer the farther down it is."""
    rows, columns = np.unravel_index(images[..., 0].reshape(len(images), -1).argmax(axis=1), (5, 5))
    sure = 0.5 + rows / 10
    told = np.repeat((1 - sure)[:, None] / 4, 5, axis=1)
    told[np.arange(len(images)), columns] = sure
    return told


def bright_at(*places):
    images = np.zeros((len(places), 5, 5, 1), np.float32)
    for image, place in zip(images, places, strict=True):
        image[place] = 1
    return images


def test_worst_flips_by_hand():
    images = bright_at((2, 2), (3, 2), (2, 1))
    labels = np.array([2, 2, 4])  # the third is told wrong from the start
    still, moved, classes, confidence = worst_flips(column_classes, images, labels, 1)
    # the right class of an image in row r, of sureness 0.5 + r/10, falls to the least where it moves down and aside
    np.testing.assert_array_equal(still, images[[1, 0]])
    np.testing.assert_array_equal(moved, bright_at((4, 1), (3, 1)))
    np.testing.assert_array_equal(classes, [[2, 1], [2, 1]])
    np.testing.assert_allclose(confidence, [[0.8, 0.9], [0.7, 0.8]])


def test_no_flips_are_none():
    still, moved, classes, confidence = worst_flips(
        lambda images: np.tile([0.9, 0.1], (len(images), 1)), bright_at((2, 2)), np.array([0]), 1
    )
    assert [len(found) for found in (still, moved, classes, confidence)] == [0] * 4


@pytest.fixture
def looked(rng):
    arrays = {"x_train": rng.random((8, 6, 6, 1)), "y_train": np.arange(8) % 2}
    data = from_arrays(arrays | {"x_test": arrays["x_train"], "y_test": arrays["y_train"]}, "noise", "by hand")
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 2))
    return model, data, look(RunKey(0, AS_GIVEN, "gem:p=4"), TorchNetwork(model), data, 1, lambda: False)


def test_maps_are_those_around_the_first_pooling(looked):
    *_, shown = looked
    assert (shown.before.shape, shown.after.shape) == ((4, 4, 4), (2, 2, 4))
    np.testing.assert_array_equal(shown.after, shown.before.reshape(2, 2, 2, 2, 4).max(axis=(1, 3)))


def test_a_network_without_sliding_pooling_has_no_maps(looked):
    data = looked[1]
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    shown = look(RunKey(0, AS_GIVEN, "max"), TorchNetwork(model), data, 1, lambda: False)
    assert shown.before.size == shown.after.size == 0


def test_files_come_back_and_damaged_ones_do_not(tmp_path, looked):
    *_, shown = looked
    shown.save(tmp_path / "shown")
    other = RunKey(0, AS_GIVEN, "max")
    (again,) = Shown.load_all(tmp_path / "shown", [other, shown.key])
    assert again.key == shown.key
    for name, value in vars(shown).items():
        if name != "key":
            np.testing.assert_array_equal(getattr(again, name), value)
    (tmp_path / "shown" / "damaged.npz").write_bytes(b"PK")
    assert len(Shown.load_all(tmp_path / "shown", [shown.key])) == 1
    assert Shown.load_all(tmp_path / "nothing", [shown.key]) == []
