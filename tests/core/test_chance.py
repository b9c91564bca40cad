"""Random poolings: by distribution, by seed, and in inference."""

import numpy as np
import pytest
from adapters import DIFFERENTIABLE, EVERY_ADAPTER

import anypool as ap

X = np.array([[3.0, 1.0, 0.0, 4.0, -2.0, 0.0, 2.0, 6.0, 5.0]], np.float32)
"""One row, of which the whole is a window."""


@EVERY_ADAPTER
def test_elements_are_drawn_in_proportion(adapter):
    """Numbers that are spread evenly draw every element as often as it is large, to a draw."""
    u = ((np.arange(2100) + 0.5) / 2100).astype(np.float32)
    many = np.broadcast_to(X, (2100, 9)).copy()
    drawn = adapter.numpy(ap.global_pool(adapter.make(many), ap.Stochastic(adapter.make(u[:, None])), 1))
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(counts, values * 100, atol=1)


def test_the_mean_of_many_draws_is_inference(rng):
    x = np.abs(rng.normal(size=(1, 8, 8)))
    window = ap.Sliding(3, 2, 1)
    draws = ap.pool(np.broadcast_to(x, (20_000, 8, 8)), ap.Stochastic(rng.random((20_000, 4, 4))), window)
    np.testing.assert_allclose(draws.mean(0), ap.pool(x, "stochastic", window)[0], rtol=0.03)
    mixed = ap.pool(np.broadcast_to(x, (20_000, 8, 8)), ap.RandomMixed(0.3, rng.random((20_000, 1, 1))), window)
    np.testing.assert_allclose(mixed.mean(0), ap.pool(x, "random_mixed:p=0.3", window)[0], rtol=0.03)
    assert len(np.unique(mixed[:, 0, 0])) == 2


@EVERY_ADAPTER
def test_every_way_of_computing_draws_the_same(adapter, rng):
    """In blocks and at once, over every kind of window; of one seed twice."""
    x = np.abs(rng.normal(size=(2, 9, 3, 7))).astype(np.float32)
    for window, shape in ((ap.Sliding(3, 2, 1), (2, 5, 3, 4)), (ap.Adaptive((4, 2)), (2, 4, 3, 2))):
        for operator in (ap.Stochastic, ap.RandomMixed):
            u = np.random.default_rng(5).random(shape).astype(np.float32)
            again = np.random.default_rng(5).random(shape).astype(np.float32)
            got = ap.pool(adapter.make(x), operator(u=adapter.make(u)), window, (1, 3))
            np.testing.assert_allclose(adapter.numpy(got), ap.pool(x, operator(u=again), window, (1, 3)), rtol=1e-6)


def test_blocks_draw_what_the_whole_draws(rng, monkeypatch):
    from anypool import definition

    x, u = rng.random((3, 9, 10)), rng.random((3, 8, 9))
    whole = ap.pool(x, ap.Stochastic(u), ap.Sliding(2, 1))
    monkeypatch.setattr(definition, "WINDOWS_AT_ONCE", 200)
    np.testing.assert_array_equal(ap.pool(x, ap.Stochastic(u), ap.Sliding(2, 1)), whole)
    every = np.lib.stride_tricks.sliding_window_view(x, (2, 2), (1, 2)).reshape(3, 8, 9, 4)
    places = (np.cumsum(every, -1) > u[..., None] * every.sum(-1, keepdims=True)).argmax(-1)
    np.testing.assert_array_equal(whole, np.take_along_axis(every, places[..., None], -1)[..., 0])


@DIFFERENTIABLE
def test_the_gradient_goes_to_what_was_drawn(adapter):
    u = adapter.make(np.array([[0.5]], np.float32))  # of 21: 3 + 1 + 4 + 2 = 10, and 6 more
    got = adapter.gradient(lambda x: ap.pool(x, ap.Stochastic(u), ap.Global(), 1), X, np.ones((1, 1), np.float32))
    assert got.tolist() == [[0, 0, 0, 0, 0, 0, 0, 1, 0]]


def test_windows_with_nothing_to_draw():
    x = np.array([[0.0, -1.0], [-2.0, -3.0], [np.nan, 1.0], [np.inf, 1.0]])
    for operator in (ap.Stochastic(), ap.Stochastic(np.full((4, 1), 0.5))):
        np.testing.assert_equal(ap.pool(x, operator, ap.Global(), 1)[:, 0], [0, 0, np.nan, np.inf])
    last = ap.pool(np.array([[1.0, 1e-9, 0.0]]), ap.Stochastic(np.array([[1.0]])), ap.Global(), 1)
    assert last.item() == 1e-9


def test_what_is_drawn_must_fit():
    with pytest.raises(
        ValueError, match=r"u of Stochastic must broadcast to the output, of shape \(2, 2\), got shape \(3,"
    ):
        ap.pool(np.zeros((4, 4)), ap.Stochastic(np.zeros((3, 2))), ap.Sliding(2))
    with pytest.raises(ValueError, match="p must be between 0 and 1, got 2"):
        ap.RandomMixed(2)


def test_torch_modules_draw_while_they_train():
    torch = pytest.importorskip("torch")
    import anypool.torch as apt

    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    for text in ("stochastic", "random_mixed:p=0.3"):
        module = apt.Pool2d(text, 2, generator=torch.Generator().manual_seed(3))
        assert not list(module.parameters())
        first, second = module(x), module(x)
        assert not torch.equal(first, second)
        module.generator.manual_seed(3)
        torch.testing.assert_close(module(x), first)
        torch.manual_seed(4)
        unseeded = apt.GlobalPool2d(text)
        again = unseeded(x)
        torch.manual_seed(4)
        torch.testing.assert_close(unseeded(x), again)
        torch.testing.assert_close(module.eval()(x), torch.from_numpy(ap.pool(x.numpy(), text, ap.Sliding(2))))


def test_keys_of_jax_are_traced():
    jax = pytest.importorskip("jax")

    @jax.jit
    def step(key, x):
        u = jax.random.uniform(key, (1, 4))
        return ap.pool(x, ap.Stochastic(u), ap.Sliding(2), 1)

    x = jax.numpy.asarray(np.abs(X[:, :8]))
    one, other = jax.random.split(jax.random.key(0))
    assert (step(one, x) == step(one, x)).all()
    assert any(bool((step(one, x) != step(key, x)).any()) for key in jax.random.split(other, 8))
