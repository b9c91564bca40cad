"""Pyramids, regional maxima and boxes: against loops over scalars, on every array, with gradients; refusals."""

import numpy as np
import pytest
import region_reference as reference
from adapters import DIFFERENTIABLE, EVERY_ADAPTER

import anypool as ap

BOXES = np.array(
    [
        [0, 1.2, 2.7, 8.1, 9.3],
        [1, -3.0, -2.0, 5.0, 4.5],
        [0, 40.0, 40.0, 60.0, 60.0],
        [1, 3.0, 3.0, 3.0, 3.0],
        [1, 9.0, 9.0, 4.0, 4.0],
        [0, 0.0, 0.0, 23.0, 19.0],
    ],
    np.float32,
)
"""Within the map, across its edge, beyond it, a point, inside out, and the whole of it at half the scale."""


def mean(values):
    return sum(values) / len(values)


def example(rng, shape=(2, 3, 10, 12)):
    """Different numbers of both signs, so that no two are the greatest."""
    return (rng.permutation(int(np.prod(shape))).reshape(shape) / 100 - 2).astype(np.float32)


CASES = {
    "pyramid of maxima": (
        lambda x, b: ap.spatial_pyramid(x, levels=(1, 4)),
        lambda x: reference.spatial_pyramid(x, (1, 4), max),
    ),
    "pyramid of averages": (
        lambda x, b: ap.spatial_pyramid(x, "average", (3, 1)),
        lambda x: reference.spatial_pyramid(x, (3, 1), mean),
    ),
    "pyramid pooling": (lambda x, b: ap.pyramid_pool(x), lambda x: reference.pyramid_pool(x, (1, 2, 3, 6), True)),
    "pyramid pooling, middles": (
        lambda x, b: ap.pyramid_pool(x, (2, 5), align_corners=False),
        lambda x: reference.pyramid_pool(x, (2, 5), False),
    ),
    "regional maxima": (lambda x, b: ap.rmac(x, 2), lambda x: reference.rmac(x, 2)),
    "region pooling": (
        lambda x, b: ap.roi_pool(x, b, (3, 2), 0.5),
        lambda x: reference.roi_pool(x, BOXES, (3, 2), 0.5),
    ),
    "region align": (
        lambda x, b: ap.roi_align(x, b, (2, 3), 0.5, 2, True),
        lambda x: reference.roi_align(x, BOXES, (2, 3), 0.5, 2, True),
    ),
    "region align, not moved": (
        lambda x, b: ap.roi_align(x, b, 2, 0.5, 3),
        lambda x: reference.roi_align(x, BOXES, (2, 2), 0.5, 3, False),
    ),
}


@EVERY_ADAPTER
@pytest.mark.parametrize("case", CASES)
def test_values_are_the_definition_s(adapter, case, rng):
    function, expected = CASES[case]
    x = example(rng)
    got = adapter.numpy(adapter.compiled(function)(adapter.make(x), adapter.make(BOXES)))
    np.testing.assert_allclose(got, expected(x.astype(np.float64)), rtol=1e-4, atol=2e-5)


@DIFFERENTIABLE
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_differences(adapter, case, rng):
    function, expected = CASES[case]
    x = example(rng, (2, 2, 6, 7))
    upstream = rng.normal(size=expected(x).shape).astype(np.float32)
    got = adapter.gradient(lambda a: function(a, adapter.make(BOXES)), x, upstream)
    direction = rng.normal(size=x.shape)
    step = 1e-4 * direction
    up, down = (expected(x.astype(np.float64) + sign * step) for sign in (1, -1))
    np.testing.assert_allclose((got * direction).sum(), ((up - down) / 2e-4 * upstream).sum(), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("sizes", [1, (2, 3), 7])
@pytest.mark.parametrize("aligned", [False, True])
def test_samples_as_many_as_a_bin_has_elements(sizes, aligned, rng):
    x = example(rng).astype(np.float64)
    pair = sizes if isinstance(sizes, tuple) else (sizes, sizes)
    got = ap.roi_align(x, BOXES, sizes, 0.5, -1, aligned)
    np.testing.assert_allclose(got, reference.roi_align(x, BOXES, pair, 0.5, -1, aligned), rtol=1e-6, atol=1e-6)


def test_bins_by_whole_numbers(rng):
    """Boxes of every size, whose bins floats would cut an element too early or too late."""
    x = example(rng, (1, 1, 40, 40))
    boxes = np.array([[0, 0, 0, side, side] for side in range(1, 39)])
    for size in (3, 7, 11):
        np.testing.assert_array_equal(ap.roi_pool(x, boxes, size), reference.roi_pool(x, boxes, (size, size), 1.0))


def test_boxes_map_by_map_and_in_blocks(rng, monkeypatch):
    x = example(rng)
    each = [BOXES[BOXES[:, 0] == n, 1:] for n in (0, 1)]
    order = np.argsort(BOXES[:, 0], kind="stable")
    whole = ap.roi_pool(x, BOXES[order], 2, 0.5)
    np.testing.assert_array_equal(ap.roi_pool(x, each, 2, 0.5), whole)
    np.testing.assert_array_equal(ap.roi_align(x, each, 2, 0.5), ap.roi_align(x, BOXES[order], 2, 0.5))
    monkeypatch.setattr("anypool.boxes.ELEMENTS_AT_ONCE", 2 * x[0].size)
    np.testing.assert_array_equal(ap.roi_pool(x, BOXES[order], 2, 0.5), whole)
    assert ap.roi_pool(x, np.zeros((0, 5)), 2).shape == (0, 3, 2, 2)
    assert ap.roi_align(x, np.zeros((0, 5)), 2).shape == (0, 3, 2, 2)


def test_ties_have_the_gradient_of_their_first():
    torch = pytest.importorskip("torch")
    x = torch.ones(1, 1, 4, 4, requires_grad=True)
    ap.roi_pool(x, torch.tensor([[0.0, 0, 0, 3, 3]]), 1).sum().backward()
    assert x.grad.flatten().nonzero().flatten().tolist() == [0]


@pytest.mark.parametrize("shape", [(7, 7), (7, 12), (15, 4), (4, 30), (24, 20)])
def test_regions_of_every_shape(shape, rng):
    """As many as the authors', within the map, and neighbours overlap by about 40% at the first level."""
    x = example(rng, (1, 2, *shape)).astype(np.float64)
    np.testing.assert_allclose(ap.rmac(x), reference.rmac(x, 3), rtol=1e-6)


@EVERY_ADAPTER
def test_channels_may_be_last(adapter, rng):
    x = example(rng)
    last = adapter.make(np.moveaxis(x, 1, -1).copy())
    for function in (ap.spatial_pyramid, ap.pyramid_pool):
        got = adapter.compiled(lambda x, function=function: function(x, levels=(1, 2), axes=(1, 2)))(last)
        np.testing.assert_allclose(
            np.moveaxis(adapter.numpy(got), -1, 1), function(x, levels=(1, 2)), rtol=1e-5, atol=1e-5
        )
    got = adapter.compiled(lambda x: ap.rmac(x, 1, axes=(1, 2)))(last)
    np.testing.assert_allclose(adapter.numpy(got), ap.rmac(x, 1), rtol=1e-4, atol=1e-6)


def test_half_precision_and_masks(rng):
    x = example(rng).astype(np.float16)
    for function in (ap.pyramid_pool, ap.rmac, lambda x: ap.roi_align(x, BOXES, 2), lambda x: ap.roi_pool(x, BOXES, 2)):
        assert function(x).dtype == np.float16
        np.testing.assert_allclose(function(x), function(x.astype(np.float64)), rtol=2e-3, atol=2e-3)
    mask = rng.random((2, 1, 10, 12)) < 0.7
    got = ap.spatial_pyramid(np.where(mask, x, np.nan), "average", (1, 2), where=mask)
    held = [
        x[0, 0][mask[0, 0]].astype(np.float64).mean(),
        x[0, 0, :5, :6][mask[0, 0, :5, :6]].astype(np.float64).mean(),
    ]
    np.testing.assert_allclose(got[0, 0, :2], held, rtol=2e-3)


X = np.zeros((2, 3, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("levels must be between 1", lambda: ap.spatial_pyramid(X, levels=(0, 1))),
        ("operator must be a name", lambda: ap.spatial_pyramid(X, "maximum")),
        ("x must hold floats", lambda: ap.pyramid_pool(X.astype(int))),
        ("channel_axis must be an axis that is not pooled", lambda: ap.pyramid_pool(X, channel_axis=2)),
        ("must have an axis of channels", lambda: ap.rmac(X[0, 0])),
        ("axes must be two", lambda: ap.rmac(X, axes=1)),
        ("levels must leave a region", lambda: ap.rmac(X, 9)),
        ("align_corners must be True or False", lambda: ap.pyramid_pool(X, align_corners="yes")),
        ("x must be maps", lambda: ap.roi_pool(X[0], BOXES, 2)),
        (r"boxes must be an array \(K, 5\)", lambda: ap.roi_pool(X, BOXES[:, 1:], 2)),
        (r"one array \(L, 4\) for each of x's 2 maps", lambda: ap.roi_align(X, [BOXES[:, 1:]], 2)),
        ("boxes must be of maps 0 to 1", lambda: ap.roi_align(X, BOXES + 1, 2)),
        ("output_size must be an integer or a pair", lambda: ap.roi_pool(X, BOXES, (1, 2, 3))),
        ("output_size must be between 1", lambda: ap.roi_pool(X, BOXES, 0)),
        ("spatial_scale must be a number", lambda: ap.roi_pool(X, BOXES, 2, "half")),
        ("sampling_ratio must be between", lambda: ap.roi_align(X, BOXES, 2, 1.0, -2)),
    ],
)
def test_wrong_arguments_are_refused(words, call):
    with pytest.raises((TypeError, ValueError), match=words):
        call()


def test_a_program_needs_a_sampling_ratio():
    jax = pytest.importorskip("jax")
    with pytest.raises(ValueError, match="sampling_ratio must be given in a program"):
        jax.jit(lambda x, b: ap.roi_align(x, b, 2))(X, BOXES)
