"""How a pyramid says that it is not finished."""

from __future__ import annotations


class IncompletePyramid(RuntimeError):
    """A pyramid could not be finished. The message says why; what is done is kept, and the same call goes on from
    there.

    >>> raise IncompletePyramid("1 of 8 superblocks could not be computed")
    Traceback (most recent call last):
    ...
    anypool.pyramids.errors.IncompletePyramid: 1 of 8 superblocks could not be computed
    """


class Unreadable(Exception):
    """A part of the source cannot be read, or has no value; the message says which and why."""
