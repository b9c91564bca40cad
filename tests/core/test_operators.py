"""What: operators as values, their dtypes, their limits, and that no power overflows."""

import dataclasses

import numpy as np
import pytest

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
