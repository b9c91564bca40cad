"""Poolings that do not alias: against loops, by hand, under shifts, and in layers."""

import numpy as np
import pytest
import reference
import window_functions as f
from adapters import EVERY_ADAPTER
from harness import random_array

import anypool as ap

# ---------------------------------------------------------------------------------------------------------------------
# Blurs


def blurred_maxima(x, axes, kernel, stride, padding, filter_size, mode="exclude"):
    """Maxima one position apart, then binomial weights."""
    windows = [reference.sliding(x.shape[axis], kernel, 1, padding, padding_mode=mode) for axis in axes]
    return blurred(reference.pool(x, "max", windows, axes), axes, filter_size, stride, mode)


def blurred(x, axes, filter_size, stride, mode="exclude", kernel=1, padding=0):
    """Binomial weights about the middle of windows."""
    wider = filter_size - kernel
    pads, mode = (padding + wider // 2, padding + (wider + 1) // 2), "reflect" if mode == "exclude" else mode
    windows = [reference.sliding(x.shape[axis], filter_size, stride, pads, padding_mode=mode) for axis in axes]
    return reference.pool(x, f.blur()[0], windows, axes)


@EVERY_ADAPTER
@pytest.mark.parametrize("filter_size", [1, 2, 3, 4, 5, 6, 7])
def test_blurred_maxima_are_the_loops(adapter, filter_size, rng):
    """Of every filter size, kernel, stride and padding; beyond the edge as the window says."""
    x = random_array(rng, (2, 9, 11, 3), "float32")
    for kernel, stride, padding, mode in ((2, 2, 0, "exclude"), (3, 2, 1, "exclude"), (3, 1, 1, "circular")):
        window = ap.Sliding(kernel, stride, padding, padding_mode=mode)
        got = ap.pool(adapter.make(x), ap.MaxBlur(filter_size), window, (1, 2))
        expected = blurred_maxima(x, (1, 2), kernel, stride, padding, filter_size, mode)
        np.testing.assert_allclose(adapter.numpy(got), expected, rtol=1e-5, atol=1e-5)


@EVERY_ADAPTER
@pytest.mark.parametrize(("filter_size", "kernel", "padding"), [(3, 2, 0), (4, 2, 0), (3, 3, 1), (7, 1, 0)])
def test_filters_about_the_middle_of_windows(adapter, filter_size, kernel, padding, rng):
    x = random_array(rng, (8, 3, 9), "float32")
    for mode in ("exclude", "zeros", "circular"):
        window = ap.Sliding(kernel, 2, padding, padding_mode=mode)
        got = ap.pool(adapter.make(x), ap.Blur(filter_size), window, (2, 0))
        assert got.shape == tuple(ap.pool(x, "max", window, (2, 0)).shape)
        expected = blurred(x, (2, 0), filter_size, 2, mode, kernel, padding)
        np.testing.assert_allclose(adapter.numpy(got), expected, rtol=1e-5, atol=1e-5)


def test_a_picture_by_hand():
    """Zhang's example: the phases of maxima differ, those of blurred maxima hardly."""
    x = np.array([0.0, 0, 1, 1, 0, 0, 1, 1])
    tiles = ap.Sliding(2, 2)
    assert ap.pool(x, "max", tiles, 0).tolist() == [0, 1, 0, 1]
    assert ap.pool(np.roll(x, 1), "max", tiles, 0).tolist() == [1, 1, 1, 1]
    around = ap.Sliding(2, 2, ((0, 1),), padding_mode="circular")
    assert ap.pool(x, "maxblur", around, 0).tolist() == [0.5, 1, 0.5, 1]
    assert ap.pool(np.roll(x, -1), "maxblur", around, 0).tolist() == [0.75, 0.75, 0.75, 0.75]


def test_blurs_by_hand():
    x = np.array([8.0, 0, 0, 16])
    assert ap.pool(x, "blur", ap.Sliding(4), 0).tolist() == [3]  # [1, 3, 3, 1]/8
    assert ap.pool(x, "blur", ap.Sliding(3, 1, 1), 0).tolist() == [16 / 3, 2, 4, 32 / 3]  # fewer at the edge
    assert ap.pool(x, "blur", ap.Sliding(3, 1, 1, padding_mode="reflect"), 0).tolist() == [4, 2, 4, 8]
    assert ap.pool(x, "blur", ap.Sliding(1), 0).tolist() == x.tolist()
    assert ap.pool(np.array([1, 2, 4]), "blur", ap.Sliding(3), 0).tolist() == [2.25]
    assert ap.global_pool(np.ones((300, 5)), "blur", (0, 1)) == pytest.approx(1, rel=1e-14)


def test_gradients_of_blurred_maxima():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(np.random.default_rng(0).permutation(60).reshape(2, 5, 6) / 8).requires_grad_()
    for operator in (ap.MaxBlur(3), ap.Blur(4), ap.Blur()):
        assert torch.autograd.gradcheck(lambda x, operator=operator: ap.pool(x, operator, ap.Sliding(2)), x)


@EVERY_ADAPTER
def test_dtypes(adapter, rng):
    for name in ("uint8", "int32", "float16", "float32"):
        x = random_array(rng, (6, 6), name)
        x = np.clip(x, -100, 100) if x.dtype.kind == "i" else x
        got = adapter.numpy(ap.pool(adapter.make(x), "maxblur", ap.Sliding(2)))
        assert got.dtype == (x.dtype if x.dtype.kind == "f" else adapter.floating)
        expected = blurred_maxima(x.astype(np.float64), (0, 1), 2, 2, 0, 3)
        np.testing.assert_allclose(got.astype(np.float64), expected, rtol=1e-3 if name == "float16" else 1e-5)


@pytest.mark.parametrize(
    ("operator", "window", "message"),
    [
        (ap.MaxBlur(), ap.Global(), r"MaxBlur\(filter_size=3\) has no value in Global\(\): it takes sliding windows"),
        (ap.MaxBlur(), ap.Sliding(2, ceil_mode=True), r"without ceil_mode"),
        (ap.MaxBlur(9), ap.Sliding(2), r"'reflect' needs less padding than elements along an axis, but axis 0"),
        (ap.Blur(2), ap.Sliding(3), r"filter_size must be at least the window's size, 3, got 2"),
        (ap.Blur(5), ap.Sliding(2, dilation=2), r"filter_size goes with windows without dilation"),
        (ap.Blur(5), ap.Adaptive(2), r"filter_size goes with sliding windows"),
    ],
    ids=str,
)
def test_windows_that_do_not_fit_are_refused(operator, window, message):
    with pytest.raises(ValueError, match=message):
        ap.pool(np.zeros((4, 5)), operator, window, (0, 1))


def test_filters_and_masks_that_are_none_are_refused():
    with pytest.raises(ValueError, match="filter_size must be between 1"):
        ap.MaxBlur(0)
    with pytest.raises(TypeError, match="filter_size must be an integer"):
        ap.Blur(2.5)
    with pytest.raises(
        ValueError, match=r"where=.* go with single windows, which MaxBlur\(filter_size=3\) is not made"
    ):
        ap.pool(np.zeros((4, 4)), "maxblur", ap.Sliding(2), where=np.ones((4, 4), bool))


# ---------------------------------------------------------------------------------------------------------------------
# Phases


@EVERY_ADAPTER
@pytest.mark.parametrize("of", ["max", "average"])
def test_polyphase_is_the_loops(adapter, of, rng):
    """The phase of the greatest norm over channels and pooled axes, of every image its own."""
    x = random_array(rng, (3, 6, 2, 4), "float32")
    windows = [
        reference.sliding(n, k, 1, (p, k - 1 - p), padding_mode="circular") for n, k, p in ((6, 3, 1), (4, 2, 0))
    ]
    dense = reference.pool(x, of, windows, (1, 3))
    expected = np.empty((3, 2, 2, 2))
    for number, image in enumerate(dense):
        phases = {(i, j): image[i::3, :, j::2] for i in range(3) for j in range(2)}
        expected[number] = max(phases.values(), key=lambda phase: float((phase.astype(np.float64) ** 2).sum()))
    window = ap.Sliding((3, 2), (3, 2), ((1, 1), (0, 0)), padding_mode="circular")
    got = ap.pool(adapter.make(x), ap.AdaptivePolyphase(of), window, (1, 3))
    np.testing.assert_allclose(adapter.numpy(got), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "operator", [ap.AdaptivePolyphase(), ap.AdaptivePolyphase("average", 1), ap.AdaptivePolyphase("blur", 3)]
)
def test_polyphase_is_equivariant_under_circular_shifts(operator, rng):
    """By every shift, to the last bit; no other pooling at a stride is."""
    x = rng.normal(size=(2, 3, 8, 12))
    for window in (ap.Sliding(2), ap.Sliding(3, (2, 3), 1), ap.Sliding(1, 4)):
        strides = window.stride if isinstance(window.stride, tuple) else (window.stride,) * 2
        y = ap.pool(x, operator, window)
        for shift in np.ndindex(8, 12):
            shifted = ap.pool(np.roll(x, shift, (2, 3)), operator, window)
            same = any(
                np.array_equal(shifted[0], np.roll(y[0], (i, j), (1, 2)))
                for i in (shift[0] // strides[0], -(-shift[0] // strides[0]))
                for j in (shift[1] // strides[1], -(-shift[1] // strides[1]))
            )
            assert same, (window, shift)
    shifted = ap.max_pool(np.roll(x, 1, 3), 2)
    assert not any(np.allclose(shifted, np.roll(ap.max_pool(x, 2), i, 3)) for i in range(6))


def test_a_global_average_after_polyphase_does_not_see_shifts(rng):
    x = rng.normal(size=(4, 3, 8, 8))

    def network(x):
        for _ in range(2):
            x = ap.pool(np.maximum(x, 0), "aps", ap.Sliding(2))
        return ap.global_pool(x, "average", (2, 3))

    for shift in ((1, 0), (3, 5), (7, 2)):
        np.testing.assert_allclose(network(np.roll(x, shift, (2, 3))), network(x), rtol=1e-12)


# ---------------------------------------------------------------------------------------------------------------------
# Frequencies and wavelets


def cropped(x, axis, outputs):
    """By NumPy's transforms: the central part of the spectrum, the bin at its end real."""
    x, n = np.moveaxis(x, axis, -1), x.shape[axis]
    spectrum = np.fft.rfft(x)[..., : outputs // 2 + 1].copy()
    if outputs % 2 == 0 and outputs < n:
        spectrum[..., -1] = spectrum[..., -1].real
    return np.moveaxis(np.fft.irfft(spectrum, outputs) * outputs / n, -1, axis)


@EVERY_ADAPTER
def test_spectral_is_numpy_s_transform_cropped(adapter, rng):
    x = rng.normal(size=(2, 9, 3, 12)).astype(np.float32)
    for outputs in ((3, 6), (4, 5), (9, 12), (1, 2)):
        expected = cropped(cropped(x.astype(np.float64), 1, outputs[0]), 3, outputs[1])
        got = ap.pool(adapter.make(x), "spectral", ap.Adaptive(outputs), (1, 3))
        np.testing.assert_allclose(adapter.numpy(got), expected, atol=1e-6)
    got = adapter.numpy(ap.pool(adapter.make(x), "spectral", ap.Sliding(2), (1, 3)))
    np.testing.assert_allclose(got, cropped(cropped(x, 1, 4), 3, 6), atol=1e-6)


def test_spectral_keeps_what_fits_and_nothing_else():
    """A wave below the output's band comes through, one above it leaves no alias."""
    places = np.arange(32)
    low, high = np.cos(2 * np.pi * 3 * places / 32), np.cos(2 * np.pi * 13 * places / 32)
    tiles = ap.Sliding(2)
    np.testing.assert_allclose(ap.pool(low + high, "spectral", tiles, 0), low[::2], atol=1e-12)
    np.testing.assert_allclose(ap.pool(low, "spectral:cutoff=0.25", tiles, 0), 0, atol=1e-12)
    assert np.abs(ap.pool(high, "average", tiles, 0)).max() > 0.2
    full = np.fft.fftshift(np.fft.fft(low + high))[8:24]  # the low-pass crop of frequencies
    np.testing.assert_allclose(np.fft.ifft(np.fft.ifftshift(full)).real / 2, low[::2], atol=1e-12)


@EVERY_ADAPTER
def test_wavelets_keep_all_energy(adapter, rng):
    x = rng.normal(size=(6, 3, 8)).astype(np.float32)
    bands = {
        name: adapter.numpy(ap.pool(adapter.make(x), f"wavelet:band={name}", ap.Sliding(2), (0, 2)))
        for name in ("ll", "lh", "hl", "hh")
    }
    a, b, c, d = x[::2, :, ::2], x[::2, :, 1::2], x[1::2, :, ::2], x[1::2, :, 1::2]
    np.testing.assert_allclose(bands["ll"], (a + b + c + d) / 2, atol=1e-6)
    np.testing.assert_allclose(bands["lh"], (a - b + c - d) / 2, atol=1e-6)
    np.testing.assert_allclose(bands["hl"], (a + b - c - d) / 2, atol=1e-6)
    np.testing.assert_allclose(bands["hh"], (a - b - c + d) / 2, atol=1e-6)
    assert sum((band**2).sum() for band in bands.values()) == pytest.approx((x**2).sum(), rel=1e-5)
    low = ap.pool(adapter.make(x), "wavelet", ap.Sliding(2), (0, 2))
    np.testing.assert_array_equal(adapter.numpy(low), bands["ll"])


def test_gradients_of_phases_frequencies_and_wavelets():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(np.random.default_rng(0).permutation(48).reshape(2, 4, 6) / 8).requires_grad_()
    for operator in ("aps", "aps:of=average", "spectral", "wavelet:band=lh"):
        assert torch.autograd.gradcheck(lambda x, operator=operator: ap.pool(x, operator, ap.Sliding(2)), x)


@pytest.mark.parametrize(
    ("operator", "window", "message"),
    [
        (
            "aps",
            ap.Sliding(2, 3),
            r"of length 4 at stride 3 it keeps length / stride outputs, and these windows have 1",
        ),
        ("aps", ap.Global(), r"it takes sliding windows of arrays that go on circularly"),
        ("aps", ap.Sliding(2, padding_mode="reflect"), r"go on circularly"),
        ("spectral", ap.Sliding(2, 2, 1), r"without padding"),
        ("spectral", ap.Adaptive(7), r"more outputs than elements"),
        ("wavelet", ap.Sliding(3), r"of two elements along every axis"),
        ("wavelet:band=lhl", ap.Sliding(2), r"band must have one letter, or one per pooled axis \(2\)"),
    ],
    ids=str,
)
def test_windows_of_which_there_is_no_whole_are_refused(operator, window, message):
    with pytest.raises(ValueError, match=message):
        ap.pool(np.zeros((4, 6)), operator, window, (0, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wavelet:band=x", "band must have the letters"),
        ("spectral:cutoff=0", "cutoff must be above 0"),
        ("aps:norm=0.5", "norm must be at least 1"),
        ("aps:of=maxblur", "of must be the name of an operator of single windows"),
        ("aps:batch_axis=-1", "batch_axis must be between 0"),
    ],
)
def test_settings_out_of_range_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        ap.pool(np.zeros((4, 4)), text, ap.Sliding(2))


# ---------------------------------------------------------------------------------------------------------------------
# Layers


def test_torch_modules(rng, tmp_path):
    torch = pytest.importorskip("torch")
    import anypool.torch as apt

    x = torch.from_numpy(rng.normal(size=(2, 3, 8, 9)).astype(np.float32))
    modules = {
        apt.BlurPool2d(): blurred(x.numpy(), (2, 3), 3, 2),
        apt.BlurPool2d(4, 2): blurred(x.numpy(), (2, 3), 4, 2),
        apt.MaxBlurPool2d(3, 2, 1, filter_size=5): blurred_maxima(x.numpy(), (2, 3), 3, 2, 1, 5),
        apt.Pool2d("maxblur:filter_size=2", 2): blurred_maxima(x.numpy(), (2, 3), 2, 2, 0, 2),
    }
    for module, expected in modules.items():
        torch.testing.assert_close(module(x), torch.from_numpy(expected), check_dtype=False, rtol=1e-5, atol=1e-5)
    torch.save(next(iter(modules)), tmp_path / "blur.pt")
    again = torch.load(tmp_path / "blur.pt", weights_only=False)
    torch.testing.assert_close(again(x), next(iter(modules))(x))
    for text in ("aps", "spectral", "wavelet:band=hl"):
        module = apt.Pool2d(text, 2)
        y = ap.pool(x.numpy()[..., :8], text, ap.Sliding(2))
        torch.testing.assert_close(module(x[..., :8]), torch.from_numpy(y))
        compiled = torch.export.export(module, (x[..., :8],)).module()
        torch.testing.assert_close(compiled(x[..., :8]), torch.from_numpy(y))
    network = torch.nn.Sequential(*modules)
    program = torch.export.export(network, (torch.randn(2, 3, 65, 70),), dynamic_shapes=({2: torch.export.Dim.AUTO},))
    other = torch.randn(2, 3, 80, 70)
    torch.testing.assert_close(program.module()(other), network(other))


def test_dask_arrays(rng):
    da = pytest.importorskip("dask.array")
    x = rng.normal(size=(3, 20, 21))
    lazy = da.from_array(x, chunks=(1, 7, 8))
    for operator in ("maxblur", "blur:filter_size=4", "blur", "aps", "spectral", "wavelet"):
        window = ap.Sliding(2, (2, 3) if operator != "aps" else (2, 7))
        got = ap.pool(lazy, operator, window)
        np.testing.assert_allclose(got.compute(), ap.pool(x, operator, window), rtol=1e-12)
    np.testing.assert_allclose(ap.global_pool(lazy, "blur", (1, 2)).compute(), ap.global_pool(x, "blur", (1, 2)))
    with pytest.raises(ValueError, match="reads more than tasks are given of x"):
        ap.tasks(x, "maxblur", ap.Sliding(2), chunks=3)


def test_tasks_of_dask_arrays_travel(rng):
    """To the processes of a cluster, as bytes."""
    da = pytest.importorskip("dask.array")
    import cloudpickle

    x = rng.normal(size=(2, 8, 8))
    lazy = ap.pool(da.from_array(x, chunks=(1, 4, 4)), "maxblur", ap.Sliding(2))
    again = cloudpickle.loads(cloudpickle.dumps(dict(lazy.__dask_graph__())))
    assert again.keys() == dict(lazy.__dask_graph__()).keys()
