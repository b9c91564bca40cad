"""One pooling in plain words, from which the package's call and the reference's are made, and how they must agree."""

import math
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np
import reference
from adapters import FLOATS, dtype
from operator_table import OPERATORS, ROWS

import anypool as ap

SUPPORT = os.path.dirname(__file__)
"""Where this file and its neighbours lie, for processes of their own."""

HALF = ("float16", "bfloat16")


@dataclass(frozen=True)
class Case:
    """A pooling; kernel_size, stride, padding and dilation have one entry per axis. `padding` is pairs or a name.

    `operator` is one of the table's; `count_include_pad` and `divisor_override` are the average's, `p` the norm's.
    """

    operator: str = "max"
    window: str = "sliding"
    axes: tuple = (-2, -1)
    kernel_size: tuple = (2, 2)
    stride: tuple | None = None
    padding: tuple | str = "valid"
    dilation: tuple | None = None
    ceil_mode: bool = False
    padding_mode: str = "exclude"
    output_size: tuple = (2, 2)
    count_include_pad: bool = False
    divisor_override: int | None = None
    p: float = 2.0
    dtype: str | None = None

    @property
    def row(self):
        return ROWS[self.operator]

    def package_window(self):
        if self.window == "global":
            return ap.Global()
        if self.window == "adaptive":
            return ap.Adaptive(self.output_size)
        settings = self.kernel_size, self.stride, self.padding, self.dilation or 1, self.ceil_mode, self.padding_mode
        return ap.Sliding(*settings)

    def package_operator(self):
        if self.operator == "average":
            return ap.Average(self.count_include_pad, self.divisor_override)
        return ap.Lp(self.p) if self.operator == "lp" else self.row.operator

    def package(self, x, **options):
        """What anypool gives."""
        if self.dtype is not None:
            options["dtype"] = self.dtype
        return ap.pool(x, self.package_operator(), self.package_window(), self.axes, **options)

    def windows(self, shape):
        """The reference's windows along each axis."""
        lengths = [shape[axis] for axis in self.axes]
        if self.window == "global":
            return [reference.whole(n) for n in lengths]
        if self.window == "adaptive":
            return [reference.adaptive(n, m) for n, m in zip(lengths, self.output_size, strict=True)]
        stride, dilation = self.stride or self.kernel_size, self.dilation or (1,) * len(self.axes)
        padding = (self.padding,) * len(self.axes) if isinstance(self.padding, str) else self.padding
        settings = zip(lengths, self.kernel_size, stride, padding, dilation, strict=True)
        return [reference.sliding(*setting, self.ceil_mode, self.padding_mode) for setting in settings]

    def options(self):
        return {"count_include_pad": self.count_include_pad, "divisor_override": self.divisor_override, "p": self.p}

    def expected(self, x, **options):
        """What the reference gives."""
        return reference.pool(x, self.row.function, self.windows(x.shape), self.axes, **self.options(), **options)

    def expected_gradient(self, x, upstream):
        return reference.gradient(x, upstream, self.row.slopes, self.windows(x.shape), self.axes, **self.options())

    def fits(self, shape):
        """Whether every axis has a window, and every window what the operator needs."""
        windows = self.windows(shape)
        if not all(windows):
            return False
        if self.count_include_pad or self.divisor_override is not None:
            return True
        fewest = math.prod(min(sum(cell is not None for cell in window) for window in along) for along in windows)
        size = self.kernel_size if self.window == "sliding" else [max(map(len, along)) for along in windows]
        return self.row.has_values(fewest, math.prod(size))


def check(case, x, adapter, call=None, **options):
    """The package's values, and indices where there are, on this kind of array against the reference."""
    call, x = call or case.package, case.row.domain(x)
    if case.operator in ("max", "min") and case.padding_mode != "zeros":
        values, indices = adapter.compiled(lambda a: call(a, return_indices=True, **options))(adapter.make(x))
        indices = adapter.numpy(indices)
        assert indices.dtype == adapter.index, indices.dtype
        np.testing.assert_array_equal(indices, case.expected(x, return_indices=True)[1], err_msg=f"indices of {case}")
        assert_close(case, x, adapter.numpy(values), adapter)
    got = adapter.compiled(lambda a: call(a, **options))(adapter.make(x))
    assert_close(case, x, adapter.numpy(got), adapter)


def assert_close(case, x, got, adapter):
    """Values of the right shape and dtype; exact where the operator is, the others within the promised error."""
    assert got.dtype == expected_dtype(case, x, adapter), (case, got.dtype)
    if case.row.exact:
        expected = case.expected(x, dtype=got.dtype)
        assert got.shape == expected.shape, case
        np.testing.assert_array_equal(comparable(got), comparable(expected), err_msg=str(case))
        return
    if got.dtype.name not in FLOATS:
        np.testing.assert_array_equal(got, case.expected(x, dtype=got.dtype), err_msg=str(case))
        return
    expected = case.expected(x, dtype="float64")
    assert got.shape == expected.shape, case
    finite = np.isfinite(expected)
    same = np.where(finite, 0, expected)
    np.testing.assert_array_equal(np.where(finite, 0, got.astype(np.float64)), same, err_msg=str(case))
    error = np.abs(got.astype(np.float64)[finite] - expected[finite])
    if (error <= 2 * float(finfo(got.dtype).eps) * np.abs(expected[finite])).all():
        return  # within the bound, whatever it is
    allowed = error_bound(case, x, got.dtype)[finite]
    assert (error <= allowed).all(), (
        f"{case}: {(error / allowed).max():.2f} of the allowed error, {got[finite]}, {expected[finite]}"
    )


def comparable(x):
    """Halves as float32, where NumPy knows equal NaN from unequal."""
    return x.astype(np.float32) if x.dtype.name in HALF else x


def error_bound(case, x, kind):
    """(2 + log₂ n)·eps·mean|x| for averages, n times that for sums; (2 + p + log₂ n)·eps·y for norms.

    For the others, what the table says, at the size of the greatest element.
    """
    windows = case.windows(x.shape)
    count = reference.pool(np.ones(x.shape), "sum", windows, case.axes)
    steps = 2 + np.log2(np.maximum(count, 1))
    number = finfo(kind)
    smallest = float(number.smallest_subnormal)
    sizes = np.abs(np.where(np.isfinite(x.astype(np.float64)), x.astype(np.float64), 0))
    if case.operator not in ("average", "sum", "lp"):
        largest = reference.pool(sizes, lambda elements: max(elements, default=0), windows, case.axes)
        rounding = float(finfo(kind if kind.name not in HALF else np.float32).eps)
        expected = np.nan_to_num(np.abs(case.expected(x, dtype="float64")), posinf=0)
        scale = np.maximum(largest**case.row.degree, expected)
        return (
            (case.row.error + np.log2(np.maximum(count, 1))) * rounding * scale
            + float(number.eps) * expected
            + smallest
        )
    scale = np.abs(reference.pool(sizes, case.operator, windows, case.axes, **case.options()))
    return (steps + (case.p if case.operator == "lp" else 0)) * float(number.eps) * scale + smallest


def finfo(kind):
    return ml_dtypes.finfo(kind)


def expected_dtype(case, x, adapter):
    name = x.dtype.newbyteorder("=").name
    if case.row.counts and case.dtype is None:
        return dtype(adapter.signed)
    if case.row.keeps_dtype or (case.dtype is None and name in FLOATS):
        return dtype(name)
    if case.dtype is not None:
        return dtype(case.dtype)
    if case.row.sums_integers:
        return dtype(adapter.unsigned if name.startswith("u") else adapter.signed)
    return dtype(adapter.floating)


def check_gradient(case, x, adapter, **options):
    """The framework's gradient through the package against the reference's."""
    x = case.row.domain(x)
    upstream = np.random.default_rng(7).normal(size=case.expected(x).shape).astype(x.dtype)
    got = adapter.gradient(lambda a: case.package(a, **options), x, upstream)
    assert got.dtype == x.dtype
    assert got.shape == x.shape
    expected = case.expected_gradient(x, upstream)
    allowed = case.row.steep * float(finfo(x.dtype).eps)
    np.testing.assert_allclose(got.astype(np.float64), expected, rtol=allowed, atol=allowed, err_msg=str(case))


# ---------------------------------------------------------------------------------------------------------------------
# Random poolings and arrays


def random_case(rng, rank=None, window=None, operator=None):
    """A pooling, and the shape of an array it may or may not fit."""
    rank = rank or int(rng.integers(1, 4))
    ndim = rank + int(rng.integers(0, 3)) if rank < 3 else rank + int(rng.integers(0, 2))
    longest = {1: 12, 2: 8, 3: 5}[rank]
    axes = tuple(int(axis) for axis in rng.permutation(ndim)[:rank])
    shape = [int(n) for n in rng.integers(1, 4, ndim)]
    for axis in axes:
        shape[axis] = int(rng.integers(1, longest + 1))
    if rng.random() < 0.05 and ndim > rank:
        shape[next(axis for axis in range(ndim) if axis not in axes)] = 0
    window = window or str(rng.choice(["sliding", "sliding", "sliding", "adaptive", "global"]))
    operator = operator or str(rng.choice(OPERATORS))

    def sizes(high):
        return tuple(int(n) for n in rng.integers(1, high + 1, rank))

    padding = rng.choice(["valid", "same", "same_lower", "pairs"])
    case = Case(
        operator=operator,
        window=window,
        axes=tuple(axis - ndim if rng.random() < 0.5 else axis for axis in axes),
        kernel_size=sizes(4),
        stride=None if rng.random() < 0.3 else sizes(3),
        padding=tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (rank, 2)))
        if padding == "pairs"
        else str(padding),
        dilation=None if rng.random() < 0.6 else sizes(3),
        ceil_mode=bool(padding == "pairs" and rng.random() < 0.5),
        output_size=tuple(None if rng.random() < 0.1 else n for n in sizes(longest + 2)),
        count_include_pad=bool(operator == "average" and rng.random() < 0.4),
        divisor_override=int(rng.choice([-3, 2, 7])) if operator == "average" and rng.random() < 0.2 else None,
        p=float(rng.choice([1, 1.5, 2, 3, 7])),
    )
    return case, tuple(shape)


def fitting_case(rng, **fixed):
    """As random_case, until one fits."""
    while True:
        case, shape = random_case(rng, **fixed)
        if case.fits(shape):
            return case, shape


def random_array(rng, shape, name, specials=False):
    """Numbers with ties, the extremes of the dtype, and with `specials` NaN, infinities and the smallest numbers."""
    kind = dtype(name)
    if name == "bool":
        return rng.random(shape) < 0.5
    if name not in FLOATS:
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        small = rng.integers(max(low, -4), 5, shape)
        large = rng.integers(low, high, shape, dtype=kind, endpoint=True)
        return np.where(rng.random(shape) < 0.8, small.astype(kind), large)
    ties = rng.integers(-3, 4, shape)
    x = np.where(rng.random(shape) < 0.5, ties, rng.normal(size=shape) * 4).astype(kind)
    if specials and rng.random() < 0.2:
        x = (x * finfo(kind).tiny).astype(kind)
    if specials:
        x = np.where(rng.random(shape) < 0.15, rng.choice([np.nan, np.inf, -np.inf], shape), x).astype(kind)
    return x


def laid_out(rng, x):
    """The same elements in another layout: Fortran's, strided, reversed, transposed, read-only or big-endian."""
    layout = str(rng.choice(["C", "F", "strided", "reversed", "transposed", "read-only", "big-endian"]))
    if layout == "F":
        return np.asfortranarray(x)
    if layout == "strided":
        wide = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
        wide[tuple(slice(None, None, 2) for _ in x.shape)] = x
        return wide[tuple(slice(None, None, 2) for _ in x.shape)]
    if layout == "reversed":
        reverse = tuple(slice(None, None, -1) for _ in x.shape)
        return x[reverse].copy()[reverse]
    if layout == "transposed":
        order = rng.permutation(x.ndim)
        return np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
    if layout == "read-only":
        x = x.copy()
        x.flags.writeable = False
        return x
    if layout == "big-endian" and x.dtype.kind in "iuf":
        return x.astype(x.dtype.newbyteorder(">"))
    return x


def without(case, **changes):
    """The case with some fields changed."""
    return replace(case, **changes)


def in_threads(work, *arguments):
    """Run `work` in a thread for each argument, all at once."""
    threads = [threading.Thread(target=work, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_process(code, **environment):
    """Python code run on its own, with these environment variables besides."""
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
