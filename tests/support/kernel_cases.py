"""Random calls of the compiled kernels: geometry, elements and memory layouts."""

import ml_dtypes
import numpy as np
import reference

from anypool.adapters.numpy import ADAPTER
from anypool.arguments import DTYPES, INTEGERS
from anypool.operators import Average, Max, Min, Sum
from anypool.pooling import decide
from anypool.windows import Adaptive, Global, Sliding

__all__ = [
    "DTYPES",
    "FLOATING",
    "GUARDED_ARRAYS",
    "OPERATORS",
    "as_dtype",
    "elements",
    "laid_out",
    "pooling_of",
    "random_call",
]

FLOATING = ("float16", "bfloat16", "float32", "float64")
OPERATORS = {"max": Max(), "min": Min(), "sum": Sum(), "average": Average()}


def as_dtype(name):
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def elements(draw, shape, dtype):
    numbers = np.random.default_rng(draw.randrange(2**32))
    if dtype == "bool":
        return numbers.integers(0, 2, shape).astype(bool)
    if dtype in INTEGERS:
        limits = np.iinfo(dtype)
        whole = numbers.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
        return whole if draw.random() < 0.5 and np.dtype(dtype).itemsize < 8 else (whole % 4).astype(dtype)
    x = numbers.integers(-2, 3, shape) * 1.0 if draw.random() < 0.5 else numbers.standard_normal(shape)
    for value, share in ((-0.0, 0.3), (np.inf, 0.1), (-np.inf, 0.4), (np.nan, 0.1)):
        if draw.random() < 0.25:
            x = np.where(numbers.random(shape) < share, value, x)
    return np.where(numbers.random(shape) < 0.5, x, np.copysign(x, 1)).astype(as_dtype(dtype))


def laid_out(draw, x):
    """The same numbers in another memory order, with gaps and backward steps."""
    order = draw.sample(range(x.ndim), x.ndim)
    steps = [draw.choice((1, 1, 2, -1)) for _ in order]
    room = np.zeros([x.shape[axis] * abs(step) + 1 for axis, step in zip(order, steps, strict=True)], x.dtype)
    pieces = tuple(slice(0, x.shape[axis] * abs(step), abs(step)) for axis, step in zip(order, steps, strict=True))
    view = room[pieces][tuple(slice(None, None, -1 if step < 0 else 1) for step in steps)]
    view[...] = x.transpose(order)
    return view.transpose(np.argsort(order))


def random_call(draw):
    """A shape, pooled axes, a window, and the reference's windows; refused geometries are drawn again."""
    while True:
        rank = draw.choice((1, 2, 2, 3))
        shape = [draw.choice((1, 2, 3, 17)) for _ in range(rank + draw.randrange(3))]
        axes = draw.sample(range(len(shape)), rank)
        for axis in axes:
            shape[axis] = draw.randrange(1, 40 if rank == 1 else 16 if rank == 2 else 7)
        if np.prod(shape) > 4000:
            continue
        lengths = [shape[axis] for axis in axes]
        kind = draw.random()
        if kind < 0.15:
            sizes = tuple(draw.randrange(1, 7) for _ in axes)
            window = Adaptive(sizes)
            windows = [reference.adaptive(n, m) for n, m in zip(lengths, sizes, strict=True)]
        elif kind < 0.25:
            window, windows = Global(), [reference.whole(n) for n in lengths]
        else:
            arguments = [
                (
                    draw.randrange(1, 12 if rank < 3 else 4),
                    draw.randrange(1, 5),
                    draw.randrange(4),
                    draw.choice((1, 1, 2)),
                )
                for _ in axes
            ]
            ceil = draw.random() < 0.3
            window = Sliding(
                tuple(k for k, *_ in arguments),
                tuple(s for _, s, *_ in arguments),
                tuple((p, p) for *_, p, _ in arguments),
                tuple(d for *_, d in arguments),
                ceil,
            )
            try:
                if any(plan.has_empty_window for plan in window.plan(lengths)):
                    continue
            except ValueError:
                continue
            windows = [
                reference.sliding(n, k, s, (p, p), d, ceil) for n, (k, s, p, d) in zip(lengths, arguments, strict=True)
            ]
        if np.prod(window.output_shape(lengths)) * (np.prod(shape) / np.prod(lengths)) <= 600:
            return shape, tuple(axes), window, windows


def pooling_of(x, operator, window, axes, **more):
    return decide(ADAPTER, x, operator, window, axes, **more)


GUARDED_ARRAYS = """
import ctypes, mmap, random, sys
import numpy as np
sys.path[:0] = {tests!r}
import kernel_cases as t
from anypool.cpu import kernels
protect = ctypes.CDLL(None).mprotect
protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
page = mmap.PAGESIZE
held = []

def guarded(draw, a):
    order = draw.sample(range(a.ndim), a.ndim)
    a = np.ascontiguousarray(a.transpose(order))
    pages = -(-a.nbytes // page) + 2
    room = mmap.mmap(-1, pages * page)
    held.append(room)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    protect(start, page, 0)
    protect(start + (pages - 1) * page, page, 0)
    offset = draw.choice((page, (pages - 1) * page - a.nbytes))
    copy = np.frombuffer(room, np.uint8, a.nbytes, offset).view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy.transpose(np.argsort(order))
"""
