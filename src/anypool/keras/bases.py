"""What the layers share: parameters, configuration, masks and shapes; the pooling is `anypool.pool`'s."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import keras
import numpy as np

from anypool.arguments import as_flag, per_axis, plain
from anypool.functional import global_pool, max_unpool, pool
from anypool.keras import masks
from anypool.masks import NO_INDICES
from anypool.operators import Average, Max, Min, Operator
from anypool.windows import Adaptive, Global, Sliding, Window

Shape = tuple[int | None, ...]


T = TypeVar("T", bound=keras.layers.Layer)

WHAT = {1: "steps", 2: "images", 3: "volumes"}


def by_rank(
    name: str,
    base: type[T],
    what: str,
    module: str,
    **attributes: Any,
) -> tuple[type[T], type[T], type[T]]:
    """The layers over one, two and three spatial axes, which models load by name: `what` says what they compute.

    `module` is where the names are.
    """

    def made(rank: int) -> type[T]:
        text = f"{what.format(inputs=WHAT[rank])} Arguments are `{base.__name__}`'s."
        own = {"__doc__": text, "__module__": module, "rank": rank, **attributes}
        return loadable(type(f"{name}{rank}D", (base,), own))

    return made(1), made(2), made(3)


loadable = keras.saving.register_keras_serializable(package="anypool")


class Pooling(keras.layers.Layer):
    """What all layers share: operator and rank from the class, and a data format that says which axes are pooled.

    Inputs are (batch, …, channels) or (batch, channels, …); there may be more axes after the batch, as for frames.
    A mask has the inputs' axes without the channels, or the first of them: what it does not count is in no window. An
    output counts further on where its window holds enough that counts for a value; the others are 0.
    """

    rank: ClassVar[int]
    operator: Operator
    window: Window
    return_indices: bool = False
    min_count: int | None = None
    fill_value: float | None = None
    nan_policy: str = "propagate"

    def __init__(self, data_format: str | None, *, use_mask: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = channels_of(data_format)
        last = -1 if self.data_format == "channels_last" else 0
        self.axes = tuple(range(last - self.rank, last))
        self.input_spec = keras.layers.InputSpec(min_ndim=self.rank + 2)
        self.use_mask = as_flag("use_mask", use_mask)
        self.supports_masking = self.use_mask and "mask" in inspect.signature(type(self).call).parameters
        self.built = type(self).build is keras.layers.Layer.build  # there are no weights but a subclass's own

    @property
    def channel_axis(self) -> int:
        """The axis of the channels, from the end."""
        return -1 if self.data_format == "channels_last" else -self.rank - 1

    def call(self, inputs: Any, mask: Any = None) -> Any:
        return self._pool(inputs, mask, self.operator)

    def _pool(self, inputs: Any, mask: Any, operator: Operator) -> Any:
        settings = self._settings()
        if mask is None or not self.use_mask:
            more = {"return_indices": True} if self.return_indices else settings
            return pool(inputs, operator, self.window, self.axes, **more)
        where = self._where(inputs, mask)
        if self.fill_value is None and (self.nan_policy == "propagate" or not _is_float(inputs)):
            return pool(inputs, operator, self.window, self.axes, where=where, **{**settings, "fill_value": 0})
        values = pool(inputs, operator, self.window, self.axes, where=where, **settings)
        if self.fill_value is not None:
            return values
        return keras.ops.where(self._counts(inputs, where), values, keras.ops.zeros_like(values))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Which outputs count: those whose windows hold as many elements that count as a value needs."""
        if previous_mask is None or not self.use_mask:
            return None
        where = self._where(inputs, previous_mask)
        if len(previous_mask.shape) <= min(self._positive_axes(len(inputs.shape))):
            return previous_mask  # of what lies before the pooled axes, as frames
        return keras.ops.take(self._counts(inputs, where), 0, axis=self.channel_axis)

    def _settings(self) -> dict[str, Any]:
        """What happens where elements are left out, as `anypool.pool` takes it."""
        return {"min_count": self.min_count, "fill_value": self.fill_value, "nan_policy": self.nan_policy}

    def _where(self, inputs: Any, mask: Any) -> Any:
        if self.return_indices:
            raise ValueError(f"{NO_INDICES}: give use_mask=False")
        return masks.over_elements(mask, inputs, self.channel_axis)

    def _counts(self, inputs: Any, where: Any) -> Any:
        least = max(self.min_count or 1, self.operator.min_elements)
        return masks.over_outputs(where, inputs, self.window, self.axes, self.channel_axis, least)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return config if self.use_mask else {**config, "use_mask": False}

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
        use_mask: whether a mask of the inputs is obeyed, and one of the outputs made.
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

    def call(self, inputs: Any) -> Any:  # type: ignore[override]
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

    (batch, …, channels) to (batch, channels), or to (batch, 1, …, channels) with `keepdims`. A mask says which elements
    count, and ends here: where none does, an average is NaN, a max −inf and a min inf.

    Args:
        data_format: "channels_last" (batch, …, channels) or "channels_first" (batch, channels, …); default: Keras's.
        keepdims: whether the spatial axes stay, with length 1.
        use_mask: whether a mask of the inputs is obeyed.

    Raises:
        ValueError: data_format is neither.
    """

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Any) -> None:
        super().__init__(data_format, **options)
        self.keepdims = as_flag("keepdims", keepdims)
        self.window = Global()

    def _pool(self, inputs: Any, mask: Any, operator: Operator) -> Any:
        if mask is None or not self.use_mask:
            return global_pool(inputs, operator, self.axes, self.keepdims, **self._settings())
        return self.masked(inputs, self._where(inputs, mask), operator)

    def masked(self, inputs: Any, where: Any, operator: Operator) -> Any:
        """The pooling of what counts; where nothing does, NaN, −inf for a max and inf for a min."""
        pooled = operator, self.axes, self.keepdims
        if not isinstance(self.operator, Max | Min):
            return global_pool(inputs, *pooled, where=where, **self._settings())
        name = keras.backend.standardize_dtype(inputs.dtype)
        least, greatest = _bounds(name)
        identity = keras.ops.convert_to_tensor(least if isinstance(self.operator, Max) else greatest, name)
        return global_pool(keras.ops.where(where, inputs, identity), *pooled)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: the mask ends here."""
        return None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        shape = super().compute_output_shape(input_shape)
        if self.keepdims:
            return shape
        gone = self._positive_axes(len(shape))
        return tuple(length for axis, length in enumerate(shape) if axis not in gone)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format, "keepdims": self.keepdims}


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


def channels_of(data_format: str | None) -> str:
    """The data format, checked; Keras's own where there is none."""
    chosen: str = keras.config.image_data_format() if data_format is None else str(data_format).lower()
    if chosen not in ("channels_last", "channels_first"):
        raise ValueError(f"data_format must be 'channels_last' or 'channels_first', got {data_format!r}")
    return chosen


def _entries(name: str, value: Any, rank: int, optional: bool = False) -> tuple[Any, ...]:
    """One entry per spatial axis, checked."""
    if optional and value is None:
        return (None,) * rank
    checked = per_axis(name, value, 1, optional)
    entries = checked if isinstance(checked, tuple) else (checked,) * rank
    if len(entries) != rank:
        raise ValueError(f"{name} must be an integer or have one entry per spatial axis ({rank}), got {value!r}")
    return entries


def _is_float(inputs: Any) -> bool:
    return bool(keras.backend.is_float_dtype(keras.backend.standardize_dtype(inputs.dtype)))


def _bounds(dtype: str) -> tuple[Any, Any]:
    """The least and the greatest number of a dtype."""
    if dtype == "bool":
        return False, True
    if keras.backend.is_float_dtype(dtype):
        return -np.inf, np.inf
    limits = np.iinfo(dtype)
    return limits.min, limits.max
