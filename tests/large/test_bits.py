"""The same bits however an array is cut: what is promised of which operators and windows, and what is not.

Promised: whatever adds no floats; floats added over up to three elements along each axis; sums and exponential means
by the definition. Sums of floats over wider windows have the error of any sum: the order of additions in them is that
of the kernel which the lengths of an array ask for.
"""

import numpy as np
import pytest
from chunked import chunkings, computed, windows
from hypothesis import given, settings
from hypothesis import strategies as st

import anypool as ap

da = pytest.importorskip("dask.array")

FLOATS = ("float16", "float32", "float64")
WHOLE = ("uint8", "int16", "int64", "bool")
ADDS_NOTHING = ("max", "min", "median", "rank:k=1", "range")
ADDS = ("sum", "average", "gem:p=2", "lp", "avgmax", "geometric_mean")
EXPONENTIAL = ("soft", "logsumexp", "adapool", "ordered_weighted")


def assert_same_bits(x, chunks, operator, window, axes, **options):
    expected = ap.pool(x, operator, window, axes, **options)
    got = computed(ap.pool(da.from_array(x, chunks=chunks), operator, window, axes, **options))
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected, err_msg=f"{operator} {window} {chunks}")


def draw_array(data, dtypes):
    """An array and the axes to pool: one to three of them, anywhere."""
    rank = data.draw(st.integers(1, 3))
    longest = (60, 20, 9)[rank - 1]
    shape = tuple(data.draw(st.lists(st.integers(1, longest), min_size=rank, max_size=rank + 1)))
    axes = tuple(sorted(data.draw(st.permutations(range(len(shape))))[:rank]))
    dtype = data.draw(st.sampled_from(dtypes))
    x = np.random.default_rng(data.draw(st.integers(0, 999))).normal(size=shape)
    return (x * 100 if dtype in WHOLE else abs(x)).astype(dtype), axes


@settings(max_examples=30)
@given(data=st.data())
def test_what_adds_no_floats(data):
    x, axes = draw_array(data, (*FLOATS, *WHOLE))
    kind = data.draw(st.sampled_from(["sliding", "adaptive", "global"]))
    lengths = [x.shape[axis] for axis in axes]
    window = {"sliding": data.draw(windows(lengths)), "adaptive": ap.Adaptive(3), "global": ap.Global()}[kind]
    chunks = data.draw(chunkings(x.shape))
    for operator in ADDS_NOTHING if x.dtype.kind == "f" else (*ADDS_NOTHING, "sum", "average", "count", "mode"):
        if operator == "range" and x.dtype == bool:
            continue
        assert_same_bits(x, chunks, operator, window, axes)


@settings(max_examples=30)
@given(data=st.data())
def test_floats_over_up_to_three_elements_along_each_axis(data):
    x, axes = draw_array(data, FLOATS)
    window, chunks = data.draw(windows([x.shape[axis] for axis in axes], widest=3)), data.draw(chunkings(x.shape))
    for operator in ADDS:
        assert_same_bits(x, chunks, operator, window, axes)


@settings(max_examples=25)
@given(data=st.data())
def test_floats_by_the_definition(data):
    x, axes = draw_array(data, FLOATS)
    window, chunks = data.draw(windows([x.shape[axis] for axis in axes])), data.draw(chunkings(x.shape))
    for operator in ("sum", "average", "gem:p=2", "variance"):
        assert_same_bits(x, chunks, operator, window, axes, impl="definition")
    for operator in EXPONENTIAL:
        assert_same_bits(x, chunks, operator, window, axes)


@settings(max_examples=30)
@given(data=st.data())
def test_floats_over_wider_windows_have_the_error_of_a_sum(data):
    x, axes = draw_array(data, ("float32", "float64"))
    lengths = [x.shape[axis] for axis in axes]
    window = data.draw(st.one_of(windows(lengths), st.sampled_from([ap.Global(), ap.Adaptive(3)])))
    chunks = data.draw(chunkings(x.shape))
    for operator in ("sum", "average"):
        got = computed(ap.pool(da.from_array(x, chunks=chunks), operator, window, axes))
        exact = ap.pool(x.astype("longdouble").astype("float64"), operator, window, axes)
        elements = np.prod([min(n, k) for n, k in zip(lengths, kernel(window, lengths), strict=True)])
        error = (2 + np.log2(elements)) * np.finfo(x.dtype).eps * abs(exact)  # of elements that are all positive
        assert (abs(got - exact) <= 2 * error + 1e-300).all(), (operator, window, chunks)


def kernel(window, lengths):
    return window.kernel_size if isinstance(window, ap.Sliding) else lengths


@pytest.mark.parametrize(
    "window", [ap.Sliding((2, 2)), ap.Sliding((2, 2, 2)), ap.Sliding((3, 3)), ap.Sliding((2, 3, 2))]
)
@pytest.mark.parametrize("dtype", FLOATS)
def test_chunks_of_one_window_each(dtype, window):
    """Where a chunk is a window, a kernel may take the chunk's rows for one row, in which it would add otherwise."""
    axes = tuple(range(1, 1 + len(window.kernel_size)))
    x = np.random.default_rng(0).normal(size=(9, *(4 * k for k in window.kernel_size))).astype(dtype)
    assert_same_bits(x, (9, *window.kernel_size), "sum", window, axes)


def test_a_sliding_window_that_is_all_of_an_array_in_chunks():
    x = abs(np.random.default_rng(0).normal(size=(1, 2, 3))).astype("float32")
    for operator in ADDS:
        assert_same_bits(x, 1, operator, ap.Sliding((1, 2), 1), (0, 1))


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(data=st.data())
def test_floats_over_few_elements_thoroughly(data):
    x, axes = draw_array(data, FLOATS)
    window, chunks = data.draw(windows([x.shape[axis] for axis in axes], widest=3)), data.draw(chunkings(x.shape))
    for operator in ADDS:
        assert_same_bits(x, chunks, operator, window, axes)
