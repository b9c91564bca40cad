"""Modules for any operator, which learn its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from anypool import operators
from anypool.arguments import as_flag, as_integer, per_axis, plain
from anypool.masks import Settings
from anypool.operators import ARRAY, Operator, Parameter, operator_for
from anypool.torch import pooling
from anypool.torch.bases import by_rank
from anypool.windows import Adaptive, Global, Sliding, Window


class OperatorPool(torch.nn.Module):
    """What the modules for any operator share: the operator, what of it is learned, and the pooled axes.

    The operator's parameters are this module's, by their names: a number, or one per channel, which is the axis before
    the pooled ones; those of every element of a window, as the logits of `anypool.OrderedWeighted`, have one for each
    along a last axis, and need windows of a known number of elements. A learned parameter that left its bounds counts
    as its nearest bound, while its gradient goes on.
    """

    rank: ClassVar[int]
    min_count: int | None = None
    fill_value: float | None = None
    nan_policy: str = "propagate"

    def __init__(
        self,
        operator: Operator | str,
        window: Window,
        *,
        learnable: bool | Sequence[str] = True,
        channels: int | None = None,
        dim: int | Sequence[int] | None = None,
        min_count: int | None = None,
        fill_value: float | None = None,
        nan_policy: str = "propagate",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        checked = Settings(min_count, fill_value, nan_policy)
        self.min_count, self.fill_value, self.nan_policy = checked.min_count, checked.fill_value, checked.nan_policy
        self.generator = generator
        if window.rank not in (None, self.rank):
            raise ValueError(f"{type(self).__name__} pools {self.rank} axes, but {window} is written for {window.rank}")
        self.window, self.dim = window, _dims(dim, self.rank)
        self.channels = None if channels is None else as_integer("channels", channels, 1)
        if channels is not None and dim is not None:
            raise ValueError("channels= goes with the last axes pooled, not with dim=, got both")
        given = operator_for(operator)
        learned = _learned(given, learnable)
        self.operator = replace(given, **{each.name: ARRAY for each in learned}) if learned else given.split()[0]
        for each in given.learnable():
            value = getattr(given, each.name)
            if each in learned:
                start = given.start_of_weight(each, window, self.rank)
                self.register_parameter(each.name, torch.nn.Parameter(self._initial(each.name, start)))
            elif getattr(self.operator, each.name) is ARRAY:
                self.register_buffer(each.name, torch.as_tensor(value))
        self._bounds = {each.name: (each.at_least, each.at_most) for each in given.learnable()}
        self._per_element = tuple(each.name for each in given.learnable() if each.per_element)

    def _initial(self, name: str, start: Any) -> Tensor:
        if hasattr(self, name):
            raise ValueError(f"parameter {name!r} of the operator has the name of an attribute of modules")
        if not isinstance(start, int | float | tuple):
            return torch.as_tensor(start).detach().clone()
        one = torch.tensor(start, dtype=torch.get_default_dtype())
        return one if self.channels is None else one.repeat(self.channels, *(1,) * one.dim())

    def _arrays(self) -> tuple[Tensor, ...]:
        """The operator's arrays, within their bounds and in shapes that broadcast against the input."""
        arrays = []
        for name, (least, most) in self._bounds.items():
            if name in self._parameters or name in self._buffers:
                value = getattr(self, name)
                value = value + (value.clamp(least, most) - value).detach()
                elements = value.shape[-1:] if name in self._per_element else ()
                per_channel = self.channels is not None and value.shape == (self.channels, *elements)
                arrays.append(value.view(-1, *(1,) * self.rank, *elements) if per_channel else value)
        return tuple(arrays)

    def forward(self, input: Tensor, where: Tensor | None = None) -> Tensor:
        """The pooling of the input's elements, of those that `where`, which broadcasts to it, lets count."""
        operator, arrays = self.operator, self._arrays()
        if operator.random and self.training:
            drawn = [each.name for each in operator.parameters() if each.per_window]
            operator = replace(operator, **dict.fromkeys(drawn, ARRAY))
            arrays = (*arrays, *(self._draw(input) for _ in drawn))
        settings = self.min_count, self.fill_value, self.nan_policy
        return pooling.pool_any(input, operator, self.window, self.dim, arrays, where, settings)

    def _draw(self, input: Tensor) -> Tensor:
        """A number in [0, 1) for every window."""
        shape = list(input.shape)
        dims = [dim % input.dim() for dim in self.dim]
        for dim, plan in zip(dims, self.window.plan([shape[dim] for dim in dims], dims), strict=True):
            shape[dim] = plan.outputs
        return torch.rand(shape, generator=self.generator, device=input.device)

    def extra_repr(self) -> str:
        own = {"dim": self.dim, "min_count": self.min_count, "fill_value": self.fill_value}
        usual = {"dim": pooling.AXES[self.rank], "nan_policy": "propagate"}
        given = {**own, "nan_policy": self.nan_policy}
        more = "".join(f", {name}={value!r}" for name, value in given.items() if value != usual.get(name))
        return f"{self.operator}, {self.window}{more}".replace("Ellipsis", "learned")


def _dims(dim: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    if dim is None:
        return pooling.AXES[rank]
    dim = plain(dim)
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(dims) != rank:
        raise ValueError(f"dim must name {rank} axes, got {dim!r}")
    return dims


def _learned(operator: Operator, learnable: bool | Sequence[str]) -> tuple[Parameter, ...]:
    """The parameters that are learned: all, none, or those named."""
    parameters = operator.learnable()
    if isinstance(learnable, bool):
        return parameters if learnable else ()
    names = [each.name for each in parameters]
    wanted = [learnable] if isinstance(learnable, str) else list(learnable)
    unknown = [name for name in wanted if name not in names]
    if unknown:
        known = ", ".join(names) or "none"
        raise ValueError(f"learnable must name parameters of {operator.info.name} ({known}), got {unknown[0]!r}")
    return tuple(each for each in parameters if each.name in wanted)


class AnySlidingPool(OperatorPool):
    """Any operator over sliding windows: the base of Pool1d, Pool2d and Pool3d.

    Args:
        operator: an operator or its text, as in "gem:p=3".
        kernel_size, stride, padding, dilation, ceil_mode, padding_mode: as in `anypool.Sliding`.
        learnable: whether the operator's parameters are learned, or the names of those that are.
        channels: one parameter for each of so many channels; default: one for all.
        dim: the pooled axes; default: the last ones.
        min_count, fill_value, nan_policy: as in `anypool.pool`, for what a mask, the second argument of a call, or NaN
            leaves out.
        generator: draws the numbers of random operators, while the module trains; default: torch's own.

    Raises:
        TypeError, ValueError: as `anypool.operator_for` and `anypool.Sliding`, or the operator has no such parameter.
    """

    def __init__(
        self,
        operator: Operator | str,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: Any = 0,
        dilation: int | Sequence[int] = 1,
        ceil_mode: bool = False,
        *,
        padding_mode: str = "exclude",
        **options: Any,
    ) -> None:
        window = Sliding(kernel_size, stride, padding, dilation, ceil_mode, padding_mode)  # type: ignore[arg-type]
        super().__init__(operator, window, **options)


class AnyAdaptivePool(OperatorPool):
    """Any operator over as many windows as wanted: the base of AdaptivePool1d, AdaptivePool2d and AdaptivePool3d.

    Args:
        operator, learnable, channels, dim, min_count, fill_value, nan_policy: as in Pool2d.
        output_size: as in `anypool.Adaptive`.
    """

    def __init__(
        self, operator: Operator | str, output_size: int | Sequence[int | None] | None, **options: Any
    ) -> None:
        super().__init__(operator, Adaptive(*pooling.adaptive(output_size)), **options)


class AnyGlobalPool(OperatorPool):
    """Any operator over everything: the base of GlobalPool1d, GlobalPool2d and GlobalPool3d.

    Args:
        operator, learnable, channels, dim, min_count, fill_value, nan_policy: as in Pool2d.
        keepdim: whether the pooled axes stay, with length 1.
    """

    def __init__(self, operator: Operator | str, keepdim: bool = False, **options: Any) -> None:
        super().__init__(operator, Global(), **options)
        self.keepdim = as_flag("keepdim", keepdim)

    def forward(self, input: Tensor, where: Tensor | None = None) -> Tensor:
        values = super().forward(input, where)
        if self.keepdim:
            return values
        if self.dim == pooling.AXES[self.rank]:  # how many axes there are need not be known
            return values.flatten(-self.rank).squeeze(-1)
        for dim in sorted((dim % input.dim() for dim in self.dim), reverse=True):
            values = values.squeeze(dim)
        return values


class ConcatPool(torch.nn.Module):
    """Several operators over the same windows, their values one after another as channels: the base of ConcatPool1d,
    ConcatPool2d and ConcatPool3d, and of GlobalConcatPool1d, GlobalConcatPool2d and GlobalConcatPool3d.

    Args:
        operators: operators or their texts; average and max are timm's "catavgmax".
        settings: those of Pool2d, or GlobalPool2d, after the operator.
    """

    rank: ClassVar[int]
    single: ClassVar[type[OperatorPool]]
    """The module of one operator."""

    def __init__(
        self, operators: Sequence[Operator | str] = ("average", "max"), *settings: Any, **options: Any
    ) -> None:
        super().__init__()
        if isinstance(operators, str) or not operators:
            raise ValueError(f"operators must be one or more operators or their names, got {operators!r}")
        pooling_of = type(f"Pool{self.rank}d", (self.single,), {"rank": self.rank})
        self.pools = torch.nn.ModuleList(pooling_of(each, *settings, **options) for each in operators)
        self.keepdim = getattr(self.pools[0], "keepdim", True)

    def forward(self, input: Tensor) -> Tensor:
        return torch.cat([pool(input) for pool in self.pools], -self.rank - 1 if self.keepdim else -1)


class MedianPool(AnySlidingPool):
    """Medians over sliding windows: the base of MedianPool1d, MedianPool2d and MedianPool3d.

    Args:
        kernel_size, stride, padding, dilation, ceil_mode, padding_mode: as in `anypool.Sliding`. mid: as in
            `anypool.Median`.
    """

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: Any = 0,
        dilation: int | Sequence[int] = 1,
        ceil_mode: bool = False,
        *,
        padding_mode: str = "exclude",
        mid: str = "lower",
    ) -> None:
        operator = operators.Median(mid)
        super().__init__(operator, kernel_size, stride, padding, dilation, ceil_mode, padding_mode=padding_mode)


class BlurPool(AnySlidingPool):
    """A binomial filter at a stride: the base of BlurPool1d, BlurPool2d and BlurPool3d. See `anypool.Blur`.

    Args:
        kernel_size: the filter's size k: 2 is [1, 1]/2, 3 is [1, 2, 1]/4, … stride: distance between outputs.
        padding: as in `anypool.Sliding`; default: ⌊(k−1)/2⌋ before and ⌈(k−1)/2⌉ after, for ⌈n/s⌉ outputs.
        padding_mode: as in `anypool.Sliding`.
    """

    def __init__(
        self,
        kernel_size: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 2,
        padding: Any = None,
        *,
        padding_mode: str = "reflect",
    ) -> None:
        if padding is None:
            checked = per_axis("kernel_size", kernel_size, 1)
            sizes = checked if isinstance(checked, tuple) else (checked,) * self.rank
            padding = tuple(((size - 1) // 2, size // 2) for size in sizes)
        super().__init__(operators.Blur(), kernel_size, stride, padding, padding_mode=padding_mode)


class LocalImportancePool2d(torch.nn.Module):
    """Σ e^(Gᵢ)·xᵢ / Σ e^(Gᵢ) over windows of images, with G = c·σ(norm(conv(x))): see `anypool.LocalImportance`.

    It begins as the average: the convolution, of 1×1, is 0 at the start. Source: Gao, Wang, Wu 2019, arXiv 1908.04156.

    Args:
        channels: of the input. kernel_size, stride, padding: as in `anypool.Sliding`. coefficient: c, of the logits.
    """

    def __init__(
        self, channels: int, kernel_size: Any = 3, stride: Any = 2, padding: Any = 1, coefficient: float = 12.0
    ) -> None:
        super().__init__()
        self.window, self.coefficient = Sliding(kernel_size, stride, padding), float(coefficient)
        start = torch.nn.Conv2d(channels, channels, 1, bias=False)
        torch.nn.init.zeros_(start.weight)
        self.logit = torch.nn.Sequential(start, torch.nn.InstanceNorm2d(channels, affine=True), torch.nn.Sigmoid())

    def forward(self, input: Tensor) -> Tensor:
        logits = self.coefficient * self.logit(input)
        return pooling.pool_any(input, operators.LocalImportance(ARRAY), self.window, pooling.AXES[2], (logits,))


class MaxBlurPool(AnySlidingPool):
    """Maxima at stride 1, then a binomial filter at a stride: the base of MaxBlurPool1d, MaxBlurPool2d and
    MaxBlurPool3d. See `anypool.MaxBlur`.

    Args:
        kernel_size, stride, padding, dilation: of the maxima, as in `torch.nn.MaxPool2d`. filter_size: as in
            `anypool.MaxBlur`. padding_mode: as in `anypool.Sliding`.
    """

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: Any = 0,
        dilation: int | Sequence[int] = 1,
        *,
        filter_size: int = 3,
        padding_mode: str = "exclude",
    ) -> None:
        operator = operators.MaxBlur(filter_size)
        super().__init__(operator, kernel_size, stride, padding, dilation, padding_mode=padding_mode)


class GeM(AnyGlobalPool):
    """The generalised mean (Σ max(x, ε)ᵖ/n)^(1/p) of the last two axes, with a learned p (Radenović 2018).

    Args:
        p: the power to start from. eps: what smaller elements count as. keepdim: whether the axes stay, with length 1.
        learnable: whether p is learned. channels: one p for each of so many channels; default: one for all.

    >>> GeM(p=3.0)(torch.ones(2, 4, 7, 7)).shape
    torch.Size([2, 4, 1, 1])
    """

    rank = 2

    def __init__(self, p: Any = 3.0, eps: float = 1e-6, keepdim: bool = True, **options: Any) -> None:
        super().__init__(operators.GeM(p, eps), keepdim, **options)


Pool1d, Pool2d, Pool3d = by_rank("Pool", AnySlidingPool, "Any operator over windows of {axes}.", __name__)
AdaptivePool1d, AdaptivePool2d, AdaptivePool3d = by_rank(
    "AdaptivePool", AnyAdaptivePool, "Any operator over as many windows along {axes} as wanted.", __name__
)
GlobalPool1d, GlobalPool2d, GlobalPool3d = by_rank(
    "GlobalPool", AnyGlobalPool, "Any operator over all of {axes}.", __name__
)
ConcatPool1d, ConcatPool2d, ConcatPool3d = by_rank(
    "ConcatPool", ConcatPool, "Several operators over windows of {axes}, concatenated.", __name__, single=AnySlidingPool
)
GlobalConcatPool1d, GlobalConcatPool2d, GlobalConcatPool3d = by_rank(
    "GlobalConcatPool",
    ConcatPool,
    "Several operators over all of {axes}, concatenated.",
    __name__,
    single=AnyGlobalPool,
)
BlurPool1d, BlurPool2d, BlurPool3d = by_rank(
    "BlurPool", BlurPool, "{axes}, blurred and subsampled, so that nothing aliases (Zhang 2019).", __name__
)
MaxBlurPool1d, MaxBlurPool2d, MaxBlurPool3d = by_rank(
    "MaxBlurPool",
    MaxBlurPool,
    "The greatest elements of windows of {axes}, blurred and subsampled (Zhang 2019).",
    __name__,
)
MedianPool1d, MedianPool2d, MedianPool3d = by_rank(
    "MedianPool", MedianPool, "The median of every window of {axes}.", __name__
)
