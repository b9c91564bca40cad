"""The named forms of pool, and what they share: keepdims, out=, layouts, memory order, impl=, unpooling."""

import numpy as np
import pytest
import reference
from adapters import EVERY_ADAPTER
from harness import random_array

import anypool as ap

X = np.array([[2, 2, 7, 3], [9, 4, 6, 1], [8, 5, 2, 4], [3, 1, 2, 6]], np.float32)


@EVERY_ADAPTER
def test_named_forms_give_what_a_course_says(adapter):
    x = adapter.make(X)
    for form, expected in [
        (ap.max_pool, [[9, 7], [8, 6]]),
        (ap.min_pool, [[2, 1], [1, 2]]),
        (ap.avg_pool, [[4.25, 4.25], [4.25, 3.5]]),
        (ap.sum_pool, [[17, 17], [17, 14]]),
    ]:
        assert adapter.numpy(form(x, 2)).tolist() == expected
    for name, value in [("max", 9), ("min", 1), ("average", 4.0625), ("sum", 65)]:
        assert adapter.numpy(ap.global_pool(x, name, (0, 1))).tolist() == value
        assert adapter.numpy(ap.global_pool(x, name, axes=(-2, -1), keepdims=True)).tolist() == [[value]]
    assert adapter.numpy(ap.adaptive_pool(x, "max", (3, 2))).tolist() == [[9, 7], [9, 6], [8, 6]]


FORMS = [
    (ap.max_pool, ap.Max(), {}),
    (ap.min_pool, ap.Min(), {}),
    (ap.avg_pool, ap.Average(), {}),
    (ap.avg_pool, ap.Average(True), {"count_include_pad": True}),
    (ap.avg_pool, ap.Average(divisor_override=5), {"divisor_override": 5}),
    (ap.sum_pool, ap.Sum(), {}),
]
ARGUMENTS = [
    {"kernel_size": 3},
    {"kernel_size": (2, 3), "stride": 1},
    {"kernel_size": [3, 2], "stride": [1, 2], "axes": [2, 0]},
    {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2, "axes": (0, 1)},
    {"kernel_size": 3, "stride": 2, "padding": ((1, 0), (0, 1)), "ceil_mode": True},
    {"kernel_size": 2, "padding": "same", "axes": -1},
    {"kernel_size": 2, "padding": "same_lower", "axes": 1},
    {"kernel_size": np.int64(2), "stride": np.array([1, 2]), "padding": np.array([[0, 1], [1, 0]])},
]


@pytest.mark.parametrize(("form", "operator", "options"), FORMS)
@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_named_forms_are_the_general_one(form, operator, options, arguments, rng):
    x = random_array(rng, (6, 5, 7), "float64")
    sliding = {name: value for name, value in arguments.items() if name != "axes"}
    expected = ap.pool(x, operator, ap.Sliding(**sliding), arguments.get("axes"))
    np.testing.assert_array_equal(form(x, **arguments, **options), expected)


def test_axes_default_to_the_last_ones(rng):
    x = random_array(rng, (2, 4, 6, 8), "float64")
    assert ap.max_pool(x, 2).shape == (2, 4, 3, 4)
    assert ap.max_pool(x, (2,)).shape == (2, 4, 6, 4)
    assert ap.max_pool(x, (2, 2, 2)).shape == (2, 2, 3, 4)
    assert ap.adaptive_pool(x, "max", 3).shape == (2, 4, 3, 3)
    assert ap.adaptive_pool(x, "max", (3, None, 1)).shape == (2, 3, 6, 1)
    assert ap.max_pool(x, 2, axes=1).shape == (2, 2, 6, 8)


@EVERY_ADAPTER
@pytest.mark.parametrize("axes", [(0,), (2, 0), (1, -1), (0, 1, 2)])
def test_global_pool_drops_or_keeps_axes(adapter, axes, rng):
    x = random_array(rng, (3, 4, 2), "float32")
    windows = [reference.whole(x.shape[axis]) for axis in axes]
    for keepdims in (False, True):
        values, indices = reference.pool(x, "max", windows, axes, return_indices=True, keepdims=keepdims)
        got = ap.global_pool(adapter.make(x), "max", axes, keepdims, return_indices=True)
        np.testing.assert_array_equal(adapter.numpy(got[0]), values)
        np.testing.assert_array_equal(adapter.numpy(got[1]), indices)
        np.testing.assert_array_equal(adapter.numpy(ap.global_pool(adapter.make(x), "max", axes, keepdims)), values)


def test_what_numpy_reads_is_an_array():
    assert ap.max_pool([[1, 2], [3, 4]], 2).tolist() == [[4]]
    assert ap.max_pool(((1.5, 2),), (1, 2)).tolist() == [[2]]
    assert ap.global_pool(range(5), "max", 0) == 4
    assert ap.max_pool(memoryview(bytes([1, 5, 2])), 3, axes=0).tolist() == [5]
    assert type(ap.max_pool(np.zeros((2, 2)).view(np.recarray), 2)) is np.ndarray


# ---------------------------------------------------------------------------------------------------------------------
# out=


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_out_is_written_and_returned(name, rng):
    from adapters import ADAPTERS

    adapter = ADAPTERS[name]()
    x = adapter.make(random_array(rng, (3, 4, 6), "float32"))
    out = adapter.make(np.full((3, 2, 3), 7, np.float32))
    assert ap.max_pool(x, 2, out=out) is out
    np.testing.assert_array_equal(adapter.numpy(out), adapter.numpy(ap.max_pool(x, 2)))
    values, indices = ap.min_pool(x, 2, out=out, return_indices=True)
    assert values is out
    expected = ap.min_pool(x, 2, return_indices=True)
    np.testing.assert_array_equal(adapter.numpy(out), adapter.numpy(expected[0]))
    np.testing.assert_array_equal(adapter.numpy(indices), adapter.numpy(expected[1]))
    vector = adapter.make(np.zeros(3, np.float32))
    assert ap.global_pool(x, "average", (1, 2), out=vector) is vector
    np.testing.assert_array_equal(adapter.numpy(vector), adapter.numpy(ap.global_pool(x, "average", (1, 2))))
    for keepdims, shape in ((True, (1, 4, 1)), (False, (4,))):
        out = adapter.make(np.zeros(shape, np.float32))
        values, indices = ap.global_pool(x, "max", (0, 2), keepdims, return_indices=True, out=out)
        assert values is out
        assert tuple(indices.shape) == shape


def test_out_may_be_any_view(rng):
    x = random_array(rng, (4, 6), "int32")
    for out in (
        np.zeros((3, 2), np.int32).T,
        np.zeros((4, 9), np.int32)[::2, ::3],
        np.zeros((2, 3), np.int32)[::-1, ::-1],
    ):
        ap.max_pool(x, 2, out=out)
        np.testing.assert_array_equal(out, ap.max_pool(x, 2))


def test_out_takes_the_requested_dtype():
    out = np.zeros((2, 2), np.int16)
    ap.avg_pool(X, 2, dtype="int16", out=out)
    assert out.tolist() == [[4, 4], [4, 4]]


# ---------------------------------------------------------------------------------------------------------------------
# Layouts


@pytest.mark.parametrize("impl", ["auto", "definition"])
@pytest.mark.parametrize("call", [ap.max_pool, ap.avg_pool, ap.sum_pool])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (0, 2, 3, 1), (2, 0, 3, 1)])
def test_the_output_keeps_the_input_s_order(call, order, impl, rng):
    """The axis that varies fastest in the input does in the output: Fortran's order, and channels last."""
    x = random_array(rng, (3, 4, 5, 6), "float32")
    view = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
    y = call(view, 2, impl=impl)
    np.testing.assert_allclose(y, call(x, 2, impl=impl), rtol=1e-5, atol=1e-6)  # sums may be added in another order
    assert y.transpose(order).flags.c_contiguous


@pytest.mark.parametrize("byteorder", "<>")
def test_byte_orders_give_native_results(byteorder):
    for kind in ("i2", "u4", "f4", "f8"):
        x = X.astype(byteorder + kind)
        y = ap.max_pool(x, 2)
        assert y.dtype.isnative
        assert y.tolist() == [[9, 7], [8, 6]]


def test_the_input_is_not_written(rng):
    x = random_array(rng, (5, 6), "float64", specials=True)
    before = x.copy()
    for call in (ap.max_pool, ap.avg_pool, ap.sum_pool):
        y = call(x, 1, 1)
        y[...] = 0
        np.testing.assert_array_equal(x, before)
    y = ap.global_pool(x[:1, :1], "max", (0, 1), keepdims=True)
    y[...] = 0
    np.testing.assert_array_equal(x, before)
    x.flags.writeable = False
    assert ap.max_pool(x, 2).flags.writeable


# ---------------------------------------------------------------------------------------------------------------------
# Unpooling


@EVERY_ADAPTER
def test_unpooling_puts_values_back(adapter, rng):
    x = random_array(rng, (2, 4, 6), "float32")
    values, indices = ap.max_pool(adapter.make(x), 2, return_indices=True)
    got = adapter.numpy(ap.max_unpool(values, indices, 2))
    expected = reference.unpool(adapter.numpy(values), adapter.numpy(indices), (1, 2), (4, 6))
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.where(got != 0, x, 0))


@EVERY_ADAPTER
@pytest.mark.parametrize("axes", [(0, 1), (1, 0), (2, 1), (-1,), (0, 1, 2)])
def test_unpooling_keeps_the_last_of_duplicates(adapter, axes, rng):
    values = random_array(rng, (3, 2, 4), "float32")
    lengths = (4, 3, 2)[: len(axes)]
    indices = rng.integers(0, np.prod(lengths), values.shape).astype(adapter.index)
    got = ap.max_unpool(adapter.make(values), adapter.make(indices), 2, output_size=lengths, axes=axes)
    np.testing.assert_array_equal(adapter.numpy(got), reference.unpool(values, indices, axes, lengths))


@EVERY_ADAPTER
@pytest.mark.parametrize(
    ("arguments", "lengths"),
    [
        ({"kernel_size": 3, "stride": 2}, (5, 7)),
        ({"kernel_size": 3, "stride": 2, "padding": 1}, (3, 5)),
        ({"kernel_size": (2, 3), "stride": (2, 1), "padding": (0, 1)}, (4, 3)),
        ({"kernel_size": 2, "padding": ((1, 0), (0, 1))}, (3, 5)),
        ({"kernel_size": 2, "output_size": (9, 9)}, (9, 9)),
        ({"kernel_size": 2, "output_size": 7}, (7, 7)),
    ],
)
def test_unpooled_sizes(adapter, arguments, lengths):
    zeros = np.zeros((2, 3), np.float32)
    got = ap.max_unpool(adapter.make(zeros), adapter.make(zeros.astype(adapter.index)), **arguments)
    assert tuple(got.shape) == lengths


def test_unpooling_every_dtype(rng):
    from adapters import DTYPES

    for name in DTYPES:
        x = random_array(rng, (4, 4), name)
        values, indices = ap.max_pool(x, 2, return_indices=True)
        for kind in (np.int64, np.uint8, np.int32):
            got = ap.max_unpool(values, indices.astype(kind), 2)
            assert got.dtype == x.dtype
            np.testing.assert_array_equal(got, reference.unpool(values, indices, (0, 1), (4, 4)))


def test_unpooling_nothing():
    empty = np.zeros((0, 2, 2))
    assert ap.max_unpool(empty, empty.astype(int), 2).shape == (0, 4, 4)
    assert ap.max_unpool(np.zeros((2, 0)), np.zeros((2, 0), int), 2, output_size=3, axes=1).tolist() == [[0] * 3] * 2


@EVERY_ADAPTER
def test_unpooling_is_differentiable(adapter, rng):
    if not adapter.differentiates:
        return
    values = random_array(rng, (2, 3), "float32")
    indices = np.array([[0, 3, 3], [7, 11, 0]], adapter.index)
    upstream = random_array(rng, (3, 4), "float32")
    got = adapter.gradient(lambda v: ap.max_unpool(v, adapter.make(indices), 1, output_size=(3, 4)), values, upstream)
    kept = np.array([[0, 0, 1], [1, 1, 1]])  # the last of equal positions
    np.testing.assert_array_equal(got, kept * upstream.reshape(-1)[indices])
