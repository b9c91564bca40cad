"""Pooling by slow loops, written from its definition and sharing no code with the package: what tests compare with.

A window along one axis is a list of cells: a position in the array, ZERO for padding that holds a zero, or None for
padding that holds nothing. What hangs over the end in ceil mode is no cell at all. `sliding`, `adaptive` and `whole`
give the windows along an axis; `pool`, `gradient` and `unpool` take one such list per pooled axis, in the order of
`axes`, and loop. Floats are computed in Python's (float64, sums exactly rounded), integers in Python's unbounded ones.
"""

import itertools
import math
from fractions import Fraction

import numpy as np

INTEGER_KINDS = "iu"
ZERO = "zero"


# ---------------------------------------------------------------------------------------------------------------------
# Windows along one axis


def sliding(n, kernel, stride=None, padding=0, dilation=1, ceil_mode=False, padding_mode="exclude"):
    """The windows of `kernel` cells along an axis of n elements.

    Padding is an int, a pair (before, after), "valid", "same" or "same_lower"; what lies in it is the element that
    numpy.pad puts there.
    """
    stride = kernel if stride is None else stride
    before, after = padding_around(n, kernel, stride, padding, dilation)
    reach = dilation * (kernel - 1)
    starts = []
    for start in itertools.count(-before, stride):
        # Rounding up asks for one more window for as long as the one before did not reach the end.
        wanted = start + reach < n + after + (stride - 1 if ceil_mode else 0)
        if not wanted:
            break
        starts.append(start)
    if ceil_mode and starts and starts[-1] >= n:
        starts.pop()
    windows = Along(
        [beyond(cell, n, padding_mode) for cell in range(start, start + reach + 1, dilation) if cell < n + after]
        for start in starts
    )
    windows.size = kernel
    return windows


class Along(list):
    """Windows along an axis, of `size` cells where they are whole."""

    size = None


def beyond(cell, n, padding_mode):
    """What lies at a position: itself inside the axis, beyond it what the mode says."""
    if 0 <= cell < n:
        return cell
    if padding_mode in ("exclude", "zeros"):
        return None if padding_mode == "exclude" else ZERO
    while not 0 <= cell < n:
        if padding_mode == "circular":
            cell += n if cell < 0 else -n
        elif padding_mode == "replicate":
            cell += 1 if cell < 0 else -1
        else:
            cell = -cell if cell < 0 else 2 * (n - 1) - cell
    return cell


def padding_around(n, kernel, stride, padding, dilation):
    """Explicit padding before and after an axis."""
    if padding in ("same", "same_lower"):
        outputs = math.ceil(Fraction(n, stride))
        total = max(0, (outputs - 1) * stride + dilation * (kernel - 1) + 1 - n)
        small, large = total // 2, total - total // 2
        return (small, large) if padding == "same" else (large, small)
    if padding == "valid":
        return 0, 0
    return (padding, padding) if isinstance(padding, int) else tuple(padding)


def adaptive(n, m):
    """The m windows that cover n elements: output i covers [⌊i·n/m⌋, ⌈(i+1)·n/m⌉). None for m keeps the axis."""
    m = n if m is None else m
    return [list(range(math.floor(Fraction(i * n, m)), math.ceil(Fraction((i + 1) * n, m)))) for i in range(m)]


def whole(n):
    """One window: the axis."""
    return [list(range(n))]


# ---------------------------------------------------------------------------------------------------------------------
# Pooling


def pool(
    x,
    operator,
    windows,
    axes,
    *,
    count_include_pad=False,
    divisor_override=None,
    p=2.0,
    dtype=None,
    return_indices=False,
    keepdims=True,
    where=None,
    least=1,
):
    """`operator` over every window of x: "max", "min", "average", "sum", "lp", or a function of a window's elements.

    A function is given Python's integers or floats, and NaN wins before it; one that is `positional` also the places
    of the elements in the window along every axis, and the sizes of the widest window. Max and min have the dtype of
    x. Averages, p-norms and functions are float64, sums float64 or, of integers, as numpy.sum's; or `dtype`, averages
    rounded half to even where it is an integer's. Indices are flat positions within the pooled axes, row-major in the
    order of `axes`. For functions `where`, of x's shape, deletes elements, and a window with less than `least` is
    NaN. Without keepdims the pooled axes are dropped (they must have one window).
    """
    x = np.asarray(x)
    axes = tuple(axis % x.ndim for axis in axes)
    values = np.empty(output_shape(x.shape, windows, axes), result_dtype(x.dtype, operator, dtype))
    if callable(operator):
        for place in np.ndindex(values.shape):
            elements = window_at(x, windows, axes, place, where)[0]
            few = where is not None and len(elements) < least
            function = at_places(operator, x, windows, axes, place, where)
            values[place] = math.nan if few else stored(value_of(function, elements), values.dtype)
        return values
    indices = np.empty(values.shape, np.int64)
    for place in np.ndindex(values.shape):
        elements, flat, cells = window_at(x, windows, axes, place)
        if operator in ("max", "min"):
            winner = first_extreme(elements, operator)
            values[place], indices[place] = elements[winner], flat[winner]
        else:
            value = reduce(elements, cells, operator, count_include_pad, divisor_override, p)
            values[place] = stored(value, values.dtype)
    if not keepdims:
        values, indices = (
            a.reshape([n for axis, n in enumerate(a.shape) if axis not in axes]) for a in (values, indices)
        )
    return (values, indices) if return_indices else values


def gradient(
    x, upstream, operator, windows, axes, *, count_include_pad=False, divisor_override=None, p=2.0, where=None, least=1
):
    """The gradient of Σ upstream·pool(x), float64: max and min give all of it to the first winner.

    A function gives the derivative by each of a window's elements.
    """
    x = np.asarray(x)
    axes = tuple(axis % x.ndim for axis in axes)
    result = np.zeros(x.shape, np.float64)
    for place in np.ndindex(upstream.shape):
        elements, flat, cells = window_at(x, windows, axes, place, where)
        if callable(operator):
            few = where is not None and len(elements) < least
            function = at_places(operator, x, windows, axes, place, where)
            shares = [0.0] * len(flat) if few else function([float(e) for e in elements])
        elif operator in ("max", "min"):
            winner = first_extreme(elements, operator)
            shares = [float(i == winner) for i in range(len(elements))]
        elif operator == "average":
            shares = [1 / divisor(elements, cells, count_include_pad, divisor_override)] * len(elements)
        elif operator == "sum":
            shares = [1.0] * len(elements)
        else:
            y = reduce(elements, cells, operator, count_include_pad, divisor_override, p)
            shares = [math.copysign((abs(e) / y) ** (p - 1), e) if y and e else 0.0 for e in map(float, elements)]
        for position, share in zip(flat, shares, strict=True):
            if share and position >= 0:
                result[element_at(x.shape, axes, place, position)] += share * float(upstream[place])
    return result


def unpool(values, indices, axes, lengths):
    """Zeros of `lengths` along `axes`, with every value at its index.

    Of two values at one place the last stays, in row-major order of `axes`.
    """
    values, indices = np.asarray(values), np.asarray(indices)
    axes = tuple(axis % values.ndim for axis in axes)
    shape = list(values.shape)
    for axis, length in zip(axes, lengths, strict=True):
        shape[axis] = length
    result = np.zeros(shape, values.dtype)
    others = [axis for axis in range(values.ndim) if axis not in axes]
    for outer in itertools.product(*(range(values.shape[axis]) for axis in others)):
        for inner in itertools.product(*(range(values.shape[axis]) for axis in axes)):
            place = [0] * values.ndim
            for axis, i in zip((*others, *axes), (*outer, *inner), strict=True):
                place[axis] = i
            result[element_at(shape, axes, tuple(place), int(indices[tuple(place)]))] = values[tuple(place)]
    return result


# ---------------------------------------------------------------------------------------------------------------------
# One window


def output_shape(shape, windows, axes):
    result = list(shape)
    for axis, along in zip(axes, windows, strict=True):
        result[axis] = len(along)
    return tuple(result)


def window_at(x, windows, axes, place, where=None):
    """The elements of the window at `place` of the output, their flat positions, and its number of cells.

    With `where` only the elements where that is True.
    """
    elements, flat, cells = [], [], 0
    for position in itertools.product(*(along[place[axis]] for along, axis in zip(windows, axes, strict=True))):
        cells += 1
        if None in position:
            continue
        if ZERO in position:
            elements.append(x.dtype.type(0))
            flat.append(-1)
            continue
        index = list(place)
        number = 0
        for axis, p in zip(axes, position, strict=True):
            index[axis] = p
            number = number * x.shape[axis] + p
        if where is not None and not where[tuple(index)]:
            continue
        elements.append(x[tuple(index)])
        flat.append(number)
    return elements, flat, cells


def positional(function):
    """A function of (elements, places, sizes)."""
    function.positional = True
    return function


def at_places(function, x, windows, axes, place, where=None):
    """A positional function as one of the elements of the window at `place` alone."""
    if not getattr(function, "positional", False):
        return function
    places = []
    for cell in itertools.product(*(enumerate(along[place[axis]]) for along, axis in zip(windows, axes, strict=True))):
        position = [p for _, p in cell]
        if None in position:
            continue
        if where is not None and ZERO not in position:
            index = list(place)
            for axis, p in zip(axes, position, strict=True):
                index[axis] = p
            if not where[tuple(index)]:
                continue
        places.append([j for j, _ in cell])
    sizes = [getattr(along, "size", None) or max(map(len, along)) for along in windows]
    return lambda elements: function(elements, places, sizes)


def element_at(shape, axes, place, flat):
    """The index in the array of flat position `flat` of the pooled axes, beside `place` elsewhere."""
    index = list(place)
    for axis in reversed(axes):
        flat, index[axis] = divmod(flat, shape[axis])
    return tuple(index)


def first_extreme(elements, operator):
    """The place of the first greatest or least element; the first NaN before all."""
    best = None
    for i, element in enumerate(elements):
        if element != element:
            return i
        if best is None or (element > elements[best] if operator == "max" else element < elements[best]):
            best = i
    if best is None:
        raise ValueError("a window without an element has no extreme")
    return best


def divisor(elements, cells, count_include_pad, divisor_override):
    if divisor_override is not None:
        return divisor_override
    return cells if count_include_pad else len(elements)


def reduce(elements, cells, operator, count_include_pad, divisor_override, p):
    """The value of one window: a Python float, or a Fraction or int of integers."""
    exact = all(isinstance(e, np.integer | np.bool_) for e in elements)
    numbers = [int(e) if exact else float(e) for e in elements]
    if operator == "lp":
        largest = max(map(abs, numbers), default=0)
        if largest == 0 or not math.isfinite(sum(map(float, numbers))):
            return float(sum(map(abs, numbers)))
        return float(largest) * math.fsum((abs(e) / largest) ** p for e in numbers) ** (1 / p)
    total = sum(numbers) if exact or not all(map(math.isfinite, numbers)) else math.fsum(numbers)
    if operator == "sum":
        return total
    if operator == "average":
        n = divisor(elements, cells, count_include_pad, divisor_override)
        if n == 0:
            raise ValueError("a window without an element has no average")
        return Fraction(total, n) if exact else total / n
    raise ValueError(operator)


def value_of(function, elements):
    """A function of a window's elements as Python's numbers, of which NaN decides."""
    if any(isinstance(e, np.integer | np.bool_) for e in elements):
        return function([int(e) for e in elements])
    numbers = [float(e) for e in elements]
    return math.nan if any(map(math.isnan, numbers)) and function is not len else function(numbers)


def result_dtype(dtype, operator, requested):
    if callable(operator):
        return np.dtype(requested or np.float64)
    if operator in ("max", "min"):
        return dtype
    if requested is not None:
        return np.dtype(requested)
    if operator == "sum" and (dtype.kind in INTEGER_KINDS or dtype.kind == "b"):
        return np.sum(np.zeros(1, dtype)).dtype
    return np.dtype(np.float64)


def stored(value, dtype):
    """A value as `dtype` holds it: integers wrap as numpy.sum's do, fractions round half to even."""
    if dtype.kind == "b":
        return bool(value)
    if dtype.kind not in INTEGER_KINDS:
        return float(value)
    bits = dtype.itemsize * 8
    wrapped = round(value) % (1 << bits)
    return wrapped - (1 << bits) if dtype.kind == "i" and wrapped >= 1 << (bits - 1) else wrapped
