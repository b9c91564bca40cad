"""Layers for any operator, which learn its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from anypool.arguments import as_flag
from anypool.functional import global_pool
from anypool.keras.bases import AdaptivePooling, GlobalPooling, Pooling, SlidingPooling, by_rank, loadable
from anypool.masks import Settings
from anypool.operators import Blur, MaxBlur, Operator, Parameter, operator_for
from anypool.saving import from_config, to_config


@loadable
class Between(keras.constraints.Constraint):
    """Keeps a weight within bounds: what an operator's parameter may be."""

    def __init__(self, at_least: float, at_most: float) -> None:
        self.at_least, self.at_most = at_least, at_most

    def __call__(self, w: Any) -> Any:
        return keras.ops.clip(w, self.at_least, self.at_most)

    def get_config(self) -> dict[str, float]:
        return {"at_least": self.at_least, "at_most": self.at_most}


class OperatorPooling(Pooling):
    """What the layers for any operator share: the operator, what of it is learned, and the pooled axes.

    The operator's parameters are the layer's weights, by their names, within their bounds by a constraint: a number, or
    one per channel; those of every element of a window, as the logits of `anypool.OrderedWeighted`, have one for each
    along a last axis, and need windows of a known number of elements.
    """

    def __init__(
        self,
        operator: Operator | str | dict[str, Any],
        *arguments: Any,
        learnable: bool | Sequence[str] = True,
        per_channel: bool = False,
        axis: int | Sequence[int] | None = None,
        min_count: int | None = None,
        fill_value: float | None = None,
        nan_policy: str = "propagate",
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        checked = Settings(min_count, fill_value, nan_policy)
        self.min_count, self.fill_value, self.nan_policy = checked.min_count, checked.fill_value, checked.nan_policy
        self.seed = seed
        given = operator_for(from_config(operator) if isinstance(operator, dict) else operator)
        if given.split()[1]:
            raise TypeError(f"parameters of {given.info.name} must start from numbers in a layer, got an array")
        self.operator = given
        self.learnable = learnable if isinstance(learnable, bool) else tuple(learnable)
        names = [each.name for each in given.learnable()]
        unknown = [] if isinstance(learnable, bool) else [name for name in learnable if name not in names]
        if unknown:
            known = ", ".join(names) or "none"
            raise ValueError(f"learnable must name parameters of {given.info.name} ({known}), got {unknown[0]!r}")
        self.per_channel = as_flag("per_channel", per_channel)
        self.seed_generator = keras.random.SeedGenerator(seed) if given.random else None
        self.axis = axis
        self._starts = {each.name: given.start_of_weight(each, self.window, self.rank) for each in self._learned()}
        if axis is not None:
            self.axes = (axis,) if isinstance(axis, int) else tuple(axis)
            if len(self.axes) != self.rank:
                raise ValueError(f"axis must name {self.rank} axes, got {axis!r}")
            self.input_spec = None
        self.built = False

    def _learned(self) -> list[Parameter]:
        parameters = self.operator.learnable()
        if isinstance(self.learnable, bool):
            return list(parameters) if self.learnable else []
        return [each for each in parameters if each.name in self.learnable]

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the weights: a number each, or one per element of the window; or such for every channel."""
        channels = (input_shape[self.channel_axis],) if self.per_channel else ()
        if None in channels:
            raise ValueError(f"per_channel=True needs a known number of channels, got input_shape {tuple(input_shape)}")
        self._parameters_by_name = {
            each.name: self.add_weight(
                shape=(*channels, *np.shape(self._starts[each.name])),
                initializer=keras.initializers.Constant(self._starts[each.name]),
                constraint=Between(each.at_least, each.at_most),
                name=each.name,
                autocast=False,
            )
            for each in self._learned()
        }
        self.built = True

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        return self._pool(inputs, mask, self._current(inputs, training))

    def _current(self, inputs: Any, training: bool | None) -> Operator:
        """The operator with the weights as they are, in shapes that broadcast against the input, and with numbers drawn
        where it trains."""
        values = {}
        if training and self.operator.random:
            values = {each.name: self._draw(inputs) for each in self.operator.parameters() if each.per_window}
        for name, weight in self._parameters_by_name.items():
            value = keras.ops.convert_to_tensor(weight)
            if self.per_channel and self.data_format == "channels_first":
                value = keras.ops.reshape(value, (-1, *(1,) * self.rank, *np.shape(self._starts[name])))
            values[name] = value
        return replace(self.operator, **values) if values else self.operator

    def _draw(self, inputs: Any) -> Any:
        """A number in [0, 1) for every window."""
        shape = list(keras.ops.shape(inputs))
        axes = self._positive_axes(len(shape))
        for axis, plan in zip(axes, self.window.plan([shape[axis] for axis in axes], axes), strict=True):
            shape[axis] = plan.outputs
        return keras.random.uniform(tuple(shape), seed=self.seed_generator)

    def _operator_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"operator": to_config(self.operator)}
        if self.seed is not None:
            config["seed"] = self.seed
        if self.learnable is not True:
            config["learnable"] = self.learnable
        if self.per_channel:
            config["per_channel"] = True
        if self.axis is not None:
            config["axis"] = self.axis
        return config | {name: value for name, value in self._settings().items() if value not in (None, "propagate")}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._operator_config()}


class AnySlidingPooling(OperatorPooling, SlidingPooling):
    """Any operator over sliding windows: the base of Pooling1D, Pooling2D and Pooling3D.

    Args:
        operator: an operator or its text, as in "gem:p=3".
        pool_size, strides, padding, data_format, dilation, ceil_mode, padding_mode: as in MaxPooling2D.
        learnable: whether the operator's parameters are learned, or the names of those that are.
        per_channel: learn one for each channel.
        axis: the pooled axes, for others than the spatial ones, as the channels.
        min_count, fill_value, nan_policy: as in `anypool.pool`, for what a mask or NaN leaves out; by default an output
            that the mask goes on to leave out is 0.
        seed: of the numbers that random operators draw while the model trains.

    Raises:
        TypeError, ValueError: as `anypool.operator_for` and MaxPooling2D, or the operator has no such parameter.
    """


class AnyAdaptivePooling(OperatorPooling, AdaptivePooling):
    """Any operator over as many windows as wanted: the base of AdaptivePooling1D, AdaptivePooling2D, AdaptivePooling3D.

    Args:
        operator, learnable, per_channel, axis, min_count, fill_value, nan_policy: as in Pooling2D.
        output_size, data_format: as in AdaptiveMaxPooling2D.
    """


class AnyGlobalPooling(OperatorPooling, GlobalPooling):
    """Any operator over everything: the base of GlobalPooling1D, GlobalPooling2D and GlobalPooling3D.

    Args:
        operator, learnable, per_channel, axis, min_count, fill_value, nan_policy: as in Pooling2D.
        data_format, keepdims: as in GlobalMaxPooling2D.
    """

    def masked(self, inputs: Any, where: Any, operator: Operator) -> Any:
        """As `anypool.global_pool` with `where`."""
        return global_pool(inputs, operator, self.axes, self.keepdims, where=where, **self._settings())


class BlurPooling(AnySlidingPooling):
    """A binomial filter at a stride: the base of BlurPooling1D, BlurPooling2D and BlurPooling3D. See `anypool.Blur`.

    Args:
        pool_size: the filter's size k: 2 is [1, 1]/2, 3 is [1, 2, 1]/4, … strides: distance between outputs.
        padding: as in MaxPooling2D; default: ⌊(k−1)/2⌋ before and ⌈(k−1)/2⌉ after, for ⌈n/s⌉ outputs.
        data_format, padding_mode: as in MaxPooling2D.
    """

    def __init__(
        self,
        pool_size: int | Sequence[int] = 3,
        strides: int | Sequence[int] = 2,
        padding: Any = None,
        data_format: str | None = None,
        *,
        padding_mode: str = "reflect",
        **options: Any,
    ) -> None:
        if padding is None:
            padding = tuple(((size - 1) // 2, size // 2) for size in self._per_axis("pool_size", pool_size))
        arguments = pool_size, strides, padding, data_format
        super().__init__(Blur(), *arguments, padding_mode=padding_mode, **options)

    def _operator_config(self) -> dict[str, Any]:
        return {"padding_mode": self.padding_mode}


class MaxBlurPooling(AnySlidingPooling):
    """Maxima at stride 1, then a binomial filter at a stride: the base of MaxBlurPooling1D, MaxBlurPooling2D and
    MaxBlurPooling3D. See `anypool.MaxBlur`.

    Args:
        pool_size, strides, padding, data_format, dilation, padding_mode: of the maxima, as in MaxPooling2D.
        filter_size: as in `anypool.MaxBlur`.
    """

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: Any = "valid",
        data_format: str | None = None,
        *,
        filter_size: int = 3,
        **options: Any,
    ) -> None:
        operator = MaxBlur(filter_size)
        super().__init__(operator, pool_size, strides, padding, data_format, **options)
        self.filter_size = operator.filter_size

    def _operator_config(self) -> dict[str, Any]:
        return {"filter_size": self.filter_size}


Pooling1D, Pooling2D, Pooling3D = by_rank(
    "Pooling", AnySlidingPooling, "Any operator over windows of {inputs}.", __name__
)
BlurPooling1D, BlurPooling2D, BlurPooling3D = by_rank(
    "BlurPooling",
    BlurPooling,
    "A binomial filter over {inputs}, subsampled, so that nothing aliases (Zhang 2019).",
    __name__,
)
MaxBlurPooling1D, MaxBlurPooling2D, MaxBlurPooling3D = by_rank(
    "MaxBlurPooling",
    MaxBlurPooling,
    "The greatest elements of windows of {inputs}, blurred and subsampled (Zhang 2019).",
    __name__,
)
AdaptivePooling1D, AdaptivePooling2D, AdaptivePooling3D = by_rank(
    "AdaptivePooling", AnyAdaptivePooling, "Any operator over adaptive windows of {inputs}.", __name__
)
GlobalPooling1D, GlobalPooling2D, GlobalPooling3D = by_rank(
    "GlobalPooling", AnyGlobalPooling, "Any operator over every channel of {inputs}.", __name__
)
