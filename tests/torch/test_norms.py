"""p-norms of tensors by sums of powers in double precision, against the definition."""

import pytest
import torch

import anypool as ap
import anypool.torch as apt
from anypool.cpu import kernels

pytestmark = pytest.mark.skipif(not kernels.available(), reason=str(kernels.why_not_built))

WINDOWS = {
    "tiles": ap.Sliding(2),
    "overlapping": ap.Sliding(3, 2, 1),
    "dilated": ap.Sliding(3, 1, 2, dilation=2),
    "windows of padding alone": ap.Sliding(2, 2, 3),
    "adaptive": ap.Adaptive((3, 4)),
    "everything": ap.Global(),
}


def image(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 8, 9, generator=generator)
    x[0, 0, :4] = 0  # windows of zeros, and zeros among others
    x[1, 1, ::3, ::2] = 0
    return x.to(dtype).requires_grad_()


def both(x, p, window):
    axes = (-2, -1)
    return (ap.pool(x, ap.Lp(p), window, axes, impl=impl) for impl in ("kernel", "definition"))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("p", [1, 1.5, 2, 3, 6])
@pytest.mark.parametrize("name", WINDOWS)
def test_values_and_gradients_are_the_definitions(name, p, memory_format):
    x = image().detach().to(memory_format=memory_format).requires_grad_()
    given, wanted = both(x, p, WINDOWS[name])
    torch.testing.assert_close(given, wanted)
    if given.shape[-1] > 1:
        assert given.is_contiguous(memory_format=memory_format)
    upstream = torch.randn_like(given)
    mine, its = (torch.autograd.grad(y, x, upstream, retain_graph=True)[0] for y in (given, wanted))
    torch.testing.assert_close(mine, its)
    assert mine.stride() == x.stride()


@pytest.mark.parametrize("p", [2, 3, 4.5])
def test_second_derivatives_are_the_definitions(p):
    x = image()
    upstream = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    found = []
    for y in both(x, p, ap.Sliding(2)):
        (first,) = torch.autograd.grad(y, x, upstream, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), (x, upstream)))
    for mine, its in zip(*found, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_dtype(dtype):
    x = image(dtype)
    given, wanted = both(x, 3, ap.Sliding(2))
    assert given.dtype is dtype
    torch.testing.assert_close(given, wanted)
    (gradient,) = torch.autograd.grad(given.sum(), x)
    assert gradient.dtype is dtype
    assert gradient.isfinite().all()


def test_neither_large_nor_small_numbers_are_lost():
    for scale in (1e38, 1e-44):
        x = torch.tensor([[3.0, -1.0]]) * scale
        wanted = (x.double().abs() ** 6).sum() ** (1 / 6)
        torch.testing.assert_close(ap.pool(x, ap.Lp(6), ap.Sliding((1, 2)), impl="kernel").double(), wanted.view(1, 1))


def test_what_is_not_a_number_stays_so():
    x = torch.tensor([[torch.nan, 1.0, torch.inf, -1.0]])
    y = ap.pool(x, ap.Lp(2), ap.Sliding((1, 2)), impl="kernel")
    assert y[0, 0].isnan()
    assert y[0, 1] == torch.inf


def test_powers_without_room_go_to_the_definition():
    with pytest.raises(ValueError, match="powers over 6 may not fit"):
        ap.pool(image(), ap.Lp(7), ap.Sliding(2), impl="kernel")
    with pytest.raises(ValueError, match="not from float64"):
        ap.pool(image(torch.float64), ap.Lp(2), ap.Sliding(2), impl="kernel")
    for x, p in ((image(), 7), (image(torch.float64), 2)):
        assert torch.equal(*(ap.pool(x, ap.Lp(p), ap.Sliding(2), impl=impl) for impl in ("auto", "definition")))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_modules_compile_and_transform_as_before():
    module, x = apt.LPPool2d(3, 2), image()
    eager = module(x)
    torch.testing.assert_close(torch.compile(module, backend="aot_eager", fullgraph=True)(x), eager)
    torch.testing.assert_close(torch.func.vmap(module)(x), eager)
    tangent = torch.func.jvp(module, (x.detach(),), (torch.ones_like(x),))[1]
    torch.testing.assert_close(tangent.sum(), torch.autograd.grad(eager.sum(), x)[0].sum(), rtol=1e-4, atol=1e-4)
