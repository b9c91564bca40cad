"""`ap.tasks`: what each block of outputs reads, tasks that can be pickled, and results that are the whole array's."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from chunked import windows
from hypothesis import given, settings
from hypothesis import strategies as st

import anypool as ap

RNG = np.random.default_rng(0)
X = RNG.integers(-50, 50, (3, 37, 29)).astype(np.float32)


def together(todo, x, **options):
    """The result of all tasks, each from a copy of what it reads."""
    result = np.zeros(todo.shape, todo.dtype)
    written = np.zeros(todo.shape, int)
    for task in todo:
        masks = {name: mask[task.inputs] for name, mask in options.items()}
        result[task.outputs] = task(x[task.inputs].copy(), **masks)
        written[task.outputs] += 1
    assert (written == 1).all()
    return result


@pytest.mark.parametrize("operator", ["max", "average", "median", "gem:p=2", "sum"])
@pytest.mark.parametrize("window", [ap.Sliding(3, 2, 1), ap.Adaptive((7, 5)), ap.Global()], ids=str)
def test_tasks_make_the_result(operator, window):
    for chunks in (4, (1, None, -1), {1: 3, -1: (2, 3)} if window == ap.Adaptive((7, 5)) else 100):
        todo = ap.tasks(X, operator, window, (1, 2), chunks=chunks)
        expected = ap.pool(X, operator, window, (1, 2))
        assert (todo.shape, todo.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(together(todo, X), expected, rtol=1e-6)


@settings(max_examples=40)
@given(data=st.data())
def test_any_geometry(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    window = data.draw(windows(shape))
    x = np.random.default_rng(1).integers(0, 200, shape).astype("uint8")
    todo = ap.tasks(x, "average", window, range(len(shape)), chunks=data.draw(st.integers(1, 5)), dtype="uint8")
    np.testing.assert_array_equal(together(todo, x), ap.pool(x, "average", window, range(len(shape)), dtype="uint8"))


def test_masks_go_with_tasks():
    mask = RNG.random(X.shape) < 0.6
    options = {"min_count": 2, "fill_value": -1}
    todo = ap.tasks(X, "average", ap.Sliding(3, 2), (1, 2), chunks=5, masked=True, **options)
    np.testing.assert_allclose(together(todo, X, where=mask), ap.avg_pool(X, 3, 2, axes=(1, 2), where=mask, **options))
    nan = np.where(mask, X, np.nan)
    todo = ap.tasks(nan, "max", ap.Sliding(2), chunks=5, nan_policy="omit")
    np.testing.assert_array_equal(together(todo, nan), ap.max_pool(nan, 2, nan_policy="omit"))


def test_indices_are_positions_in_the_whole_array():
    values, indices = ap.max_pool(X, 3, 2, return_indices=True)
    todo = ap.tasks(X, "max", ap.Sliding(3, 2), chunks=5, return_indices=True)
    for task in todo:
        got = task(X[task.inputs])
        np.testing.assert_array_equal(got[0], values[task.outputs])
        np.testing.assert_array_equal(got[1], indices[task.outputs])


@pytest.mark.parametrize("p", [np.array([2.0, 3.0, 4.0]).reshape(3, 1, 1), 3.0])
def test_parameters_go_with_tasks(p):
    x = np.abs(X) + 1
    todo = ap.tasks(x, ap.GeM(p), ap.Sliding(3, 2), chunks=(1, 5, 5))
    np.testing.assert_allclose(together(todo, x), ap.pool(x, ap.GeM(p), ap.Sliding(3, 2)), rtol=1e-6)


def test_parameters_per_element_go_with_tasks():
    for operator in (ap.OrderedWeighted(RNG.normal(size=(3, 1, 1, 4))), ap.Dilation((0, 1, 2, 3))):
        todo = ap.tasks(X, operator, ap.Sliding(2), chunks=(2, 5, 5))
        np.testing.assert_allclose(together(todo, X), ap.pool(X, operator, ap.Sliding(2)), rtol=1e-6)


def test_a_sequence_that_is_made_as_it_is_read():
    like = np.broadcast_to(np.zeros((), "uint8"), (2**12, 2**12))
    todo = ap.tasks(like, "max", ap.Sliding(2), chunks=1)
    assert len(todo) == 2**22
    assert todo[-1].outputs == (slice(2**11 - 1, 2**11),) * 2
    assert [task.outputs[1] for task in todo[:2]] == [slice(0, 1), slice(1, 2)]
    with pytest.raises(IndexError, match="there are 4194304 tasks"):
        todo[2**22]


def test_blocks_follow_the_chunks_of_the_array(tmp_path):
    zarr = pytest.importorskip("zarr")
    stored = zarr.create_array(tmp_path / "x.zarr", data=X, chunks=(1, 16, 16))
    todo = ap.tasks(stored, "max", ap.Sliding(2))
    assert [task.outputs for task in todo[:2]] == [
        (slice(0, 1), slice(0, 8), slice(0, 8)),
        (slice(0, 1), slice(0, 8), slice(8, 14)),
    ]
    np.testing.assert_array_equal(together(todo, X), ap.max_pool(X, 2))


def test_processes():
    todo = ap.tasks(X, "average", ap.Sliding((3, 3)), chunks=(1, 6, 9))
    result = np.empty(todo.shape, todo.dtype)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        futures = {processes.submit(task, X[task.inputs]): task for task in todo}
        for future, task in futures.items():
            result[task.outputs] = future.result()
    np.testing.assert_array_equal(result, ap.avg_pool(X, 3))
    assert len(pickle.dumps(todo[0])) < 1000


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("chunks must say how many outputs", lambda: ap.tasks(X, "max", ap.Sliding(2))),
        ("x must be an array or have its shape", lambda: ap.tasks([1.0], "max", ap.Sliding(2))),
        ("window must be anypool's", lambda: ap.tasks(X, "max", 2, chunks=2)),
        ("a window must fit", lambda: ap.tasks(X, "max", ap.Sliding(50), chunks=2)),
        ("impl='framework' cannot run here", lambda: ap.tasks(X, "max", ap.Sliding(2), chunks=2, impl="framework")),
        ("fill_value must be given", lambda: ap.tasks(X.astype(int), "max", ap.Sliding(2), chunks=2, masked=True)),
        ("x must be what the task's inputs read", lambda: ap.tasks(X, "max", ap.Sliding(2), chunks=2)[0](X)),
        (
            "made with masked=True",
            lambda: ap.tasks(X[:1, :2, :2], "max", ap.Sliding(2), chunks=2)[0](X[:1, :2, :2], True),
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(words, call):
    with pytest.raises((TypeError, ValueError), match=words):
        call()
