"""The tests are tested: wrong poolings must fail the harness, the reference must give what was worked out by hand."""

import numpy as np
import pytest
import reference
from adapters import ADAPTERS, NumPy
from harness import Case, check, check_gradient, fitting_case, random_array, without
from operator_table import ROWS

import anypool as ap
from anypool.operators import Average, Max, Sum

X = np.array([[2, 2, 7, 3], [9, 4, 6, 1], [8, 5, 2, 4], [3, 1, 2, 6]], np.float32)
PADDED = Case(padding=((1, 1), (1, 1)))


def pooled_with(operator):
    """A call of the package with an operator of ours in place of the case's."""

    def call(x, **options):
        return ap.pool(x, operator, PADDED.package_window(), PADDED.axes, **options)

    return call


class LastMax(Max):
    """Max, but ties go to the last."""

    def offset(self, windows, valid, xp):
        return windows.shape[-1] - 1 - super().offset(windows[..., ::-1], valid[..., ::-1], xp)


class ZeroPaddedMax(Max):
    """Max, but padding is a zero."""

    def offset(self, windows, valid, xp):
        return super().offset(windows, np.ones_like(valid), xp)


class NaNBlindMax(Max):
    """Max, but NaN loses."""

    def offset(self, windows, valid, xp):
        return super().offset(np.where(np.isnan(windows), -np.inf, windows), valid, xp)


class AverageByWidth(Average):
    """Average, but divided by the window's width."""

    def finish(self, reduced, count, xp):
        return reduced[0] / 4


class DriftingSum(Sum):
    """Sum, but accumulated in the elements' own half precision."""

    def dtypes(self, dtype, requested, defaults):
        return dtype, dtype

    def reduce(self, windows, valid, xp):
        return np.add.accumulate(np.where(valid, windows, 0), axis=-1, dtype=windows.dtype)[..., -1]


class WideMax(Max):
    """Max, but always float64."""

    def dtypes(self, dtype, requested, defaults):
        return "float64", "float64"


def fails(case, x, operator):
    with pytest.raises(AssertionError):
        check(case, x, NumPy(), call=pooled_with(operator))


def test_right_operators_pass_where_the_wrong_ones_fail():
    for operator in ("max", "average", "sum"):
        check(without(PADDED, operator=operator), X, NumPy())


def test_the_harness_sees_the_last_of_ties():
    fails(PADDED, np.ones((4, 4), np.float32), LastMax())


def test_the_harness_sees_padding_taken_for_data():
    fails(PADDED, -X, ZeroPaddedMax())


def test_the_harness_sees_a_lost_nan():
    fails(PADDED, np.where(X == 9, np.nan, X), NaNBlindMax())


def test_the_harness_sees_a_wrong_divisor():
    fails(without(PADDED, operator="average"), X, AverageByWidth())


def test_the_harness_sees_another_dtype():
    fails(PADDED, X, WideMax())


def test_the_harness_sees_a_half_precision_accumulator():
    case = Case(operator="sum", window="global", axes=(0,))
    x = np.full(4096, 1, np.float16)
    check(case, x, NumPy())
    with pytest.raises(AssertionError):
        check(case, x, NumPy(), call=lambda a, **options: ap.pool(a, DriftingSum(), ap.Global(), 0, **options))


def test_the_harness_sees_a_transposed_index():
    def call(x, **options):
        result = PADDED.package(x, **options)
        return (result[0], result[1].T) if options.get("return_indices") else result

    with pytest.raises(AssertionError):
        check(PADDED, X, NumPy(), call=call)


def test_the_harness_sees_a_window_too_many():
    case = Case(operator="sum", kernel_size=(2, 2), stride=(3, 3), padding=((0, 0), (0, 0)))
    with pytest.raises(AssertionError):
        check(case, X, NumPy(), call=without(case, ceil_mode=True).package)


def test_the_harness_sees_a_gradient_shared_among_ties():
    class Sharing(NumPy):
        def gradient(self, function, x, upstream):
            ties = x == np.max(x)
            return (ties / ties.sum() * upstream).astype(x.dtype)

    case = Case(window="global")
    check_gradient(case, X, Sharing())
    with pytest.raises(AssertionError):
        check_gradient(case, np.ones_like(X), Sharing())


SAME = [{"average", "ordered_weighted", "local_importance"}, {"avgmax", "random_mixed"}]
"""What gives the same as it stands in the table; all others the harness tells apart."""


@pytest.mark.parametrize("operator", ROWS)
def test_the_harness_sees_every_other_operator(operator, rng):
    """On windows of 3 to 6 elements, some of them equal."""
    case = Case(operator=operator, kernel_size=(2, 3), stride=(1, 2), padding=((0, 0), (1, 1)))
    x = ROWS[operator].domain((rng.integers(-2, 9, (5, 6)) / 2).astype(np.float32))
    check(case, x, NumPy())

    def passes(other):
        def call(x, **options):
            return ap.pool(x, ROWS[other].operator, case.package_window(), case.axes, **options)

        try:
            check(case, x, NumPy(), call=call)
        except (AssertionError, TypeError, ValueError):
            return False
        return True

    alike = next((each for each in SAME if operator in each), {operator})
    alike |= {"max"} if operator == "rank:k=-1" else set()
    assert {other for other in ROWS if passes(other)} == alike


class SteepStd(ap.Std):
    """Std, whose slope at 0 is that of the framework's root."""

    def finish(self, reduced, count, xp):
        return xp.sqrt(ap.Variance.finish(self, reduced, count, xp))

    reduce = ap.Operator.reduce


class SteepRange(ap.Range):
    """Range, whose slope of the maximum is twice what it should be."""

    def finish(self, reduced, count, xp):
        return 2 * reduced[0] - reduced[1] - xp.stop_gradient(reduced[0])


@pytest.mark.parametrize(
    ("right", "wrong"), [("std", SteepStd()), ("range", SteepRange()), ("soft", ap.Soft(1, "straight_through"))]
)
def test_the_harness_sees_a_wrong_gradient(right, wrong):
    torch = ADAPTERS["torch"]()
    case = Case(operator=right, window="global")
    x = np.ones((2, 3), np.float32) if right == "std" else X
    check_gradient(case, x, torch)

    class Wrong(type(torch)):
        def gradient(self, function, x, upstream):
            return super().gradient(lambda a: ap.pool(a, wrong, ap.Global(), case.axes), x, upstream)

    with pytest.raises(AssertionError):
        check_gradient(case, x, Wrong())


def test_random_poolings_are_varied(rng):
    """The sampler reaches every kind of window, operator, padding and order of axes."""
    cases = [fitting_case(rng) for _ in range(400)]
    assert {case.operator for case, _ in cases} == set(ROWS)
    assert {case.window for case, _ in cases} == {"sliding", "adaptive", "global"}
    assert {len(case.axes) for case, _ in cases} == {1, 2, 3}
    assert any(case.ceil_mode for case, _ in cases)
    assert any(0 in shape for _, shape in cases)
    assert any(
        tuple(a % len(shape) for a in case.axes) != tuple(sorted(a % len(shape) for a in case.axes))
        for case, shape in cases
    )
    assert np.isnan(random_array(rng, 100, "float16", specials=True)).any()


# ---------------------------------------------------------------------------------------------------------------------
# The reference against results by hand


def pairs(*settings):
    return [reference.sliding(*setting) for setting in settings]


def test_reference_on_the_course_s_picture():
    windows = pairs((4, 2), (4, 2))
    assert reference.pool(X, "max", windows, (0, 1)).tolist() == [[9, 7], [8, 6]]
    assert reference.pool(X, "min", windows, (0, 1)).tolist() == [[2, 1], [1, 2]]
    assert reference.pool(X, "average", windows, (0, 1)).tolist() == [[4.25, 4.25], [4.25, 3.5]]
    assert reference.pool(X, "average", [reference.whole(4)] * 2, (0, 1)).tolist() == [[4.0625]]


def test_reference_on_padding_and_ceil_mode():
    x = np.arange(1.0, 17).reshape(4, 4)
    windows = pairs((4, 3, 2, 1, 1, True), (4, 3, 2, 1, 1, True))
    counted = reference.pool(x, "average", windows, (0, 1), count_include_pad=True)
    np.testing.assert_allclose(counted, [[1.5556, 3.3333, 2], [6.3333, 11, 6], [4.5, 7.5, 4]], atol=1e-4)
    values, indices = reference.pool(x, "max", windows, (0, 1), return_indices=True)
    assert values.tolist() == [[6, 8, 8], [14, 16, 16], [14, 16, 16]]
    assert indices.tolist() == [[5, 7, 7], [13, 15, 15], [13, 15, 15]]


def test_reference_windows():
    assert reference.sliding(5, 3, 2, 1) == [[None, 0, 1], [1, 2, 3], [3, 4, None]]
    assert reference.sliding(6, 2, 3, 0, 1, True) == [[0, 1], [3, 4]]
    assert reference.sliding(4, 2, 3, 0, 1, True) == [[0, 1], [3]]
    assert reference.sliding(5, 2, 2, "same") == [[0, 1], [2, 3], [4, None]]
    assert reference.sliding(5, 2, 2, "same_lower") == [[None, 0], [1, 2], [3, 4]]
    assert reference.sliding(5, 2, 1, "valid", 3) == [[0, 3], [1, 4]]
    assert reference.adaptive(5, 3) == [[0, 1], [1, 2, 3], [3, 4]]
    assert reference.adaptive(2, 3) == [[0], [0, 1], [1]]
    assert reference.whole(3) == [[0, 1, 2]]


def test_reference_orders_indices_by_axes():
    x = np.arange(6).reshape(2, 3)
    assert reference.pool(x, "max", [reference.whole(2), reference.whole(3)], (0, 1), return_indices=True)[1] == 5
    x[0, 2] = 9
    assert reference.pool(x, "max", [reference.whole(2), reference.whole(3)], (0, 1), return_indices=True)[1] == 2
    assert reference.pool(x, "max", [reference.whole(3), reference.whole(2)], (1, 0), return_indices=True)[1] == 4


def test_reference_on_ties_nan_and_signs():
    whole = [reference.whole(4)]
    for x, operator, index in [
        ([1, 3, 3, 0], "max", 1),
        ([3, 0, 1, 0], "min", 1),
        ([1, np.nan, 5, np.nan], "max", 1),
        ([1, np.nan, -5, np.nan], "min", 1),
        ([-np.inf] * 4, "max", 0),
    ]:
        value, found = reference.pool(np.array(x), operator, whole, (0,), return_indices=True)
        assert found == [index]
        np.testing.assert_array_equal(value, [x[index]])


def test_reference_on_integers():
    whole = [reference.whole(2)]
    assert reference.pool(np.array([255, 255], np.uint8), "sum", whole, (0,)).tolist() == [510]
    assert reference.pool(np.array([2**63 - 1, 1]), "sum", whole, (0,)).tolist() == [-(2**63)]
    for x, rounded in [([0, 1], 0), ([1, 2], 2), ([2, 3], 2), ([-1, 0], 0), ([-2, -1], -2)]:
        assert reference.pool(np.array(x, np.int32), "average", whole, (0,), dtype="int32").tolist() == [rounded]


def test_reference_norms():
    assert reference.pool(np.array([3.0, -4.0]), "lp", [reference.whole(2)], (0,)).tolist() == [5]
    assert reference.pool(np.array([3.0, -4.0]), "lp", [reference.whole(2)], (0,), p=1).tolist() == [7]


def test_reference_gradients():
    x, one = np.array([1.0, 5.0, 5.0, 0.0]), np.ones(3)
    windows = [reference.sliding(4, 2, 1)]
    assert reference.gradient(x, one, "max", windows, (0,)).tolist() == [0, 2, 1, 0]
    assert reference.gradient(x, one, "sum", windows, (0,)).tolist() == [1, 2, 2, 1]
    assert reference.gradient(x, one, "average", windows, (0,)).tolist() == [0.5, 1, 1, 0.5]
    whole = [reference.whole(2)]
    assert reference.gradient(np.array([3.0, -4.0]), np.ones(1), "lp", whole, (0,)).tolist() == pytest.approx(
        [0.6, -0.8]
    )


def test_reference_unpools_the_last_of_duplicates():
    assert reference.unpool([[7, 8, 9]], [[2, 0, 2]], (0, 1), (1, 4)).tolist() == [[8, 0, 9, 0]]
    assert reference.unpool([[7, 8], [5, 6]], [[1, 1], [1, 1]], (1, 0), (1, 2)).tolist() == [[0], [6]]
