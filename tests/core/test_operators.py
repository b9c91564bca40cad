"""What: operators as values, their dtypes, their limits, results by hand, and what is refused."""

import dataclasses

import numpy as np
import pytest
from adapters import ADAPTERS, EVERY_ADAPTER
from operator_table import COMPOSED, ROWS

import anypool as ap
from anypool.arguments import DTYPES
from anypool.operators import OPERATORS, Defaults, operator_for


def test_operators_are_values():
    assert ap.Max() == ap.Max() != ap.Min()
    assert ap.Average(count_include_pad=True) != ap.Average()
    assert len({ap.Max(), ap.Max(), ap.Lp(2), ap.Lp(2.0), ap.Lp(3), ap.Average(), ap.Average(False, None)}) == 4
    for operator in (ap.Max(), ap.Min(), ap.Sum(), ap.Average(True, -3), ap.Lp(1.5)):
        assert eval(repr(operator), vars(ap)) == operator
    with pytest.raises(dataclasses.FrozenInstanceError):
        ap.Lp(2).p = 3


def test_operators_have_names():
    assert {name: type(operator_for(name)) for name in OPERATORS} == OPERATORS
    assert operator_for("lp") == ap.Lp(2)
    operator = ap.Average(True)
    assert operator_for(operator) is operator


@pytest.mark.parametrize("name", DTYPES)
def test_max_and_min_keep_every_dtype(name):
    assert ap.Max().dtypes(name, None, Defaults())[1] == name
    assert ap.Min().dtypes(name, name, Defaults())[1] == name


@pytest.mark.parametrize(
    ("operator", "dtype", "requested", "expected"),
    [
        (ap.Average(), "float16", None, ("float32", "float16")),
        (ap.Average(), "bfloat16", None, ("float32", "bfloat16")),
        (ap.Average(), "float32", None, ("float32", "float32")),
        (ap.Average(), "float32", "float64", ("float64", "float64")),
        (ap.Average(), "float64", "float32", ("float64", "float32")),
        (ap.Average(), "int8", None, ("float64", "float64")),
        (ap.Average(), "int8", "int8", ("float64", "int8")),
        (ap.Average(), "bool", "float16", ("float64", "float16")),
        (ap.Sum(), "float16", None, ("float32", "float16")),
        (ap.Sum(), "int8", None, ("int64", "int64")),
        (ap.Sum(), "uint8", None, ("uint64", "uint64")),
        (ap.Sum(), "bool", None, ("int64", "int64")),
        (ap.Sum(), "int8", "int8", ("int8", "int8")),
        (ap.Sum(), "int8", "float16", ("float32", "float16")),
        (ap.Lp(2), "float16", None, ("float32", "float16")),
        (ap.Lp(2), "int32", None, ("float64", "float64")),
    ],
)
def test_dtypes_to_compute_in_and_to_give(operator, dtype, requested, expected):
    assert operator.dtypes(dtype, requested, Defaults()) == expected


@pytest.mark.parametrize("p", [1, 1.5, 2, 7, 300])
@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1, 1e30, 1e300])
def test_norms_neither_overflow_nor_vanish(p, scale):
    x = np.array([3.0, -4.0, 0.0]) * scale
    expected = 4 * (1 + 0.75**p) ** (1 / p) * scale
    assert ap.global_pool(x, ap.Lp(p), 0) == pytest.approx(expected, rel=1e-14)


def test_norms_of_zeros_infinities_and_nan():
    x = np.array([[0, 0], [0, np.inf], [-np.inf, 1], [np.nan, 1], [np.nan, np.inf]])
    assert ap.global_pool(x, "lp", 1).tolist()[:3] == [0, np.inf, np.inf]
    assert np.isnan(ap.global_pool(x, "lp", 1)[3:]).all()


def test_large_powers_tend_to_the_greatest_magnitude():
    x = np.array([1.0, -5.0, 3.0])
    assert ap.global_pool(x, ap.Lp(500), 0) == pytest.approx(5)
    assert ap.global_pool(x, ap.Lp(1), 0) == pytest.approx(9)


def test_divisors():
    x = np.array([1.0, 2, 3, 4])
    assert ap.avg_pool(x, 3, 2, 1, axes=0).tolist() == [1.5, 3]
    assert ap.avg_pool(x, 3, 2, 1, axes=0, count_include_pad=True).tolist() == [1, 3]
    assert ap.avg_pool(x, 3, 2, 1, axes=0, ceil_mode=True).tolist() == [1.5, 3, 4]
    assert ap.avg_pool(x, 3, 2, 1, axes=0, ceil_mode=True, count_include_pad=True).tolist() == [1, 3, 2]
    assert ap.avg_pool(x, 3, 2, 1, axes=0, count_include_pad=True, divisor_override=-1).tolist() == [-3, -9]


@pytest.mark.parametrize("x", [[0.0, -0.0], [-0.0, 0.0]])
@pytest.mark.parametrize("name", ["max", "min"])
def test_zeros_of_either_sign_are_ties(x, name):
    """They are equal: the first is the winner, and by the definition its sign stays."""
    for impl in ("auto", "definition"):
        value, index = ap.global_pool(np.array(x), name, 0, return_indices=True, impl=impl)
        assert (value, index) == (0, 0)
    assert np.signbit(value) == np.signbit(x[0])


def test_every_registered_operator_is_in_the_table():
    """So that every sweep takes it."""
    registered = {kind for kind in OPERATORS.values() if kind.__module__.startswith("anypool.")}
    composed = {type(operator_for(name)) for name in COMPOSED}
    assert registered == {type(row.operator) for row in ROWS.values()} | composed
    assert all(operator.composed for operator in composed)
    assert all(operator_for(name) == row.operator for name, row in ROWS.items())
    assert all(kind.info.layer and kind.info.formula for kind in registered)


# ---------------------------------------------------------------------------------------------------------------------
# Results by hand


def pooled(operator, x, **options):
    return ap.global_pool(np.asarray(x, **options), operator, 0).tolist()


@pytest.mark.parametrize(
    ("operator", "x", "expected"),
    [
        (ap.Quantile(0.25), [4.0, 1.0, 3.0, 2.0], 1.75),
        (ap.Quantile(0), [4.0, 1.0, 3.0], 1),
        (ap.Quantile(1), [4.0, 1.0, 3.0], 4),
        (ap.Quantile(0.5), [-np.inf, 2.0, np.inf], 2),
        (ap.Quantile(0.9), [0.0, np.inf], np.inf),
        (ap.Median("mean"), [4, 1], 2.5),
        (ap.Rank(2), [4, 1, 3], 3),
        (ap.Rank(-2), [4, 1, 3, 3], 3),
        (ap.TrimmedMean(0.25), [100, 1, 3, -7], 2),
        (ap.TrimmedMean(0.1), [100, 1, 3, 0], 26),
        (ap.TopKMean(3), [100, 1, 2, 0], 103 / 3),
        (ap.OrderedWeighted((0, -1e4, -1e4)), [1.0, 7.0, 3.0], 7),
        (ap.OrderedWeighted((-1e4, 0, 0)), [1.0, 7.0, 3.0], 2),
        (ap.PowerMean(0), [1.0, 8.0, 1.0], 2),
        (ap.PowerMean(-1), [1.0, 3.0], 1.5),
        (ap.PowerMean(1e-13), [1.0, 8.0, 1.0], 2),
        (ap.PowerMean(1), [0.0, 5.0], 2.5),
        (ap.GeometricMean(), [0.0, 5.0], 0),
        (ap.HarmonicMean(), [0.0, 5.0], 0),
        (ap.HarmonicMean(), [1e-300, 1e300], 2e-300),
        (ap.PowerMean(2), [1e200, 1e200], 1e200),
        (ap.LogSumExp(), [1000.0, 1000.0], 1000),
        (ap.LogSumExp(0), [1.0, 2.0, 6.0], 3),
        (ap.LogSumExp(1e-12), [1.0, 2.0, 6.0], 3),
        (ap.LogSumExp(1e4), [1.0, 2.0, 6.0], 6 - np.log(3) / 1e4),
        (ap.LogSumExp(-1e5), [1.0, 2.0, 6.0], 1 + np.log(3) / 1e5),
        (ap.LogSumExp(), [-np.inf, 2.0], 2 - np.log(2)),
        (ap.LogSumExp(), [-np.inf, -np.inf], -np.inf),
        (ap.LogSumExp(), [np.inf, 2.0], np.inf),
        (ap.Soft(0), [1.0, 2.0, 6.0], 3),
        (ap.Soft(), [1e5, 1e5], 1e5),
        (ap.Soft(), [-np.inf, 2.0], 2),
        (ap.Soft(), [np.inf, -np.inf, 2.0], np.inf),
        (ap.AdaPool(1), [0.0, 0.0], 0),
        (ap.AdaPool(1), [1e-30, 1e-30], 1e-30),
        (ap.Mixed(1), [1.0, 5.0], 5),
        (ap.Mixed(0), [1.0, 5.0], 3),
        (ap.AvgMax(), [1.0, 5.0], 4),
        (ap.Std(1), [1.0, 3.0], 2**0.5),
        (ap.Std(), [3.3, 3.3, 3.3], 0),
        (ap.Range(), np.array([-128, 127], np.int8), 255),
        (ap.Range(), np.array([0, 2**64 - 1], np.uint64), 2**64 - 1),
        (ap.Mode(), [5, -1, 5, -1, 9], -1),
        (ap.Mode(), [True, True, False], True),
        (ap.Mode(), np.array([2**63 - 1, 2**63 - 1, 0]), 2**63 - 1),
        (ap.Count(), [np.nan, 1.0], 2),
        (ap.Dilation((0, 10, 0)), [5.0, 1.0, 3.0], 11),
        (ap.Erosion((0, 10, 0)), [5.0, 1.0, 3.0], -9),
    ],
    ids=lambda value: repr(value) if isinstance(value, ap.Operator) else None,
)
def test_results_by_hand(operator, x, expected):
    assert pooled(operator, x) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("operator", [ap.PowerMean(0.5), ap.GeometricMean(), ap.HarmonicMean(), ap.PowerMean(-3)])
def test_means_of_powers_of_negative_elements_are_no_number(operator):
    assert np.isnan(pooled(operator, [-1.0, 4.0]))
    assert np.isnan(pooled(operator, np.array([-1.0, 4.0], np.float32)))


@EVERY_ADAPTER
def test_half_precision_neither_vanishes_nor_overflows(adapter):
    small = np.full((1, 4), 1e-6, np.float16)
    large = np.full((1, 4), 6e4, np.float16)
    for operator in (ap.GeM(3), ap.PowerMean(3), ap.PowerMean(-3), ap.GeometricMean(), ap.HarmonicMean()):
        for x in (small, large):
            y = adapter.numpy(ap.global_pool(adapter.make(x), operator, 1))
            assert y[0] == pytest.approx(max(x[0, 0], 1e-6), rel=1e-3, abs=6e-8), operator
        if adapter.differentiates:
            got = adapter.gradient(lambda a: ap.global_pool(a, operator, 1), small, np.ones(1, np.float16))  # noqa: B023
            assert np.isfinite(got).all(), operator
    assert adapter.numpy(ap.global_pool(adapter.make(large), ap.Soft(), 1))[0] == np.float16(6e4)
    assert adapter.numpy(ap.global_pool(adapter.make(large), ap.LogSumExp(), 1))[0] == np.float16(6e4)


@EVERY_ADAPTER
def test_variances_around_a_million_keep_three_digits(adapter, rng):
    x = (1e6 + rng.normal(size=(4, 400))).astype(np.float32)
    expected = x.astype(np.float64).var(axis=1)
    for impl in ("auto", "definition"):
        for operator, value in ((ap.Variance(), expected), (ap.Std(), expected**0.5)):
            y = adapter.numpy(ap.global_pool(adapter.make(x), operator, 1, impl=impl))
            np.testing.assert_allclose(y, value, rtol=1e-3)


@EVERY_ADAPTER
def test_one_value_of_a_parameter_per_channel(adapter, rng):
    x = rng.random((2, 3, 4, 5)).astype(np.float32)
    for kind in (ap.GeM, ap.PowerMean, ap.LogSumExp, ap.Soft, ap.AdaPool, ap.Mixed):
        name, values = kind.parameters()[0].name, np.array([0.25, 0.5, 0.75], np.float32)
        operator = kind(**{name: adapter.make(values.reshape(3, 1, 1))})
        got = adapter.numpy(ap.pool(adapter.make(x), operator, ap.Sliding(2, padding=1)))
        each = [
            ap.pool(x[:, i], kind(**{name: float(value)}), ap.Sliding(2, padding=1)) for i, value in enumerate(values)
        ]
        np.testing.assert_allclose(got, np.stack(each, 1), rtol=1e-5, err_msg=kind.__name__)


@EVERY_ADAPTER
@pytest.mark.parametrize("kind", [ap.Dilation, ap.Erosion, ap.OrderedWeighted])
def test_one_value_of_a_parameter_per_element(adapter, kind, rng):
    """Given as a tuple, as an array, and as one array per channel; with padding, whose places are skipped."""
    name = kind.parameters()[0].name
    x, values = rng.normal(size=(2, 3, 5, 6)).astype(np.float32), rng.normal(size=(3, 6)).astype(np.float32)
    window = ap.Sliding((2, 3), 1, padding=1)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    expected = np.empty((2, 3, 6, 6))
    for n, c, i, j in np.ndindex(expected.shape):
        elements = padded[n, c, i : i + 2, j : j + 3].ravel().astype(np.float64)
        there = ~np.isnan(elements)
        if kind is ap.OrderedWeighted:
            weights = np.exp(values[c, : there.sum()].astype(np.float64))
            expected[n, c, i, j] = np.sort(elements[there])[::-1] @ weights / weights.sum()
        else:
            with_h = elements + values[c] if kind is ap.Dilation else elements - values[c]
            expected[n, c, i, j] = with_h[there].max() if kind is ap.Dilation else with_h[there].min()
    per_channel = kind(**{name: adapter.make(values.reshape(3, 1, 1, 6))})
    np.testing.assert_allclose(
        adapter.numpy(ap.pool(adapter.make(x), per_channel, window)), expected, rtol=1e-5, atol=1e-6
    )
    for value in (tuple(values[0].tolist()), adapter.make(values[0])):
        got = adapter.numpy(ap.pool(adapter.make(x[:, 0]), kind(**{name: value}), window))
        np.testing.assert_allclose(got, expected[:, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_morphology_is_scipy_s(name, rng):
    ndimage = pytest.importorskip("scipy.ndimage")

    adapter, x, h = ADAPTERS[name](), rng.normal(size=(7, 8)), rng.normal(size=(3, 3))
    inside = (slice(1, -1),) * 2
    got = adapter.numpy(ap.pool(adapter.make(x), ap.Erosion(tuple(h.ravel())), ap.Sliding(3, 1)))
    np.testing.assert_allclose(got, ndimage.grey_erosion(x, structure=h)[inside])
    got = adapter.numpy(ap.pool(adapter.make(x), ap.Dilation(tuple(h[::-1, ::-1].ravel())), ap.Sliding(3, 1)))
    np.testing.assert_allclose(got, ndimage.grey_dilation(x, structure=h)[inside])


def test_order_statistics_are_numpy_s_and_scipy_s(rng):
    stats = pytest.importorskip("scipy.stats")

    x = rng.normal(size=(3, 70))
    for q in (0, 0.1, 0.35, 0.5, 0.999, 1):
        np.testing.assert_allclose(ap.global_pool(x, ap.Quantile(q), 1), np.quantile(x, q, axis=1), rtol=1e-13)
    for proportion in (0, 0.1, 0.3, 0.49):
        expected = stats.trim_mean(x, proportion, axis=1)
        np.testing.assert_allclose(ap.global_pool(x, ap.TrimmedMean(proportion), 1), expected, rtol=1e-12)
    labels = rng.integers(0, 6, (3, 70))
    np.testing.assert_array_equal(ap.global_pool(labels, "mode", 1), stats.mode(labels, axis=1).mode)
    for p in (-2, 0, 0.5, 3):
        expected = stats.pmean(np.abs(x), p, axis=1)
        np.testing.assert_allclose(ap.global_pool(np.abs(x), ap.PowerMean(p), 1), expected, rtol=1e-12)


# ---------------------------------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ap.Quantile(1.5), ValueError, r"q must be between 0 and 1, got 1.5"),
        (lambda: ap.Quantile(np.nan), ValueError, r"q must be between 0 and 1, got nan"),
        (lambda: ap.Quantile("half"), TypeError, r"q must be a number, got 'half'"),
        (lambda: ap.Rank(0), ValueError, r"k must be at least 1, or at most -1"),
        (lambda: ap.Rank(1.5), TypeError, r"k must be an integer, got 1.5"),
        (lambda: ap.Rank(True), TypeError, r"k must be an integer, got True"),
        (lambda: ap.TrimmedMean(0.5), ValueError, r"proportion must be at least 0 and below 0.5, got 0.5"),
        (lambda: ap.TopKMean(0), ValueError, r"k must be between 1 and"),
        (lambda: ap.OrderedWeighted((1, "a")), TypeError, r"logits must be a number, got 'a'"),
        (lambda: ap.Dilation((1, np.inf)), ValueError, r"structure must be finite, got inf"),
        (lambda: ap.PowerMean(np.inf), ValueError, r"p must be finite, got inf"),
        (lambda: ap.LogSumExp(np.nan), ValueError, r"r must be finite, got nan"),
        (lambda: ap.GeM(0), ValueError, r"p must be between 0.001 and inf, got 0"),
        (
            lambda: ap.Soft(gradient="half"),
            ValueError,
            r"gradient must be one of 'full', 'straight_through', got 'half'",
        ),
        (lambda: ap.Mixed(1.5), ValueError, r"a must be between 0 and 1, got 1.5"),
        (lambda: ap.AdaPool(-1), ValueError, r"b must be between 0 and 1, got -1"),
        (lambda: ap.Std(-1), ValueError, r"ddof must be between 0"),
    ],
)
def test_settings_out_of_range_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@EVERY_ADAPTER
@pytest.mark.parametrize(
    ("operator", "window", "error", "message"),
    [
        (ap.Mode(), ap.Sliding(2), TypeError, r"x must hold integer labels for Mode, got dtype float32"),
        (ap.Rank(5), ap.Sliding(2), ValueError, r"Rank\(k=5\) has no value in Sliding.*k=5.*x has shape \(4, 4\)"),
        (ap.Rank(-2), ap.Sliding(2, 1, padding=1), ValueError, r"k=-2 asks for 2 elements, and there is a window of 1"),
        (ap.Rank(17), ap.Global(), ValueError, r"there is a window of 16"),
        (
            ap.TopKMean(5),
            ap.Sliding(2, 1, padding=1),
            ValueError,
            r"k=5 asks for 5 .* a window of 4",
        ),
        (ap.Dilation((1, 2, 3)), ap.Sliding(2), ValueError, r"one entry per element of the window \(4\), got 3"),
        (ap.Dilation(np.zeros(3)), ap.Sliding(2), ValueError, r"one entry per element .* \(4\) .*got shape \(3,\)"),
        (ap.Erosion(np.zeros((4, 4))), ap.Sliding(2), ValueError, r"must broadcast against x, .* the parameter \(4,\)"),
        (ap.Soft(np.zeros(4)), ap.Sliding(2), ValueError, r"must broadcast against x"),
        (ap.Quantile(0.5), ap.Sliding(2, 1, padding=2), ValueError, r"without any element"),
    ],
    ids=lambda value: repr(value)[:30] if isinstance(value, ap.Operator) else None,
)
def test_windows_and_arrays_that_do_not_fit_are_refused(adapter, operator, window, error, message):
    axes = (0, 1) if isinstance(window, ap.Global) else None
    with pytest.raises(error, match=message):
        ap.pool(adapter.make(np.zeros((4, 4), np.float32)), operator, window, axes)


def test_values_that_are_elements_keep_their_dtype():
    for operator in (ap.Max(), ap.Median(), ap.Rank(1), ap.Mode()):
        assert operator.dtypes("int8", None, Defaults()) == ("int8", "int8")
        with pytest.raises(ValueError, match="keeps its elements' dtype, 'int8'; cast the result"):
            operator.dtypes("int8", "float32", Defaults())
