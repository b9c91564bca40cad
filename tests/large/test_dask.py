"""Dask arrays: lazy, a task per chunk of outputs, and the values of the whole array however it is cut."""

import pickle

import numpy as np
import pytest
from chunked import chunkings, computed, windows
from hypothesis import given, settings
from hypothesis import strategies as st
from own_operator import FarthestFromZero
from processes import run_python

import anypool as ap

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

RNG = np.random.default_rng(0)
X = RNG.integers(-50, 50, (3, 37, 29)).astype(np.float32)  # whole numbers, so that sums are exact in any order
CHUNKS = [(3, 10, 10), (1, 37, 29), (2, (7, 1, 20, 9), (5, 24)), (3, 1, 4), (3, 64, 64)]
WINDOWS = [
    ap.Sliding(3, 2, 1),
    ap.Sliding(2),
    ap.Sliding(5, 3, 2, ceil_mode=True),
    ap.Sliding(3, 1, "same", dilation=2),
    ap.Sliding(9, 7),
    ap.Adaptive((7, 11)),
    ap.Adaptive((1, 3)),
    ap.Global(),
]
OPERATORS = [
    "max",
    "min",
    "sum",
    "average",
    "average:count_include_pad=True",
    "median",
    "gem:p=3",
    "variance",
    "lp:p=3",
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_values_are_those_of_the_whole_array(window, chunks):
    lazy = da.from_array(X, chunks=chunks)
    for operator in OPERATORS:
        expected = ap.pool(X, operator, window, (1, 2))
        got = ap.pool(lazy, operator, window, (1, 2))
        assert isinstance(got, da.Array)
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
        if operator.startswith(("gem", "lp", "variance")):
            np.testing.assert_allclose(computed(got), expected, rtol=2e-6, atol=1e-5, err_msg=operator)
        else:
            np.testing.assert_array_equal(computed(got), expected, err_msg=operator)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "bool", "float16", "float64"])
def test_dtypes(dtype):
    x = X.astype(dtype)
    for operator in ("max", "sum", "average", "median"):
        for window in (ap.Sliding(3, 2, 1), ap.Global()):
            expected = ap.pool(x, operator, window, (0, 2))
            got = ap.pool(da.from_array(x, chunks=(2, 10, 10)), operator, window, (0, 2))
            assert got.dtype == expected.dtype
            np.testing.assert_array_equal(computed(got), expected)
    average = ap.avg_pool(da.from_array(X.astype("uint8"), chunks=10), 2, dtype="uint8")
    np.testing.assert_array_equal(computed(average), ap.avg_pool(X.astype("uint8"), 2, dtype="uint8"))


@pytest.mark.parametrize("operator", ["max", "min"])
@pytest.mark.parametrize("window", [ap.Sliding(3, 2, 1), ap.Adaptive((5, 4)), ap.Global()], ids=str)
def test_indices_are_positions_in_the_whole_array(operator, window):
    lazy = da.from_array(X, chunks=(2, 8, 9))
    for axes in ((1, 2), (2, 1)):
        expected = ap.pool(X, operator, window, axes, return_indices=True)
        got = ap.pool(lazy, operator, window, axes, return_indices=True)
        for mine, theirs in zip(dask.compute(*got, scheduler="sync"), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@settings(max_examples=60)
@given(data=st.data())
def test_any_geometry_in_any_chunks(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 12), min_size=2, max_size=4)))
    window = data.draw(windows(shape[1:]))
    x = np.random.default_rng(1).integers(-9, 9, shape).astype(np.float32)
    lazy, axes = da.from_array(x, chunks=data.draw(chunkings(shape))), tuple(range(1, len(shape)))
    for operator in ("max", "sum", ap.Average(count_include_pad=True), "median"):
        got = ap.pool(lazy, operator, window, axes)
        np.testing.assert_array_equal(computed(got), ap.pool(x, operator, window, axes))


def test_nothing_is_computed_before_it_is_asked_for():
    def fails(block):
        raise AssertionError("computed")

    lazy = da.from_array(X, chunks=10).map_blocks(fails, dtype=X.dtype, meta=np.empty((0, 0, 0), X.dtype))
    assert ap.max_pool(lazy, 2).shape == (3, 18, 14)
    assert ap.global_pool(lazy, "average", (0, 1, 2)).shape == ()


def test_per_channel_parameters_are_cut_with_their_channels():
    p = np.array([2.0, 3.0, 4.0]).reshape(3, 1, 1)
    x = np.abs(X) + 1
    got = ap.pool(da.from_array(x, chunks=(1, 10, 10)), ap.GeM(p), ap.Sliding(3, 2), (1, 2))
    np.testing.assert_allclose(computed(got), ap.pool(x, ap.GeM(p), ap.Sliding(3, 2), (1, 2)), rtol=1e-6)


def test_a_subclass_is_no_partial_maximum():
    for window in (ap.Global(), ap.Sliding(3, 2, 1)):
        got = ap.pool(da.from_array(-np.abs(X), chunks=10), FarthestFromZero(), window, (1, 2))
        np.testing.assert_array_equal(computed(got), ap.pool(-np.abs(X), FarthestFromZero(), window, (1, 2)))


@pytest.mark.parametrize("impl", ["kernel", "definition"])
def test_an_implementation_by_hand(impl):
    for operator in ("max", "average"):
        got = ap.pool(da.from_array(X, chunks=10), operator, ap.Global(), (1, 2), impl=impl)
        np.testing.assert_array_equal(computed(got), ap.pool(X, operator, ap.Global(), (1, 2)))


def test_zarr_arrays_become_dask_arrays(tmp_path):
    zarr = pytest.importorskip("zarr")
    stored = zarr.create_array(tmp_path / "x.zarr", data=X, chunks=(1, 16, 16))
    sharded = zarr.create_array(tmp_path / "s.zarr", data=X, chunks=(1, 8, 8), shards=(3, 16, 16))
    mask = zarr.create_array(tmp_path / "m.zarr", data=X > 0, chunks=(3, 16, 16))
    got = ap.max_pool(stored, 3)
    assert isinstance(got, da.Array)
    np.testing.assert_array_equal(computed(got), ap.max_pool(X, 3))
    assert ap.max_pool(sharded, 2).chunks == ((3,), (8, 8, 2), (8, 6))
    np.testing.assert_array_equal(computed(ap.max_pool(stored, 3, where=mask)), ap.max_pool(X, 3, where=X > 0))
    with pytest.raises(TypeError, match="x must be an array, got zarr's Group"):
        ap.max_pool(zarr.create_group(tmp_path / "g.zarr"), 3)


def test_without_dask_zarr_arrays_say_what_to_install(tmp_path):
    pytest.importorskip("zarr")
    code = f"""if True:
        import sys, zarr
        sys.modules["dask"] = None
        import anypool as ap
        ap.max_pool(zarr.create_array({str(tmp_path / "x.zarr")!r}, shape=(4, 4), dtype="uint8"), 2)"""
    assert 'install "anypool[dask]"' in run_python("-c", code).stderr.splitlines()[-1]


@pytest.mark.filterwarnings("ignore")
def test_on_distributed_workers():
    distributed = pytest.importorskip("distributed")
    lazy, window = da.from_array(X, chunks=(1, 10, 10)), ap.Sliding(3, 2, 1)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "processes": False}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        for operator in ("max", "gem"):
            expected = ap.pool(X, operator, window)
            np.testing.assert_allclose(ap.pool(lazy, operator, window).compute(), expected, rtol=1e-6)


def test_graphs_travel():
    pooled = ap.max_pool(da.from_array(X, chunks=10), 3, stride=2)
    np.testing.assert_array_equal(computed(pickle.loads(pickle.dumps(pooled))), ap.max_pool(X, 3, stride=2))


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("a window must fit", lambda x: ap.max_pool(x, 50)),
        ("out= needs an array", lambda x: ap.max_pool(x, 2, out=np.empty((3, 18, 14), np.float32))),
        ("impl must be one of", lambda x: ap.max_pool(x, 2, impl="fast")),
        ("impl='framework' cannot run here", lambda x: ap.max_pool(x, 2, impl="framework")),
        ("known lengths", lambda x: ap.max_pool(x[x[:, 0, 0] > 0], 2)),
        ("where must broadcast to x", lambda x: ap.max_pool(x, 2, where=np.ones((4, 1, 1), bool))),
        ("where must hold booleans", lambda x: ap.max_pool(x, 2, where=da.ones(X.shape))),
        ("where must have chunks of known lengths", lambda x: ap.max_pool(x, 2, where=(x > 0)[x[:, 0, 0] > 0])),
        ("nan_policy must be one of", lambda x: ap.max_pool(x, 2, nan_policy="drop")),
        ("fill_value must be given", lambda x: ap.max_pool(x.astype(int), 2, where=x > 0)),
        ("count_include_pad=True counts", lambda x: ap.avg_pool(x, 2, count_include_pad=True, where=x > 0)),
        ("out= needs an array", lambda x: ap.max_pool(x, 2, where=x > 0, out=np.empty((3, 18, 14), np.float32))),
        ("impl='framework' cannot run here", lambda x: ap.max_pool(x, 2, where=x > 0, impl="framework")),
        ("chunks along axis 1 must sum up to its 18 outputs", lambda x: ap.max_pool(x, 2, chunks=(3, (9, 10), 14))),
        ("chunks must have one entry for each of the output's 3 axes", lambda x: ap.max_pool(x, 2, chunks=(3, 4))),
        ("chunks must name axes within", lambda x: ap.max_pool(x, 2, chunks={3: 1})),
        ("chunks must be between 1 and", lambda x: ap.max_pool(x, 2, chunks=0)),
        ("chunks must be an integer", lambda x: ap.max_pool(x, 2, chunks=2.5)),
        ("in memory", lambda x: ap.max_unpool(x, x.astype("int64"), 2)),
        ("must be loaded", lambda x: ap.pool(x, ap.GeM(da.ones((3, 1, 1))), ap.Sliding(2))),
    ],
)
def test_what_cannot_be_is_refused_in_words(words, call):
    with pytest.raises((TypeError, ValueError), match=words):
        call(da.from_array(X, chunks=10))


def test_xarray_objects_name_their_accessor():
    xarray = pytest.importorskip("xarray")
    with pytest.raises(TypeError, match=r"import anypool.xarray and use x.anypool.pool"):
        ap.max_pool(xarray.DataArray(X), 2)


@pytest.mark.parametrize("x", [None, {"a": 1}, "picture.png", b"bytes"])
def test_what_is_no_array_is_refused_in_words(x):
    with pytest.raises(TypeError, match="x must be an array, got"):
        ap.max_pool(x, 2)
