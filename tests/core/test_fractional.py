"""Fractional windows: against loops, by seed, and as torch's."""

import numpy as np
import pytest
import reference
from adapters import DIFFERENTIABLE, EVERY_ADAPTER
from harness import random_array

import anypool as ap
from anypool.plans import FractionalAxis
from anypool.saving import from_config, to_config


def tiles(n, m, u):
    places = [int((j + u) * n / m) - int(u * n / m) for j in range(m)]
    return [list(range(a, b)) for a, b in zip(places, [*places[1:], n], strict=True)]


def overlapping(n, m, k, u):
    alpha = (n - k) / (m - 1) if m > 1 else 0
    starts = [int((j + u) * alpha) - int(u * alpha) for j in range(m - 1)] + [n - k]
    return [list(range(start, start + k)) for start in starts]


@EVERY_ADAPTER
@pytest.mark.parametrize("operator", ["max", "average", "median"])
def test_values_are_the_loops(adapter, operator, rng):
    x = random_array(rng, (2, 9, 3, 11), "float32")
    for window, windows in (
        (ap.Fractional((5, 7), u=(0.3, 0.8)), [tiles(9, 5, 0.3), tiles(11, 7, 0.8)]),
        (ap.Fractional((5, 4), 2, 0.6), [overlapping(9, 5, 2, 0.6), overlapping(11, 4, 2, 0.6)]),
    ):
        function = {"median": lambda e: sorted(e)[(len(e) - 1) // 2]}.get(operator, operator)
        expected = reference.pool(x, function, windows, (1, 3))
        got = adapter.compiled(lambda a, window=window: ap.pool(a, operator, window, (1, 3)))(adapter.make(x))
        np.testing.assert_allclose(adapter.numpy(got), expected, rtol=1e-5, atol=1e-5)


@DIFFERENTIABLE
def test_gradients_are_the_loops(adapter, rng):
    x = rng.permutation(99).reshape(9, 11).astype(np.float32)
    upstream = rng.normal(size=(5, 7)).astype(np.float32)
    windows = [overlapping(9, 5, 3, 0.4), overlapping(11, 7, 3, 0.4)]
    for operator in ("max", "average"):
        got = adapter.gradient(
            lambda a, operator=operator: ap.pool(a, operator, ap.Fractional((5, 7), 3, 0.4)), x, upstream
        )
        np.testing.assert_allclose(
            got, reference.gradient(x, upstream, operator, windows, (0, 1)), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("kernel_size", [None, 2])
def test_steps_differ_by_one_and_cover_the_axis(kernel_size):
    """Of every u and seed; seeds shuffle the same steps, and one seed gives one order."""
    for n, m in ((20, 14), (25, 18), (10, 10), (9, 1)):
        if kernel_size and m > n - 1:
            continue
        orders = set()
        for seed in (None, *range(20)):
            plan = ap.Fractional(m, kernel_size, 0.37, seed).axis_plan(0, n)
            assert isinstance(plan, FractionalAxis)
            assert plan == ap.Fractional(m, kernel_size, 0.37, seed).axis_plan(0, n)
            steps = np.diff([*plan.starts, n] if kernel_size is None else plan.starts)
            assert len(steps) == 0 or steps.max() - steps.min() <= 1
            assert plan.starts[0] == 0 or m == 1
            assert plan.stops[-1] == n
            orders.add(plan.starts)
        assert len(orders) > 5 or m in (10, 1)


def test_windows_are_torch_s():
    torch = pytest.importorskip("torch")
    x = torch.rand(1, 1, 13, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for seed in range(20):
        u = torch.rand(1, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        expected = torch.nn.functional.fractional_max_pool2d(x, 2, output_size=(8, 9), _random_samples=u)
        window = ap.Fractional((8, 9), 2, tuple(reversed(u.flatten().tolist())))
        torch.testing.assert_close(ap.pool(x, "max", window), expected)


def test_torch_modules_draw_by_their_generator():
    torch = pytest.importorskip("torch")
    import anypool.torch as apt

    for rank, module in ((2, apt.FractionalMaxPool2d), (3, apt.FractionalMaxPool3d)):
        x = torch.rand(2, 3, *(12,) * rank)
        torch.manual_seed(5)
        expected = getattr(torch.nn, module.__name__)(2, output_ratio=0.6, return_indices=True)(x)
        torch.manual_seed(5)
        values, indices = module(2, output_ratio=0.6, return_indices=True)(x)
        assert torch.equal(values, expected[0])
        assert torch.equal(indices, expected[1])
        seeded = [module(2, output_size=7, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
        first = seeded[0](x)
        assert torch.equal(first, seeded[1](x))
        assert not torch.equal(first, seeded[0](x))
        assert seeded[0](x[0]).shape == (3, *(7,) * rank)


def test_dask_arrays_files_and_errors(rng):
    da = pytest.importorskip("dask.array")
    x, window = rng.normal(size=(20, 30)), ap.Fractional((13, 17), u=0.2, seed=4)
    lazy = ap.pool(da.from_array(x, chunks=(7, 9)), "average", window)
    np.testing.assert_allclose(lazy.compute(), ap.pool(x, "average", window))
    assert from_config(to_config(window)) == window
    assert window.output_shape((20, None)) == (13, 17)
    masked = ap.pool(x, "average", window, where=x > 0)
    np.testing.assert_allclose(masked, ap.pool(np.where(x > 0, x, np.nan), "average", window, nan_policy="omit"))
    with pytest.raises(ValueError, match=r"axis 1 has length 12"):
        ap.pool(x[:, :12], "max", window)
    with pytest.raises(ValueError, match="u must be at least 0 and below 1"):
        ap.Fractional(3, u=1)
    with pytest.raises(ValueError, match="all the same number"):
        ap.Fractional((3, 4), u=(0.1, 0.2, 0.3))
