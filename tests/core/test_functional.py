"""pool on every kind of array against the reference: operators, windows, ranks, axes, dtypes, with indices."""

import numpy as np
import pytest
from adapters import EVERY_ADAPTER, FLOATS, dtype
from harness import Case, check, fitting_case, laid_out, random_array, random_case, without
from operator_table import CORE, OPERATORS

import anypool as ap

CASES_PER_OPERATOR = {"numpy": 150, "torch": 60, "jax": 6, "tensorflow": 12}
"""JAX and TensorFlow take a while to meet each new shape."""
SLOW_TO_MEET = {"jax": ("float16", "float32", "int32"), "tensorflow": ("bfloat16", "float32", "uint8", "int64")}
"""Their dtypes for operators that have but the definition."""


def cases_of(adapter, operator):
    return CASES_PER_OPERATOR[adapter.name] // (1 if operator in CORE else 3)


INDEXED = [
    Case(axes=(0, 1)),
    Case(operator="min", axes=(1, 0), kernel_size=(3, 2), stride=(2, 1), padding=((1, 1), (0, 1))),
    Case(operator="max", axes=(2, 0), kernel_size=(2, 3), stride=(1, 2), padding="same", dilation=(2, 1)),
    Case(operator="average", axes=(-1, 0), padding=((1, 0), (1, 1)), count_include_pad=True, ceil_mode=True),
    Case(operator="average", axes=(1, 2), padding="same_lower", kernel_size=(3, 3), stride=(2, 2)),
    Case(operator="sum", axes=(2,), kernel_size=(3,), stride=(1,), dilation=(2,)),
    Case(operator="lp", axes=(0, 2), p=3),
    Case(operator="max", window="adaptive", axes=(2, 1), output_size=(3, 4)),
    Case(operator="average", window="adaptive", axes=(0, 1, 2), output_size=(2, None, 3)),
    Case(operator="min", window="global", axes=(2, 0)),
    Case(operator="max", axes=(0, 1, 2), kernel_size=(2, 2, 3), stride=(1, 2, 2), padding=((0, 1), (1, 0), (1, 1))),
]
SHAPE = (4, 5, 6)


@EVERY_ADAPTER
@pytest.mark.parametrize("impl", ["auto", "definition"])
@pytest.mark.parametrize("case", INDEXED, ids=lambda case: f"{case.operator}-{case.window}-{case.axes}")
def test_each_window_and_operator(adapter, case, impl, rng):
    check(case, random_array(rng, SHAPE, "float32"), adapter, impl=impl)


@EVERY_ADAPTER
@pytest.mark.parametrize("operator", OPERATORS)
def test_each_dtype(adapter, operator, rng):
    case = Case(operator=operator, axes=(0, 1), kernel_size=(3, 2), stride=(2, 1), padding=((1, 1), (0, 1)))
    names = adapter.dtypes if operator in CORE else SLOW_TO_MEET.get(adapter.name, adapter.dtypes)
    for name in names:
        check(case, random_array(rng, (4, 5), name), adapter)


@EVERY_ADAPTER
@pytest.mark.parametrize("operator", OPERATORS)
def test_random_poolings(adapter, operator, rng):
    for number in range(cases_of(adapter, operator)):
        case, shape = fitting_case(rng, operator=operator, rank=1 + number % 3)
        name = adapter.dtypes[number % len(adapter.dtypes)]
        specials = name in FLOATS and number % 2 == 0
        check(case, laid_out(rng, random_array(rng, shape, name, specials)), adapter, impl="definition")


@EVERY_ADAPTER
def test_random_poolings_by_what_auto_chooses(adapter, rng):
    for number in range(2 * CASES_PER_OPERATOR[adapter.name]):
        case, shape = fitting_case(rng, rank=1 + number % 3)
        name = adapter.dtypes[number % len(adapter.dtypes)]
        specials = adapter.exact_specials and name in FLOATS and number % 2 == 0
        check(case, laid_out(rng, random_array(rng, shape, name, specials)), adapter)


def test_what_the_reference_cannot_pool_is_refused(rng):
    """Every random geometry either fits, and gives a result, or is refused with a reason."""
    refused = 0
    for _ in range(600):
        case, shape = random_case(rng, rank=2)
        x = case.row.domain(np.zeros(shape))
        if case.fits(shape):
            assert case.package(x).shape == case.expected(x).shape
        else:
            refused += 1
            with pytest.raises(ValueError, match=r"must fit|without any element|has no value"):
                case.package(x)
    assert refused > 20


@EVERY_ADAPTER
def test_four_pooled_axes(adapter, rng):
    case = Case(axes=(3, 1, 4, 0), kernel_size=(2, 2, 1, 2), stride=(1, 2, 1, 1), padding="same")
    check(case, random_array(rng, (3, 2, 2, 3, 2), "float32"), adapter)
    check(without(case, operator="average"), random_array(rng, (3, 2, 2, 3, 2), "float32"), adapter)


@EVERY_ADAPTER
@pytest.mark.parametrize("operator", OPERATORS)
def test_empty_batches(adapter, operator):
    for window in ("sliding", "adaptive", "global"):
        check(Case(operator=operator, window=window), np.zeros((0, 3, 4), np.float32), adapter)
    check(Case(operator=operator), np.zeros((0, 0, 2, 2), np.float32), adapter)


@EVERY_ADAPTER
@pytest.mark.parametrize("operator", ["sum", "average"])
def test_windows_without_an_element_sum_to_zero(adapter, operator):
    case = Case(
        operator=operator, axes=(0,), kernel_size=(2,), padding=((4, 3),), count_include_pad=operator == "average"
    )
    check(case, np.array([1, 2, 3], np.float32), adapter)
    check(without(case, window="global", padding="valid"), np.ones((4,), np.float32), adapter)


@pytest.mark.parametrize("operator", ["sum", "lp"])
def test_sums_of_nothing_are_zero(operator):
    assert ap.global_pool(np.zeros((2, 0)), operator, 1).tolist() == [0, 0]
    assert ap.adaptive_pool(np.zeros((0,)), operator, 2, axes=0).tolist() == [0, 0]


@EVERY_ADAPTER
@pytest.mark.parametrize("operator", OPERATORS)
def test_nan_and_infinities_by_the_definition(adapter, operator):
    nan, inf = np.nan, np.inf
    x = np.array([[nan, 1, 2, 3], [1, nan, nan, 0], [-inf, -inf, inf, 0], [-inf, inf, 1, 1]], np.float32)
    check(Case(operator=operator, window="global", axes=(1,)), x, adapter, impl="definition")
    for axes in [(0, 1), (1, 0)] if operator in CORE or adapter.name != "jax" else ():
        case = Case(operator=operator, axes=axes, stride=(1, 1), padding=((1, 1), (1, 1)))
        case = case if case.fits(x.shape) else without(case, padding="valid")
        check(case, x, adapter, impl="definition")


@EVERY_ADAPTER
def test_the_same_kind_of_array_comes_back(adapter):
    x = adapter.make(np.ones((4, 4), np.float32))
    for y in (
        ap.max_pool(x, 2),
        ap.avg_pool(x, 2),
        ap.global_pool(x, "max", (0, 1)),
        *ap.max_pool(x, 2, return_indices=True),
    ):
        assert adapter.is_own(y)


@EVERY_ADAPTER
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_halves_accumulate_in_float32(adapter, name):
    x = np.ones((64, 64), dtype(name))
    for operator, value in (("average", 1), ("sum", 4096), ("lp", 64)):
        case = Case(operator=operator, window="global")
        y = adapter.numpy(case.package(adapter.make(x)))
        assert y.dtype == x.dtype
        assert y.astype(float) == value
        check(case, x, adapter)


@EVERY_ADAPTER
def test_integers_average_to_the_default_float_or_to_dtype(adapter):
    x = np.array([[0, 1], [1, 2], [2, 3], [-1, 0], [-2, -1]], np.int32)
    average = Case(operator="average", window="global", axes=(1,))
    y = adapter.numpy(average.package(adapter.make(x)))
    assert y.dtype == adapter.floating
    assert y[:, 0].tolist() == [0.5, 1.5, 2.5, -0.5, -1.5]
    for name in ("int32", "int8", "float16", "float32"):
        check(without(average, dtype=name), x, adapter)
    assert adapter.numpy(without(average, dtype="int32").package(adapter.make(x)))[:, 0].tolist() == [0, 2, 2, 0, -2]


@EVERY_ADAPTER
def test_floats_average_and_sum_to_dtype(adapter):
    x = np.array([[0.5, 1], [1.5, 3], [-2.5, 2]], np.float32)
    for operator in ("average", "sum"):
        for name in ("float16", "bfloat16", "float32", "int32", "int16"):
            check(Case(operator=operator, axes=(0,), kernel_size=(2,), stride=(1,), dtype=name), x, adapter)
    check(Case(operator="lp", axes=(1,), kernel_size=(2,), dtype="float16"), x, adapter)


@EVERY_ADAPTER
def test_sums_of_integers_are_wide(adapter):
    for name in ("uint8", "int8", "bool", "uint32", "int32"):
        x = np.full((4, 4), 1 if name == "bool" else np.iinfo(name).max, name)
        if name.endswith("32") and adapter.signed == "int32":
            x = x // 16
        y = adapter.numpy(ap.sum_pool(adapter.make(x), 2))
        assert y.dtype == (adapter.unsigned if name[0] == "u" else adapter.signed)
        assert (y == 4 * int(x[0, 0])).all()


@EVERY_ADAPTER
def test_dtype_takes_the_framework_s_own(adapter):
    """dtype= takes the framework's own dtype as well as its name."""
    x = adapter.make(np.ones((4, 4), np.float32))
    y = ap.avg_pool(x, 2, dtype=ap.avg_pool(x, 2, dtype="float16").dtype)
    assert adapter.numpy(y).dtype == np.float16
