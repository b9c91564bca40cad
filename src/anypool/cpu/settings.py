"""How many threads the kernels use, and how much memory they cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from anypool.cpu.extension import compiled


def set_num_threads(n: int) -> None:
    """How many threads a kernel uses, at most; 0 for the default (ANYPOOL_NUM_THREADS, else what OpenMP is set to).

    Raises TypeError where n is no integer and ValueError where it is not between 0 and 4096.

    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(0)
    """
    number = _checked(n, 4096, "4096")
    if compiled is not None:
        compiled.set_num_threads(number)


def get_num_threads() -> int:
    """How many threads a kernel may use; 1 where there are no kernels.

    >>> get_num_threads() >= 1
    True
    """
    return compiled.get_num_threads() if compiled is not None else 1


def get_cpu_capability() -> str | None:
    """The instruction set of the kernels: "x86-64-v2", "x86-64-v3", "x86-64-v4" or "plain"; None where there are none.

    The widest that the processor has is chosen when anypool is loaded; ANYPOOL_ISA=v2, v3 or v4 asks for another.

    >>> get_cpu_capability() in ("x86-64-v2", "x86-64-v3", "x86-64-v4", "plain", None)
    True
    """
    isa = None if compiled is None else compiled.isa
    return isa if isa in ("plain", None) else f"x86-64-{isa}"


@contextmanager
def one_thread() -> Iterator[None]:
    """Kernels called from this thread, within the block, run on it alone: for tasks that run side by side."""
    if compiled is None:
        yield
        return
    before = compiled.set_thread_limit(1)
    try:
        yield
    finally:
        compiled.set_thread_limit(before)


def set_memory_cache_limit(n: int) -> None:
    """How many bytes of freed buffers are cached for the next outputs, at most; 0 caches none and frees what is cached.

    Fresh memory costs more than a pooling: outputs and gradients of 8 MiB and more on a CPU take the place of freed
    ones of about their size. The system may take cached memory whenever it needs some (`MADV_FREE`; elsewhere
    nothing is cached). The default is ANYPOOL_MEMORY_CACHE, else a sixteenth of the machine's memory and at most 1 GiB.

    Raises TypeError where n is no integer and ValueError where it is negative or over 2⁶².

    >>> limit = get_memory_cache_limit()
    >>> set_memory_cache_limit(0)
    >>> get_memory_cache_limit()
    0
    >>> set_memory_cache_limit(limit)
    """
    number = _checked(n, 2**62, "2**62 bytes")
    if compiled is not None:
        compiled.set_memory_cache_limit(number)


def get_memory_cache_limit() -> int:
    """How many bytes of freed buffers are cached, at most; 0 where there are no kernels.

    >>> get_memory_cache_limit() >= 0
    True
    """
    return compiled.get_memory_cache_limit() if compiled is not None else 0


def _checked(n: Any, most: int, shown: str) -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"n must be an integer, got {n!r}")
    if not 0 <= n <= most:
        raise ValueError(f"n must be between 0 and {shown}, got {n}")
    return int(n)


def _read_environment() -> None:
    text = os.environ.get("ANYPOOL_MEMORY_CACHE")
    if text:
        if not text.isdecimal():
            raise ValueError(f"ANYPOOL_MEMORY_CACHE must be a number of bytes, got {text!r}")
        set_memory_cache_limit(int(text))


_read_environment()
