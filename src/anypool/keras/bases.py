"""What the layers share: parameters, configuration and shapes; the pooling is `anypool.pool`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import keras
import numpy as np

from anypool.arguments import as_flag, per_axis, plain
from anypool.functional import global_pool, max_unpool, pool
from anypool.operators import Average, Max, Operator
from anypool.windows import Adaptive, Global, Sliding, Window

Shape = tuple[int | None, ...]


T = TypeVar("T", bound=keras.layers.Layer)

WHAT = {1: "steps", 2: "images", 3: "volumes"}


def by_rank(
    name: str,
    base: type[T],
    what: str,
    module: str,
    bases: Mapping[int, type[T]] = MappingProxyType({}),
    **attributes: Any,
) -> tuple[type[T], type[T], type[T]]:
    """The layers over one, two and three spatial axes, which models load by name: `what` says what they compute.

    `bases` are other bases for some numbers of axes, `module` is where the names are.
    """

    def made(rank: int) -> type[T]:
        text = f"{what.format(inputs=WHAT[rank])} Arguments are `{base.__name__}`'s."
        own = {"__doc__": text, "__module__": module, "rank": rank, **attributes}
        return loadable(type(f"{name}{rank}D", (bases.get(rank, base),), own))

    return made(1), made(2), made(3)


loadable = keras.saving.register_keras_serializable(package="anypool")


class Pooling(keras.layers.Layer):
    """What all layers share: operator and rank from the class, and a data format that says which axes are pooled.

    Inputs are (batch, …, channels) or (batch, channels, …); there may be more axes after the batch, as for frames.
    """

    rank: ClassVar[int]
    operator: Operator
    window: Window

    def __init__(self, data_format: str | None, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = keras.config.image_data_format() if data_format is None else str(data_format).lower()
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(f"data_format must be 'channels_last' or 'channels_first', got {data_format!r}")
        last = -1 if self.data_format == "channels_last" else 0
        self.axes = tuple(range(last - self.rank, last))
        self.input_spec = keras.layers.InputSpec(min_ndim=self.rank + 2)
        self.built = type(self).build is keras.layers.Layer.build  # there are no weights but a subclass's own

    def call(self, inputs: Any) -> Any:
        return pool(inputs, self.operator, self.window, self.axes)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """The output's shape for an input's, unknown lengths None; ValueError where a window does not fit."""
        shape = tuple(input_shape)
        least = self.rank + 2
        if len(shape) < least:
            raise ValueError(f"input_shape must have at least {least} entries for {type(self).__name__}, got {shape}")
        axes = self._positive_axes(len(shape))
        pooled = dict(zip(axes, self.window.output_shape([shape[axis] for axis in axes]), strict=True))
        return tuple(pooled.get(axis, length) for axis, length in enumerate(shape))

    def _positive_axes(self, ndim: int) -> tuple[int, ...]:
        return tuple(axis % ndim for axis in self.axes)


class SlidingPooling(Pooling):
    """One number per window that slides over the spatial axes: the base of the Max-, Min- and AveragePooling layers.

    Output length ⌊(n + p₀ + p₁ − d(k−1) − 1)/s⌋ + 1 per spatial axis; "same": ⌈n/s⌉. See `anypool.Sliding`.

    Args:
        pool_size: elements per window; an int, or one per spatial axis.
        strides: distance between windows; an int, or one per spatial axis; default: pool_size.
        padding: "valid", "same" (the extra padding of an odd number at the end), "same_lower" (at the start); or
            positions: an int, one per spatial axis, or ((before, after), …) per spatial axis.
        data_format: "channels_last" (batch, …, channels) or "channels_first" (batch, channels, …); default: Keras's.
        dilation: distance between the elements of a window; an int, or one per spatial axis.
        ceil_mode: round the number of outputs up, so that a last, partial window counts.
        padding_mode: what lies in the padding: "exclude" (nothing), "zeros", "reflect", "replicate" or "circular".

    Raises:
        TypeError: an entry is no integer. ValueError: an entry is out of range, or there is not one per spatial axis.
    """

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: Any = "valid",
        data_format: str | None = None,
        name: str | None = None,
        *,
        dilation: int | Sequence[int] = 1,
        ceil_mode: bool = False,
        padding_mode: str = "exclude",
        **options: Any,
    ) -> None:
        super().__init__(data_format, name=name, **options)
        self.pool_size = self._per_axis("pool_size", pool_size)
        self.strides = self.pool_size if strides is None else self._per_axis("strides", strides)
        self.padding = plain(padding)
        self.dilation = self._per_axis("dilation", dilation)
        self.ceil_mode = as_flag("ceil_mode", ceil_mode)
        self.padding_mode = padding_mode
        self.window = Sliding(self.pool_size, self.strides, self.padding, self.dilation, ceil_mode, padding_mode)

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration; what Keras does not have appears where it is not the default."""
        config = {
            **super().get_config(),
            "pool_size": self.pool_size,
            "padding": self.padding,
            "strides": self.strides,
            "data_format": self.data_format,
        }
        if set(self.dilation) != {1}:
            config["dilation"] = self.dilation
        if self.ceil_mode:
            config["ceil_mode"] = True
        if self.padding_mode != "exclude":
            config["padding_mode"] = self.padding_mode
        return config

    def _per_axis(self, name: str, value: Any) -> tuple[int, ...]:
        return _entries(name, value, self.rank)


class ExtremePooling(SlidingPooling):
    """Max and min, which can give the flat positions of their elements within the spatial axes too.

    Args:
        return_indices: give (values, indices), as `MaxUnpooling` layers take them.
    """

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: Any = "valid",
        data_format: str | None = None,
        name: str | None = None,
        *,
        return_indices: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **options)
        self.return_indices = as_flag("return_indices", return_indices)

    def call(self, inputs: Any) -> Any:
        return pool(inputs, self.operator, self.window, self.axes, return_indices=self.return_indices)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Any:
        shape = super().compute_output_shape(input_shape)
        return (shape, shape) if self.return_indices else shape

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if self.return_indices:
            config["return_indices"] = True
        return config


class Unpooling(Pooling):
    """Values back to where they were, zeros elsewhere: the inverse of max and min pooling with `return_indices`.

    Called with a pair, values and indices. Output length (o − 1)·s − p₀ − p₁ + k per spatial axis, or `output_size`.

    Args:
        pool_size, strides, padding: as they were in pooling; padding as positions.
        output_size: lengths of the spatial axes; an int, or one per spatial axis.
        data_format: "channels_last" (batch, …, channels) or "channels_first" (batch, channels, …); default: Keras's.

    Raises:
        TypeError: an entry is no integer. ValueError: an entry is out of range, or there is not one per spatial axis.
    """

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: Any = 0,
        data_format: str | None = None,
        name: str | None = None,
        *,
        output_size: int | Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(data_format, name=name, **options)
        self.input_spec = None  # two inputs
        self.pool_size = _entries("pool_size", pool_size, self.rank)
        self.strides = self.pool_size if strides is None else _entries("strides", strides, self.rank)
        self.padding = plain(padding)
        self.output_size = None if output_size is None else _entries("output_size", output_size, self.rank)
        self.sliding = Sliding(self.pool_size, self.strides, self.padding)

    def call(self, inputs: Any) -> Any:
        if not isinstance(inputs, Sequence) or len(inputs) != 2:
            raise TypeError(f"inputs must be a pair of values and indices, got {type(inputs).__name__}")
        values, indices = inputs
        return max_unpool(values, indices, self.pool_size, self.strides, self.padding, self.output_size, axes=self.axes)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        shape = tuple(input_shape[0])
        axes = self._positive_axes(len(shape))
        outputs = [shape[axis] for axis in axes]
        lengths = self.output_size or [
            None if number is None else length
            for number, length in zip(outputs, self.sliding.unpooled_shape([n or 1 for n in outputs]), strict=True)
        ]
        pooled = dict(zip(axes, lengths, strict=True))
        return tuple(pooled.get(axis, length) for axis, length in enumerate(shape))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "output_size": self.output_size,
            "data_format": self.data_format,
        }


class AveragingPooling(SlidingPooling):
    """Averages, whose divisor may count explicit padding.

    Args:
        count_include_pad: whether it does; the others are `SlidingPooling`'s.
    """

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: Any = "valid",
        data_format: str | None = None,
        name: str | None = None,
        *,
        count_include_pad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **options)
        self.operator = Average(count_include_pad)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if self.operator.counts_padding:
            config["count_include_pad"] = True
        return config


class GlobalPooling(Pooling):
    """One number per channel: the base of the GlobalMax-, GlobalMin- and GlobalAveragePooling layers.

    (batch, …, channels) to (batch, channels), or to (batch, 1, …, channels) with `keepdims`.

    Args:
        data_format: "channels_last" (batch, …, channels) or "channels_first" (batch, channels, …); default: Keras's.
        keepdims: whether the spatial axes stay, with length 1.

    Raises:
        ValueError: data_format is neither.
    """

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Any) -> None:
        super().__init__(data_format, **options)
        self.keepdims = as_flag("keepdims", keepdims)
        self.window = Global()

    def call(self, inputs: Any) -> Any:
        return global_pool(inputs, self.operator, self.axes, self.keepdims)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        shape = super().compute_output_shape(input_shape)
        if self.keepdims:
            return shape
        gone = self._positive_axes(len(shape))
        return tuple(length for axis, length in enumerate(shape) if axis not in gone)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format, "keepdims": self.keepdims}


class StepsPooling(GlobalPooling):
    """Global pooling over steps, of which a mask (batch, steps) says which count; it ends here."""

    rank = 1

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return super().call(inputs)
        counted = keras.ops.expand_dims(keras.ops.cast(mask, "bool"), -1 if self.data_format == "channels_last" else -2)
        return self.masked(inputs, counted)

    def masked(self, inputs: Any, counted: Any) -> Any:
        """The pooling of the steps that count; where none does, −inf for a max and inf for a min."""
        name = keras.backend.standardize_dtype(inputs.dtype)
        least, greatest = _bounds(name)
        identity = keras.ops.convert_to_tensor(least if isinstance(self.operator, Max) else greatest, name)
        return super().call(keras.ops.where(counted, inputs, identity))

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None


class AdaptivePooling(Pooling):
    """As many windows as outputs are wanted, whatever the input's size: the base of the Adaptive layers.

    Output i of m along an axis of n keeps one number of [⌊i·n/m⌋, ⌈(i+1)·n/m⌉), in integers.

    Args:
        output_size: outputs per spatial axis; an int, or one per axis; None keeps an axis as it is.
        data_format: "channels_last" (batch, …, channels) or "channels_first" (batch, channels, …); default: Keras's.

    Raises:
        TypeError: an entry is no integer. ValueError: an entry is below 1, or there is not one per spatial axis.
    """

    def __init__(self, output_size: Any, data_format: str | None = None, **options: Any) -> None:
        super().__init__(data_format, **options)
        self.output_size = _entries("output_size", output_size, self.rank, optional=True)
        self.window = Adaptive(self.output_size)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_size": self.output_size, "data_format": self.data_format}


# ---------------------------------------------------------------------------------------------------------------------
# Arguments


def _entries(name: str, value: Any, rank: int, optional: bool = False) -> tuple[Any, ...]:
    """One entry per spatial axis, checked."""
    if optional and value is None:
        return (None,) * rank
    checked = per_axis(name, value, 1, optional)
    entries = checked if isinstance(checked, tuple) else (checked,) * rank
    if len(entries) != rank:
        raise ValueError(f"{name} must be an integer or have one entry per spatial axis ({rank}), got {value!r}")
    return entries


def _bounds(dtype: str) -> tuple[Any, Any]:
    """The least and the greatest number of a dtype."""
    if dtype == "bool":
        return False, True
    if keras.backend.is_float_dtype(dtype):
        return -np.inf, np.inf
    limits = np.iinfo(dtype)
    return limits.min, limits.max
