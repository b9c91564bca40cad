"""Sums and averages of complex numbers: those of their parts, on every array that has them; all else is refused."""

from typing import Any

import numpy as np
import pytest
from adapters import ADAPTERS

import anypool as ap

WITH_COMPLEX = pytest.mark.parametrize("adapter", ["numpy", "torch", "jax"], indirect=True)
X = np.ones((3, 3), bool)
WINDOWS = [
    (ap.Sliding(3, 2, 1), (1, 2)),
    (ap.Sliding((2, 3), ceil_mode=True), (2, 0)),
    (ap.Adaptive((3, 2)), (0, 2)),
    (ap.Global(), (1,)),
]


def example(rng, dtype="complex64", shape=(4, 7, 6)):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


def of_parts(x, *arguments, **options):
    return ap.pool(x.real.copy(), *arguments, **options) + 1j * ap.pool(x.imag.copy(), *arguments, **options)


@WITH_COMPLEX
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize(
    "operator", ["sum", "average", ap.Average(count_include_pad=True), ap.Average(False, 5)], ids=str
)
def test_values_are_those_of_the_parts(adapter, operator, dtype, rng):
    if adapter.name == "jax" and dtype == "complex128":
        return  # without 64 bits it has none
    x = example(rng, dtype)
    for window, axes in WINDOWS:
        got = adapter.numpy(ap.pool(adapter.make(x), operator, window, axes))
        assert got.dtype == dtype
        np.testing.assert_allclose(got, of_parts(x, operator, window, axes), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("impl", ["kernel", "definition"])
def test_every_layout_of_numpy(impl, rng):
    x = example(rng)
    views = [x, np.asfortranarray(x), x[::-1, :, ::2], x.transpose(2, 0, 1), x.conj()[..., 1:], x[:0], x.astype(">c8")]
    for view in views:
        got = ap.avg_pool(view, 2, impl=impl)
        np.testing.assert_allclose(got, of_parts(view, "average", ap.Sliding(2)), rtol=1e-5)
    np.testing.assert_allclose(ap.sum_pool(np.array([1 + 1j, np.inf - 2j]), 2, axes=0), [np.inf - 1j])


def test_conjugate_views_of_torch():
    torch = pytest.importorskip("torch")
    x = torch.randn(2, 4, 4, dtype=torch.complex64)
    torch.testing.assert_close(ap.avg_pool(x.conj(), 2), ap.avg_pool(x, 2).conj().resolve_conj())
    torch.testing.assert_close(ap.avg_pool(x.mT, 2), ap.avg_pool(x, 2).mT)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_gradients(name):
    rng = np.random.default_rng(0)
    x, upstream = example(rng), example(rng, shape=(4, 3, 2))
    adapter: Any = ADAPTERS[name]()
    pooled = lambda part: ap.avg_pool(part, 3, stride=(2, 3))  # noqa: E731
    if name == "torch":
        torch = adapter.torch
        leaf = torch.tensor(x.astype(np.complex128), requires_grad=True)
        assert torch.autograd.gradcheck(pooled, leaf, fast_mode=True)
        assert torch.autograd.gradcheck(
            lambda a: ap.global_pool(a, "sum", (1, 2), where=mask_of(torch)), leaf, fast_mode=True
        )
        return
    got = adapter.gradient(pooled, x, upstream)
    real, imag = (adapter.gradient(pooled, part.copy(), np.real(upstream).copy()) for part in (x.real, x.imag))
    _, cross = (adapter.gradient(pooled, part.copy(), np.imag(upstream).copy()) for part in (x.real, x.imag))
    np.testing.assert_allclose(got, real + 1j * cross, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(real, imag, rtol=1e-6)


def mask_of(torch):
    return torch.arange(7)[:, None] < torch.tensor([3, 7, 5, 6, 2, 7])


@WITH_COMPLEX
def test_masks_and_nan(adapter, rng):
    x, mask = example(rng), rng.random((4, 7, 6)) < 0.5
    mask[0, :2, :2] = False
    window = ap.Sliding(2)
    got = adapter.numpy(ap.pool(adapter.make(x), "average", window, where=adapter.make(mask)))
    expected = of_parts(x, "average", window, where=mask)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert np.isnan(got[0, 0, 0])
    got = adapter.numpy(ap.avg_pool(adapter.make(x), 2, where=adapter.make(mask), fill_value=-1))
    np.testing.assert_allclose(got, np.where(np.isnan(expected), -1, expected), rtol=1e-5)
    holed = x.copy()
    holed.real[~mask] = np.nan
    got = adapter.numpy(ap.avg_pool(adapter.make(holed), 2, nan_policy="omit"))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="nan_policy is 'raise'"):
        ap.avg_pool(adapter.make(holed), 2, nan_policy="raise")


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_out_dtype_and_keepdims(name, rng):
    adapter: Any = ADAPTERS[name]()
    x = adapter.make(example(rng))
    out = adapter.make(np.zeros((4, 3, 3), np.complex64))
    assert ap.sum_pool(x, 2, out=out) is out
    np.testing.assert_allclose(adapter.numpy(out), adapter.numpy(ap.sum_pool(x, 2)))
    assert adapter.numpy(ap.avg_pool(x, 2, dtype="complex128")).dtype == np.complex128
    assert adapter.numpy(ap.global_pool(x, "sum", (0, 2))).shape == (7,)
    assert adapter.numpy(ap.global_pool(x, "sum", (0, 2), keepdims=True)).shape == (1, 7, 1)
    with pytest.raises(TypeError, match="out must have the output's dtype complex64, got float32"):
        ap.sum_pool(x, 2, out=adapter.make(np.zeros((4, 3, 3), np.float32)))
    with pytest.raises(TypeError, match="dtype of a complex result must be one of complex64, complex128"):
        ap.sum_pool(x, 2, dtype="float32")


@WITH_COMPLEX
@pytest.mark.parametrize("operator", [name for name in ap.OPERATORS if name not in ("sum", "average")])
def test_other_operators_refuse(adapter, operator, rng):
    with pytest.raises(TypeError, match=r"x must hold real numbers for .*: sums and averages take complex ones"):
        ap.pool(adapter.make(example(rng)), operator, ap.Sliding(2))


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (r"a window must fit; x has shape \(4, 7, 6\)", lambda x: ap.avg_pool(x, 9)),
        (r"where must broadcast to x: x has shape \(4, 7, 6\), where \(3, 3\)", lambda x: ap.sum_pool(x, 2, where=X)),
        ("where must hold booleans", lambda x: ap.sum_pool(x, 2, where=np.ones((7, 6)))),
        (
            "return_indices=True: Sum makes a new number",
            lambda x: ap.pool(x, "sum", ap.Sliding(2), return_indices=True),
        ),
        ("axes must lie within", lambda x: ap.global_pool(x, "average", 3)),
        ("give one of the two", lambda x: ap.avg_pool(x, 2, padding=1, count_include_pad=True, where=x.real > 0)),
    ],
)
def test_errors_are_of_the_complex_array(words, call, rng):
    with pytest.raises((TypeError, ValueError), match=words):
        call(example(rng))


def test_a_mask_of_one_for_all(rng):
    x = example(rng)
    np.testing.assert_allclose(ap.sum_pool(x, 2, where=np.True_), ap.sum_pool(x, 2), rtol=1e-5)
    assert (ap.sum_pool(x, 2, where=np.False_) == 0).all()


def test_a_subclass_of_an_average_is_not_taken_for_it(rng):
    class Louder(ap.Average):
        def lift(self, x, xp):
            return (xp.abs(x),)

    with pytest.raises(TypeError, match="x must hold real numbers for Louder"):
        ap.pool(example(rng), Louder(), ap.Sliding(2))


def test_modules_and_programs():
    torch = pytest.importorskip("torch")
    apt = pytest.importorskip("anypool.torch")
    x = torch.randn(2, 3, 6, 6, dtype=torch.complex64)
    for module in (
        apt.SumPool2d(2),
        apt.Pool2d("average", 3, 1, 1),
        apt.AdaptivePool2d("sum", 2),
        apt.GlobalPool2d("average"),
    ):
        expected = torch.complex(module(x.real.contiguous()), module(x.imag.contiguous()))
        torch.testing.assert_close(module(x), expected)
        torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), expected)
    with pytest.raises(TypeError, match="x must hold real numbers for Max"):
        apt.Pool2d("max", 2)(x)


@WITH_COMPLEX
def test_real_results_stay_as_they_were(adapter, rng):
    x = rng.normal(size=(4, 4)).astype(np.float32)
    assert adapter.numpy(ap.avg_pool(adapter.make(x), 2)).dtype == np.float32
