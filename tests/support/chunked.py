"""Chunkings of arrays, drawn by hypothesis or at random, and what tests of chunks compare."""

import numpy as np
from hypothesis import strategies as st


def computed(x):
    return x.compute(scheduler="sync")


@st.composite
def chunkings(draw, shape):
    """Chunks of every axis: uneven, of one element, one for all."""
    return tuple(draw(cuts(length)) for length in shape)


@st.composite
def cuts(draw, length):
    kind = draw(st.sampled_from(["uneven", "ones", "whole"]))
    if kind == "ones" and length:
        return (1,) * length
    if kind == "whole" or length < 2:
        return (length,)
    inner = draw(st.sets(st.integers(1, length - 1), max_size=4))
    return tuple(np.diff([0, *sorted(inner), length]).tolist())


@st.composite
def windows(draw, lengths, widest=None):
    """Sliding windows that fit axes of these lengths, of at most `widest` elements along each."""
    import anypool as ap

    kernel = tuple(draw(st.integers(1, min(n, widest or n))) for n in lengths)
    stride = tuple(draw(st.integers(1, 5)) for _ in kernel)
    padding = tuple((draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in kernel)
    return ap.Sliding(kernel, stride, padding, 1, draw(st.booleans()))
