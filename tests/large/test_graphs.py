"""The graphs of Dask arrays: how many tasks there are, what is fused with what loads, how outputs are cut."""

import numpy as np
import pytest

import anypool as ap

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

AXES = (0, 1, 2)


class Loaded:
    """An array that is read piece by piece, as a file is."""

    shape, dtype, ndim = (64, 64, 64), np.dtype("float32"), 3

    def __getitem__(self, index):
        return np.ones(self.shape, self.dtype)[index]


def tasks(x):
    """The tasks of an optimised graph, what is no task, such as the array that is read, left out."""
    (optimised,) = dask.optimize(x)
    return sum(1 for key in dict(optimised.dask) if isinstance(key, tuple))


LAZY = da.from_array(Loaded(), chunks=16)
CHUNKS = LAZY.npartitions


@pytest.mark.parametrize("operator", ["max", "average", "median", "mode"])
def test_one_task_loads_and_pools_where_chunks_align(operator):
    lazy = LAZY.astype(int) if operator == "mode" else LAZY
    assert tasks(ap.pool(lazy, operator, ap.Sliding(2), AXES)) == CHUNKS
    assert tasks(ap.pool(lazy, operator, ap.Sliding(3), (0,))) <= 2 * CHUNKS  # 16 is no multiple of 3


def test_masks_are_fused_too():
    mask = np.ones((64, 1, 64), bool)
    options = {"axes": AXES, "nan_policy": "omit", "min_count": 2}
    assert tasks(ap.avg_pool(LAZY, (2, 2, 2), where=mask, **options)) == CHUNKS
    assert tasks(ap.avg_pool(LAZY, (2, 2, 2), where=LAZY > 0, **options)) <= 2 * CHUNKS


def test_at_most_two_tasks_per_chunk():
    for padding in (0, 1):
        pooled = ap.max_pool(LAZY, (3, 3, 3), stride=2, padding=padding, axes=AXES)
        assert pooled.numblocks == LAZY.numblocks
        assert tasks(pooled) <= 2 * CHUNKS
    assert tasks(ap.global_pool(LAZY, "average", AXES)) <= 2 * CHUNKS
    assert tasks(ap.adaptive_pool(LAZY, "gem", 2, axes=AXES)) <= 2 * CHUNKS


def test_no_task_waits_for_many_parts():
    lazy = da.zeros((64, 64, 64), chunks=4)
    graph = dict(ap.global_pool(lazy, "max", AXES).dask)
    assert max(len(task[-1]) for task in graph.values() if isinstance(task, tuple)) <= 64
    assert len(graph) < 2.1 * lazy.npartitions


def test_chunks_of_outputs():
    def chunks(given):
        return ap.max_pool(LAZY, (2, 2, 2), axes=AXES, chunks=given).chunks

    follow = (8,) * 4
    assert chunks(None) == (follow,) * 3
    assert chunks(20) == ((20, 12),) * 3
    assert chunks((-1, None, (30, 2))) == ((32,), follow, (30, 2))
    assert chunks({-1: 16}) == (follow, follow, (16, 16))
    assert chunks({0: np.int64(16)}) == ((16, 16), follow, follow)
    assert chunks("auto") == ((32,),) * 3
    for given in (20, {0: 5, 2: (1, 30)}, (-1, 3, "auto")):
        pooled = ap.max_pool(
            LAZY, (3, 3, 3), 2, axes=AXES, where=np.ones(64, bool), chunks=given if given != 20 else 20
        )
        assert pooled.compute(scheduler="sync").shape == (31, 31, 31)


def test_chunks_of_operators_composed_of_poolings():
    blurred = ap.pool(LAZY, "blur", ap.Sliding(3, 2, 1), (1, 2), chunks={1: 10})
    assert blurred.chunks[1] == (10, 10, 10, 2)
    got = blurred.compute(scheduler="sync")
    np.testing.assert_allclose(got, ap.pool(np.asarray(LAZY), "blur", ap.Sliding(3, 2, 1), (1, 2)))


def test_chunks_are_for_arrays_that_have_such():
    for call in (
        lambda x: ap.max_pool(x, 2, chunks=2),
        lambda x: ap.min_pool(x, 2, chunks=2),
        lambda x: ap.avg_pool(x, 2, chunks=2),
        lambda x: ap.sum_pool(x, 2, chunks=2, min_count=1),
        lambda x: ap.adaptive_pool(x, "max", 2, chunks=2),
        lambda x: ap.global_pool(x, "max", 0, chunks=2),
        lambda x: ap.pool(x, "max", ap.Sliding(2), chunks=2),
    ):
        with pytest.raises(TypeError, match="NumPy arrays have no chunks"):
            call(np.ones((4, 4)))


def test_the_same_call_has_the_same_name_and_another_has_not():
    names = {
        ap.max_pool(LAZY, 2, **options).name
        for options in ({}, {"chunks": 4}, {"where": np.ones(64, bool)}, {"where": np.zeros(64, bool)}, {"stride": 1})
        for _ in range(2)
    }
    assert len(names) == 5
