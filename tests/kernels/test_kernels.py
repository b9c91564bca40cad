"""The compiled kernels against the reference loops, on random geometry, dtypes, layouts and special values."""

import itertools
import random
import sys

import ml_dtypes
import numpy as np
import pytest
import reference
from harness import SUPPORT, in_process
from kernel_cases import FLOATING, GUARDED_ARRAYS, OPERATORS, as_dtype, elements, laid_out, pooling_of, random_call

import anypool as ap
from anypool import definition
from anypool.adapters.numpy import Namespace
from anypool.arguments import DTYPES, INTEGERS
from anypool.cpu import kernels
from anypool.operators import Average, Max, Sum
from anypool.windows import Adaptive, Global, Sliding

pytestmark = pytest.mark.skipif(not kernels.available(), reason=str(kernels.why_not_built))


@pytest.mark.parametrize("seed", range(12))
def test_values_and_indices_are_those_of_the_reference(seed):
    draw = random.Random(seed)
    for _ in range(25):
        shape, axes, window, windows = random_call(draw)
        dtype, name = draw.choice(DTYPES), draw.choice(tuple(OPERATORS))
        x = laid_out(draw, elements(draw, shape, dtype))
        operator = Average(count_include_pad=True) if name == "average" and draw.random() < 0.3 else OPERATORS[name]
        included = {"count_include_pad": True} if operator == Average(count_include_pad=True) else {}
        selects = name in ("max", "min")
        pooling = pooling_of(x, operator, window, axes, return_indices=selects)
        with np.errstate(all="ignore"):
            expected = reference.pool(x, name, windows, axes, return_indices=selects, **included)
            scale = reference.pool(np.abs(x.astype(np.float64)), name, windows, axes, **included) if not selects else 0
        if selects:
            values, offsets = kernels.forward_with_offsets(x, pooling)
            np.testing.assert_array_equal(kernels.indices(offsets, pooling), expected[1])
            np.testing.assert_array_equal(kernels.forward(x, pooling).astype(float), values.astype(float))
            np.testing.assert_array_equal(values.astype(np.float64), np.asarray(expected[0], np.float64))
            continue
        values = kernels.forward(x, pooling)
        wanted = np.asarray(expected, np.float64)
        eps = float(ml_dtypes.finfo(values.dtype).eps) if values.dtype.kind not in "iu" else 0
        count = np.prod([plan.kernel_size for plan in pooling.plan])
        allowed = (2 + np.log2(count)) * eps * np.asarray(scale, np.float64)
        with np.errstate(all="ignore"):
            got = values.astype(np.float64)
            good = (np.abs(got - wanted) <= allowed) | (got == wanted) | (np.isnan(got) & np.isnan(wanted))
            good |= ~np.isfinite(got) & (np.abs(wanted) > 6e4) & (dtype == "float16")
        assert good.all(), (seed, shape, axes, window, dtype, operator)


@pytest.mark.parametrize("seed", range(8))
def test_gradients_are_those_of_the_reference(seed):
    draw = random.Random(1000 + seed)
    for _ in range(15):
        shape, axes, window, windows = random_call(draw)
        dtype, name = draw.choice(FLOATING), draw.choice(tuple(OPERATORS))
        x = laid_out(draw, elements(draw, shape, dtype))
        selects = name in ("max", "min")
        pooling = pooling_of(x, OPERATORS[name], window, axes, return_indices=selects)
        upstream = np.random.default_rng(seed).integers(-3, 4, pooling.output_shape).astype(as_dtype(dtype))
        offsets = kernels.forward_with_offsets(x, pooling)[1] if selects else None
        expected = reference.gradient(x, upstream.astype(np.float64), name, windows, axes)
        out = laid_out(draw, np.ones(shape, as_dtype(dtype))) if draw.random() < 0.5 else None
        got = kernels.backward(laid_out(draw, upstream), pooling, offsets, out)
        assert out is None or got is out
        eps = float(ml_dtypes.finfo(as_dtype(dtype)).eps)
        tolerance = eps * np.abs(expected) + 64 * min(eps, 2**-23) * (1 + np.abs(expected).max(initial=0))
        assert (np.abs(got.astype(np.float64) - expected) <= tolerance).all(), (seed, shape, axes, window, dtype, name)


GEOMETRIES = {
    "outputs longer than inputs": ((2, 4, 1, 6), (1, 3), (3, 1, ((0, 0), (2, 1)))),
    "longer, channels last": ((2, 5, 7, 20), (1, 2), (3, 1, ((2, 2), (1, 2)))),
    "longer, one axis": ((3, 2, 19), (2,), (4, 1, ((3, 2),))),
    "as long": ((2, 3, 9, 18), (2, 3), (3, 1, ((1, 1), (1, 1)))),
    "shorter": ((2, 3, 9, 18), (2, 3), (3, 1, 0)),
    "shorter, one axis, channels last": ((2, 17, 20), (1,), (5, 1, ((1, 1),))),
    "tiles": ((2, 3, 8, 36), (2, 3), (2, 2, 0)),
    "tiles and a rest, channels last": ((2, 11, 11, 33), (1, 2), (2, 2, 0)),
    "gaps between windows": ((3, 4, 13, 21), (2, 3), (2, 3, 0)),
    "gaps, dilated, channels last": ((2, 13, 21, 35), (1, 2), (2, 4, 0, 3)),
    "gaps, one axis": ((4, 5, 40), (2,), (3, 4, 0)),
}


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_gradients_however_long_rows_of_outputs_are(geometry, dtype, name):
    shape, axes, window = GEOMETRIES[geometry]
    numbers = np.random.default_rng(0)
    x = numbers.integers(-9, 9, shape).astype(as_dtype(dtype))
    pooling = pooling_of(x, OPERATORS[name], Sliding(*window), axes, return_indices=True)
    upstream = numbers.integers(-3, 4, pooling.output_shape).astype(x.dtype)
    upstream[upstream == 0] = -0.0
    got = kernels.backward(upstream, pooling, kernels.forward_with_offsets(x, pooling)[1]).astype(float)

    def planes(array):
        rank = len(axes)
        moved = np.moveaxis(array, axes, range(-rank, 0))
        return moved.reshape(-1, np.prod(moved.shape[-rank:]))

    expected = np.zeros_like(planes(got))
    chosen = planes(definition.pool(x, pooling, (), Namespace)[1])
    np.add.at(expected, (np.arange(len(chosen))[:, None], chosen), planes(upstream).astype(float))
    np.testing.assert_array_equal(planes(got), expected)
    assert not np.signbit(got[got == 0]).any()


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("kernel", [5, 8, 13, 31])
def test_wide_windows_on_long_rows(name, kernel):
    x = np.random.default_rng(kernel).standard_normal((2, 90, 150)).astype(np.float32)
    for stride, axes in itertools.product((1, 2, 3), ((1, 2), (0, 1))):
        window = Sliding(kernel if 0 not in axes else (2, kernel), stride, "same")
        pooling = pooling_of(x, OPERATORS[name], window, axes)
        double = x.astype(np.float64)
        expected = definition.pool(double, pooling_of(double, OPERATORS[name], window, axes), (), Namespace)
        np.testing.assert_allclose(kernels.forward(x, pooling), expected, rtol=1e-5, atol=2e-4)


TILED = {
    "whole planes": ((3, 40, 7, 7), (2, 3), Global()),
    "whole planes of one vector and less": ((130, 4, 4), (1, 2), Global()),
    "whole planes, axes in another order": ((50, 5, 9), (2, 1), Global()),
    "whole planes behind one that slides": ((20, 9, 6, 7), (1, 2, 3), Sliding((3, 6, 7), 2, ((1, 1), (0, 0), (0, 0)))),
    "few whole planes": ((2, 110, 130), (1, 2), Global()),
    "one axis": ((9, 600), (1,), Sliding(25, 25)),
    "one axis, overlapping": ((9, 5000), (1,), Sliding(160, 80)),
    "one axis, overlapping, clipped": ((9, 1000), (1,), Sliding(161, 70, 80)),
    "small tiles": ((4, 30, 14, 14), (2, 3), Sliding(2)),
    "small tiles and gaps": ((4, 30, 12, 18), (2, 3), Sliding(2, 3)),
    "small tiles and a rest": ((4, 30, 15, 17), (2, 3), Sliding(2)),
    "small tiles below windows that overlap": ((40, 9, 16), (1, 2), Sliding((3, 2), (1, 2), ((1, 1), (0, 0)))),
    "tiles of vectors": ((6, 20, 120), (1, 2), Sliding((5, 40), (5, 40))),
    "tiles in space": ((30, 4, 6, 18), (1, 2, 3), Sliding((2, 3, 2))),
    "wide tables": ((7, 200), (1,), Adaptive(3)),
}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64", "int8", "uint16", "int64"])
@pytest.mark.parametrize("case", TILED)
def test_tiles_and_whole_planes(case, dtype):
    shape, axes, window = TILED[case]
    draw = random.Random(case + dtype)
    numbers = np.random.default_rng(0)
    x = numbers.integers(-3, 4, shape).astype(as_dtype(dtype))
    for laid in (x, np.repeat(x, 2, axis=-1)[..., ::2], laid_out(draw, x)):
        for name in (*OPERATORS, "padded", "override"):
            selects = name in ("max", "min")
            averages = {"padded": Average(count_include_pad=True), "override": Average(divisor_override=3)}
            operator = averages.get(name) or OPERATORS[name]
            pooling = pooling_of(laid, operator, window, axes, return_indices=selects)
            expected = definition.pool(laid, pooling, (), Namespace)
            results = []
            for threads in (1, 2, 5):
                ap.set_num_threads(threads)
                results.append(
                    kernels.forward_with_offsets(laid, pooling) if selects else kernels.forward(laid, pooling)
                )
            ap.set_num_threads(0)
            if not selects:
                exact = name == "sum" or dtype in INTEGERS
                eps = 0 if exact else 2 * float(ml_dtypes.finfo(as_dtype(dtype)).eps)
                np.testing.assert_allclose(results[0].astype(float), expected.astype(float), rtol=eps)
                assert len({result.tobytes() for result in results}) == 1
                continue
            np.testing.assert_array_equal(kernels.indices(results[0][1], pooling), expected[1])
            np.testing.assert_array_equal(results[0][0].astype(float), expected[0].astype(float))
            np.testing.assert_array_equal(kernels.forward(laid, pooling).astype(float), expected[0].astype(float))
            assert len({values.tobytes() + offsets.tobytes() for values, offsets in results}) == 1


GAPS = {
    "one channels-last image": ((1, 24, 22, 32), (1, 2), Sliding(5, 1, 2)),
    "one channels-last image in tiles": ((1, 48, 44, 32), (1, 2), Sliding(2)),
    "one plane of rows": ((1, 1, 130, 140), (2, 3), Sliding(3, 2, 1)),
    "one line": ((1, 9000), (1,), Sliding(4, 1, 1)),
    "a volume": ((1, 2, 12, 30, 34), (2, 3, 4), Sliding(2)),
    "several images": ((3, 20, 20, 24), (1, 2), Sliding(3, 1, 1)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("gaps", [1, 3])
@pytest.mark.parametrize("name", GAPS)
def test_gradients_with_gaps_are_those_without(name, gaps, dtype):
    """As torch.cat hands its parts' gradients back: slices of a wider array."""
    shape, axes, window = GAPS[name]
    numbers = np.random.default_rng(0)
    x = numbers.standard_normal(shape).astype(dtype)
    pooling = pooling_of(x, Max(), window, axes)
    values, offsets = kernels.forward_with_offsets(x, pooling)
    upstream = numbers.standard_normal(values.shape).astype(dtype)
    expected = kernels.backward(upstream, pooling, offsets)
    for axis in (-1, axes[0]):
        wide = np.concatenate([upstream, *[np.full_like(upstream, np.nan)] * gaps], axis)
        slices = np.split(wide, gaps + 1, axis)
        np.testing.assert_array_equal(kernels.backward(slices[0], pooling, offsets), expected)
    every_second = np.repeat(upstream, 2, -1)[..., ::2]
    np.testing.assert_array_equal(kernels.backward(every_second, pooling, offsets), expected)


def test_sums_do_not_drift():
    # Equal numbers round the same way every time, the worst case for a running sum.
    for shape, window in (((1, 400, 400), Sliding(63, 1)), ((3, 200_000), Global()), ((1, 300, 300), Global())):
        x = np.full(shape, 0.1, np.float32)
        axes = tuple(range(1, len(shape)))
        average = kernels.forward(x, pooling_of(x, Average(), window, axes))
        assert np.abs(average / np.float64(np.float32(0.1)) - 1).max() <= 10 * np.finfo(np.float32).eps


@pytest.mark.parametrize("name", OPERATORS)
def test_the_same_bits_on_any_number_of_threads(name):
    numbers = np.random.default_rng(0)
    cases = [
        ((70, 3, 40, 50), Sliding(3, 2, 1), (2, 3)),
        ((1, 700, 600), Sliding(21, 1, 10), (1, 2)),
        ((600, 7, 7), Global(), (1, 2)),
    ]
    before = ap.get_num_threads()
    try:
        for shape, window, axes in cases:
            x = numbers.standard_normal(shape).astype(np.float32)
            pooling = pooling_of(x, OPERATORS[name], window, axes)
            results = []
            for threads in (1, 2, 3, 7):
                ap.set_num_threads(threads)
                results.append(kernels.forward(x, pooling))
            assert len({result.tobytes() for result in results}) == 1
    finally:
        ap.set_num_threads(0)
    assert ap.get_num_threads() == before


def test_output_keeps_the_memory_order():
    x = np.zeros((2, 8, 8, 3), np.float32)
    channels_last = x.transpose(0, 3, 1, 2)
    pooling = pooling_of(channels_last, Max(), Sliding(2), (2, 3))
    values, offsets = kernels.forward_with_offsets(channels_last, pooling)
    assert values.transpose(0, 2, 3, 1).flags.c_contiguous
    assert offsets.transpose(0, 2, 3, 1).flags.c_contiguous
    assert kernels.backward(values, pooling, offsets).transpose(0, 2, 3, 1).flags.c_contiguous


def test_broadcast_input():
    x = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None], (6, 8))
    pooling = pooling_of(x, Average(), Sliding(2), (0, 1))
    np.testing.assert_array_equal(kernels.forward(x, pooling), np.repeat([[0.5], [2.5], [4.5]], 4, axis=1))


def test_offsets_take_the_bytes_they_need():
    for kernel, dtype in ((16, "uint8"), (17, "uint16"), (257, "uint32")):
        x = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
        pooling = pooling_of(x, Max(), Sliding(kernel, 20), (0, 1), return_indices=True)
        values, offsets = kernels.forward_with_offsets(x, pooling)
        assert offsets.dtype == dtype == kernels.offset_dtype(pooling)
        np.testing.assert_array_equal(x.reshape(-1)[kernels.indices(offsets, pooling)], values)


def test_wrong_offsets_write_nothing_outside():
    x = np.zeros((1, 9, 9), np.float32)
    for window in (Sliding(3, 2, 1), Sliding(7, 1, 3), Adaptive(4), Sliding(2, 2)):
        pooling = pooling_of(x, Max(), window, (1, 2), return_indices=True)
        room = np.full(9 * 9 + 200, 7, np.float32)
        out = room[100:-100].reshape(1, 9, 9)
        for wrong in (250, 255, 9, 48):
            offsets = np.full(pooling.output_shape, wrong, np.uint8)
            kernels.backward(np.ones(pooling.output_shape, np.float32), pooling, offsets, out)
            assert (room[:100] == 7).all()
            assert (room[-100:] == 7).all()


def test_wrong_arrays_are_refused():
    x = np.zeros((1, 8, 8), np.float32)
    pooling = pooling_of(x, Max(), Sliding(2), (1, 2), return_indices=True)
    out = np.zeros((1, 4, 4), np.float32)
    offsets = np.zeros((1, 4, 4), np.uint8)
    read_only = out.copy()
    read_only.flags.writeable = False
    room = np.zeros(200, np.float32)
    for error, message, call in (
        (TypeError, "x must have dtype float32, got float64", lambda: kernels.forward(x.astype(float), pooling)),
        (TypeError, "x must be a NumPy array", lambda: kernels.forward([1.0], pooling)),
        (ValueError, r"x must have shape \(1, 8, 8\)", lambda: kernels.forward(x[:, :7], pooling)),
        (ValueError, "native byte order", lambda: kernels.forward(x.astype(">f4"), pooling)),
        (ValueError, r"out must have shape \(1, 4, 4\)", lambda: kernels.forward(x, pooling, x)),
        (TypeError, "out must have dtype float32", lambda: kernels.forward(x, pooling, out.astype(np.float16))),
        (ValueError, "out must be .* read-only", lambda: kernels.forward(x, pooling, read_only)),
        (
            ValueError,
            "out must not share memory with x",
            lambda: kernels.forward(room[:64].reshape(1, 8, 8), pooling, room[50:66].reshape(1, 4, 4)),
        ),
        (
            ValueError,
            "out must not be broadcast",
            lambda: kernels.forward(x, pooling, np.lib.stride_tricks.as_strided(out, (1, 4, 4), (0, 0, 4))),
        ),
        (ValueError, "offsets must be given", lambda: kernels.backward(out, pooling)),
        (TypeError, "offsets must have dtype uint8", lambda: kernels.backward(out, pooling, offsets.astype(int))),
        (ValueError, "offsets must have shape", lambda: kernels.backward(out, pooling, offsets[:, :3])),
        (ValueError, "grad must have shape", lambda: kernels.backward(out[:, :3], pooling, offsets)),
        (TypeError, "grad must have dtype", lambda: kernels.backward(out.astype(float), pooling, offsets)),
    ):
        with pytest.raises(error, match=message):
            call()
    average = pooling_of(x, Average(), Sliding(2), (1, 2))
    with pytest.raises(ValueError, match="no offsets"):
        kernels.forward_with_offsets(x, average)
    with pytest.raises(ValueError, match="offsets must be None"):
        kernels.backward(out, average, offsets)
    whole = pooling_of(x.astype(np.int32), Sum(), Sliding(2), (1, 2))
    with pytest.raises(TypeError, match="gradient"):
        kernels.backward(np.zeros((1, 4, 4), np.int64), whole)


def test_number_of_threads_is_checked():
    for wrong in (-1, 5000):
        with pytest.raises(ValueError, match="between 0 and 4096"):
            ap.set_num_threads(wrong)
    for wrong in (1.5, True, "2"):
        with pytest.raises(TypeError, match="n must be an integer"):
            ap.set_num_threads(wrong)


def test_what_kernels_refuse():
    x = np.zeros((2, 2, 2, 2), np.float32)
    assert "at most 3 axes" in kernels.refusal(pooling_of(x, Max(), Global(), (0, 1, 2, 3)))
    assert "AdaPool" in kernels.refusal(pooling_of(x, "adapool", Global(), (0, 1)))
    assert "p=7" in kernels.refusal(pooling_of(x, "lp:p=7", Global(), (0, 1)))
    wide = np.zeros((200, 200), np.uint8)
    assert "up to 4096 elements, not 40000" in kernels.refusal(pooling_of(wide, "mode", Global(), (0, 1)))
    assert "gives floats" in kernels.refusal(pooling_of(wide, "quantile", Sliding(3), (0, 1), dtype="int32"))
    assert kernels.refusal(pooling_of(x, Max(), Global(), (0, 1))) is None


def test_empty_arrays():
    x = np.zeros((0, 3, 8, 8), np.float32)
    pooling = pooling_of(x, Max(), Sliding(2), (2, 3), return_indices=True)
    values, offsets = kernels.forward_with_offsets(x, pooling)
    assert values.shape == offsets.shape == (0, 3, 4, 4)
    assert kernels.backward(values, pooling, offsets).shape == x.shape


GUARDED = (
    GUARDED_ARRAYS
    + """
draw = random.Random(5)
for _ in range(400):
    shape, axes, window, _ = t.random_call(draw)
    dtype, name = draw.choice(t.DTYPES), draw.choice(tuple(t.OPERATORS))
    x = guarded(draw, t.elements(draw, shape, dtype))
    pooling = t.pooling_of(x, t.OPERATORS[name], window, axes)
    out = guarded(draw, kernels.forward(x, pooling))
    kernels.forward(x, pooling, out)
    offsets = None
    if name in ("max", "min"):
        offsets = guarded(draw, kernels.forward_with_offsets(x, pooling)[1])
        kernels.forward_with_offsets(x, pooling, out, offsets)
    if dtype in t.FLOATING:
        kernels.backward(out, pooling, offsets, guarded(draw, np.zeros_like(x)))
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected by mprotect")
def test_nothing_outside_of_arrays_is_touched():
    done = in_process(GUARDED.format(tests=[SUPPORT]))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("operator", [Max(), Average()])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [5, 16, 70])
def test_wide_windows_over_channels(operator, stride, channels):
    """Blocks of windows along one axis while those along the axis before are open."""
    x = np.random.default_rng(channels).integers(-9, 9, (2, 23, 21, channels)).astype(np.float32)
    window = Sliding(9, stride=stride, padding=4)
    got = ap.pool(x, operator, window, (1, 2), impl="kernel")
    np.testing.assert_allclose(got, ap.pool(x, operator, window, (1, 2), impl="definition"), rtol=1e-5, atol=1e-6)
