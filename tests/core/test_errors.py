"""Bad input: each a ValueError or TypeError, before any work, that names the argument, the value and the rule."""

import re

import numpy as np
import pytest
from adapters import ADAPTERS, EVERY_ADAPTER

import anypool as ap

X = np.arange(48.0).reshape(2, 3, 8)
HUGE = 2**31 - 1

BAD_WINDOWS = {
    # sizes and strides: zero, negative, and what is no integer
    "kernel 0": (lambda: ap.max_pool(X, 0), ValueError, ["kernel_size", "0", "at least|between 1"]),
    "kernel -1": (lambda: ap.max_pool(X, -1), ValueError, ["kernel_size", "-1", "between 1"]),
    "kernel (2, 0)": (lambda: ap.max_pool(X, (2, 0)), ValueError, ["kernel_size", "0", "between 1"]),
    "kernel ()": (lambda: ap.max_pool(X, ()), ValueError, ["kernel_size", r"\(\)", "one entry per"]),
    "kernel 2.0": (lambda: ap.max_pool(X, 2.0), TypeError, ["kernel_size", r"2\.0", "integer"]),
    "kernel NaN": (lambda: ap.max_pool(X, float("nan")), TypeError, ["kernel_size", "nan", "integer"]),
    "kernel (2, inf)": (lambda: ap.max_pool(X, (2, float("inf"))), TypeError, ["kernel_size", "inf", "integer"]),
    "kernel True": (lambda: ap.max_pool(X, True), TypeError, ["kernel_size", "True", "integer"]),
    "kernel (True, 2)": (lambda: ap.max_pool(X, (True, 2)), TypeError, ["kernel_size", "True", "integer"]),
    "kernel '2'": (lambda: ap.max_pool(X, "2"), TypeError, ["kernel_size", "'2'", "integer"]),
    "kernel None": (lambda: ap.max_pool(X, None), TypeError, ["kernel_size", "None", "integer"]),
    "kernel array of floats": (
        lambda: ap.max_pool(X, np.array([2.0, 2.0])),
        TypeError,
        ["kernel_size", "2.0", "integer"],
    ),
    "kernel nested": (lambda: ap.max_pool(X, ((2, 2), (2, 2))), TypeError, ["kernel_size", r"\(2, 2\)", "integer"]),
    "kernel a set": (lambda: ap.max_pool(X, {2, 3}), TypeError, ["kernel_size", r"\{2, 3\}", "integer"]),
    "kernel 0-d array": (lambda: ap.max_pool(X, np.array(2.5)), TypeError, ["kernel_size", "2.5", "integer"]),
    "kernel too big": (lambda: ap.max_pool(X, 2**31), ValueError, ["kernel_size", str(2**31), str(HUGE)]),
    "kernel astronomical": (lambda: ap.max_pool(X, 10**40), ValueError, ["kernel_size", str(10**40), str(HUGE)]),
    "stride 0": (lambda: ap.max_pool(X, 2, stride=0), ValueError, ["stride", "0", "between 1"]),
    "stride -2": (lambda: ap.max_pool(X, 2, stride=(1, -2)), ValueError, ["stride", "-2", "between 1"]),
    "stride 1.5": (lambda: ap.max_pool(X, 2, stride=1.5), TypeError, ["stride", r"1\.5", "integer"]),
    "stride False": (lambda: ap.max_pool(X, 2, stride=False), TypeError, ["stride", "False", "integer"]),
    "stride too big": (lambda: ap.max_pool(X, 2, stride=2**63), ValueError, ["stride", str(2**63), str(HUGE)]),
    "dilation 0": (lambda: ap.max_pool(X, 2, dilation=0), ValueError, ["dilation", "0", "between 1"]),
    "dilation -1": (lambda: ap.max_pool(X, 2, dilation=-1), ValueError, ["dilation", "-1", "between 1"]),
    "dilation overflows": (lambda: ap.max_pool(X, 2, dilation=2**64), ValueError, ["dilation", str(2**64), str(HUGE)]),
    "span overflows": (lambda: ap.max_pool(X, HUGE, dilation=HUGE), ValueError, ["kernel_size", str(HUGE), "must fit"]),
    "padding -1": (lambda: ap.max_pool(X, 2, padding=-1), ValueError, ["padding", "-1", "between 0"]),
    "padding pair -1": (
        lambda: ap.max_pool(X, 2, padding=((0, 0), (0, -1))),
        ValueError,
        ["padding", "-1", "between 0"],
    ),
    "padding 0.5": (lambda: ap.max_pool(X, 2, padding=0.5), TypeError, ["padding", r"0\.5", "integer"]),
    "padding None": (lambda: ap.max_pool(X, 2, padding=None), TypeError, ["padding", "None", "integer"]),
    "padding True": (lambda: ap.max_pool(X, 2, padding=True), TypeError, ["padding", "True", "integer"]),
    "padding unknown": (lambda: ap.max_pool(X, 2, padding="half"), ValueError, ["padding", "'half'", "'same'"]),
    "padding a name per axis": (
        lambda: ap.max_pool(X, 2, padding=("same", "valid")),
        TypeError,
        ["padding", "'same'", "integer"],
    ),
    "padding half pairs": (
        lambda: ap.max_pool(X, 2, padding=((1, 1), 1)),
        ValueError,
        ["padding", r"\(\(1, 1\), 1\)", "pair"],
    ),
    "padding triples": (
        lambda: ap.max_pool(X, 2, padding=((1, 1, 1),)),
        ValueError,
        ["padding", r"\(1, 1, 1\)", "pair"],
    ),
    "padding ()": (lambda: ap.max_pool(X, 2, padding=()), ValueError, ["padding", r"\(\)", "one entry per"]),
    "padding too big": (lambda: ap.max_pool(X, 2, padding=2**31), ValueError, ["padding", str(2**31), str(HUGE)]),
    "ceil_mode 1": (lambda: ap.max_pool(X, 2, ceil_mode=1), TypeError, ["ceil_mode", "1", "True or False"]),
    "ceil_mode 'no'": (lambda: ap.max_pool(X, 2, ceil_mode="no"), TypeError, ["ceil_mode", "'no'", "True or False"]),
    # lengths that do not match
    "stride for 3 axes": (
        lambda: ap.max_pool(X, (2, 2), stride=(1, 1, 1)),
        ValueError,
        ["kernel_size", "stride", "one entry per"],
    ),
    "padding for 1 axis": (
        lambda: ap.max_pool(X, (2, 2), padding=(1,)),
        ValueError,
        ["kernel_size", "padding", "one entry per"],
    ),
    "dilation for 1 axis": (
        lambda: ap.max_pool(X, 2, (2, 2), dilation=(1,)),
        ValueError,
        ["stride", "dilation", "one entry per"],
    ),
    "axes for 2, kernel for 1": (
        lambda: ap.max_pool(X, (2,), axes=(1, 2)),
        ValueError,
        [r"\(2,\)", "1 axes", "2 axes"],
    ),
    "kernel for more axes than x": (lambda: ap.max_pool(X, (1, 1, 1, 1)), ValueError, ["x", "4 axes", "3"]),
    "stride for 3 axes, kernel for all": (
        lambda: ap.max_pool(X, 2, stride=(1, 1, 1)),
        ValueError,
        ["stride", "3 axes", "2 axes"],
    ),
    "kernel equal to a right one": (
        lambda: [ap.max_pool(X, k) for k in ((1, 2), (1.0, 2))],
        TypeError,
        ["kernel_size", "1.0"],
    ),
    # windows that do not fit
    "kernel over the array": (lambda: ap.max_pool(X, (4, 2)), ValueError, ["kernel_size 4", "length 3", "fit"]),
    "dilated over the array": (lambda: ap.max_pool(X, 2, dilation=3), ValueError, ["dilation 3", "length 3", "fit"]),
    "kernel over padded": (
        lambda: ap.max_pool(X, (6, 2), padding=1),
        ValueError,
        ["kernel_size 6", r"padding \(1, 1\)", "fit"],
    ),
    "no element": (lambda: ap.max_pool(X, 1, padding=1), ValueError, ["padding", "without any element", "axis 1"]),
    "no element for averages": (
        lambda: ap.avg_pool(X, 1, padding=1),
        ValueError,
        ["padding", "without any element", "Average"],
    ),
    "no element, dilated": (
        lambda: ap.max_pool(X, (2, 1), padding=((4, 4), (0, 0)), dilation=(7, 1)),
        ValueError,
        ["dilation", "element"],
    ),
    "output that no memory holds": (
        lambda: ap.sum_pool(X, 1, 1, padding=HUGE),
        ValueError,
        ["padding", "shape", "memory"],
    ),
    "adaptive 0": (lambda: ap.adaptive_pool(X, "max", 0), ValueError, ["output_size", "0", "between 1"]),
    "adaptive -3": (lambda: ap.adaptive_pool(X, "max", (2, -3)), ValueError, ["output_size", "-3", "between 1"]),
    "adaptive 2.5": (lambda: ap.adaptive_pool(X, "max", 2.5), TypeError, ["output_size", r"2\.5", "integer"]),
    "adaptive '7'": (lambda: ap.adaptive_pool(X, "max", "7"), TypeError, ["output_size", "'7'", "integer"]),
    "adaptive overflows": (
        lambda: ap.adaptive_pool(X, "max", 2**31),
        ValueError,
        ["output_size", str(2**31), str(HUGE)],
    ),
    "adaptive that no memory holds": (
        lambda: ap.adaptive_pool(X, "max", HUGE),
        ValueError,
        ["output", "shape", "memory"],
    ),
    "adaptive for 3 of 2": (
        lambda: ap.adaptive_pool(X, "max", (1, 1, 1), axes=(0, 1)),
        ValueError,
        ["3 axes", "2 axes"],
    ),
    "not a window": (lambda: ap.pool(X, "max", 2), TypeError, ["window", "2", "Sliding"]),
    "a window's class": (lambda: ap.pool(X, "max", ap.Global, axes=0), TypeError, ["window", "Global", "Sliding"]),
}

BAD_AXES = {
    "out of range": (lambda: ap.max_pool(X, 2, axes=(1, 3)), ValueError, ["axes", "3", r"\[-3, 3\)"]),
    "below range": (lambda: ap.max_pool(X, 2, axes=-4), ValueError, ["axes", "-4", r"\[-3, 3\)"]),
    "twice": (lambda: ap.max_pool(X, 2, axes=(1, 1)), ValueError, ["axes", r"\(1, 1\)", "different"]),
    "twice, once negative": (lambda: ap.max_pool(X, 2, axes=(1, -2)), ValueError, ["axes", r"\(1, -2\)", "different"]),
    "none": (lambda: ap.max_pool(X, 2, axes=()), ValueError, ["axes", "at least one"]),
    "a float": (lambda: ap.max_pool(X, 2, axes=(1.0, 2)), TypeError, ["axes", r"1\.0", "integer"]),
    "a bool": (lambda: ap.max_pool(X, 2, axes=(True, 2)), TypeError, ["axes", "True", "integer"]),
    "equal to right ones": (
        lambda: [ap.max_pool(X, 2, axes=a) for a in ((1, 2), (1.0, 2))],
        TypeError,
        ["axes", "1.0"],
    ),
    "a string": (lambda: ap.max_pool(X, 2, axes="12"), TypeError, ["axes", "'12'", "integer"]),
    "huge": (lambda: ap.max_pool(X, 2, axes=10**30), ValueError, ["axes", str(10**30), r"\[-3, 3\)"]),
    "global without": (lambda: ap.global_pool(X, "max", None), ValueError, ["axes", "None", "Global"]),
    "a scalar": (lambda: ap.max_pool(np.float32(1), 2), ValueError, ["x", "0", "axes"]),
    "a scalar with axes": (lambda: ap.max_pool(np.float32(1), 2, axes=0), ValueError, ["axes", "0", "array of 0 axes"]),
    "one axis for two": (lambda: ap.max_pool(X[0, 0], 2), ValueError, ["x", "2 axes", "1"]),
}

BAD_ARRAYS = {
    "complex": (lambda: ap.max_pool(X.astype(complex), 2), TypeError, ["x", "complex128", "real"]),
    "object": (lambda: ap.max_pool(X.astype(object), 2), TypeError, ["x", "object", "real"]),
    "strings": (lambda: ap.max_pool(X.astype(str), 2), TypeError, ["x", "str", "real"]),
    "dates": (lambda: ap.max_pool(X.astype("M8[s]"), 2), TypeError, ["x", "datetime64", "real"]),
    "records": (lambda: ap.max_pool(np.zeros((2, 2), [("a", "f4")]), 2), TypeError, ["x", "void", "real"]),
    "ragged": (lambda: ap.max_pool([[1, 2], [3]], 2), ValueError, ["x", "ragged", "equal length"]),
    "masked": (lambda: ap.max_pool(np.ma.masked_equal(X, 3), 2), TypeError, ["x", "masked", "filled"]),
    "a string": (lambda: ap.max_pool("picture.png", 2, axes=0), TypeError, ["x", "str", "array"]),
    "None": (lambda: ap.max_pool(None, 2, axes=0), TypeError, ["x", "NoneType", "array"]),
    "long double": (lambda: ap.max_pool(X.astype(np.longdouble), 2), TypeError, ["x", "longdouble|float128", "real"]),
    "empty": (lambda: ap.max_pool(np.zeros((2, 0)), (1, 2)), ValueError, ["kernel_size 2", "length 0", "fit"]),
    "empty, global": (
        lambda: ap.global_pool(np.zeros((2, 0)), "max", 1),
        ValueError,
        ["length 0", "without any element"],
    ),
    "empty, adaptive": (
        lambda: ap.adaptive_pool(np.zeros((2, 0)), "max", 2),
        ValueError,
        ["length 0", "without any element"],
    ),
}

BAD_CHOICES = {
    "operator's name": (lambda: ap.global_pool(X, "mean", 0), ValueError, ["operator", "'mean'", "'average'"]),
    "operator's class": (lambda: ap.global_pool(X, ap.Max, 0), TypeError, ["operator", "Max", "its name"]),
    "operator None": (lambda: ap.global_pool(X, None, 0), TypeError, ["operator", "None", "its name"]),
    "impl's name": (lambda: ap.max_pool(X, 2, impl="fast"), ValueError, ["impl", "'fast'", "'kernel'"]),
    "impl None": (lambda: ap.max_pool(X, 2, impl=None), ValueError, ["impl", "None", "'kernel'"]),
    "impl a list": (lambda: ap.max_pool(X, 2, impl=["kernel"]), ValueError, ["impl", "kernel", "'definition'"]),
    "impl that NumPy lacks": (
        lambda: ap.max_pool(X, 2, impl="framework"),
        ValueError,
        ["impl", "'framework'", "NumPy"],
    ),
    "indices of an average": (
        lambda: ap.global_pool(X, "average", 0, return_indices=True),
        ValueError,
        ["return_indices", "Average"],
    ),
    "indices of a sum": (
        lambda: ap.global_pool(X, "sum", 0, return_indices=True),
        ValueError,
        ["return_indices", "Sum"],
    ),
    "dtype unknown": (lambda: ap.avg_pool(X, 2, dtype="float99"), TypeError, ["dtype", "'float99'", "float32"]),
    "dtype complex": (lambda: ap.avg_pool(X, 2, dtype="complex64"), TypeError, ["dtype", "'complex64'", "float32"]),
    "dtype 3": (lambda: ap.avg_pool(X, 2, dtype=3), TypeError, ["dtype", "3", "float32"]),
    "dtype of a max": (
        lambda: ap.global_pool(X, "max", 0, dtype="float32"),
        ValueError,
        ["dtype", "float32", "float64"],
    ),
    "divisor 0": (lambda: ap.avg_pool(X, 2, divisor_override=0), ValueError, ["divisor_override", "0", "not be 0"]),
    "divisor 1.5": (
        lambda: ap.avg_pool(X, 2, divisor_override=1.5),
        TypeError,
        ["divisor_override", r"1\.5", "integer"],
    ),
    "divisor True": (
        lambda: ap.avg_pool(X, 2, divisor_override=True),
        TypeError,
        ["divisor_override", "True", "integer"],
    ),
    "divisor too big": (
        lambda: ap.avg_pool(X, 2, divisor_override=2**40),
        ValueError,
        ["divisor_override", str(2**40)],
    ),
    "count_include_pad 1": (
        lambda: ap.avg_pool(X, 2, count_include_pad=1),
        TypeError,
        ["count_include_pad", "1", "True or False"],
    ),
    "p 0": (lambda: ap.Lp(0), ValueError, ["p", "0", "at least 1"]),
    "p NaN": (lambda: ap.Lp(float("nan")), ValueError, ["p", "nan", "at least 1"]),
    "p inf": (lambda: ap.Lp(float("inf")), ValueError, ["p", "inf", "finite"]),
    "p '2'": (lambda: ap.Lp("2"), TypeError, ["p", "'2'", "number"]),
    "p True": (lambda: ap.Lp(True), TypeError, ["p", "True", "number"]),
    "p complex": (lambda: ap.Lp(2j), TypeError, ["p", "2j", "number"]),
    "keepdims 'no'": (
        lambda: ap.global_pool(X, "max", 0, keepdims="no"),
        TypeError,
        ["keepdims", "'no'", "True or False"],
    ),
    "return_indices 1.5": (
        lambda: ap.max_pool(X, 2, return_indices=1.5),
        TypeError,
        ["return_indices", "1.5", "True or False"],
    ),
}


def overlapping():
    x = np.zeros((4, 4))
    return ap.max_pool(x, 2, out=x[1:3, 1:3])


def read_only():
    out = np.zeros((2, 1, 4))
    out.flags.writeable = False
    return ap.max_pool(X, 2, out=out)


BAD_OUT = {
    "shape": (lambda: ap.max_pool(X, 2, out=np.zeros((2, 2, 4))), ValueError, ["out", r"\(2, 1, 4\)", r"\(2, 2, 4\)"]),
    "shape that would broadcast": (
        lambda: ap.max_pool(X, 2, out=np.zeros((5, 2, 1, 4))),
        ValueError,
        ["out", r"\(5, 2, 1, 4\)"],
    ),
    "dtype": (lambda: ap.max_pool(X, 2, out=np.zeros((2, 1, 4), np.float32)), TypeError, ["out", "float64", "float32"]),
    "integers": (lambda: ap.avg_pool(X, 2, out=np.zeros((2, 1, 4), int)), TypeError, ["out", "float64", "int64"]),
    "a list": (lambda: ap.max_pool(X, 2, out=[[[0] * 4]] * 2), TypeError, ["out", "list"]),
    "a number": (lambda: ap.max_pool(X, 2, out=1.0), TypeError, ["out", "float"]),
    "read-only": (read_only, ValueError, ["out", "read-only|written"]),
    "input": (overlapping, ValueError, ["out", "overlap|memory"]),
    "global shape": (
        lambda: ap.global_pool(X, "max", (1, 2), out=np.zeros((2, 1, 1))),
        ValueError,
        ["out", r"\(2,\)", r"\(2, 1, 1\)"],
    ),
}

VALUES, INDICES = ap.max_pool(X, 2, return_indices=True)
BAD_UNPOOL = {
    "index at the end": (
        lambda: ap.max_unpool(VALUES, np.full_like(INDICES, 16), 2),
        ValueError,
        ["indices", "16", r"\[0, 16\)"],
    ),
    "index -1": (
        lambda: ap.max_unpool(VALUES, np.full_like(INDICES, -1), 2),
        ValueError,
        ["indices", "-1", r"\[0, 16\)"],
    ),
    "index 2**62": (
        lambda: ap.max_unpool(VALUES, np.full_like(INDICES, 2**62), 2),
        ValueError,
        ["indices", str(2**62)],
    ),
    "float indices": (
        lambda: ap.max_unpool(VALUES, INDICES.astype(float), 2),
        TypeError,
        ["indices", "float64", "integer"],
    ),
    "bool indices": (lambda: ap.max_unpool(VALUES, INDICES > 1, 2), TypeError, ["indices", "bool", "integer"]),
    "fewer indices": (
        lambda: ap.max_unpool(VALUES, INDICES[:1], 2),
        ValueError,
        ["indices", r"\(2, 1, 4\)", r"\(1, 1, 4\)"],
    ),
    "output_size 0": (
        lambda: ap.max_unpool(VALUES, INDICES, 2, output_size=(0, 8)),
        ValueError,
        ["output_size", "0", "between 1"],
    ),
    "output_size for 3": (
        lambda: ap.max_unpool(VALUES, INDICES, 2, output_size=(2, 2, 2)),
        ValueError,
        ["output_size", r"\(2, 2, 2\)"],
    ),
    "output_size float": (
        lambda: ap.max_unpool(VALUES, INDICES, 2, output_size=2.0),
        TypeError,
        ["output_size", r"2\.0", "integer"],
    ),
    "padding eats all": (lambda: ap.max_unpool(VALUES, INDICES, 2, padding=4), ValueError, ["padding", "output_size"]),
    "complex": (lambda: ap.max_unpool(VALUES * 1j, INDICES, 2), TypeError, ["x", "complex128"]),
    "no memory": (lambda: ap.max_unpool(VALUES, INDICES, 2, output_size=HUGE), ValueError, ["output_size", "memory"]),
}

EVERY = {
    f"{kind}: {name}": entry
    for kind, entries in (
        ("window", BAD_WINDOWS),
        ("axes", BAD_AXES),
        ("array", BAD_ARRAYS),
        ("choice", BAD_CHOICES),
        ("out", BAD_OUT),
        ("unpool", BAD_UNPOOL),
    )
    for name, entry in entries.items()
}


def assert_refused(call, kind, words):
    """One line that holds these words, in an error of this kind."""
    with pytest.raises(kind, match=words[0]) as caught:
        call()
    message = str(caught.value)
    assert type(caught.value) is kind, message
    assert [word for word in words if not re.search(word, message)] == [], message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize("name", EVERY)
def test_bad_input_is_refused_in_words(name):
    assert_refused(*EVERY[name])


@EVERY_ADAPTER
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kernel_size": 0}, ["kernel_size", "0"]),
        ({"kernel_size": 2, "stride": -1}, ["stride", "-1"]),
        ({"kernel_size": 9}, ["kernel_size 9", "length 3"]),
        ({"kernel_size": 2, "padding": "half"}, ["padding", "'half'"]),
        ({"kernel_size": 1, "padding": 1}, ["padding", "without any element"]),
        ({"kernel_size": 2, "axes": (0, 7)}, ["axes", "7"]),
        ({"kernel_size": 2, "impl": "fast"}, ["impl", "'fast'"]),
    ],
)
def test_bad_input_is_refused_on_every_array(adapter, arguments, words):
    assert_refused(lambda: ap.max_pool(adapter.make(X.astype(np.float32)), **arguments), ValueError, words)


@EVERY_ADAPTER
def test_complex_numbers_are_refused_on_every_array(adapter):
    with pytest.raises(TypeError, match=r"x must hold .*complex64"):
        ap.max_pool(adapter.make(X.astype(np.complex64)), 2)


@pytest.mark.parametrize("adapter", [name for name in ADAPTERS if name not in ("numpy", "torch")], indirect=True)
def test_out_is_refused_where_arrays_cannot_be_written(adapter):
    x = adapter.make(X.astype(np.float32))
    with pytest.raises(TypeError, match="out="):
        ap.max_pool(x, 2, out=ap.max_pool(x, 2))


@pytest.mark.parametrize(
    ("wrong", "word"), [({"impl": "framework"}, "impl"), ({"padding": 3}, "padding"), ({"axes": (0, 0)}, "axes")]
)
def test_refusals_leave_out_untouched(wrong, word):
    out = np.full((2, 1, 4), 7.0)
    with pytest.raises(ValueError, match=word):
        ap.max_pool(X, 2, out=out, **wrong)
    assert (out == 7).all()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: ap.Sliding(0), "kernel_size"),
        (lambda: ap.Sliding(2, 0), "stride"),
        (lambda: ap.Sliding(2, padding="no"), "padding"),
        (lambda: ap.Adaptive(0), "output_size"),
    ],
)
def test_windows_refuse_when_they_are_made(make, word):
    """Before any array is at hand."""
    with pytest.raises(ValueError, match=word):
        make()
