"""Weights of elements beside the array, detail, and several operators one after another."""

import numpy as np
import pytest
from adapters import DIFFERENTIABLE, EVERY_ADAPTER

import anypool as ap

WINDOWS = (ap.Sliding(3, 2, 1), ap.Adaptive((2, 3)), ap.Global())


def weighted(x, logits, window, axes):
    weights = np.exp(logits)
    return ap.pool(x * weights, "sum", window, axes) / ap.pool(np.broadcast_to(weights, x.shape), "sum", window, axes)


@EVERY_ADAPTER
def test_elements_weigh_by_their_logits(adapter, rng):
    x, logits = rng.normal(size=(2, 5, 3, 7)), rng.normal(size=(2, 5, 1, 7)) * 4
    x, logits = x.astype(np.float32), logits.astype(np.float32)
    for window in WINDOWS:
        got = ap.pool(adapter.make(x), ap.LocalImportance(adapter.make(logits)), window, (1, 3))
        expected = weighted(x.astype(np.float64), logits.astype(np.float64), window, (1, 3))
        np.testing.assert_allclose(adapter.numpy(got), expected, rtol=1e-4, atol=1e-5)
    mask = rng.random(x.shape) < 0.6
    got = ap.pool(
        adapter.make(x), ap.LocalImportance(adapter.make(logits)), ap.Global(), (1, 3), where=adapter.make(mask)
    )
    weights = np.exp(logits) * mask
    np.testing.assert_allclose(
        adapter.numpy(got),
        (x * weights).sum((1, 3), keepdims=True) / weights.sum((1, 3), keepdims=True),
        rtol=1e-4,
        atol=1e-5,
    )


@DIFFERENTIABLE
def test_gradients_of_values_and_logits(adapter, rng):
    x, logits = (rng.normal(size=(1, 4)).astype(np.float32) for _ in range(2))
    one = np.ones((1, 1), np.float32)
    weights = np.exp(logits) / np.exp(logits).sum()
    y = (weights * x).sum()
    beside = adapter.make(logits)
    got = adapter.gradient(lambda a: ap.pool(a, ap.LocalImportance(beside), ap.Global(), 1), x, one)
    np.testing.assert_allclose(got, weights, rtol=1e-5)
    values = adapter.make(x)
    got = adapter.gradient(lambda g: ap.pool(values, ap.LocalImportance(g), ap.Global(), 1), logits, one)
    np.testing.assert_allclose(got, weights * (x - y), rtol=1e-4, atol=1e-6)


def test_limits_of_detail(rng):
    x = rng.normal(size=(3, 16))
    average = x.mean(1)
    np.testing.assert_allclose(ap.global_pool(x, ap.DetailPreserving(0, 20), 1), average, atol=1e-7)
    np.testing.assert_allclose(ap.global_pool(x, ap.DetailPreserving(-20, 0), 1), average, atol=1e-7)
    unlike = x[np.arange(3), np.abs(x - average[:, None]).argmax(1)]
    np.testing.assert_allclose(ap.global_pool(x, ap.DetailPreserving(6, -20), 1), unlike, rtol=1e-3)
    assert ap.global_pool(np.full((1, 5), 7.0), "detail", 1).tolist() == [7]


def test_gates_open_and_close():
    x = np.array([1.0, 5.0])
    assert ap.global_pool(x, ap.Gated(1e4), 0) == 5
    assert ap.global_pool(x, ap.Gated(-1e4), 0) == 3
    assert ap.global_pool(x, ap.Gated((-5.0, 1.0)), 0) == 4


@EVERY_ADAPTER
def test_operators_one_after_another(adapter, rng):
    x = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    got = adapter.numpy(ap.concat_pool(adapter.make(x), ("average", ap.Max(), "gem:p=2"), ap.Sliding(2)))
    expected = [ap.pool(x, name, ap.Sliding(2)) for name in ("average", "max", "gem:p=2")]
    np.testing.assert_allclose(got, np.concatenate(expected, 1), rtol=1e-5)
    got = adapter.numpy(ap.concat_pool(adapter.make(x), ["max", "min"], ap.Global(), (1, 2), axis=-1))
    assert got.shape == (2, 1, 1, 10)


def test_dask_arrays_and_errors(rng):
    da = pytest.importorskip("dask.array")
    x = rng.normal(size=(2, 3, 4, 5))
    lazy = ap.concat_pool(da.from_array(x, chunks=2), ("average", "max"), ap.Sliding(2))
    np.testing.assert_allclose(lazy.compute(), ap.concat_pool(x, ("average", "max"), ap.Sliding(2)))
    with pytest.raises(ValueError, match=r"axis must be one that is not pooled, got 2"):
        ap.concat_pool(x, ("max",), ap.Sliding(2), axis=2)
    with pytest.raises(ValueError, match="operators must be one or more"):
        ap.concat_pool(x, (), ap.Sliding(2))
    with pytest.raises(ValueError, match=r"logits of LocalImportance must broadcast to x, of shape \(2, 3, 4, 5\)"):
        ap.pool(x, ap.LocalImportance(np.zeros((4, 4))), ap.Sliding(2))
    with pytest.raises(TypeError, match="of arrays in memory"):
        ap.pool(da.from_array(x), ap.LocalImportance(np.zeros((4, 5))), ap.Sliding(2))


def test_torch_modules(rng, tmp_path):
    torch = pytest.importorskip("torch")
    import anypool.torch as apt

    x = torch.from_numpy(rng.normal(size=(2, 3, 8, 8)).astype(np.float32))
    both = apt.ConcatPool2d(("average", "gem"), 2)
    assert both(x).shape == (2, 6, 4, 4)
    assert [name for name, _ in both.named_parameters()] == ["pools.1.p"]
    catavgmax = apt.GlobalConcatPool2d()(x)
    torch.testing.assert_close(catavgmax, torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1))
    assert apt.GlobalConcatPool2d(keepdim=True)(x).shape == (2, 6, 1, 1)
    important = apt.LocalImportancePool2d(3)
    torch.testing.assert_close(important(x), torch.from_numpy(ap.avg_pool(x.numpy(), 3, 2, 1)))
    optimizer = torch.optim.SGD(important.parameters(), 10.0)
    target = torch.nn.functional.max_pool2d(x, 3, 2, 1)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (important(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    program = torch.export.export(important, (x,)).module()
    torch.testing.assert_close(program(x), important(x))
    gate = apt.Pool2d(ap.Gated((0.1,) * 4), 2, learnable=False)
    torch.testing.assert_close(gate(x), torch.from_numpy(ap.pool(x.numpy(), ap.Gated(0.1), ap.Sliding(2))))
