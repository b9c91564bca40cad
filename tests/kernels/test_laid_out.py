"""The kernels that look at windows whole, order statistics and modes, against the reference and the definition."""

import random
import sys

import numpy as np
import pytest
import reference
from adapters import NumPy
from harness import SUPPORT, comparable, fitting_case, in_process, random_array
from harness import check as check_case
from harness import laid_out as any_layout
from kernel_cases import DTYPES, GUARDED_ARRAYS, as_dtype, elements, laid_out, pooling_of, random_call
from operator_table import ROWS

import anypool as ap
from anypool.arguments import FLOATS
from anypool.cpu import kernels

pytestmark = pytest.mark.skipif(not kernels.available(), reason=str(kernels.why_not_built))

ORDER = ("median", "median:mid=mean", "quantile:q=0.3", "rank:k=-1", "rank:k=2")
OPERATORS = (*ORDER, "mode")


def check(name, x, window, windows, axes):
    """The kernel's values against the reference's loops."""
    row = ROWS[name]
    got = ap.pool(x, row.operator, window, axes, impl="kernel")
    if row.exact:
        expected = reference.pool(x, row.function, windows, axes, dtype=got.dtype)
        np.testing.assert_array_equal(comparable(got), comparable(expected))
        return
    expected = np.asarray(reference.pool(x, row.function, windows, axes, dtype="float64"), np.float64)
    rounding = 2e-2 if got.dtype.name == "bfloat16" else 2e-3 if got.dtype.name == "float16" else 1e-6
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(got.astype(np.float64), expected, rtol=rounding, atol=rounding)


def fewest(windows):
    return np.prod([min(sum(cell is not None for cell in window) for window in along) for along in windows])


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("seed", range(4))
def test_values_are_those_of_the_reference(name, seed):
    draw = random.Random(f"{name} {seed}")
    for _ in range(12):
        shape, axes, window, windows = random_call(draw)
        if name == "rank:k=2" and fewest(windows) < 2:
            continue
        dtype = draw.choice([each for each in DTYPES if name != "mode" or each not in FLOATS])
        x = laid_out(draw, elements(draw, shape, dtype))
        check(name, x, window, windows, axes)


GEOMETRIES = {
    "networks": ((2, 3, 21, 70), (2, 3), ap.Sliding(3, 1, 1)),
    "networks, stride 2": ((2, 3, 21, 150), (2, 3), ap.Sliding(3, 2, 1)),
    "tiles": ((2, 3, 20, 150), (2, 3), ap.Sliding(2)),
    "large networks, channels last": ((2, 13, 21, 35), (1, 2), ap.Sliding(5, 1, 2)),
    "sixty-four": ((70, 19), (0, 1), ap.Sliding(8, 1, 3)),
    "a search": ((40, 90), (0, 1), ap.Sliding(15, 1, 7)),
    "a large search": ((30, 140), (0, 1), ap.Sliding((17, 29), 2, (8, 14))),
    "a search, channels last": ((40, 50, 40), (0, 1), ap.Sliding(15, 1, 7)),
    "volumes": ((1, 9, 12, 40), (1, 2, 3), ap.Sliding(3, 1, 1)),
    "volumes in tiles": ((2, 8, 12, 64), (1, 2, 3), ap.Sliding(2)),
    "a line": ((20_001,), (0,), ap.Sliding(7, 3, 3)),
    "planes as lanes": ((40, 5, 7, 7), (2, 3), ap.Global()),
    "adaptive": ((3, 4, 31, 45), (2, 3), ap.Adaptive((7, 9))),
    "adaptive, channels last": ((3, 31, 45, 20), (1, 2), ap.Adaptive((7, 9))),
    "gaps and dilation": ((3, 31, 75), (1, 2), ap.Sliding((2, 3), (4, 5), 0, (3, 2))),
    "wide rows": ((4, 20_000), (0, 1), ap.Sliding((3, 5), (1, 2), (1, 2))),
}


def draw_other(name, geometry):
    others = [each for each in DTYPES if name != "mode" or each not in FLOATS]
    return random.Random(f"{name} {geometry}").choice(others)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("name", OPERATORS)
def test_larger_arrays_are_those_of_the_definition(name, geometry):
    shape, axes, window = GEOMETRIES[geometry]
    numbers = np.random.default_rng(0)
    dtypes = ("uint8", "int32") if name == "mode" else ("uint8", "float32")
    for dtype in (*dtypes, draw_other(name, geometry)):
        x = numbers.integers(0, 5 if name == "mode" else 100, shape).astype(as_dtype(dtype))
        if dtype == "float32":
            x[numbers.random(shape) < 0.002] = np.nan
        expected = ap.pool(x, name, window, axes, impl="definition")
        got = ap.pool(x, name, window, axes, impl="kernel")
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(
            got, expected, rtol=1e-2 if dtype == "bfloat16" else 1e-3 if dtype == "float16" else 1e-6
        )


MOMENTS = (
    "variance",
    "std",
    "lp",
    "gem",
    "power_mean:p=1.5",
    "power_mean:p=-2",
    "geometric_mean",
    "harmonic_mean",
    "logsumexp",
    "logsumexp:r=-10",
    "soft",
    "soft:beta=-2,gradient=straight_through",
)


@pytest.mark.parametrize("name", MOMENTS)
def test_moments_are_those_of_the_reference(name):
    rng, run = np.random.default_rng(len(name)), 0
    while run < 40:
        case, shape = fitting_case(rng, operator=name)
        dtypes = ("float16", "bfloat16", "float32", *(("float64", "uint8") if name in ("variance", "std") else ()))
        x = random_array(rng, shape, str(rng.choice(dtypes)), specials=rng.random() < 0.3)
        pooling = pooling_of(x, case.package_operator(), case.package_window(), case.axes)
        if kernels.refusal(pooling) is None:
            check_case(case, any_layout(rng, x), NumPy(), impl="kernel")
            run += 1


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("name", MOMENTS)
def test_moments_of_larger_arrays_are_those_of_the_definition(name, geometry):
    shape, axes, window = GEOMETRIES[geometry]
    x = np.abs(np.random.default_rng(0).normal(size=shape)).astype(np.float32)
    expected = ap.pool(x.astype(np.float64), name, window, axes, impl="definition")
    np.testing.assert_allclose(ap.pool(x, name, window, axes, impl="kernel"), expected, rtol=1e-5, atol=1e-7)


def test_what_is_beyond_the_arithmetic_of_a_kernel_is_the_definitions():
    x = np.full((4, 64), 1000.0, np.float32)
    x[2, 7], x[3, 9] = np.nan, -np.inf
    out = np.empty((2, 32), np.float32)
    for name in ("logsumexp", "soft"):
        expected = ap.pool(x, name, ap.Sliding(2), (0, 1), impl="definition")
        np.testing.assert_array_equal(ap.pool(x, name, ap.Sliding(2), (0, 1), impl="kernel"), expected)
        np.testing.assert_array_equal(ap.pool(x, name, ap.Sliding(2), (0, 1), out=out), expected)


def test_a_subclass_is_not_taken_for_its_base():
    class Shifted(ap.Median):
        def reduce(self, windows, valid, xp):
            return super().reduce(windows, valid, xp) + 1

    x = np.arange(16.0).reshape(4, 4)
    np.testing.assert_array_equal(
        ap.pool(x, Shifted(), ap.Sliding(2), (0, 1)), ap.pool(x, ap.Median(), ap.Sliding(2), (0, 1)) + 1
    )
    with pytest.raises(ValueError, match="no kernel for"):
        ap.pool(x, Shifted(), ap.Sliding(2), (0, 1), impl="kernel")


MASKED = ("max", "min", "sum", "average")


@pytest.mark.parametrize("policy", ["propagate", "omit"])
@pytest.mark.parametrize("name", MASKED)
def test_elements_are_left_out_in_one_pass_as_in_several(name, policy):
    rng, run = np.random.default_rng(len(name)), 0
    while run < 25:
        case, shape = fitting_case(rng, operator=name)
        x = random_array(rng, shape, str(rng.choice(FLOATS)), specials=rng.random() < 0.5)
        x = any_layout(rng, x)
        x = x.astype(x.dtype.newbyteorder("="))
        mask = rng.random([1 if rng.random() < 0.2 else n for n in shape]) < 0.6
        mask = None if policy == "omit" and rng.random() < 0.5 else mask
        if case.count_include_pad or kernels.masked_refusal(
            pooling_of(x, case.package_operator(), case.package_window(), case.axes)
        ):
            continue
        options = {"where": mask, "nan_policy": policy, "min_count": int(rng.integers(0, 4))}
        got, expected = (case.package(x, impl=impl, **options) for impl in ("kernel", "definition"))
        assert got.dtype == expected.dtype
        rounding = {"bfloat16": 2e-2, "float16": 4e-3, "float32": 1e-5, "float64": 1e-12}[x.dtype.name]
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(got.astype(float), expected.astype(float), rtol=rounding, atol=rounding)
        run += 1


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("name", MASKED)
def test_elements_are_left_out_of_larger_arrays(name, geometry):
    shape, axes, window = GEOMETRIES[geometry]
    rng = np.random.default_rng(0)
    x, mask = rng.normal(size=shape).astype(np.float32), rng.random(shape) < 0.7
    x[rng.random(shape) < 0.2] = np.nan
    for options in ({"nan_policy": "omit"}, {"where": mask}, {"where": mask, "nan_policy": "omit"}):
        got, expected = (ap.pool(x, name, window, axes, impl=impl, **options) for impl in ("kernel", "definition"))
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


GUARDED = (
    GUARDED_ARRAYS
    + """
import anypool as ap
draw = random.Random(7)
run = 0
while run < 250:
    shape, axes, window, _ = t.random_call(draw)
    name = draw.choice(("median", "quantile:q=0.3", "mode", "variance", "std", "gem", "logsumexp", "soft", "sum"))
    dtype = draw.choice(("uint8", "int32") if name == "mode" else ("float16", "float32", "float64", "uint8"))
    x = guarded(draw, t.elements(draw, shape, dtype))
    pooling = t.pooling_of(x, name, window, axes)
    if kernels.refusal(pooling) is not None:
        continue
    try:
        out = guarded(draw, kernels.forward(x, pooling))
        kernels.forward(x, pooling, out)
    except OverflowError:
        pass
    if kernels.masked_refusal(pooling) is None:
        where = guarded(draw, np.asarray(t.elements(draw, shape, "bool")))
        kernels.masked(x, pooling, where, draw.random() < 0.5, 1, 0.0, out)
    run += 1
print(run)
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected by mprotect")
def test_nothing_outside_of_arrays_is_touched():
    done = in_process(GUARDED.format(tests=[SUPPORT]))
    assert (done.returncode, done.stdout) == (0, "250\n"), done.stderr
