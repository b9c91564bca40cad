"""What an operator does to images: information, detail, aliasing, selection; by hand."""

import numpy as np
import pytest

import anypool as ap
from anypool.lab.measures import MEASURES
from anypool.lab.measures.information import LinearDecoder, bilinear, kept
from anypool.lab.measures.operators import dense_map, measure_operator, window_gradients
from anypool.lab.measures.selection import selection_entropy
from anypool.lab.measures.spectrum import aliasing, detail_kept, energy, frequencies, variation_ratio


def grating(frequency, side=16):
    """An image that varies along its columns alone, so many times across."""
    wave = np.cos(2 * np.pi * frequency * np.arange(side) / side)
    return np.tile(wave, (1, side, 1))[..., None]


# ---------------------------------------------------------------------------------------------------------------------
# Information


def test_error_and_psnr_by_hand():
    images = np.zeros((1, 4, 4, 1))
    images[0, 0, 0] = 2.0  # ‖x‖² = 4, range 2
    decoded = images.copy()
    decoded[0, 1, 1] = 1.0  # off by 1 in one of 16 pixels
    found = kept(images, decoded)
    assert found.error == pytest.approx(1 / 2)
    assert found.psnr == pytest.approx(10 * np.log10(4 / (1 / 16)))
    perfect = kept(images, images)
    assert (perfect.error, perfect.psnr, perfect.ssim) == (0, 100, 1)


def test_ssim_by_hand():
    """With one window over 3×3 pixels, SSIM is Wang's formula of means, variances and covariance."""
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 3, 3))
    x[0, 0], x[2, 2] = 0, 1
    c1, c2 = 0.01**2, 0.03**2
    covariance = np.cov(x.ravel(), y.ravel())
    expected = (2 * x.mean() * y.mean() + c1) * (2 * covariance[0, 1] + c2)
    expected /= (x.mean() ** 2 + y.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2)
    assert kept(x[None, ..., None], y[None, ..., None]).ssim == pytest.approx(expected)


def test_bilinear_by_hand():
    pooled = np.array([[0.0, 4.0], [8.0, 12.0]])[None, ..., None]
    rows = np.array([0.0, 2.0, 6.0, 8.0])  # along the columns of axis 1: 0, ¼·8, ¾·8, 8
    columns = np.array([0.0, 1.0, 3.0, 4.0])
    np.testing.assert_allclose(bilinear(pooled)[0, :, :, 0], rows[:, None] + columns)


def test_bilinear_is_what_jax_does(rng):
    import jax

    pooled = rng.random((2, 3, 5, 2)).astype(np.float32)
    expected = jax.image.resize(pooled, (2, 6, 10, 2), "bilinear")
    np.testing.assert_allclose(bilinear(pooled), expected, rtol=1e-5, atol=1e-6)


def test_the_best_linear_decoder_undoes_what_is_linear(rng):
    """Images that are an upsampled map themselves come back whole, whatever the map is scaled by."""
    maps = rng.random((20, 8, 8, 1))
    images = bilinear(maps)
    decode = LinearDecoder(7 * maps, images)
    np.testing.assert_allclose(decode(7 * maps), images, atol=1e-3)


def test_the_best_linear_decoder_beats_the_fixed_one(rng):
    train, test = rng.random((2, 50, 8, 8, 1))
    for operator in (ap.Max(), ap.Min(), ap.Average(), ap.Sum()):
        found = measure_operator(operator, train, test)
        assert found["error_linear"] < found["error_bilinear"]
        assert found["psnr_linear"] > found["psnr_bilinear"]


def test_a_sum_keeps_as_much_as_an_average(rng):
    """To the best linear decoder, which knows the scale."""
    train, test = rng.random((2, 20, 8, 8, 1))
    one, other = (measure_operator(operator, train, test) for operator in (ap.Sum(), ap.Average()))
    assert one["error_linear"] == pytest.approx(other["error_linear"], rel=1e-3)


# ---------------------------------------------------------------------------------------------------------------------
# Frequencies


def test_energy_is_that_of_the_pixels_without_their_mean(rng):
    image = rng.random((1, 6, 8, 1))
    assert energy(image).sum() == pytest.approx(48 * ((image - image.mean()) ** 2).sum())  # Parseval
    assert frequencies(4, 4).tolist() == [
        [0, 0.25, 0.5, 0.25],
        [0.25, 0.25, 0.5, 0.25],
        [0.5] * 4,
        [0.25, 0.25, 0.5, 0.25],
    ]


@pytest.mark.parametrize("frequency", range(1, 8))
def test_average_smooths_as_its_transfer_function_says(frequency):
    """A mean of two neighbours scales a frequency f, in cycles per pixel, by cos(πf); its energy by the square."""
    image = grating(frequency)
    dense = dense_map(ap.Average(), image)
    share = np.cos(np.pi * frequency / 16) ** 2
    assert energy(dense).sum() == pytest.approx(share * energy(image).sum())
    inside = 2 <= frequency < 4  # 1/8 to 1/4 of a cycle per pixel
    assert detail_kept(image, dense, 2) == (pytest.approx(share) if inside else None)
    assert aliasing(dense, 2) == pytest.approx(float(frequency >= 4), abs=1e-12)


def test_aliasing_by_hand():
    """Energies 1 and 3 below and above 1/4 of a cycle per pixel."""
    image = grating(2) + np.sqrt(3) * grating(6)
    assert aliasing(image, 2) == pytest.approx(3 / 4)
    assert aliasing(np.ones((1, 4, 4, 1)), 2) == 0


def test_no_measure_depends_on_the_background(rng):
    """A brighter background is no detail."""
    image = rng.random((3, 8, 8, 1))
    for measure in (lambda x: aliasing(x, 2), lambda x: detail_kept(x, x, 2), lambda x: variation_ratio(x, x)):
        assert measure(image + 5) == pytest.approx(measure(image))


def test_variation_by_hand():
    """A square wave of period 4: its map by max has the same number of steps, by average steps half as high, twice."""
    image = np.tile([0.0, 0.0, 1.0, 1.0], (1, 8, 2))[..., None]
    assert variation_ratio(image, dense_map(ap.Max(), image)) == 1
    assert variation_ratio(image, dense_map(ap.Average(), image)) == 1
    stripes = np.tile([0.0, 1.0], (1, 8, 4))[..., None]
    assert variation_ratio(stripes, dense_map(ap.Average(), stripes)) == 0
    assert variation_ratio(np.ones((1, 4, 4, 1)), np.ones((1, 4, 4, 1))) is None


def test_the_dense_map_continues_in_a_circle(rng):
    image = rng.random((2, 6, 6, 1))
    shifts = [np.roll(image, (-dy, -dx), (1, 2)) for dy in (0, 1) for dx in (0, 1)]
    np.testing.assert_allclose(dense_map(ap.Max(), image), np.max(shifts, axis=0))


# ---------------------------------------------------------------------------------------------------------------------
# Selection


def test_entropy_by_hand():
    assert selection_entropy(np.array([[1.0, 0, 0, 0]])) == 0
    assert selection_entropy(np.array([[1.0, 1, 1, 1]])) == pytest.approx(1)
    assert selection_entropy(np.array([[1.0, -1, 0, 0]])) == pytest.approx(0.5)  # ln 2 / ln 4
    assert selection_entropy(np.array([[0.0, 0, 0, 0], [2, 0, 0, 0]])) == 0
    assert selection_entropy(np.zeros((3, 4))) is None


def test_gradients_of_windows_are_theirs():
    image = np.arange(16.0, dtype=np.float32).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(window_gradients(ap.Max(), image), np.tile([0, 0, 0, 1], (4, 1)))
    np.testing.assert_array_equal(window_gradients(ap.Min(), image), np.tile([1, 0, 0, 0], (4, 1)))
    np.testing.assert_array_equal(window_gradients(ap.Average(), image), np.full((4, 4), 0.25))


def test_selection_of_operators(rng):
    images = rng.random((10, 8, 8, 2)).astype(np.float32)
    found = {name: measure_operator(ap.operator_for(name), images, images)["selection"] for name in
             ("max", "min", "average", "gem:p=3", "gem:p=20", "median")}  # fmt: skip
    assert found["max"] == found["min"] == found["median"] == 0
    assert found["average"] == pytest.approx(1)
    assert 0 < found["gem:p=20"] < found["gem:p=3"] < 1


# ---------------------------------------------------------------------------------------------------------------------
# All of them


@pytest.mark.parametrize("name", sorted(set(ap.OPERATORS) - {"mode"}))
def test_every_operator_is_measured(name, rng):
    images = rng.random((6, 9, 8, 3)).astype(np.float32)  # an odd side
    found = measure_operator(ap.OPERATORS[name](), images, images)
    assert set(found) <= set(MEASURES)
    assert {"error_bilinear", "ssim_linear", "aliasing"} <= set(found)
    assert all(np.isfinite(value) for value in found.values())


def test_an_operator_for_labels_refuses_images(rng):
    images = rng.random((6, 8, 8, 1)).astype(np.float32)
    with pytest.raises(TypeError, match="integer labels"):
        measure_operator(ap.operator_for("mode"), images, images)


@pytest.mark.parametrize("side", [4, 5, 6, 28])
def test_images_of_any_size_are_measured(side, rng):
    images = rng.random((4, side, side, 1)).astype(np.float32)
    assert np.isfinite(list(measure_operator(ap.Max(), images, images).values())).all()


def test_every_measure_is_in_the_docs():
    from processes import ROOT

    text = (ROOT / "docs" / "measures.md").read_text()
    for name, info in MEASURES.items():
        assert f"`{name}`" in text, name
        assert info.heading.split(",")[0].lower() in text.lower(), info.heading
