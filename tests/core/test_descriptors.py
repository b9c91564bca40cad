"""Descriptors: against loops over scalars, on every array, with masks and gradients; refusals."""

import numpy as np
import pytest
import region_reference as reference
from adapters import DIFFERENTIABLE, EVERY_ADAPTER

import anypool as ap

CHANNELS = 4
RNG = np.random.default_rng(5)
ARRAYS = {
    "query": RNG.normal(size=(2, 2)),
    "value": RNG.normal(size=(CHANNELS, 3)),
    "gate": RNG.normal(size=(CHANNELS, 3)),
    "score": RNG.normal(size=3),
    "centers": RNG.normal(size=(5, CHANNELS)),
    "weight": RNG.normal(size=(CHANNELS, 5)),
    "bias": RNG.normal(size=5),
}
CASES = {
    "attention": (ap.attention_pool, ("query",), {}, reference.attention_pool),
    "gated attention": (ap.gated_attention_pool, ("value", "gate", "score"), {}, reference.gated_attention_pool),
    "covariances": (ap.covariance_pool, (), {"iterations": 0}, reference.covariance),
    "root of covariances": (ap.covariance_pool, (), {}, lambda t: reference.newton_schulz(reference.covariance(t), 5)),
    "triangle": (
        ap.covariance_pool,
        (),
        {"triangle": True},
        lambda t: reference.newton_schulz(reference.covariance(t), 5)[np.triu_indices(CHANNELS)],
    ),
    "residuals": (
        ap.net_vlad,
        ("centers", "weight", "bias"),
        {"normalize_input": False},
        lambda *a: reference.net_vlad(*a, False),
    ),
    "residuals of unit vectors": (
        ap.net_vlad,
        ("centers", "weight", "bias"),
        {},
        lambda *a: reference.net_vlad(*a, True),
    ),
}


def example(rng, masked):
    """Maps (N, C, H, W) and a mask (N, 1, H, W) under which there is NaN."""
    x = rng.normal(size=(2, CHANNELS, 3, 5)).astype(np.float32)
    mask = rng.random((2, 1, 3, 5)) < 0.7 if masked else np.ones((2, 1, 3, 5), bool)
    return np.where(mask, x, np.nan).astype(np.float32), mask


def expected(case, x, mask):
    _, names, _, definition = CASES[case]
    given = [ARRAYS[name] for name in names]
    tokens = [each[:, m[0]].T.astype(np.float64) for each, m in zip(x, mask, strict=True)]
    return np.stack([definition(each, *given) for each in tokens])


def called(case, adapter, x, mask, masked=True):
    function, names, options, _ = CASES[case]
    given = [adapter.make(ARRAYS[name].astype(np.float32)) for name in names]
    return function(x, *given, **options, **({"where": adapter.make(mask)} if masked else {}))


@EVERY_ADAPTER
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_values_are_the_definition_s(adapter, case, masked, rng):
    x, mask = example(rng, masked)
    got = adapter.compiled(lambda a: called(case, adapter, a, mask, masked))(adapter.make(x))
    np.testing.assert_allclose(adapter.numpy(got), expected(case, x, mask), rtol=2e-4, atol=2e-5)


@DIFFERENTIABLE
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_differences(adapter, case, rng):
    x, mask = example(rng, True)
    upstream = rng.normal(size=expected(case, x, mask).shape).astype(np.float32)
    got = adapter.gradient(lambda a: called(case, adapter, a, mask), x, upstream)
    assert (got[~np.broadcast_to(mask, x.shape)] == 0).all()
    direction = rng.normal(size=x.shape)
    up, down = (expected(case, x.astype(np.float64) + sign * 1e-5 * direction, mask) for sign in (1, -1))
    np.testing.assert_allclose((got * direction).sum(), ((up - down) / 2e-5 * upstream).sum(), rtol=5e-3, atol=5e-3)


def test_what_is_learned_has_gradients():
    torch = pytest.importorskip("torch")
    x = torch.rand(2, CHANNELS, 3, 4, dtype=torch.float64)
    for function, names, options, _ in CASES.values():
        if names:
            given = tuple(torch.tensor(ARRAYS[name], requires_grad=True) for name in names)
            pooled = lambda *a, function=function, options=options: function(x, *a, **options)  # noqa: E731
            assert torch.autograd.gradcheck(pooled, given, fast_mode=True)


def test_the_root_is_the_root(rng):
    x = rng.normal(size=(3, 40))
    root = ap.covariance_pool(x, 25, axes=1)
    np.testing.assert_allclose(root, reference.square_root(reference.covariance(x.T)), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(root @ root, np.cov(x, bias=True), rtol=1e-6)


def test_nothing_to_describe(rng):
    """Nothing that counts is NaN for an average and 0 for residuals; equal elements have no covariance and no slope."""
    x, nothing = rng.normal(size=(1, 4, 2, 2)), np.zeros((1, 1, 2, 2), bool)
    assert np.isnan(ap.attention_pool(x, ARRAYS["query"], where=nothing)).all()
    vlad = ap.net_vlad(x, ARRAYS["centers"], ARRAYS["weight"], ARRAYS["bias"], where=nothing)
    assert (vlad == 0).all()
    torch = pytest.importorskip("torch")
    same = torch.ones(1, 4, 2, 2, requires_grad=True)
    ap.covariance_pool(same).sum().backward()
    assert (same.grad == 0).all()


def test_tokens_and_one_head(rng):
    x, query = rng.normal(size=(2, 6, 4)), rng.normal(size=4)
    got = ap.attention_pool(x, query, axes=1)
    np.testing.assert_allclose(got, [reference.attention_pool(each, query[None]) for each in x])
    assert ap.attention_pool(x.astype(np.float16), query, axes=1).dtype == np.float16
    assert np.isfinite(ap.attention_pool(x * 1e4, query, axes=1)).all()


X = np.zeros((2, 4, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("x must hold floats", lambda: ap.attention_pool(X.astype(int), ARRAYS["query"])),
        (r"query must have shape \(4,\) or", lambda: ap.attention_pool(X, np.ones(3))),
        (
            r"gate must have shape \(4, 3\), got \(3, 3\)",
            lambda: ap.gated_attention_pool(X, np.ones((4, 3)), np.ones((3, 3)), np.ones(3)),
        ),
        ("iterations must be between 0", lambda: ap.covariance_pool(X, -1)),
        (r"centers must have shape \(5, 4\)", lambda: ap.net_vlad(X, np.ones((5, 3)), np.ones((4, 5)), np.ones(5))),
        ("where must hold booleans", lambda: ap.covariance_pool(X, where=np.ones((3, 3)))),
        (
            "where must broadcast to x with length 1 along the channels",
            lambda: ap.covariance_pool(X, where=np.ones((4, 3, 3), bool)),
        ),
        ("channel_axis must be an axis that is not pooled", lambda: ap.covariance_pool(X, channel_axis=-1)),
        ("triangle must be True or False", lambda: ap.covariance_pool(X, triangle=2)),
    ],
)
def test_wrong_arguments_are_refused(words, call):
    with pytest.raises((TypeError, ValueError), match=words):
        call()
