"""The definition at work: blocks of bounded memory, lengths that are not known yet, and errors that do not grow."""

import tracemalloc

import numpy as np
import pytest
import reference
from adapters import EVERY_ADAPTER
from harness import Case, check, fitting_case, laid_out, random_array, without
from operator_table import OPERATORS

import anypool as ap
from anypool import definition
from anypool.operators import Average

UNEVEN = Case(axes=(2, 0), kernel_size=(3, 2), stride=(2, 1), padding=((2, 1), (1, 1)), ceil_mode=True)


@pytest.fixture(params=[1, 200, 3000])
def few_bytes(request, monkeypatch):
    """The definition with next to no memory: a single window at a time, and a few."""
    monkeypatch.setattr(definition, "WINDOWS_AT_ONCE", request.param)
    return request.param


class Spread(ap.Operator):
    """The greatest element less the least: not separable, so that its windows are laid out over all axes at once."""

    def reduce(self, windows, valid, xp):
        return xp.max(xp.where(valid, windows, -np.inf), axis=-1) - xp.min(xp.where(valid, windows, np.inf), axis=-1)


@pytest.mark.parametrize("name", ["numpy", "torch"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_uneven_blocks_give_the_same(few_bytes, operator, name, rng):
    from adapters import ADAPTERS

    x = random_array(rng, (5, 3, 7), "float32", specials=True)
    for case in (UNEVEN, without(UNEVEN, window="adaptive", output_size=(3, 4)), without(UNEVEN, window="global")):
        if not without(case, operator=operator).fits(x.shape):
            case = without(case, padding="valid")
        check(without(case, operator=operator), x, ADAPTERS[name](), impl="definition")


def test_random_poolings_in_blocks(few_bytes, rng):
    from adapters import NumPy

    for number in range(60):
        case, shape = fitting_case(rng, rank=1 + number % 3)
        check(case, laid_out(rng, random_array(rng, shape, "float64")), NumPy(), impl="definition")


@pytest.mark.parametrize("window", [ap.Sliding((3, 2), 1, padding=1), ap.Adaptive((3, 4)), ap.Global()])
def test_an_operator_that_is_not_separable_in_blocks(few_bytes, window, rng):
    x = random_array(rng, (3, 5, 6), "float64")
    expected = ap.pool(x, "max", window, (1, 2)) - ap.pool(x, "min", window, (1, 2))
    np.testing.assert_array_equal(ap.pool(x, Spread(), window, (1, 2)), expected)


def test_windows_laid_out_at_once_stay_within_the_limit(monkeypatch):
    """Every block is as small as the limit says, and none is computed twice."""
    laid_out_at_once = []
    take = definition._windows

    def seen(*arguments):
        windows, valid = take(*arguments)
        laid_out_at_once.append(windows.nbytes)
        return windows, valid

    monkeypatch.setattr(definition, "_windows", seen)
    monkeypatch.setattr(definition, "WINDOWS_AT_ONCE", 2**16)
    x = np.random.default_rng(0).normal(size=(3, 70, 90))
    ap.pool(x, Spread(), ap.Sliding(7, 1), (1, 2))
    assert max(laid_out_at_once) <= 2**16
    assert sum(laid_out_at_once) == 3 * 64 * 84 * 49 * 8


@pytest.mark.parametrize(("operator", "copies"), [(ap.Max(), 9), (ap.Average(), 6), (Spread(), 9)])
def test_memory_stays_bounded(operator, copies, monkeypatch):
    """Windows of 15 × 15 are 225 copies of the array; what is held at once is a few blocks and a few arrays."""
    limit = 4 * 2**20
    monkeypatch.setattr(definition, "WINDOWS_AT_ONCE", limit)
    x = np.random.default_rng(0).normal(size=(2, 256, 256)).astype(np.float32)
    tracemalloc.start()
    try:
        ap.pool(x, operator, ap.Sliding(15, 1, padding=7), impl="definition")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * limit + copies * x.nbytes
    assert 225 * x.nbytes > 5 * (4 * limit + copies * x.nbytes)


@pytest.mark.parametrize("kernel_size", [63, 255])
def test_errors_of_averages_do_not_grow(kernel_size, rng):
    """(2 + log₂ n)·eps·mean|x| for windows of thousands of elements of one sign and of both."""
    for x in (rng.random((300, 300)), rng.normal(size=(300, 300)) + 1e4, np.full((300, 300), 0.1)):
        x = x.astype(np.float32)
        for impl in ("auto", "definition"):
            y = ap.avg_pool(x, kernel_size, stride=20, impl=impl).astype(np.float64)
            exact = ap.avg_pool(x.astype(np.float64), kernel_size, stride=20, impl="definition")
            mean = ap.avg_pool(np.abs(x).astype(np.float64), kernel_size, stride=20, impl="definition")
            bound = (2 + np.log2(kernel_size**2)) * np.finfo(np.float32).eps * mean
            assert (np.abs(y - exact) <= bound).all(), (impl, (np.abs(y - exact) / bound).max())


# ---------------------------------------------------------------------------------------------------------------------
# Lengths that are not known yet

UNKNOWN = [
    Case(operator="max", axes=(1, 2), kernel_size=(3, 2), stride=(2, 1), padding=((1, 1), (0, 1))),
    Case(operator="average", axes=(2, 1), padding="same", kernel_size=(3, 3), stride=(2, 3)),
    Case(operator="average", axes=(1, 2), padding=((1, 0), (1, 1)), count_include_pad=True, ceil_mode=True),
    Case(operator="sum", axes=(1, 2), dilation=(2, 2), stride=(3, 1), ceil_mode=True),
    Case(operator="lp", axes=(1,), kernel_size=(3,), padding="same_lower"),
    Case(operator="min", window="adaptive", axes=(1, 2), output_size=(3, 4)),
    Case(operator="average", window="adaptive", axes=(1, 2), output_size=(2, None)),
    Case(operator="max", window="global", axes=(2, 1)),
]
SHAPES = [(2, 5, 7, 3), (1, 9, 6, 3), (3, 4, 8, 3)]


@pytest.mark.parametrize("impl", ["auto", "definition"])
@pytest.mark.parametrize("case", UNKNOWN, ids=lambda case: f"{case.operator}-{case.window}")
def test_unknown_lengths_in_tensorflow(case, impl, rng):
    tf = pytest.importorskip("tensorflow")
    graph = tf.function(
        lambda x: case.package(x, impl=impl), input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)]
    )
    for shape in SHAPES:
        x = random_array(rng, shape, "float32")
        np.testing.assert_allclose(graph(x).numpy(), case.expected(x), rtol=1e-5, atol=1e-5, err_msg=str(shape))


def test_unknown_lengths_and_indices_in_tensorflow(rng):
    tf = pytest.importorskip("tensorflow")
    case = UNKNOWN[0]

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
    def there_and_back(x):
        values, indices = case.package(x, return_indices=True)
        return indices, ap.max_unpool(values, indices, 2, output_size=(9, 9), axes=(1, 2))

    for shape in SHAPES:
        x = random_array(rng, shape, "float32")
        indices, back = there_and_back(x)
        values, expected = case.expected(x, return_indices=True)
        np.testing.assert_array_equal(indices.numpy(), expected)
        np.testing.assert_array_equal(back.numpy(), reference.unpool(values, expected, (1, 2), (9, 9)))


@pytest.mark.parametrize("impl", ["auto", "definition"])
@pytest.mark.parametrize("case", UNKNOWN, ids=lambda case: f"{case.operator}-{case.window}")
def test_unknown_lengths_in_jax(case, impl, rng):
    jax = pytest.importorskip("jax")
    from jax import export

    shape = export.symbolic_shape("b, h, w, 3", constraints=("h >= 4", "w >= 4"))
    program = export.export(jax.jit(lambda x: case.package(x, impl=impl)))(jax.ShapeDtypeStruct(shape, np.float32))
    for shape in SHAPES[:2]:
        x = random_array(rng, shape, "float32")
        np.testing.assert_allclose(program.call(x), case.expected(x), rtol=1e-5, atol=1e-5, err_msg=str(shape))


def test_a_network_of_unknown_lengths_in_jax():
    """Unpadded convolutions and poolings in a chain: lengths such as h − 2 and ⌊(h − 2)/2⌋."""
    jax = pytest.importorskip("jax")
    from jax import export

    def network(x):
        for pool in (ap.max_pool, ap.avg_pool):
            kernel = np.ones((3, 3, x.shape[-1], 2), np.float32)
            x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            x = pool(x, 2, axes=(1, 2))
        return ap.global_pool(ap.sum_pool(x, 3, 1, axes=(1, 2)), "max", (1, 2))

    shape = export.symbolic_shape("b, h, w, 1", constraints=("h >= 20", "w >= 20"))
    program = export.export(jax.jit(network))(jax.ShapeDtypeStruct(shape, np.float32))
    for height, width in ((28, 28), (21, 30)):
        x = np.random.default_rng(0).normal(size=(2, height, width, 1)).astype(np.float32)
        np.testing.assert_allclose(program.call(x), network(x), rtol=1e-5)


# ---------------------------------------------------------------------------------------------------------------------
# An operator of one's own


class Midrange(ap.Operator):
    """Half the sum of the greatest and the least element: written once, it works everywhere."""

    def reduce(self, windows, valid, xp):
        greatest = xp.max(xp.where(valid, windows, -np.inf), axis=-1)
        return (greatest + xp.min(xp.where(valid, windows, np.inf), axis=-1)) / 2


@EVERY_ADAPTER
def test_an_operator_that_nobody_accelerated_works_everywhere(adapter, rng):
    x = rng.permutation(60).reshape(2, 6, 5).astype(np.float32)  # no ties, whose gradient xp.max may share
    case = Case(axes=(1, 2), kernel_size=(3, 2), stride=(1, 2), padding=((1, 0), (1, 1)))
    expected = (case.expected(x) + without(case, operator="min").expected(x)) / 2
    window = case.package_window()
    got = adapter.compiled(lambda a: ap.pool(a, Midrange(), window, case.axes))(adapter.make(x))
    np.testing.assert_allclose(adapter.numpy(got), expected, rtol=1e-6)
    if adapter.differentiates:
        upstream = np.ones_like(expected)
        got = adapter.gradient(lambda a: ap.pool(a, Midrange(), window, case.axes), x, upstream)
        half = [without(case, operator=name).expected_gradient(x, upstream) / 2 for name in ("max", "min")]
        np.testing.assert_allclose(got, sum(half), rtol=1e-6)


def test_a_kernel_asked_for_an_operator_it_lacks_says_why():
    with pytest.raises(ValueError, match=r"impl='kernel' cannot run here: .*Midrange|compiled kernels"):
        ap.pool(np.zeros((4, 4)), Midrange(), ap.Sliding(2), impl="kernel")
    with pytest.raises(ValueError, match=r"impl='framework' cannot run here"):
        ap.pool(np.zeros((4, 4)), Average(), ap.Sliding(2), dtype="int32", impl="framework")
