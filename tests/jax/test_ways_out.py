"""JAX's ways out of Python: compiled, differentiated, mapped and exported, under JAX's strict settings."""

import numpy as np
import pytest
from processes import QUICK_OPTIONS
from ways_out import AXES, EVERY_POOLING, OTHER, TRACED, assert_right, image, pooling

import anypool as ap

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402


def gradient(pool):
    """The gradient of Σ w·pool(x) for fixed numbers w."""

    def total(x):
        y = pool(x)
        return (y * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)).sum()

    return jax.grad(total)


def compiled(function):
    return jax.jit(function, compiler_options=QUICK_OPTIONS)


@EVERY_POOLING
def test_compiled(operator, window):
    x = image(TRACED)
    assert_right(compiled(pooling(operator, window))(x), operator, window, x)
    assert_right(pooling(operator, window)(jnp.asarray(x)), operator, window, x)


@EVERY_POOLING
def test_differentiated(operator, window):
    x = jnp.asarray(image(TRACED))
    expected = gradient(pooling(operator, window, impl="definition"))(x)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(compiled(gradient(pooling(operator, window)))(x), expected, rtol=1e-4, atol=1e-5)


@EVERY_POOLING
def test_mapped(operator, window):
    x = image((2, *TRACED))
    got = compiled(jax.vmap(pooling(operator, window)))(x)
    for each, part in zip(got, x, strict=True):
        assert_right(each, operator, window, part)


LONG_ENOUGH = ("h >= 5", "w >= 5")


@EVERY_POOLING
def test_exported_with_every_length_unknown(operator, window):
    shape = jax.export.symbolic_shape("b, h, w, 3", constraints=LONG_ENOUGH)
    exported = jax.export.export(jax.jit(pooling(operator, window)))(jax.ShapeDtypeStruct(shape, jnp.float32))
    restored = jax.export.deserialize(exported.serialize())
    for size in (TRACED, OTHER):
        assert_right(restored.call(image(size)), operator, window, image(size))


@EVERY_POOLING
def test_exported_gradients_with_every_length_unknown(operator, window):
    shape = jax.export.symbolic_shape("b, h, w, 3", constraints=LONG_ENOUGH)

    def total(x):
        return (pooling(operator, window)(x) ** 2).sum()

    exported = jax.export.export(jax.jit(jax.grad(total)))(jax.ShapeDtypeStruct(shape, jnp.float32))
    for size in (TRACED, OTHER):
        x = jnp.asarray(image(size))
        np.testing.assert_allclose(exported.call(x), compiled(jax.grad(total))(x), rtol=1e-4, atol=1e-5)


def test_windows_that_may_be_longer_than_an_image_say_so():
    shape = jax.export.symbolic_shape("b, h, w, 3")
    with pytest.raises(ValueError, match=r"span 5 positions along axis 1 of length h, .* constraints=\['h >= 5'\]"):
        jax.export.export(jax.jit(pooling("gem", "dilated")))(jax.ShapeDtypeStruct(shape, jnp.float32))


STRICT = {
    "jax_numpy_rank_promotion": "raise",
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_transfer_guard": "disallow",
    "jax_numpy_dtype_promotion": "strict",
}
"""Settings under which people look for faults in their own programs, and meet none of ours."""


@pytest.fixture
def strict():
    """A function that makes JAX strict until the test ends."""
    before = {name: getattr(jax.config, name) for name in STRICT}
    jax.clear_caches()
    yield lambda: [jax.config.update(name, value) for name, value in STRICT.items()]
    for name, value in before.items():
        jax.config.update(name, value)
    jax.clear_caches()


@EVERY_POOLING
def test_under_strict_settings(operator, window, strict):
    """At once and compiled, in both modes of differentiation."""
    pool = pooling(operator, window)
    x, along = jnp.asarray(image(TRACED)), jnp.asarray(image(TRACED, seed=1))
    strict()
    y, pullback = jax.vjp(pool, x)
    both = [y, pullback(y)[0]]
    for got, expected in zip(jax.jit(lambda x, y: (pool(x), jax.vjp(pool, x)[1](y)[0]))(x, y), both, strict=True):
        np.testing.assert_allclose(jax.device_get(got), jax.device_get(expected), rtol=1e-5, atol=1e-6)
    assert_right(jax.device_get(pool(x)), operator, window, image(TRACED))
    jax.jvp(pool, (x,), (along,))


def test_unpooling_under_strict_settings(strict):
    values, indices = ap.max_pool(jnp.asarray(image(TRACED)), 2, axes=AXES, return_indices=True)
    strict()
    back = ap.max_unpool(values, indices, 2, output_size=TRACED[1:3], axes=AXES)
    assert jax.device_get(back).shape == TRACED


# ---------------------------------------------------------------------------------------------------------------------
# Parameters that are learned


P = np.array([1.5, 3.0, 6.0], "float32")


def learned(x, p):
    return ap.pool(x, ap.GeM(p), ap.Sliding(3, 2, 1), AXES)


@pytest.mark.parametrize("shape", [(3,), (2, 1, 1, 3)])
def test_a_power_for_every_channel_is_learned(shape, strict):
    """Values are those of a number for each channel, and derivatives those of differences."""
    x, p = jnp.asarray(abs(image(TRACED)) + 0.1), jnp.broadcast_to(jnp.asarray(P), shape)
    channels = [ap.pool(np.asarray(x)[..., c], ap.GeM(float(P[c])), ap.Sliding(3, 2, 1), AXES) for c in range(3)]
    up, down = (learned(np.asarray(x, "float64"), np.float64(p) + step) for step in (1e-5, -1e-5))
    slope = ((up - down) / 2e-5).sum((0, 1, 2) if len(shape) == 1 else (1, 2), keepdims=len(shape) > 1)
    strict()
    for function in (learned, jax.jit(learned)):
        np.testing.assert_allclose(jax.device_get(function(x, p)), np.stack(channels, -1), rtol=1e-5)
    got = jax.jit(jax.grad(lambda x, p: learned(x, p).sum(), 1))(x, p)
    np.testing.assert_allclose(jax.device_get(got), slope, rtol=1e-3, atol=1e-4)


def test_learned_powers_are_mapped_and_exported():
    x, p = jnp.asarray(abs(image((2, *TRACED))) + 0.1), jnp.stack([jnp.asarray(P), jnp.asarray(P) + 1])
    got = jax.jit(jax.vmap(learned))(x, p)
    for each, part, power in zip(got, x, p, strict=True):
        np.testing.assert_allclose(each, learned(part, power), rtol=1e-5)
    shape = jax.export.symbolic_shape("b, h, w, 3")
    exported = jax.export.export(jax.jit(learned))(jax.ShapeDtypeStruct(shape, jnp.float32), p[0])
    for size in (TRACED, OTHER):
        np.testing.assert_allclose(exported.call(image(size), p[0]), learned(image(size), P), rtol=1e-4, atol=1e-5)
