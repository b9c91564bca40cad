"""JAX: large arrays in bands are what they are at once, under every transformation, and take no further copy."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from processes import QUICK_OPTIONS

import anypool as ap

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from sharding import SHARDED, check_sharded, tied  # noqa: E402

from anypool.adapters.jax import bands as jax_bands  # noqa: E402
from anypool.adapters.jax.steps import AxisWindows  # noqa: E402
from benchmarks import memory  # noqa: E402

SMALL = {"LARGE": 0, "BAND": 1, "SHARED": 1.0, "FEWEST": 4}
"""What makes bands of small arrays."""

POOLINGS = {
    "max": (partial(ap.max_pool, kernel_size=7, stride=1, padding=3), (2, 3, 40, 17)),
    "min, strided": (partial(ap.min_pool, kernel_size=5, stride=2, padding=2), (2, 2, 41, 12)),
    "max of parts, dilated": (partial(ap.max_pool, kernel_size=(5, 18), dilation=(2, 1), stride=1), (1, 2, 50, 30)),
    "max, channels last": (
        partial(ap.pool, operator="max", window=ap.Sliding((9, 3), (3, 1), 1), axes=(1, 2)),
        (2, 50, 11, 3),
    ),
    "max along the second axis": (partial(ap.max_pool, kernel_size=20, stride=1, padding=10), (2, 3, 190)),
    "average, counted": (partial(ap.avg_pool, kernel_size=7, stride=1, padding="same"), (2, 3, 40, 17)),
    "average, few": (partial(ap.avg_pool, kernel_size=3, stride=2, padding=1), (2, 2, 41, 12)),
    "average of the padding": (
        partial(ap.avg_pool, kernel_size=(5, 2), stride=(2, 3), padding=1, count_include_pad=True, ceil_mode=True),
        (2, 2, 41, 12),
    ),
    "sum with gaps": (partial(ap.sum_pool, kernel_size=(2, 3), stride=(4, 1)), (2, 2, 42, 12)),
}
LONG = ("max of parts, dilated", "max, channels last", "max along the second axis", "average of the padding")
ALL = pytest.mark.parametrize(("pool", "shape"), POOLINGS.values(), ids=POOLINGS)
QUICK = pytest.mark.parametrize(
    ("pool", "shape"),
    [pytest.param(*case, id=name, marks=pytest.mark.slow if name in LONG else ()) for name, case in POOLINGS.items()],
)


def make_small(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setattr(jax_bands, name, value)
    jax.clear_caches()


@pytest.fixture
def small(monkeypatch):
    """Bands of small arrays, until the test ends."""
    make_small(monkeypatch)
    yield
    jax.clear_caches()


def every_way(pool, x):
    """Value, gradient, tangent, derivatives of the gradient in both modes, and gradients under vmap."""
    y, pullback = jax.vjp(pool, x)
    upstream, along = jnp.cos(jnp.arange(y.size, dtype=x.dtype)).reshape(y.shape), jnp.sin(3 * x)

    def gradient(x):
        return jax.grad(lambda x: (pool(x * x) ** 2).sum() / 8)(x)

    return (
        y,
        *pullback(upstream),
        jax.jvp(pool, (x,), (along,))[1],
        jax.jvp(gradient, (x,), (along,))[1],
        jax.grad(lambda x: (gradient(x) * along).sum())(x),
        jax.vmap(jax.grad(lambda x: (pool(x) ** 2).sum()))(x),
    )


def one_by_one(pool, shape):
    """The pooling, also of arrays without the first axis."""
    return lambda x: pool(x if x.ndim == len(shape) else x[None])


@QUICK
def test_bands_are_what_they_are_at_once(pool, shape, monkeypatch):
    x, pool = tied(shape) / 2, one_by_one(pool, shape)
    jax.clear_caches()
    expected = jax.jit(partial(every_way, pool), compiler_options=QUICK_OPTIONS)(x)
    make_small(monkeypatch)
    got = jax.jit(partial(every_way, pool), compiler_options=QUICK_OPTIONS)(x)
    jax.clear_caches()
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@ALL
def test_those_poolings_take_bands(pool, shape, small):
    def gradient(x):
        return jax.grad(lambda x: pool(x).sum())(x)

    text = str(jax.make_jaxpr(gradient)(tied(shape)))
    assert "custom_linear_solve" in text


def all_bands(bands):
    first, second, last = bands.bands
    return [first, *(replace(second, number=number) for number in range(bands.between)), last]


def rows(spans, band):
    start, length = spans.places[band.place]
    return range(start + band.number * spans.pitch, start + band.number * spans.pitch + length)


def test_every_output_lies_in_one_band_and_what_it_needs_too(rng, monkeypatch):
    monkeypatch.setattr(jax_bands, "FEWEST", 3)
    cut = 0
    for _ in range(2000):
        width, stride, step = rng.integers(1, 8, 3).tolist()
        reach = (width - 1) * step + 1
        before, after, length = *rng.integers(0, reach, 2).tolist(), int(rng.integers(reach, 80))
        along = AxisWindows(0, width, stride, step, before, after)
        bands = jax_bands._cut(along, (along,), length, -(-max(before, int(rng.integers(1, 9))) // stride))
        if bands is None:
            continue
        cut += 1
        outputs, windows = [], []
        for band in all_bands(bands):
            (own,) = band.windows
            part = [None] * own.pad_before + [*rows(bands.inputs, band)] + [None] * own.pad_after
            outputs += rows(bands.outputs, band)
            windows += [part[i * stride :][:reach:step] for i in range(len(rows(bands.outputs, band)))]
        whole = [None] * before + [*range(length)] + [None] * after
        assert outputs == list(range(along.outputs(length)))
        assert windows == [whole[i * stride :][:reach:step] for i in outputs]
    assert cut > 200


@pytest.mark.parametrize(
    ("kind", "window", "most"),
    [
        ("max", ap.Sliding(2), 1.01),
        ("max", ap.Sliding(3, 2, 1), 1.1),
        ("max", ap.Sliding(7, 1, 3), 2.2),
        ("average", ap.Sliding(2), 0.01),
        ("average", ap.Sliding(3, 2, 1), 0.5),
        ("average", ap.Sliding(7, 1, 3), 0.5),
    ],
    ids=str,
)
def test_a_gradient_of_a_gigabyte_takes_no_further_copy(kind, window, most):
    """Bytes per output beside input, output and both gradients; compiled, not run."""
    assert memory.jax_gradient(kind, window)["bytes per output"]["anypool"] <= most


@pytest.mark.parametrize("kind", ["Auto", pytest.param("Explicit", marks=pytest.mark.slow)])
def test_a_sharded_batch_stays_sharded_in_bands(kind):
    setting = "".join(f"jax_bands.{name} = {value}\n" for name, value in SMALL.items())
    script = f"from anypool.adapters.jax import bands as jax_bands\n{setting}" + SHARDED.replace(
        "(8, 3, 18, 18)", "(8, 3, 40, 18)"
    )
    check_sharded(kind, script)


def test_bands_export_for_every_platform(small):
    x = tied((2, 3, 40, 17))

    def gradient(x):
        return jax.grad(lambda x: (ap.max_pool(x, 7, 1, 3) ** 2).sum())(x)

    exported = jax.export.export(jax.jit(gradient), platforms=["cpu", "cuda", "tpu"])(x)
    restored = jax.export.deserialize(exported.serialize())
    np.testing.assert_allclose(restored.call(x), gradient(x), rtol=1e-6)
