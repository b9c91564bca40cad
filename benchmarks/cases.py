"""The one table of cases: what is pooled, of which shape and dtype, in which layouts, through which window.

The runner measures every case, forward and backward, max and average, and the page shows them in this order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from anypool import Adaptive, Global, Sliding, Window

FIRST, LAST = "first", "last"
MAX, AVERAGE = "max", "average"
FORWARD, BACKWARD, TRAINING = "forward", "backward", "training"
ITEM_SIZE = {"float32": 4, "bfloat16": 2, "float16": 2, "uint8": 1}
LARGE_WINDOW = 7
"""Windows this wide along an axis, and wider, are summed up apart."""


def pooled_shape(shape: tuple[int, ...], window: Window) -> tuple[int, ...]:
    """The shape of the output, channels first like that of the input."""
    return (*shape[:2], *cast("tuple[int, ...]", window.output_shape(shape[2:])))


@dataclass(frozen=True)
class Case:
    """One line of the table. `shape` is channels first, (N, C, *spatial), whatever the layouts.

    `share` is a part of the shape on which peers are timed, and scaled up, where the whole would take them too long.
    """

    what: str
    shape: tuple[int, ...]
    window: Window
    layouts: tuple[str, ...] = (FIRST, LAST)
    dtype: str = "float32"
    share: tuple[int, ...] | None = None
    trained: bool = False
    """Whether a whole training step through autograd, forward and backward, is measured too."""
    quick: bool = False
    """Whether the quick mode keeps it."""

    @property
    def rank(self) -> int:
        return len(self.shape) - 2

    @property
    def output_shape(self) -> tuple[int, ...]:
        return pooled_shape(self.shape, self.window)

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * ITEM_SIZE[self.dtype]

    @property
    def width(self) -> int:
        """Elements of the window along its widest axis; 0 for adaptive and global windows, which follow the map."""
        if not isinstance(self.window, Sliding):
            return 0
        kernel = self.window.kernel_size
        return kernel if isinstance(kernel, int) else max(kernel)

    @property
    def floor_is_memory(self) -> bool:
        """Whether the case is too large for caches, so that a copy is its floor."""
        return self.bytes >= 64 * 2**20

    @property
    def overlaps_little(self) -> bool:
        """Whether it is one of the windows of at most 3 with stride 2 and more, which should run as a copy does."""
        return isinstance(self.window, Sliding) and self.width <= 3 and self.stride >= 2

    @property
    def stride(self) -> int:
        assert isinstance(self.window, Sliding)
        stride = self.window.stride
        assert stride is not None
        return stride if isinstance(stride, int) else min(stride)

    @property
    def window_name(self) -> str:
        window = self.window
        if isinstance(window, Global):
            return "global"
        if isinstance(window, Adaptive):
            return f"adaptive {window.output_size}"
        assert isinstance(window, Sliding)
        return f"{window.kernel_size} s{window.stride}" + (f" p{window.padding}" if window.padding else "")


def same(width: int) -> Sliding:
    """A window of odd width at stride 1 whose output is as large as the input."""
    return Sliding(width, stride=1, padding=width // 2)


STEM = ("ResNet stem", (32, 64, 112, 112), Sliding(3, stride=2, padding=1))

CASES = (
    Case("plain", (8, 16, 1024, 1024), Sliding(2), trained=True, share=(1, 16, 1024, 1024)),
    Case(*STEM, trained=True, quick=True),
    Case("VGG", (16, 64, 224, 224), Sliding(2), trained=True, share=(4, 64, 224, 224)),
    Case("Inception branch", (32, 192, 35, 35), same(3), quick=True),
    Case("SPP 5", (8, 512, 20, 20), same(5)),
    Case("SPP 9", (8, 512, 20, 20), same(9)),
    Case("SPP 13", (8, 512, 20, 20), same(13)),
    Case("course CNN 1", (64, 32, 26, 26), Sliding(2), layouts=(LAST,), quick=True),
    Case("course CNN 2", (64, 32, 11, 11), Sliding(2), layouts=(LAST,)),
    Case("large 3", (4, 16, 512, 512), same(3)),
    Case("large 7", (4, 16, 512, 512), same(7), share=(1, 8, 512, 512)),
    Case("large 15", (4, 16, 512, 512), same(15), share=(1, 4, 512, 512)),
    Case("large 31", (4, 16, 512, 512), same(31), share=(1, 2, 512, 512)),
    Case("large 63", (4, 16, 512, 512), same(63), share=(1, 2, 512, 512)),
    Case("audio 4", (16, 128, 16000), Sliding(4), layouts=(FIRST,)),
    Case("audio 160", (16, 128, 16000), Sliding(160, stride=80), layouts=(FIRST,)),
    Case("video 2", (4, 32, 16, 56, 56), Sliding(2)),
    Case("video 3", (4, 32, 16, 56, 56), same(3)),
    Case("head global", (32, 2048, 7, 7), Global()),
    Case("head adaptive 7", (32, 512, 14, 14), Adaptive(7)),
    Case("head adaptive 5", (32, 512, 14, 14), Adaptive(5)),
    Case("tiny", (1, 3, 8, 8), Sliding(2), layouts=(FIRST,), trained=True, quick=True),
    Case(*STEM, dtype="bfloat16"),
    Case(*STEM, dtype="float16"),
    Case(*STEM, dtype="uint8", quick=True),
)


@dataclass(frozen=True)
class Row:
    """What is measured at once: one case, operator, layout and direction, by everyone who can."""

    case: Case
    operator: str
    layout: str
    direction: str

    @property
    def name(self) -> str:
        case = self.case
        dtype = "" if case.dtype == "float32" else f"{case.dtype} "
        return f"{case.what}, {dtype}{case.window_name}, {self.operator}, {self.direction}, channels {self.layout}"

    @property
    def family(self) -> str:
        """Under which heading it is summed up: "max", "average" or "large windows"."""
        return "large windows" if self.case.width >= LARGE_WINDOW else self.operator


def rows(cases: tuple[Case, ...] = CASES, quick: bool = False) -> Iterator[Row]:
    """Every row of the table. Integers have no gradient, so no row but the forward one."""
    for case in cases:
        if quick and not case.quick:
            continue
        directions = [FORWARD]
        if case.dtype != "uint8":
            directions += [BACKWARD, *([TRAINING] if case.trained else [])]
        for layout in case.layouts[:1] if quick else case.layouts:
            for operator in (MAX, AVERAGE):
                yield from (Row(case, operator, layout, direction) for direction in directions)
