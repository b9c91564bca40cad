"""What goes wrong in large arrays: chunks that cannot be read, are missing or corrupt, workers that die, sums that
overflow. No wrong value, and the error of what went wrong."""

import os
import signal

import numpy as np
import pytest
from chunked import computed

import anypool as ap

da = pytest.importorskip("dask.array")
zarr = pytest.importorskip("zarr")

WINDOWS = [ap.Sliding(2), ap.Sliding(3, 1, 1), ap.Global()]
ids = pytest.mark.parametrize("window", WINDOWS, ids=str)


class Unreadable:
    """An array on a disk that fails at one place."""

    shape, dtype, ndim = (40, 40), np.dtype("float32"), 2

    def __getitem__(self, index):
        part = np.zeros(self.shape, self.dtype)
        part[35, 35] = 1
        if part[index].any():
            raise OSError("sector 35 of disk 1 cannot be read")
        return part[index]


@ids
def test_a_read_error_comes_through(window):
    lazy = ap.pool(da.from_array(Unreadable(), chunks=10), "max", window, (0, 1))
    with pytest.raises(OSError, match="sector 35 of disk 1 cannot be read"):
        computed(lazy)
    if window != ap.Global():
        assert computed(lazy[:10, :10]).shape == (10, 10)  # what does not read it is there


@ids
def test_a_missing_chunk_holds_the_fill_value(window, tmp_path):
    stored = zarr.create_array(tmp_path / "x.zarr", shape=(40, 40), chunks=(10, 10), dtype="int16", fill_value=7)
    stored[:10] = 3
    for operator in ("max", "sum", "average"):
        got = computed(ap.pool(stored, operator, window, (0, 1)))
        np.testing.assert_array_equal(got, ap.pool(stored[:], operator, window, (0, 1)))


@ids
def test_a_corrupt_chunk_is_an_error(window, tmp_path):
    stored = zarr.create_array(tmp_path / "x.zarr", data=np.arange(1600.0).reshape(40, 40), chunks=(10, 10))
    (tmp_path / "x.zarr" / "c" / "2" / "2").write_bytes(b"no compressed data")
    with pytest.raises((RuntimeError, ValueError, OSError), match=r"\w"):
        computed(ap.pool(stored, "average", window, (0, 1)))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", "float16", "float32"])
@ids
def test_sums_overflow_as_numpys_do(dtype, window):
    large = np.finfo(dtype).max if dtype.startswith("float") else np.iinfo(dtype).max
    x = np.full((8, 8), large, dtype)
    lazy = da.from_array(x, chunks=3)
    expected = ap.pool(x, "sum", window, (0, 1))
    np.testing.assert_array_equal(computed(ap.pool(lazy, "sum", window, (0, 1))), expected)
    if window == ap.Global() and not dtype.startswith("float"):
        assert expected.item() == x.sum()


@pytest.mark.parametrize("policy", ["propagate", "omit"])
@ids
def test_nan_and_infinities(policy, window):
    x = np.random.default_rng(0).normal(size=(12, 12))
    x[3, 4], x[8, 8], x[9, 1] = np.nan, np.inf, -np.inf
    for operator in ("max", "min", "average", "sum", "gem"):
        expected = ap.pool(x, operator, window, (0, 1), nan_policy=policy)
        got = computed(ap.pool(da.from_array(x, chunks=5), operator, window, (0, 1), nan_policy=policy))
        np.testing.assert_allclose(got, expected, rtol=1e-12, err_msg=operator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_dies_changes_nothing(tmp_path):
    distributed = pytest.importorskip("distributed")
    x = np.random.default_rng(0).normal(size=(64, 64, 64)).astype("float32")
    stored = zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(8, 8, 8))
    options = {"n_workers": 3, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        for operator, window in (("max", ap.Sliding(3, 1, 1)), ("average", ap.Global())):
            future = client.compute(ap.pool(stored, operator, window, (0, 1, 2)))
            victim = next(iter(client.run(os.getpid).values()))
            os.kill(victim, signal.SIGKILL)
            expected = ap.pool(x, operator, window, (0, 1, 2))
            np.testing.assert_allclose(future.result(timeout=120), expected, rtol=1e-5, atol=1e-6)
