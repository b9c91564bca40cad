"""Gradients in batches and gradients with tangents: `is_grads_batched`, vectorised Jacobians, vmap and dual numbers.

torch has two kinds of batches: torch.func's, and an older one that `is_grads_batched=True` and vectorize=True make.
"""

import warnings

import pytest
import torch
from torch import func
from torch._vmap_internals import _vmap
from torch.autograd import forward_ad, functional, grad, gradcheck, gradgradcheck

import anypool as ap
import anypool.torch as apt
from anypool.torch import native

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's own first use of forward mode imports what it deprecates
    with forward_ad.dual_level():
        forward_ad.make_dual(torch.ones(1), torch.ones(1))

OPERATORS = ("max", "min", "average", "sum", "lp", "gem")
WINDOWS = {
    "overlapping": ap.Sliding(3, 2, 1),
    "apart": ap.Sliding(2),
    "dilated": ap.Sliding(2, 1, 0, dilation=2),
    "adaptive": ap.Adaptive(4),
    "global": ap.Global(),
}
FUNCTIONS = {
    f"{operator}, {name}": lambda x, operator=operator, window=window: ap.pool(x, operator, window, axes=(2, 3))
    for operator in OPERATORS
    for name, window in WINDOWS.items()
}
MODULES = {
    "MaxPool1d": apt.MaxPool1d(3, 2, 1),
    "MaxPool2d": apt.MaxPool2d(2),
    "MaxPool3d": apt.MaxPool3d((1, 2, 2)),
    "MinPool2d": apt.MinPool2d(3, 1, "same"),
    "AvgPool2d": apt.AvgPool2d(3, 2, 1, ceil_mode=True),
    "SumPool2d": apt.SumPool2d(2),
    "LPPool2d": apt.LPPool2d(3, 2),
    "LPPool2d, signed": apt.LPPool2d(2, 2, signed=True),
    "AdaptiveMaxPool2d": apt.AdaptiveMaxPool2d(3),
    "AdaptiveAvgPool2d": apt.AdaptiveAvgPool2d(3),
    "GlobalMaxPool2d": apt.GlobalMaxPool2d(),
    "values of MaxPool2d with indices": lambda x: apt.MaxPool2d(2, return_indices=True)(x)[0],
    "MaxUnpool2d": lambda x: apt.MaxUnpool2d(2)(*apt.MaxPool2d(2, return_indices=True)(x), x.shape),
}
SAMPLE = [name for name in FUNCTIONS if name.endswith("overlapping")]
everything = pytest.mark.parametrize(
    "name",
    [
        *MODULES,
        *(pytest.param(name, marks=() if name in SAMPLE else pytest.mark.slow) for name in FUNCTIONS),
    ],
)
layouts = pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])


@pytest.fixture(autouse=True)
def kernels_alone(monkeypatch):
    """As for many elements: torch's own operators, which have the few, make batches in their own ways."""
    monkeypatch.setattr(native.Native, "is_faster", lambda *_: native.NEVER)
    ap.clear_caches()
    yield
    ap.clear_caches()


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def image(memory_format=torch.contiguous_format, dtype=torch.float64, length=9):
    x = random(2, 3, length, length - 1, seed=1).to(dtype)
    return x.to(memory_format=memory_format).requires_grad_()


def one_by_one(y, x, upstreams):
    return torch.stack([grad(y, x, each, retain_graph=True)[0] for each in upstreams])


def assert_batched(y, x, upstreams):
    """Of both kinds of batches, nested ones, and a batch that is not the first axis."""
    expected = one_by_one(y, x, upstreams)

    def gradient(upstream):
        return grad(y, x, upstream, retain_graph=True)[0]

    pairs = upstreams.reshape(2, -1, *y.shape)
    for got in (
        grad(y, x, upstreams, is_grads_batched=True, retain_graph=True)[0],
        func.vmap(gradient)(upstreams),
        func.vmap(gradient, in_dims=-1)(upstreams.movedim(0, -1)),
        func.vmap(func.vmap(gradient))(pairs).flatten(0, 1),
        _vmap(_vmap(gradient))(pairs).flatten(0, 1),
    ):
        torch.testing.assert_close(got, expected)


@everything
@layouts
def test_batches_are_what_one_by_one_gives(name, memory_format):
    pool = {**FUNCTIONS, **MODULES}[name]
    for dtype in (torch.float32, torch.float64):
        x = image(memory_format, dtype)
        y = pool(x)
        upstreams = random(4, *y.shape).to(dtype)
        assert_batched(y, x, upstreams)
        upstream = upstreams[0].requires_grad_()
        (gradient,) = grad(y, x, upstream, create_graph=True)
        assert_batched(gradient, upstream, random(4, *x.shape).to(dtype))


@everything
def test_a_batch_of_gradients_differentiates_on(name):
    x = image()
    y = {**FUNCTIONS, **MODULES}[name](x)
    upstreams = random(3, *y.shape).requires_grad_()
    (gradients,) = grad(y, x, upstreams, is_grads_batched=True, create_graph=True)
    (singly,) = grad(y, x, upstreams[1], create_graph=True)
    weights = random(*x.shape, seed=2)
    expected = grad((singly * weights).sum(), upstreams, retain_graph=True)[0]
    torch.testing.assert_close(grad((gradients[1] * weights).sum(), upstreams)[0], expected)


@everything
@layouts
def test_the_tangent_of_a_gradient_is_the_gradient_of_the_tangent(name, memory_format):
    x = image(memory_format)
    y = {**FUNCTIONS, **MODULES}[name](x)
    upstream = random(*y.shape).requires_grad_()
    (gradient,) = grad(y, x, upstream, create_graph=True)
    for result, of in ((y, x), (gradient, upstream)):
        value, tangent = random(*result.shape, seed=3), random(*result.shape, seed=4)
        with forward_ad.dual_level():
            (found,) = grad(result, of, forward_ad.make_dual(value, tangent), retain_graph=True)
            found = forward_ad.unpack_dual(found).tangent
        assert found is not None
        torch.testing.assert_close(found, grad(result, of, tangent, retain_graph=True)[0])


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
@everything
def test_vectorised_jacobians_and_hessians(name, strategy):
    pool = {**FUNCTIONS, **MODULES}[name]
    x = image(length=6)[:1].detach()

    def loss(x):
        return (pool(x) ** 3).sum()

    jacobian = functional.jacobian(pool, x, vectorize=True, strategy=strategy)
    torch.testing.assert_close(jacobian, functional.jacobian(pool, x))
    hessian = functional.hessian(loss, x, vectorize=True, outer_jacobian_strategy=strategy)
    torch.testing.assert_close(hessian, functional.hessian(loss, x))


@everything
def test_torchs_own_checks_of_batches(name):
    pool = {**FUNCTIONS, **MODULES}[name]
    x = image(length=5)[:1].detach().requires_grad_()
    assert gradcheck(pool, x, check_batched_grad=True, check_forward_ad=True, check_batched_forward_grad=True)
    assert gradgradcheck(pool, x, check_batched_grad=True, check_fwd_over_rev=True)


@pytest.mark.parametrize("operator", OPERATORS)
def test_pooling_a_batch_of_gradients(operator):
    """What a user's own backward pass may do."""

    class Pooled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

        @staticmethod
        def backward(ctx, upstream):
            return ap.pool(upstream, operator, ap.Sliding(2))

    x = image()
    y = Pooled.apply(x)
    upstreams = random(3, *y.shape)
    got = grad(y, x, upstreams, is_grads_batched=True, retain_graph=True)[0]
    torch.testing.assert_close(got, one_by_one(y, x, upstreams))


def test_torchs_own_operators_have_three_axes_only_where_they_take_their_layout():
    x = image(torch.channels_last)
    assert apt.MaxPool3d((1, 2, 2))(x).shape == (2, 3, 4, 4)
