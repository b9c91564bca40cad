"""The group "jax": pooling of JAX arrays by anypool, and its gradient, beside reduce_window and jax.grad of it.

On a CPU, JAX's arrays lie where malloc puts them. Whether that is memory which the process has had before, or fresh
pages of 4 KiB that must be touched first, is as chance has it, and decides over a call of a few passes over memory. So
everything is measured twice, in a process each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import anypool as ap
from benchmarks import children
from benchmarks.cases import AVERAGE, BACKWARD, CASES, FIRST, FORWARD, LAST, MAX, Case, Row, same
from benchmarks.contenders import Jax
from benchmarks.pooling import Record
from benchmarks.pooling import measure as measure_rows
from benchmarks.tasks import Task

OURS = "anypool JAX"
LARGE = (2, 8, 512, 512)
SHARE = (1, 2, 512, 512)

USUAL, KEPT = "malloc's defaults", "kept, in huge pages"
MEMORY = {
    USUAL: {},
    KEPT: {
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1"
        ":glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=4294967296"
    },
}
"""What is asked of the C library, by a name for the memory it then gives: glibc's, others do not listen."""

JAX_CASES = (
    *(case for case in CASES if case.what in ("plain", "ResNet stem", "VGG") and case.dtype == "float32"),
    Case("course CNN 1", (64, 32, 26, 26), ap.Sliding(2), layouts=(LAST,), quick=True),
    *(Case(f"large {k}", LARGE, same(k), layouts=(FIRST,), share=SHARE) for k in (7, 15, 31, 63)),
)


class AnypoolJax(Jax):
    """anypool on JAX arrays, jitted."""

    name, beside = OURS, None

    def function(self, task: Task) -> Callable[[Any], Any]:
        return lambda x: ap.pool(x, task.operator, task.window, task.axes)


class JaxItself(Jax):
    beside = OURS


def case_operators(case: Case) -> tuple[str, ...]:
    """Averages have no slow gradient to speak of: a few cases will do."""
    return (MAX,) if case.width >= 15 else (MAX, AVERAGE)


def measure(quick: bool, only: str, report: Callable[[Record], None]) -> None:
    """One record per memory, case, operator, layout and direction; "backward" is what jax.grad computes."""
    for memory in (USUAL,) if quick else MEMORY:
        arguments = [memory, only, *(["--quick"] if quick else [])]
        for record in children.records(__name__, *arguments, environment=MEMORY[memory]):
            report(record)


def rows(quick: bool) -> list[Row]:
    """What the group measures, in each memory."""
    return [
        Row(case, operator, layout, direction)
        for case in JAX_CASES
        if case.quick or not quick
        for layout in case.layouts[:1]
        for operator in case_operators(case)
        for direction in (FORWARD, BACKWARD)
    ]


def _measure_here(memory: str, only: str, quick: bool) -> None:
    measure_rows(
        [row for row in rows(quick) if only in row.name],
        (AnypoolJax(),),
        (JaxItself(),),
        lambda record: children.report(record | {"memory": memory}),
    )


if __name__ == "__main__":
    _measure_here(sys.argv[1], sys.argv[2], quick="--quick" in sys.argv)
