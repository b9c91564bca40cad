"""Views, which are parts of larger arrays, every second element, reversed axes: as their copies, at no more cost.

Arrays here are large enough to be cut into pieces for threads and for the cache, where views take other paths than
their copies.
"""

import os
import time
from functools import partial

import numpy as np
import pytest
from kernel_cases import pooling_of

import anypool as ap
from anypool.cpu import kernels
from anypool.windows import Adaptive, Global, Sliding

pytestmark = pytest.mark.skipif(not kernels.available(), reason=str(kernels.why_not_built))

OPERATORS = {"max": ap.Max(), "min": ap.Min(), "sum": ap.Sum(), "average": ap.Average()}
DTYPES = ("float32", "float64", "float16", "uint8", "uint16", "int32", "int64")


def view_like(rng, shape, dtype):
    """An array of this shape and dtype within a larger one: with margins, steps, reversed and transposed axes."""
    order = rng.permutation(len(shape)) if rng.random() < 0.5 else np.arange(len(shape))
    room, pieces = [], []
    for axis in order:
        step = int(rng.choice([1, 1, 1, 2, 3, -1, -2]))
        before, after = (int(n) for n in rng.integers(0, 9, 2)) if rng.random() < 0.7 else (0, 0)
        reach = (shape[axis] - 1) * abs(step) + 1
        room.append(before + reach + after)
        piece = np.arange(before, before + reach, abs(step))[:: 1 if step > 0 else -1]
        stop = piece[-1] + step
        pieces.append(slice(piece[0], stop if stop >= 0 else None, step))
    values = rng.integers(0, 5, room).astype(dtype)
    return values[tuple(pieces)].transpose(np.argsort(order))


def random_pooling(rng, most):
    """A shape of about `most` elements at most, a window, pooled axes."""
    rank = int(rng.choice([1, 2, 2, 3, 3]))
    lengths = [int(n) for n in rng.integers(1, {1: 30_000, 2: 200, 3: 60}[rank], rank)]
    others = [int(rng.choice([1, 2, 3, 5, 16, 40, 70, 300])) for _ in range(rng.integers(0, 3))]
    while np.prod(lengths) * np.prod(others) > most:
        (lengths if max(lengths) > max(others, default=1) else others).sort()
        longest = lengths if max(lengths) > max(others, default=1) else others
        longest[-1] = max(1, longest[-1] // 2)
    axes = sorted(int(axis) for axis in rng.choice(rank + len(others), rank, replace=False))
    shape = list(others)
    for axis, n in zip(axes, rng.permutation(lengths), strict=True):
        shape.insert(axis, int(n))
    lengths = [shape[axis] for axis in axes]
    kind = rng.random()
    if kind < 0.1:
        return shape, Global(), tuple(axes)
    if kind < 0.25:
        return shape, Adaptive(tuple(int(rng.integers(1, min(n, 40) + 1)) for n in lengths)), tuple(axes)
    kernel = [int(rng.integers(1, min(n, 12 if rng.random() < 0.2 else 4) + 1)) for n in lengths]
    stride = [int(rng.choice([1, 2, 3, k])) for k in kernel]
    padding = [int(rng.integers(0, k // 2 + 1)) for k in kernel]
    return shape, Sliding(tuple(kernel), tuple(stride), tuple((p, p) for p in padding)), tuple(axes)


def check(rng, most):
    """Values, offsets and gradient of views, read and written, beside those of their copies."""
    shape, window, axes = random_pooling(rng, most)
    name, dtype = str(rng.choice(list(OPERATORS))), str(rng.choice(DTYPES))
    x = view_like(rng, shape, dtype)
    copy = x.copy()
    pooling = pooling_of(x, OPERATORS[name], window, axes)
    selects = name in ("max", "min")
    out = view_like(rng, pooling.output_shape, pooling.result)
    values, offsets = kernels.forward_with_offsets(copy, pooling) if selects else (kernels.forward(copy, pooling), None)
    same = np.testing.assert_array_equal if name != "average" else close
    same(kernels.forward(x, pooling), values)
    same(kernels.forward(x, pooling, out), values)
    if selects:
        mine, places = kernels.forward_with_offsets(x, pooling)
        same(mine, values)
        same(places, offsets)
        places = view_like(rng, pooling.output_shape, offsets.dtype)
        mine, _ = kernels.forward_with_offsets(x, pooling, out, places)
        same(mine, values)
        same(places, offsets)
        np.testing.assert_array_equal(kernels.indices(places, pooling), kernels.indices(offsets, pooling))
    if dtype not in ("float32", "float64", "float16"):
        return
    upstream = view_like(rng, pooling.output_shape, dtype)
    expected = kernels.backward(upstream.copy(), pooling, offsets)
    given = view_like(rng, shape, dtype)
    for out in (None, given):
        same(kernels.backward(upstream, pooling, places if selects else None, out), expected)


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=2e-3 if a.dtype.itemsize == 2 else 1e-6, atol=1e-6)


def sweep(seed, cases, most):
    for number in range(cases):
        try:
            check(np.random.default_rng([seed, number]), most)
        except Exception as error:
            pytest.fail(f"case {number} of seed {seed}: {error!r}")


@pytest.mark.parametrize("threads", [1, 3])
def test_views_give_what_their_copies_give(threads):
    ap.set_num_threads(threads)
    try:
        sweep(18_041, 60, 3e5)
    finally:
        ap.set_num_threads(0)


@pytest.mark.slow
def test_many_views():
    sweep(int(os.environ["ANYPOOL_SWEEP_SEED"]), 1000, 1e6)


@pytest.mark.parametrize("name", ["max", "average"])
@pytest.mark.parametrize("part", [np.s_[4:60, 4:60, 4:60], np.s_[::2, ::2, ::2], np.s_[:, :, ::3]], ids=str)
def test_a_torch_view_and_its_gradient(name, part):
    torch = pytest.importorskip("torch")
    whole = torch.arange(64.0**3).reshape(64, 64, 64).sin().requires_grad_()
    copy = whole.detach()[part].contiguous().requires_grad_()
    values = [ap.pool(x, name, Sliding((2, 3, 3), 2, (0, 1, 1))) for x in (whole[part], copy)]
    torch.testing.assert_close(*values)
    upstream = torch.rand(128, *values[0].shape)[::128][0]
    for y in values:
        y.backward(upstream)
    torch.testing.assert_close(whole.grad[part], copy.grad)


# ---------------------------------------------------------------------------------------------------------------------
# Time


def fastest(*calls, rounds=7):
    """The shortest time of each, interleaved."""
    times = [[] for _ in calls]
    for _ in range(rounds):
        for call, took in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            took.append(time.perf_counter() - start)
    return [min(took) for took in times]


PARTS = {
    "a part": np.s_[32:128, 32:128, 32:128],
    "rows of a part": np.s_[:96, :96, 32:128],
    "every second": np.s_[::2, ::2, ::2],
    "every second column": np.s_[:96, :96, ::2],
    "backward": np.s_[95::-1, 95::-1, 95::-1],
}
WINDOWS = {
    "2s2": (Sliding(2, 2), 3),
    "3s2p1": (Sliding(3, 2, 1), 3),
    "3s1": (Sliding(3, 1), 3),
    "plane 2s2": (Sliding(2, 2), 2),
    "line 2s2": (Sliding(2, 2), 1),
    "global": (Global(), 3),
    "adaptive": (Adaptive(5), 3),
}


def too_slow(call, copying):
    """How many times as long a call takes as what it is held to, if that is too much on a busy machine, too."""
    for _ in range(3):
        took, allowed = fastest(call, copying)
        if took <= 3 * allowed:
            return None
    return took / allowed


@pytest.fixture
def one_thread():
    ap.set_num_threads(1)
    yield
    ap.set_num_threads(0)


@pytest.mark.parametrize("operator", ["max", "average"])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.usefixtures("one_thread")
def test_a_view_costs_no_more_than_its_copy(dtype, part, operator):
    """Its copying included: about 0.5 to 1.1 of it."""
    whole = np.random.default_rng(0).integers(0, 1000, (192, 192, 192)).astype(dtype)
    x, slow = whole[PARTS[part]], {}
    for name, (window, rank) in WINDOWS.items():
        pooling = pooling_of(x, OPERATORS[operator], window, tuple(range(-rank, 0)))
        slow[name] = too_slow(partial(kernels.forward, x, pooling), lambda p=pooling: kernels.forward(x.copy("C"), p))
    assert not {name: ratio for name, ratio in slow.items() if ratio}


@pytest.mark.parametrize("operator", ["max", "average"])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.usefixtures("one_thread")
def test_the_gradient_of_a_view_costs_no_more_than_that_of_its_copy(part, operator):
    whole, slow = np.zeros((192, 192, 192), np.float32), {}
    x, dense = whole[PARTS[part]], np.zeros(whole[PARTS[part]].shape, np.float32)
    for name, (window, rank) in WINDOWS.items():
        pooling = pooling_of(x, OPERATORS[operator], window, tuple(range(-rank, 0)))
        offsets = kernels.forward_with_offsets(dense, pooling)[1] if operator == "max" else None
        upstream = np.ones(pooling.output_shape, np.float32)

        def copying(pooling=pooling, upstream=upstream, offsets=offsets):
            x[...] = kernels.backward(upstream, pooling, offsets, dense)

        slow[name] = too_slow(partial(kernels.backward, upstream, pooling, offsets, x), copying)
    assert not {name: ratio for name, ratio in slow.items() if ratio}


# ---------------------------------------------------------------------------------------------------------------------
# Elements that begin at any byte


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int64"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_field_of_a_packed_structure(dtype, operator):
    """With strides that are no whole elements, or whole ones that begin between two."""
    for other in ("u1", f"V{np.dtype(dtype).itemsize - 1}"):
        records = np.zeros((30, 40), [("before", "u1"), ("value", dtype), ("after", other)])
        x = records["value"]
        x[...] = np.random.default_rng(0).integers(0, 9, x.shape)
        for arguments in ({}, {"impl": "kernel"}):
            got = ap.pool(x, operator, Sliding(3, 2), (0, 1), **arguments)
            np.testing.assert_array_equal(got, ap.pool(x.copy(), operator, Sliding(3, 2), (0, 1)))


def test_an_output_whose_elements_begin_between_two():
    """Kernels refuse it in words; pooling copies its result there."""
    out = np.zeros(4 * 4 * 4 + 1, np.uint8)[1:].view(np.float32).reshape(4, 4)
    x = np.arange(64, dtype=np.float32).reshape(8, 8)
    with pytest.raises(ValueError, match="out must have elements at multiples of their size"):
        kernels.forward(x, pooling_of(x, ap.Max(), Sliding(2), (0, 1)), out)
    assert ap.max_pool(x, 2, out=out) is out
    np.testing.assert_array_equal(out, ap.max_pool(x, 2))
