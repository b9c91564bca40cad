"""Reading, pooling and drawing images."""

import numpy as np
import pytest
from PIL import Image

import anypool as ap
from anypool.lab.pictures import Panel, pooled, read_image, side_by_side, to_pixels
from anypool.lab.poolings import operators_of


def gradient(height=6, width=8):
    """A grey image whose pixels all differ."""
    return (np.arange(height * width) * 5).astype(np.uint8).reshape(height, width)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA", "I;16", "CMYK"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pictures_of_every_mode(tmp_path, mode, kind):
    grey = Image.fromarray(gradient())
    picture = Image.fromarray(gradient().astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    try:
        picture.save(tmp_path / "picture", kind)
    except (OSError, KeyError):
        pytest.skip(f"{kind} has no mode {mode}")
    image = read_image(tmp_path / "picture")
    channels = {"L": None, "1": None, "I;16": None, "RGBA": 4, "LA": 4}.get(mode, 3)
    assert image.shape == ((6, 8) if channels is None else (6, 8, channels))
    if kind == "PNG" and mode in ("L", "RGB"):
        np.testing.assert_array_equal(image if mode == "L" else image[..., 1], gradient())
    if mode == "I;16":
        np.testing.assert_array_equal(image, gradient().astype(np.uint16) * 257)


def test_a_turned_photograph_is_turned_back(tmp_path):
    picture = Image.fromarray(gradient())
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), np.rot90(gradient(), -1))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.float16, np.float64])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4)])
def test_arrays(tmp_path, dtype, shape):
    np.save(tmp_path / "image.npy", np.ones(shape, dtype))
    image = read_image(tmp_path / "image.npy")
    assert (image.shape, image.dtype) == ((4, 5) if shape == (4, 5, 1) else shape, dtype)


def bad_images(folder):
    """Files that hold no image, each with the rule that the message gives."""
    arrays = {
        "complex": (np.ones((4, 4), complex), "must hold real numbers.*complex128"),
        "text": (np.full((4, 4), "a"), "must hold real numbers"),
        "0-d": (np.array(3.0), r"must have shape .* has \(\)"),
        "1-d": (np.ones(4), r"must have shape .* has \(4,\)"),
        "five channels": (np.ones((4, 4, 5)), r"1, 3 or 4 channels, but .* has \(4, 4, 5\)"),
        "empty": (np.ones((0, 4)), r"must have shape|cannot be read"),
        "NaN": (np.full((4, 4), np.nan), "must be finite"),
    }
    for name, (array, message) in arrays.items():
        np.save(folder / f"{name}.npy", array)
        yield folder / f"{name}.npy", message
    np.lib.format.open_memmap(folder / "wide.npy", "w+", np.uint8, (7100, 7100))  # a sparse file
    yield folder / "wide.npy", "at most 50,000,000 pixels.* has 7100 × 7100"
    np.save(folder / "pickle.npy", np.array([[None]], object), allow_pickle=True)
    yield folder / "pickle.npy", "cannot be read: .*objects"
    whole = folder / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)).save(whole)
    for name, content in {
        "text.png": b"hello",
        "empty.jpg": b"",
        "empty.npy": b"",
        "cut.png": whole.read_bytes()[:300],
    }.items():
        (folder / name).write_bytes(content)
        yield folder / name, "must be a PNG, JPEG or .npy file, but .* cannot be read"
    np.save(folder / "short.npy", np.ones((50, 50)))
    (folder / "short.npy").write_bytes((folder / "short.npy").read_bytes()[:1000])
    yield folder / "short.npy", "cannot be read"
    Image.new("L", (10_000, 10_000)).save(folder / "bomb.png")
    yield folder / "bomb.png", "cannot be read|at most 50,000,000 pixels"
    Image.new("L", (8, 8)).save(folder / "picture.gif")
    yield folder / "picture.gif", "cannot be read"
    yield folder, "which is a directory"
    yield folder / "nothing.png", "which is not there"


def test_files_that_hold_no_image(tmp_path):
    for path, message in bad_images(tmp_path):
        with pytest.raises(ValueError, match=message) as refused:
            pytest.fail(f"{path} was accepted: {read_image(path).shape}")
        assert str(refused.value).startswith("image must ")


def test_panels_hold_what_pool_gives():
    image = gradient()
    panels = pooled(image, operators_of(["max", "min", "average"]), ap.Sliding(2))
    blocks = image.reshape(3, 2, 4, 2).swapaxes(1, 2).reshape(3, 4, 4)
    expected = [image, blocks.max(-1), blocks.min(-1), blocks.mean(-1)]
    for panel, array in zip(panels, expected, strict=True):
        np.testing.assert_array_equal(panel.image, array)
    assert [panel.shape for panel in panels] == ["6 × 8", "3 × 4", "3 × 4", "3 × 4"]


def test_channels_are_pooled_apart():
    image = np.stack([gradient(), gradient()[::-1], gradient()[:, ::-1]], axis=-1)
    panel = pooled(image, operators_of(["max"]), ap.Sliding(2))[1]
    assert panel.shape == "3 × 4 × 3"
    np.testing.assert_array_equal(panel.image[..., 1], image[..., 1].reshape(3, 2, 4, 2).max((1, 3)))


def test_pixels():
    np.testing.assert_array_equal(to_pixels(np.array([[-1.0, 0, 0.5, 1, 2]]), 0, 1), [[0, 0, 128, 255, 255]])
    np.testing.assert_array_equal(to_pixels(np.full((1, 2), 7.0), 7, 7), [[0, 0]])


def test_sheet_draws_every_panel_at_one_size():
    sheet = np.asarray(side_by_side(pooled(gradient(4, 4), operators_of(["max", "min"]), ap.Sliding(2))))
    first, second, third = (sheet[24:344, 24 + i * 344 : 344 + i * 344, 0] for i in range(3))
    np.testing.assert_array_equal(first[40::80, 40::80], gradient(4, 4))
    np.testing.assert_array_equal(second[80::160, 80::160], [[25, 35], [65, 75]])
    np.testing.assert_array_equal(third[80::160, 80::160], [[0, 10], [40, 50]])
    assert (sheet[360:] < 128).any()  # captions


def test_values_off_the_scale_get_their_own():
    panels = [Panel("image", np.array([[0, 255]], np.uint8)), Panel("sum", np.array([[0, 510]]))]
    sheet = np.asarray(side_by_side(panels))
    assert sheet[100, -30, 0] == 255


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (900, 700, 4), (500, 20, 3)])
def test_sheets_of_odd_shapes(shape):
    sheet = side_by_side(pooled(np.zeros(shape, np.uint8), operators_of(["max"]), ap.Sliding(1)))
    assert sheet.width < 1100
    assert sheet.height < 700


@pytest.mark.parametrize(("value", "said"), [
    (np.uint16(65535), "65535"), (np.bool_(True), "1"), (np.float32(65535.0), "65535"),
    (np.int64(-(2**53)), str(-(2**53))), (0.1234567, "0.1235"), (-0.5, "-0.5"), (0.0, "0"), (2.5e-7, "2.5e-07"),
    (1e300, "1e+300"), (1000000.25, "1000000.25"),
])  # fmt: skip
def test_values_are_said_with_their_digits(value, said):
    assert Panel("image", np.array([[value]])).values == f"values {said} to {said}"
