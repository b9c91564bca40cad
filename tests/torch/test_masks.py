"""Modules with a mask as their second argument: values, gradients, settings, refusals."""

import numpy as np
import pytest

import anypool as ap

torch = pytest.importorskip("torch")
apt = pytest.importorskip("anypool.torch")

SHAPES = {1: (2, 3, 9), 2: (2, 3, 8, 7), 3: (2, 3, 5, 6, 5)}


def modules(rank):
    """(module, operator, window) for sliding, adaptive and global modules, named and for any operator."""

    def of(name, *arguments, **options):
        return getattr(apt, f"{name}{rank}d")(*arguments, **options)

    return [
        (of("MaxPool", 3, 2, 1), "max", ap.Sliding(3, 2, 1)),
        (of("MinPool", 2, padding="same"), "min", ap.Sliding(2, padding="same")),
        (of("AvgPool", 2), "average", ap.Sliding(2)),
        (of("AvgPool", 3, 2, 1, count_include_pad=False), "average", ap.Sliding(3, 2, 1)),
        (of("SumPool", 2, ceil_mode=True), "sum", ap.Sliding(2, ceil_mode=True)),
        (of("LPPool", 3, 2), ap.Lp(3), ap.Sliding(2)),
        (of("AdaptiveMaxPool", 3), "max", ap.Adaptive(3)),
        (of("AdaptiveAvgPool", 3), "average", ap.Adaptive(3)),
        (of("GlobalMaxPool", True), "max", ap.Global()),
        (of("GlobalAvgPool", True), "average", ap.Global()),
        (of("Pool", "gem:p=2", 2), ap.GeM(2.0), ap.Sliding(2)),
        (of("AdaptivePool", "median", 3), "median", ap.Adaptive(3)),
        (of("GlobalPool", "soft", True), "soft", ap.Global()),
        (of("MedianPool", 2), "median", ap.Sliding(2)),
    ]


def example(rank, dtype=torch.float32):
    generator = torch.Generator().manual_seed(rank)
    x = torch.rand(SHAPES[rank], generator=generator, dtype=dtype)
    mask = torch.rand((2, 1, *SHAPES[rank][2:]), generator=generator) < 0.5
    mask[0, :, :4] = False
    return x.masked_fill(~mask, torch.nan), mask


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_values_are_those_of_the_functions(rank):
    x, mask = example(rank)
    axes = tuple(range(-rank, 0))
    for module, operator, window in modules(rank):
        expected = ap.pool(x.numpy(), operator, window, axes, where=mask.numpy())
        np.testing.assert_allclose(module(x, mask).detach(), expected, rtol=1e-5, atol=1e-6, err_msg=str(module))
        np.testing.assert_array_equal(module(x, where=mask).detach(), module(x, mask).detach())


def test_gradients_reach_what_counts_alone():
    x, mask = example(2, torch.float64)
    mask[0, :, :, 0] = True  # every window of two columns holds something
    x = x.nan_to_num(0) + torch.rand(x.shape, dtype=x.dtype)
    for module, *_ in modules(2):
        module = module.double()

        def call(a, module=module):
            filled = torch.where(mask, a, torch.nan)
            return module(filled, mask).nan_to_num()

        leaf = x.clone().requires_grad_(True)
        assert torch.autograd.gradcheck(call, leaf, fast_mode=True), module
        leaf.grad = None
        call(leaf).sum().backward()
        assert (leaf.grad[(~mask).expand_as(leaf)] == 0).all(), module


def test_a_learned_power_learns_from_what_counts():
    x, mask = example(2, torch.float64)
    pool = apt.Pool2d("gem:p=2", 2).double()
    pool(x.nan_to_num(5.0), mask).nansum().backward()
    whole = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    ap.pool(x.nan_to_num(7.0), ap.GeM(whole), ap.Sliding(2), where=mask).nansum().backward()
    torch.testing.assert_close(pool.p.grad, whole.grad)
    assert pool.p.grad != 0


def test_settings_are_kept_shown_and_saved(tmp_path):
    pool = apt.Pool2d("average", 2, nan_policy="omit", min_count=2, fill_value=-1)
    x = torch.tensor([[1.0, torch.nan, 4, 6], [torch.nan, torch.nan, 8, torch.nan]])
    assert pool(x).tolist() == [[-1, 6]]
    assert pool(x, torch.tensor([[True, True, True, False]])).tolist() == [[-1, 6]]
    assert "min_count=2, fill_value=-1, nan_policy='omit'" in repr(pool)
    torch.save(pool, tmp_path / "pool.pt")
    assert torch.load(tmp_path / "pool.pt", weights_only=False)(x).tolist() == [[-1, 6]]
    counted = apt.GlobalPool2d("max", fill_value=0)
    assert counted(torch.ones(1, 2, 2, dtype=torch.int32), torch.zeros(2, 2, dtype=torch.bool)).tolist() == [0]


def test_a_module_traced_alone_may_be_called_without_its_mask():
    """torch.fx makes every argument of a root one of its graph."""
    x, mask = example(2)
    x = x.nan_to_num()
    for module in (apt.MaxPool2d(2), apt.AvgPool2d(2, padding=1), apt.Pool2d("median", 2)):
        traced = torch.fx.symbolic_trace(module)
        torch.testing.assert_close(traced(x), module(x))
        if not getattr(module, "padding", 0):
            torch.testing.assert_close(traced(x, mask), module(x, mask), equal_nan=True)


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("where must broadcast to x", lambda x: apt.MaxPool2d(2)(x, torch.ones(3, 3, dtype=torch.bool))),
        ("where must hold booleans", lambda x: apt.Pool2d("gem", 2)(x, torch.ones(4, 4))),
        ("return_indices=True cannot be had", lambda x: apt.MaxPool2d(2, return_indices=True)(x, x > 0)),
        ("give one of the two", lambda x: apt.AvgPool2d(2, padding=1)(x, x > 0)),
        ("signed=True is torch's own", lambda x: apt.LPPool2d(2, 2, signed=True)(x, x > 0)),
        ("fill_value must be given", lambda x: apt.MaxPool2d(2)(x.int(), x > 0)),
        ("input must be a Tensor", lambda x: apt.MaxPool2d(2)(x.numpy(), x > 0)),
        ("min_count must be", lambda x: apt.Pool2d("gem", 2, min_count=-1)),
    ],
)
def test_wrong_masks_are_refused(words, call):
    with pytest.raises((TypeError, ValueError), match=words):
        call(torch.ones(1, 4, 4))
