"""Layers for any operator, which learn its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras

from anypool.arguments import as_flag
from anypool.functional import global_pool
from anypool.keras.bases import AdaptivePooling, GlobalPooling, Pooling, SlidingPooling, by_rank, loadable
from anypool.masks import Settings
from anypool.operators import Operator, Parameter, operator_for
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

    The operator's parameters are the layer's weights, by their names, within their bounds by a constraint.
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
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        checked = Settings(min_count, fill_value, nan_policy)
        self.min_count, self.fill_value, self.nan_policy = checked.min_count, checked.fill_value, checked.nan_policy
        given = operator_for(from_config(operator) if isinstance(operator, dict) else operator)
        if given.split()[1]:
            raise TypeError(f"parameters of {given.info.name} must start from numbers in a layer, got an array")
        self.operator = given
        self.learnable = learnable if isinstance(learnable, bool) else tuple(learnable)
        names = [each.name for each in given.parameters()]
        unknown = [] if isinstance(learnable, bool) else [name for name in learnable if name not in names]
        if unknown:
            known = ", ".join(names) or "none"
            raise ValueError(f"learnable must name parameters of {given.info.name} ({known}), got {unknown[0]!r}")
        self.per_channel = as_flag("per_channel", per_channel)
        self.axis = axis
        if axis is not None:
            self.axes = (axis,) if isinstance(axis, int) else tuple(axis)
            if len(self.axes) != self.rank:
                raise ValueError(f"axis must name {self.rank} axes, got {axis!r}")
            self.input_spec = None
        self.built = False

    def _learned(self) -> list[Parameter]:
        parameters = self.operator.parameters()
        if isinstance(self.learnable, bool):
            return list(parameters) if self.learnable else []
        return [each for each in parameters if each.name in self.learnable]

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the weights, one number each, or one per channel."""
        shape = (input_shape[self.channel_axis],) if self.per_channel else ()
        if None in shape:
            raise ValueError(f"per_channel=True needs a known number of channels, got input_shape {tuple(input_shape)}")
        self._parameters_by_name = {
            each.name: self.add_weight(
                shape=shape,
                initializer=keras.initializers.Constant(getattr(self.operator, each.name)),
                constraint=Between(each.at_least, each.at_most),
                name=each.name,
                autocast=False,
            )
            for each in self._learned()
        }
        self.built = True

    def _current(self) -> Operator:
        """The operator, with the weights in shapes that broadcast against the input."""
        values = {}
        for name, weight in self._parameters_by_name.items():
            value = keras.ops.convert_to_tensor(weight)
            if self.per_channel and self.data_format == "channels_first":
                value = keras.ops.reshape(value, (-1, *(1,) * self.rank))
            values[name] = value
        return replace(self.operator, **values) if values else self.operator

    def _operator_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"operator": to_config(self.operator)}
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
        pool_size, strides, padding, data_format, dilation, ceil_mode: as in MaxPooling2D.
        learnable: whether the operator's parameters are learned, or the names of those that are.
        per_channel: learn one for each channel.
        axis: the pooled axes, for others than the spatial ones, as the channels.
        min_count, fill_value, nan_policy: as in `anypool.pool`, for what a mask or NaN leaves out; by default an output
            that the mask goes on to leave out is 0.

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

    def masked(self, inputs: Any, where: Any) -> Any:
        """As `anypool.global_pool` with `where`."""
        return global_pool(inputs, self._current(), self.axes, self.keepdims, where=where, **self._settings())


Pooling1D, Pooling2D, Pooling3D = by_rank(
    "Pooling", AnySlidingPooling, "Any operator over windows of {inputs}.", __name__
)
AdaptivePooling1D, AdaptivePooling2D, AdaptivePooling3D = by_rank(
    "AdaptivePooling", AnyAdaptivePooling, "Any operator over adaptive windows of {inputs}.", __name__
)
GlobalPooling1D, GlobalPooling2D, GlobalPooling3D = by_rank(
    "GlobalPooling", AnyGlobalPooling, "Any operator over every channel of {inputs}.", __name__
)
