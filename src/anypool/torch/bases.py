"""What the pooling modules of one to three axes share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from anypool.arguments import as_flag, plain
from anypool.operators import Average, Operator
from anypool.torch import pooling
from anypool.torch.native import Native
from anypool.windows import Adaptive

T = TypeVar("T", bound=torch.nn.Module)

AXES = {1: "the last axis", 2: "the last two axes", 3: "the last three axes"}


def by_rank(name: str, base: type[T], what: str, module: str, **attributes: Any) -> tuple[type[T], type[T], type[T]]:
    """The modules over one, two and three axes: `what` says what they compute, and torch's of the name are their bases.

    An attribute that is a dict has an entry per number of axes; `module` is where the names are.
    """

    def made(rank: int) -> type[T]:
        own = f"{name}{rank}d"
        torch_s = getattr(torch.nn, own, None)
        likeness = "" if torch_s is None else f", as `torch.nn.{own}`"
        text = what.format(axes=AXES[rank], likeness=likeness, name=own)
        chosen = {key: value.get(rank) if isinstance(value, dict) else value for key, value in attributes.items()}
        parents = (base,) if torch_s is None else (base, torch_s)
        return type(own, parents, {"__doc__": text, "__module__": module, "rank": rank, **chosen})

    return made(1), made(2), made(3)


class Pool(torch.nn.Module):
    """What all share: how many of the last axes they pool, and how they print.

    Called with a tensor and, beside it, a mask: booleans that broadcast to it, True where an element counts. A window
    in which nothing counts gives NaN, or 0 for a sum; dtypes without NaN are refused.
    """

    rank: ClassVar[int]
    shown: ClassVar[tuple[str, ...]]
    native: ClassVar[Native | None] = None
    """torch's own operator, where it means the same."""
    return_indices: bool = False

    @property
    def operator(self) -> Operator | str | tuple[Any, ...]:
        """What is kept of a window: names are looked up faster than objects; a tuple is the arguments of `Average`."""
        raise NotImplementedError

    def check(self) -> None:
        """Make the attributes plain; ValueError or TypeError where they make no pooling."""
        for name in (*self.shown, "return_indices"):
            if name in vars(self):
                setattr(self, name, plain(getattr(self, name)))
        as_flag("return_indices", self.return_indices)

    def example(self) -> Tensor:
        """A small input, for trying these settings."""
        raise NotImplementedError

    def _set(self, **settings: Any) -> None:
        """These attributes, checked."""
        torch.nn.Module.__init__(self)
        for name, value in settings.items():
            setattr(self, name, value)
        self.check()

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.shown)


class SlidingPool(Pool):
    """Modules with a sliding window; class attributes stand for what a module of torch does not have."""

    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    ceil_mode: bool = False

    def _slide(
        self, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, **settings: Any
    ) -> None:
        stride = kernel_size if stride is None else stride
        window = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
        self._set(**window, ceil_mode=ceil_mode, **settings)

    def check(self) -> None:
        super().check()
        window = pooling.sliding(self.rank, *self.window)
        if window.rank not in (None, self.rank):
            raise ValueError(f"{type(self).__name__} pools {self.rank} axes, but {window} is written for {window.rank}")

    def example(self) -> Tensor:
        window = pooling.sliding(self.rank, *self.window)
        kernel, dilation = (_entries(value, self.rank) for value in (window.kernel_size, window.dilation))
        spans = (gap * (size - 1) + 1 for size, gap in zip(kernel, dilation, strict=True))
        return torch.zeros(()).expand(1, 1, *spans)

    @property
    def window(self) -> tuple[Any, ...]:
        return self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode

    def forward(self, input: Tensor, where: Tensor | None = None) -> Any:
        if where is not None:
            return pooling.masked_pool(input, where, self.rank, self.operator, self.window, self.return_indices)
        return pooling.pool(input, self.rank, self.operator, self.window, self.return_indices, self.native)


class ExtremePool(SlidingPool):
    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: Any = 0,
        dilation: int | Sequence[int] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self._slide(kernel_size, stride, padding, dilation, ceil_mode, return_indices=return_indices)


class SummingPool(SlidingPool):
    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: Any = 0,
        dilation: int | Sequence[int] = 1,
        ceil_mode: bool = False,
    ) -> None:
        self._slide(kernel_size, stride, padding, dilation, ceil_mode)


class AveragingPool(SlidingPool):
    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "count_include_pad", "divisor_override")
    count_include_pad: bool
    divisor_override: int | None = None

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        *,
        dilation: int | Sequence[int] = 1,
    ) -> None:
        average = {"count_include_pad": count_include_pad, "divisor_override": divisor_override}
        self._slide(kernel_size, stride, padding, dilation, ceil_mode, **average)

    def check(self) -> None:
        super().check()
        Average(self.count_include_pad, self.divisor_override)

    @property
    def operator(self) -> tuple[Any, ...]:
        return self.count_include_pad, self.divisor_override


class NormPool(SlidingPool):
    shown = ("norm_type", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "signed")
    norm_type: float
    signed: bool = True  # as torch's own, which may be given this class
    average: ClassVar[Native | None] = None
    """torch's own average, of which torch's norm is made."""

    def __init__(
        self,
        norm_type: float,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        ceil_mode: bool = False,
        *,
        padding: Any = 0,
        dilation: int | Sequence[int] = 1,
        signed: bool = False,
    ) -> None:
        self._slide(kernel_size, stride, padding, dilation, ceil_mode, norm_type=norm_type, signed=signed)

    def check(self) -> None:
        super().check()
        if not as_flag("signed", self.signed):
            pooling.norm(self.norm_type)
        elif self.padding != 0 or self.dilation != 1:
            given = f"{self.padding} and {self.dilation}"
            raise ValueError(f"signed=True is torch's own, without padding and dilation; got {given}")

    @property
    def operator(self) -> Operator:
        return pooling.norm(self.norm_type)

    def forward(self, input: Tensor, where: Tensor | None = None) -> Tensor:
        if self.signed:
            if where is not None:
                raise ValueError("signed=True is torch's own, which has no mask: where= goes with signed=False")
            window = self.kernel_size, self.stride, self.ceil_mode
            return pooling.lp_pool(input, self.rank, self.norm_type, *window, self.average)
        return super().forward(input.abs() if math.isinf(self.norm_type) else input, where)


class AdaptivePool(Pool):
    shown = ("output_size",)
    output_size: Any

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        self._set(output_size=output_size)

    def check(self) -> None:
        super().check()
        if Adaptive(*pooling.adaptive(self.output_size)).rank not in (None, self.rank):
            raise ValueError(f"{type(self).__name__} pools {self.rank} axes, got output_size={self.output_size!r}")

    def example(self) -> Tensor:
        return torch.zeros((1,) * (2 + self.rank))

    def forward(self, input: Tensor, where: Tensor | None = None) -> Any:
        window = pooling.adaptive(self.output_size)
        if where is not None:
            return pooling.masked_pool(input, where, self.rank, self.operator, window, self.return_indices)
        return pooling.pool(input, self.rank, self.operator, window, self.return_indices, self.native)


class AdaptiveExtremePool(AdaptivePool):
    def __init__(self, output_size: int | Sequence[int | None] | None, return_indices: bool = False) -> None:
        self._set(output_size=output_size, return_indices=return_indices)


class GlobalPool(Pool):
    shown = ("keepdim",)

    def __init__(self, keepdim: bool = False) -> None:
        super().__init__()
        self.keepdim = as_flag("keepdim", keepdim)

    def forward(self, input: Tensor, where: Tensor | None = None) -> Tensor:
        arguments = self.rank, self.operator, pooling.EVERYTHING
        values = pooling.pool(input, *arguments) if where is None else pooling.masked_pool(input, where, *arguments)
        return values if self.keepdim else values.flatten(-self.rank).squeeze(-1)


class Unpool(Pool):
    shown = ("kernel_size", "stride", "padding")
    kernel_size: Any
    stride: Any
    padding: Any

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
    ) -> None:
        torch.nn.Module.__init__(self)
        window = pooling.sliding(self.rank, kernel_size, stride, padding)
        self.kernel_size, self.stride, self.padding = (
            _entries(value, self.rank) for value in (window.kernel_size, window.stride, window.padding)
        )

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return pooling.unpool(input, indices, self.rank, self.kernel_size, self.stride, self.padding, output_size)


def _entries(value: Any, rank: int) -> tuple[Any, ...]:
    """One entry per axis."""
    return value if isinstance(value, tuple) else (value,) * rank
