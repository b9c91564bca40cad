"""padding_mode=: what lies beyond the edge, against the reference, on every array and every way out of Python."""

import numpy as np
import pytest
import reference
import window_functions as f
from adapters import ADAPTERS, EVERY_ADAPTER
from harness import Case, check, check_gradient, random_array, without
from operator_table import DIFFERENTIABLE_OPERATORS, OPERATORS, ROWS

import anypool as ap

MODES = ("zeros", "reflect", "replicate", "circular")
EVERY_MODE = pytest.mark.parametrize("mode", MODES)
SAMPLE = ("max", "average", "median")
"""What frameworks that compile try of every mode; `make test-all` tries all operators."""


def grid(operators, adapters=tuple(ADAPTERS)):
    """Every operator on every array."""
    slow = {
        (name, adapter): name not in SAMPLE and adapter in ("jax", "tensorflow")
        for name in operators
        for adapter in adapters
    }
    return pytest.mark.parametrize(
        ("operator", "adapter"),
        [pytest.param(*pair, marks=pytest.mark.slow if slow[pair] else ()) for pair in slow],
        indirect=["adapter"],
    )


CASES = [
    Case(axes=(1, 2), kernel_size=(3, 2), stride=(2, 1), padding=((2, 1), (0, 3))),
    Case(axes=(2, 0), kernel_size=(3, 2), stride=(2, 3), padding="same", dilation=(2, 1)),
    Case(axes=(1,), kernel_size=(4,), stride=(3,), padding=((3, 2),), ceil_mode=True),
    Case(axes=(1, 2, 0), kernel_size=(2, 2, 2), stride=(1, 2, 1), padding=((1, 1), (2, 2), (1, 1)), ceil_mode=True),
]
SHAPE = (3, 5, 6)


@EVERY_MODE
@grid(OPERATORS)
def test_values_are_the_reference_s(adapter, operator, mode, rng):
    number = (OPERATORS.index(operator) + MODES.index(mode)) % len(CASES)
    for case in CASES if adapter.name in ("numpy", "torch") else CASES[number : number + 1]:
        x = random_array(rng, SHAPE, "float32")
        if mode == "zeros" and operator.startswith(("power_mean:p=-", "harmonic", "geometric")):
            x = np.abs(x)
        check(without(case, operator=operator, padding_mode=mode), x, adapter)


@EVERY_MODE
@grid(DIFFERENTIABLE_OPERATORS, [name for name, kind in ADAPTERS.items() if kind.differentiates])
def test_gradients_are_the_reference_s(adapter, operator, mode, rng):
    number = (OPERATORS.index(operator) + MODES.index(mode)) % len(CASES)
    x = rng.permutation(90).reshape(SHAPE).astype(np.float32) / 8 - 4 + 1 / 32
    check_gradient(without(CASES[number], operator=operator, padding_mode=mode), x, adapter)


@EVERY_ADAPTER
@EVERY_MODE
def test_every_dtype(adapter, mode, rng):
    for name in adapter.dtypes if adapter.name != "jax" else ("bool", "int8", "uint32", "float16"):
        for operator in ("max", "average"):
            check(without(CASES[0], operator=operator, padding_mode=mode), random_array(rng, SHAPE, name), adapter)


@EVERY_MODE
def test_what_lies_beyond_is_what_numpy_pads_with(mode, rng):
    numpy_s = {"zeros": "constant", "replicate": "edge", "circular": "wrap"}.get(mode, mode)
    x = rng.normal(size=(2, 6, 7))
    padded = np.pad(x, ((0, 0), (2, 1), (3, 2)), mode=numpy_s)
    got = ap.avg_pool(x, (3, 4), 1, ((2, 1), (3, 2)), padding_mode=mode)
    np.testing.assert_allclose(got, ap.avg_pool(padded, (3, 4), 1), rtol=1e-13)


@EVERY_MODE
def test_it_is_torch_s_padding_of_convolutions(mode, rng):
    torch = pytest.importorskip("torch")
    convolution = torch.nn.Conv2d(1, 1, 3, padding=2, padding_mode=mode, bias=False, dtype=torch.float64)
    torch.nn.init.constant_(convolution.weight, 1 / 9)
    x = torch.from_numpy(rng.normal(size=(2, 1, 6, 5)))
    pooled = ap.avg_pool(x, 3, 1, 2, padding_mode=mode)
    torch.testing.assert_close(pooled, convolution(x).detach())


@EVERY_MODE
@grid(["max", "average", "median", "gem", "count"])
def test_masks_go_along(adapter, operator, mode, rng):
    """An element left out is left out wherever it lies; zeros count."""
    x, mask = np.abs(random_array(rng, SHAPE, "float32")), rng.random(SHAPE) < 0.5
    case = without(CASES[0], operator=operator, padding_mode=mode)
    function = {"max": f.rank(-1), "average": f.mixed(0)}.get(operator) or ROWS[operator].reference
    least = 0 if operator == "count" else 1
    expected = reference.pool(x, function[0], case.windows(SHAPE), case.axes, where=mask, least=least)
    got = ap.pool(adapter.make(x), ROWS[operator].operator, case.package_window(), case.axes, where=adapter.make(mask))
    np.testing.assert_allclose(adapter.numpy(got).astype(np.float64), expected, rtol=1e-5)


def test_a_mask_that_broadcasts_goes_along():
    x, mask = np.arange(6.0).reshape(2, 3), np.array([True, True, False])
    got = ap.avg_pool(x, (1, 3), 1, (0, 1), where=mask, padding_mode="reflect")
    assert got.tolist() == [[2 / 3, 0.5, 1], [3 + 2 / 3, 3.5, 4]]
    assert ap.avg_pool(x, (2, 1), 1, (1, 0), where=np.array(True), padding_mode="zeros").shape == (3, 3)


def test_dask_arrays_of_any_chunks(rng):
    da = pytest.importorskip("dask.array")
    x = rng.normal(size=(3, 9, 10))
    for mode in MODES:
        for chunks in ((1, 4, 3), (2, 3, 7)):
            for case in (CASES[0], CASES[2]):
                for operator in ("average", "median"):
                    pooling = without(case, operator=operator, padding_mode=mode)
                    got = pooling.package(da.from_array(x, chunks=chunks))
                    np.testing.assert_allclose(got.compute(), pooling.package(x), rtol=1e-12)
        indices = ap.max_pool(da.from_array(x, chunks=(1, 4, 3)), 3, 1, 1, padding_mode="circular", return_indices=True)
        expected = ap.max_pool(x, 3, 1, 1, padding_mode="circular", return_indices=True)
        np.testing.assert_array_equal(indices[1].compute(), expected[1])


@EVERY_ADAPTER
@pytest.mark.parametrize(
    ("window", "message"),
    [
        (
            ap.Sliding(9, 1, 4, padding_mode="reflect"),
            r"'reflect' needs less padding than elements.*axis 0 has length 4",
        ),
        (
            ap.Sliding(9, 1, 5, padding_mode="circular"),
            r"'circular' needs no more padding than elements.*padding \(5, 5\)",
        ),
        (ap.Sliding((3, 9), 1, "same", padding_mode="reflect"), r"axis 1 has length 3 and padding \(4, 4\)"),
    ],
)
def test_axes_too_short_are_refused(adapter, window, message):
    with pytest.raises(ValueError, match=message):
        ap.pool(adapter.make(np.zeros((4, 3), np.float32)), "median", window)
    with pytest.raises(ValueError, match=message):
        window.output_shape((4, 3))


def test_modes_and_indices_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"padding_mode must be one of 'exclude', 'zeros', .*, got 'mirror'"):
        ap.Sliding(3, padding_mode="mirror")
    with pytest.raises(ValueError, match=r"'replicate' needs an element along an axis, but axis 0 has length 0"):
        ap.max_pool(np.zeros((0, 3)), 3, 1, 2, padding_mode="replicate")
    with pytest.raises(ValueError, match=r"with padding_mode 'zeros' an element of the padding has no index in x"):
        ap.max_pool(np.zeros((4, 3)), 3, 1, 1, padding_mode="zeros", return_indices=True)


def test_windows_of_padding_alone_have_values():
    assert ap.max_pool(np.array([1.0, 2.0]), 2, 1, 2, axes=0, padding_mode="zeros").tolist() == [0, 1, 2, 2, 0]
    assert ap.max_pool(np.zeros((0,)), 2, 1, 2, axes=0, padding_mode="zeros").tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="without any element"):
        ap.max_pool(np.array([1.0, 2.0]), 2, 1, 2, axes=0)
    assert ap.pool(np.array([3.0]), ap.Rank(3), ap.Sliding(3, 1, 1, padding_mode="replicate"), 0).tolist() == [3]


def test_results_are_written_into_out(rng):
    for name in ("numpy", "torch"):
        adapter = ADAPTERS[name]()
        x = adapter.make(rng.normal(size=(4, 4)))
        out = adapter.make(np.zeros((4, 4)))
        assert ap.max_pool(x, 3, 1, 1, padding_mode="circular", out=out) is out
        np.testing.assert_array_equal(out, ap.max_pool(x, 3, 1, 1, padding_mode="circular"))
