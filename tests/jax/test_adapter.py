"""JAX: derivative rules under every transformation, on every platform, sharded and with x64."""

import threading
from functools import partial

import numpy as np
import pytest
from adapters import Jax
from harness import Case, check, check_gradient, fitting_case, random_array
from processes import QUICK_OPTIONS, QUICK_XLA, run_tests
from sharding import check_sharded, tied

import anypool as ap

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402
from jax.experimental.sparse import BCOO  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

x64 = pytest.mark.skipif(not jax.config.jax_enable_x64, reason="runs in a process with x64: test_with_x64")

# Every way that the rules take: tiles, small and large overlapping windows, one axis at a time, in parts, slices.
POOLINGS = {
    "tiles": partial(ap.max_pool, kernel_size=2),
    "min of padded overlapping windows": partial(ap.min_pool, kernel_size=3, stride=2, padding=1),
    "dilated": partial(ap.max_pool, kernel_size=(2, 3), stride=1, dilation=2),
    "one axis at a time": partial(ap.max_pool, kernel_size=(7, 5), stride=1, padding="same"),
    "in parts": partial(ap.max_pool, kernel_size=(3, 10), stride=(1, 3), padding=((1, 1), (4, 5))),
    "over tiles": partial(ap.min_pool, kernel_size=(12, 2), stride=(2, 1), padding=((6, 5), (0, 0))),
    "adaptive": lambda x, **o: ap.adaptive_pool(x, "max", (3, 2), **o),
    "global": lambda x, **o: ap.global_pool(x, "max", axes=(-2, -1), keepdims=True, **o),
    "average of tiles": partial(ap.avg_pool, kernel_size=(2, 3), ceil_mode=True),
    "average": partial(ap.avg_pool, kernel_size=3, stride=2, padding=1),
    "average of large windows": partial(ap.avg_pool, kernel_size=(11, 9), stride=1, padding="same"),
    "global average": lambda x, **o: ap.global_pool(x, "average", axes=(-2, -1), keepdims=True, **o),
    "adaptive sum": lambda x, **o: ap.adaptive_pool(x, "sum", (3, 4), **o),
}
QUICK = ("tiles", "min of padded overlapping windows", "in parts", "adaptive", "average")
EVERY_POOLING = pytest.mark.parametrize(
    "pool",
    [pytest.param(pool, id=name, marks=() if name in QUICK else pytest.mark.slow) for name, pool in POOLINGS.items()],
)
SIZE = (2, 11, 13)


def distinct(shape, dtype="float32", seed=0):
    """Different numbers, far enough apart for finite differences."""
    count = int(np.prod(shape))
    return jnp.asarray(np.random.default_rng(seed).permutation(count).reshape(shape) / 8, dtype)


def pull(pool, x, **options):
    """The gradient of Σ w·pool(x) for fixed numbers w."""
    y = jax.eval_shape(partial(pool, **options), x)
    weight = np.random.default_rng(5).normal(size=y.shape).astype("float32")
    return jax.jit(jax.grad(lambda x: (pool(x, **options) * weight).sum()))(x)


# ---------------------------------------------------------------------------------------------------------------------
# Against the definition and the reference


@EVERY_POOLING
def test_the_fast_path_and_the_definition_agree_with_ties(pool):
    x = tied(SIZE)
    fast, slow = (jax.jit(partial(pool, impl=impl))(x) for impl in ("framework", "definition"))
    np.testing.assert_allclose(fast, slow, rtol=1e-6)
    np.testing.assert_allclose(pull(pool, x, impl="framework"), pull(pool, x, impl="definition"), rtol=1e-6, atol=1e-6)


def test_windows_like_the_reference_under_jit_and_vmap(rng):
    for _ in range(5):
        case, shape = fitting_case(rng, operator=str(rng.choice(["max", "min", "average", "sum"])))
        x = random_array(rng, shape, "float32")
        call = jax.jit(case.package, static_argnames=("impl", "return_indices"))
        check(case, x, Jax(), call)
        if 0 not in shape:
            check_gradient(case, x, Jax())
        batch = np.stack([x, random_array(rng, shape, "float32")])
        got = jax.vmap(case.package)(batch)
        np.testing.assert_array_equal(got, np.stack([case.package(jnp.asarray(each)) for each in batch]))


@pytest.mark.slow
def test_many_windows_like_the_reference(rng):
    for _ in range(300):
        case, shape = fitting_case(rng)
        name = str(rng.choice(Jax().dtypes))
        x = random_array(rng, shape, name)
        check(case, x, Jax())
        if name == "float32" and 0 not in shape:
            check_gradient(case, x, Jax())


@pytest.mark.parametrize("operator", ["max", "min"])
@pytest.mark.parametrize("name", ["uint8", "int8", "bool", "bfloat16", "float16"])
def test_indices_of_every_kind_of_number(operator, name, rng):
    for padding in (((0, 0), (0, 0)), ((1, 1), (1, 0))):
        case = Case(operator, kernel_size=(3, 2), stride=(2, 1), padding=padding)
        check(case, random_array(rng, (2, 6, 7), name), Jax())


@pytest.mark.parametrize("operator", ["max", "min"])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(17, 1, 8, 1), (23, 5, 4, 1), (20, 1, 5, 2), (37, 1, 0, 1), (40, 3, 19, 1), (11, 4, 6, 3)],
)
def test_wide_windows_give_their_gradient_to_the_first(operator, kernel, stride, padding, dilation):
    x = tied((2, 101), seed=kernel)
    pool = partial(ap.pool, operator=operator, window=ap.Sliding(kernel, stride, padding, dilation), axes=1)
    y, pullback = jax.vjp(jax.jit(pool), x)
    values, indices = pool(np.asarray(x), return_indices=True)
    expected = np.zeros(x.shape, "float32")
    np.add.at(expected, (np.arange(2)[:, None], indices), 1)
    np.testing.assert_array_equal(y, values)
    np.testing.assert_array_equal(pullback(jnp.ones_like(y))[0], expected)


def test_an_axis_of_single_elements_beside_a_wide_one():
    x = tied((2, 50, 9))
    pool = partial(ap.max_pool, kernel_size=(37, 1), stride=(1, 2))
    np.testing.assert_allclose(pull(pool, x), pull(pool, x, impl="definition"), rtol=1e-6, atol=1e-6)


def test_large_averages_stay_within_the_promised_error(rng):
    x = rng.random((1, 224, 224)).astype("float32") + 1
    exact = x.astype("float64").mean()
    got = float(ap.global_pool(jnp.asarray(x), "average", axes=(0, 1, 2)))
    assert abs(got - exact) <= (2 + np.log2(x.size)) * np.finfo("float32").eps * exact
    line = rng.random((1, 5000)).astype("float32") + 1
    got = np.asarray(ap.avg_pool(jnp.asarray(line), 1001, stride=1, axes=1))
    exact = ap.avg_pool(line.astype("float64"), 1001, stride=1, axes=1)
    assert (np.abs(got - exact) <= (2 + np.log2(1001)) * np.finfo("float32").eps * exact).all()


# ---------------------------------------------------------------------------------------------------------------------
# Derivatives


@EVERY_POOLING
def test_derivatives_to_order_two_in_both_modes(pool):
    x = distinct((1, 11, 13))
    # The derivative of a cube depends on the values, so that order two is not zero.
    check_grads(jax.jit(lambda x: pool(x) ** 3 / 100), (x / 16,), order=2, modes=("fwd", "rev"), atol=0.05, rtol=0.05)


@EVERY_POOLING
def test_transformations_compose(pool):
    x = tied((3, *SIZE))
    expected = np.stack([pull(pool, each) for each in x])
    np.testing.assert_allclose(jax.jit(jax.vmap(partial(pull, pool)))(x), expected, atol=1e-6)
    remade = jax.checkpoint(pool)
    np.testing.assert_allclose(lax.scan(lambda c, each: (c, pull(remade, each)), 0, x)[1], expected, atol=1e-6)
    tangent = tied(SIZE, seed=9)

    @jax.jit
    def products(x, tangent):
        y, forward = jax.jvp(pool, (x,), (tangent,))
        _, linear = jax.linearize(pool, x)
        (back,) = jax.vjp(pool, x)[1](jnp.ones_like(y))
        return forward, linear(tangent), forward.sum(), (tangent * back).sum()

    forward, linear, left, right = products(x[0], tangent)
    np.testing.assert_allclose(forward, linear, atol=1e-6)
    np.testing.assert_allclose(left, right, rtol=1e-4)


def test_jacobians_of_both_modes_are_equal():
    x = tied((6, 5))
    pool = partial(ap.max_pool, kernel_size=3, stride=2, padding=1)
    np.testing.assert_array_equal(jax.jit(jax.jacfwd(pool))(x), jax.jit(jax.jacrev(pool))(x))
    assert not jax.jit(jax.hessian(lambda x: pool(x).sum()))(x).any()


# ---------------------------------------------------------------------------------------------------------------------
# What is kept, and what it compiles to


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1), ((15, 16), (15, 16), 0), (9, 1, 4)]
)
def test_one_byte_per_output_is_kept_for_the_gradient(kernel, stride, padding):
    x = tied((4, 8, 48, 48))
    y, pullback = jax.vjp(lambda x: ap.max_pool(x, kernel, stride, padding), x)
    kept = [leaf for leaf in jax.tree.leaves(pullback) if leaf.size > 64]  # smaller ones are constants
    assert [leaf.dtype for leaf in kept] == [jnp.uint8]
    assert kept[0].size <= (1 if kernel == stride or stride > 1 else 1.5) * y.size  # separable steps keep the margins


@pytest.mark.parametrize(
    ("pool", "width", "most"),
    [
        *((ap.max_pool, width, most) for width, most in ((15, 1.3), (31, 2.6), (63, 4.0))),
        *((ap.avg_pool, width, most) for width, most in ((3, 1.1), (7, 1.1), (15, 2.2), (63, 3.8))),
    ],
)
def test_temporary_memory_of_wide_windows_in_inputs(pool, width, most):
    shape = jax.ShapeDtypeStruct((4, 16, 256, 256), jnp.float32)

    def both(x, upstream):
        y, pullback = jax.vjp(lambda x: pool(x, width, 1, "same"), x)
        return y, pullback(upstream)[0]

    memory = jax.jit(both).lower(shape, shape).compile().memory_analysis()
    assert memory.temp_size_in_bytes <= most * 4 * shape.size


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (7, 1), (7, 3), (9, 6), (130, 1), (131, 2)])
@pytest.mark.parametrize("mode", ["gradient", "tangent"])
def test_derivatives_of_wide_sums_are_the_definitions(kernel, stride, mode, rng):
    x, along = (jnp.asarray(rng.standard_normal((2, 301)).astype("float32")) for _ in range(2))

    def derivative(impl):
        def pool(x):
            return ap.sum_pool(x, kernel, stride, kernel // 3, axes=1, impl=impl)

        if mode == "tangent":
            return jax.jvp(pool, (x,), (along,))[1]
        y, pullback = jax.vjp(pool, x)
        return pullback(along[:, : y.shape[1]])[0]

    np.testing.assert_allclose(derivative("framework"), derivative("definition"), rtol=1e-4, atol=1e-4)


def test_averages_keep_nothing():
    _, pullback = jax.vjp(lambda x: ap.avg_pool(x, 2), tied((4, 8, 48, 48)))
    assert all(leaf.size <= 1 for leaf in jax.tree.leaves(pullback))


@pytest.mark.parametrize("axes", [(2, 3), (1, 2)])
def test_a_gradient_takes_no_further_copy(axes):
    shape = jax.ShapeDtypeStruct((8, 64, 64, 16), jnp.float32)

    def both(x, upstream):
        y, pullback = jax.vjp(lambda x: ap.max_pool(x, 2, axes=axes), x)
        return y, pullback(upstream)[0]

    output = jax.eval_shape(lambda x: ap.max_pool(x, 2, axes=axes), shape)
    memory = jax.jit(both).lower(shape, output).compile().memory_analysis()
    assert memory.temp_size_in_bytes <= 1.1 * output.size


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1)])
def test_an_undifferentiated_call_is_one_reduce_window(kernel, stride, padding):
    text = str(jax.make_jaxpr(lambda x: ap.max_pool(x, kernel, stride, padding))(tied((2, 8, 8))))
    assert "reduce_window" in text
    assert "slice" not in text


@EVERY_POOLING
def test_exports_for_every_platform_with_a_batch_of_any_size(pool):
    batch = jax.export.symbolic_shape("b, 11, 13")
    x = jax.ShapeDtypeStruct(batch, jnp.float32)

    def value_and_gradient(x):
        y, pullback = jax.vjp(pool, x)
        return y, pullback(jnp.ones_like(y))[0]

    exported = jax.export.export(jax.jit(value_and_gradient), platforms=["cpu", "cuda", "tpu"])(x)
    restored = jax.export.deserialize(exported.serialize())
    for size in (1, 3):
        sample = tied((size, 11, 13))
        for got, expected in zip(restored.call(sample), value_and_gradient(sample), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "window",
    [
        ap.Sliding(3, stride=2, padding=1),
        ap.Sliding(3, stride=1, dilation=2),
        ap.Sliding((3, 2), (1, 2), dilation=2),
        ap.Adaptive(3),
        ap.Global(),
    ],
)
def test_exports_with_images_of_any_size(window):
    def pooled(x):
        return ap.pool(x, "max", window, (1, 2)), ap.pool(x, "average", window, (1, 2))

    shape = jax.export.symbolic_shape("b, h, w, 2")  # without a word on whether images are as large as windows
    exported = jax.export.export(jax.jit(pooled))(jax.ShapeDtypeStruct(shape, jnp.float32))
    for size in ((2, 5, 7, 2), (1, 8, 6, 2)):
        x = tied(size)
        for got, expected in zip(exported.call(x), pooled(x), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-6)


# ---------------------------------------------------------------------------------------------------------------------
# Threads, devices, x64


def test_two_threads_at_once():
    x = tied((4, 64, 64))
    pool = jax.jit(partial(pull, partial(ap.max_pool, kernel_size=3, stride=2)))
    expected, results = pool(x), {}

    def work(name):
        results[name] = [np.asarray(pool(x)) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(name,)) for name in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    for result in results.values():
        np.testing.assert_array_equal(result, np.broadcast_to(expected, (20, *expected.shape)))


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_a_sharded_batch_stays_sharded_on_four_devices_from_two_threads(kind):
    check_sharded(kind)


def test_with_x64():
    run_tests("tests/jax/test_adapter.py", "-k", "float64", JAX_ENABLE_X64="1", XLA_FLAGS=QUICK_XLA)


@x64
def test_float64_derivatives():
    x = distinct((1, 11, 13), "float64") / 16
    for name, order in (("tiles", 2), ("in parts", 1), ("average", 2)):
        cube = jax.jit(lambda x, pool=POOLINGS[name]: pool(x) ** 3 / 100)
        assert cube(x).dtype == "float64"
        check_grads(cube, (x,), order=order, modes=("fwd", "rev"))


@x64
def test_float64_windows_like_the_reference(rng):
    for name in ("float64", "int64", "uint64"):
        for operator in ("max", "sum"):
            case, shape = fitting_case(rng, operator=operator)
            check(case, random_array(rng, shape, name), Jax())


def test_dtypes_that_need_x64_are_refused():
    if jax.config.jax_enable_x64:
        pytest.skip("x64 is on")
    with pytest.raises(ValueError, match="float64 needs 64 bits"):
        ap.avg_pool(tied(SIZE), 2, dtype="float64")


# ---------------------------------------------------------------------------------------------------------------------
# Arguments


def test_what_jax_cannot_do_is_refused():
    x = tied(SIZE)
    with pytest.raises(ValueError, match="no kernel implementation"):
        ap.max_pool(x, 2, impl="kernel")
    with pytest.raises(ValueError, match=r"no operation for Lp|lifted in float64"):
        ap.pool(x, ap.Lp(), ap.Sliding(2), impl="framework")
    with pytest.raises(TypeError, match="out= needs an array that can be written into"):
        ap.max_pool(x, 2, out=jnp.zeros((2, 5, 6)))
    with pytest.raises(TypeError, match="x must hold real numbers for Max"):
        ap.max_pool(x.astype("complex64"), 2)
    with pytest.raises(TypeError, match=r"dense array, whose windows are whole, got a BCOO"):
        ap.max_pool(BCOO.fromdense(x), 2)
    with pytest.raises(TypeError, match="x must hold"):
        ap.max_pool(jax.random.key(0).reshape(1, 1), 1)


def test_the_definition_treats_nan_and_infinities_as_numpy_does(rng):
    x = random_array(rng, (3, 9, 9), "float32", specials=True)
    for operator in ("max", "min"):
        got = ap.pool(jnp.asarray(x), operator, ap.Sliding(3, 2, 1), return_indices=True, impl="definition")
        expected = ap.pool(x, operator, ap.Sliding(3, 2, 1), return_indices=True, impl="definition")
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)


NAN_SHAPES = [(2, 16, 24, 64), (1, 16, 24, 3)]
"""Of 4,096 elements and more, and of fewer: XLA compiles reductions of both otherwise."""


@pytest.mark.parametrize("shape", NAN_SHAPES)
@pytest.mark.parametrize("pool", [ap.max_pool, ap.min_pool])
@pytest.mark.parametrize("window", [(2,), (4,), ((16, 24),), (3, 2), (3, 1), ((2, 20), 1), ((8, 3), (4, 3))], ids=str)
def test_nan_wins_and_the_first_has_the_index_and_the_gradient(pool, window, shape, rng):
    x = np.where(rng.random(shape) < 0.3, rng.choice([np.nan, np.inf, -np.inf], shape), rng.integers(-2, 3, shape))
    x = np.where(rng.random(shape) < 0.7, 2, x).astype("float32")  # NaN alone in its window too, and after ties

    @partial(jax.jit, compiler_options=QUICK_OPTIONS)
    def both(x):
        (values, indices), pullback = jax.vjp(lambda x: pool(x, *window, axes=(1, 2), return_indices=True), x)
        return values, indices, pullback((jnp.ones_like(values), np.zeros(indices.shape, jax.dtypes.float0)))[0]

    expected = pool(x, *window, axes=(1, 2), return_indices=True)
    slope = np.zeros((shape[1] * shape[2], shape[0], shape[3]), "float32")
    flat = np.moveaxis(expected[1], (1, 2), (0, 1)).reshape(-1, shape[0], shape[3])
    np.add.at(slope, (flat, *np.ogrid[: shape[0], : shape[3]]), 1)
    got = pool(jnp.asarray(x), *window, axes=(1, 2), return_indices=True)
    for ours, theirs in zip((*got, *both(x)), (*expected, *expected, None), strict=True):
        if theirs is not None:
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(both(x)[2], np.moveaxis(slope.reshape(*shape[1:3], shape[0], -1), 2, 0))


def test_unpooling_inverts_pooling():
    x = tied((2, 3, 8, 8))
    values, indices = ap.max_pool(x, 2, return_indices=True)
    expected = ap.max_unpool(np.asarray(values), np.asarray(indices), 2)
    back = jax.jit(lambda v, i: ap.max_unpool(v, i, 2, output_size=(8, 8)))(values, indices)
    np.testing.assert_array_equal(back, expected)


def test_unpooling_in_a_program_asks_for_the_size_where_it_is_open():
    values, indices = ap.max_pool(tied((2, 3, 7, 8)), 2, return_indices=True)  # where 6 by 8 would have as many windows
    with pytest.raises(ValueError, match="output_size must be given in a program"):
        jax.jit(lambda v, i: ap.max_unpool(v, i, 2))(values, indices)
    values, indices = ap.max_pool(tied((2, 3, 7, 8)), 2, 1, return_indices=True)
    back = jax.jit(lambda v, i: ap.max_unpool(v, i, 2, 1))(values, indices)
    np.testing.assert_array_equal(back, ap.max_unpool(values, indices, 2, 1))
