"""Masks, NaN and fill values on Dask arrays: those of the array in memory, for every operator, window and chunking."""

import numpy as np
import pytest
from chunked import chunkings, computed, windows
from hypothesis import given, settings
from hypothesis import strategies as st

import anypool as ap

da = pytest.importorskip("dask.array")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 12, 10)).astype(np.float32)
X[RNG.random(X.shape) < 0.2] = np.nan
MASK = RNG.random(X.shape) < 0.7
WINDOWS = [ap.Sliding(3, 2, 1), ap.Sliding(2), ap.Adaptive((2, 3)), ap.Global()]


def same(got, expected, **tolerance):
    assert isinstance(got, da.Array)
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(computed(got), expected, **{"rtol": 1e-5, "atol": 1e-6} | tolerance)


OF_SINGLE_WINDOWS = sorted(name for name, kind in ap.OPERATORS.items() if not kind().composed)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("name", OF_SINGLE_WINDOWS)
def test_every_operator(name, window):
    x = np.nan_to_num(X * 5).astype("int16") if name == "mode" else X
    options = {"where": MASK, "min_count": 2, "fill_value": -7, "nan_policy": "omit"}
    expected = ap.pool(x, name, window, (1, 2), **options)
    for chunks in ((1, 5, 4), (3, 12, 10)):
        lazy = da.from_array(x, chunks=chunks)
        same(ap.pool(lazy, name, window, (1, 2), **options), expected)
        options["where"] = da.from_array(MASK, chunks=(2, 12, 3))
        same(ap.pool(lazy, name, window, (1, 2), **options), expected)


@pytest.mark.parametrize("shape", [(3, 1, 1), (12, 10), (10,), (1, 12, 1), ()], ids=str)
def test_masks_that_broadcast(shape):
    mask = np.asarray(RNG.random(shape) < 0.6)
    lazy = da.from_array(X, chunks=(2, 5, 4))
    for window in WINDOWS:
        expected = ap.pool(X, "max", window, (1, 2), where=mask)
        same(ap.pool(lazy, "max", window, (1, 2), where=mask), expected)
        same(ap.pool(lazy, "max", window, (1, 2), where=da.from_array(mask, chunks=4)), expected)


@settings(max_examples=40)
@given(data=st.data())
def test_any_geometry_in_any_chunks(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    window = data.draw(st.one_of(windows(shape), st.sampled_from([ap.Global(), ap.Adaptive(2)])))
    dtype = data.draw(st.sampled_from(["float32", "uint8", "int16", "bool"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x, mask = rng.integers(0, 200, shape).astype(dtype), rng.random(shape) < 0.6
    if dtype == "float32":
        x[rng.random(shape) < 0.2] = np.nan
    lazy, where = (da.from_array(array, chunks=data.draw(chunkings(shape))) for array in (x, mask))
    options = {"fill_value": 7, "min_count": data.draw(st.sampled_from([None, 0, 1, 3])), "nan_policy": "omit"}
    for name in ("max", "min", "sum", "average", "median"):
        if options["min_count"] == 0 and name != "sum":
            continue
        arguments = name, window, range(len(shape))
        expected = ap.pool(x, *arguments, where=mask, **options)
        same(ap.pool(lazy, *arguments, where=where, **options), expected)


@pytest.mark.parametrize("result", ["uint8", "int32"])
def test_averages_of_integers_are_rounded_exactly_over_many_chunks(result):
    x = RNG.integers(0, 250, (40, 41)).astype("uint8")
    lazy = da.from_array(x, chunks=7)
    for window in (ap.Global(), ap.Adaptive((2, 3))):
        expected = ap.pool(x, "average", window, (0, 1), dtype=result)
        np.testing.assert_array_equal(computed(ap.pool(lazy, "average", window, (0, 1), dtype=result)), expected)
        masked = {"where": x > 9, "min_count": 1, "fill_value": 3, "dtype": result}
        expected = ap.pool(x, "average", window, (0, 1), **masked)
        np.testing.assert_array_equal(computed(ap.pool(lazy, "average", window, (0, 1), **masked)), expected)
    halves = da.from_array(np.array([1, 2, 4, 5, 7, 8], "int8"), chunks=1)
    assert computed(ap.adaptive_pool(halves, "average", 3, axes=0, dtype="int8", chunks=1)).tolist() == [2, 4, 8]


def test_raise_comes_when_the_chunk_is_computed():
    lazy = ap.max_pool(da.from_array(X, chunks=4), 2, nan_policy="raise")
    with pytest.raises(ValueError, match="x holds NaN where elements count"):
        computed(lazy)
    counted = ap.max_pool(da.from_array(X, chunks=4), 2, where=~np.isnan(X), nan_policy="raise")
    same(counted, ap.max_pool(X, 2, where=~np.isnan(X)))


def test_nothing_is_computed_before_it_is_asked_for():
    def fails(block):
        raise AssertionError("computed")

    lazy = da.from_array(X, chunks=4).map_blocks(fails, dtype=X.dtype, meta=np.empty((0, 0, 0), X.dtype))
    for window in WINDOWS:
        ap.pool(lazy, "average", window, (1, 2), where=lazy > 0, nan_policy="omit", min_count=1)
