"""The layers by name: an operator, a number of spatial axes, and a kind of window."""

from __future__ import annotations

from typing import Any

import keras

from anypool.adapters import adapter_for
from anypool.adapters.keras import Pool
from anypool.functional import global_pool
from anypool.keras.bases import AdaptivePooling, AveragingPooling, GlobalPooling, SlidingPooling, StepsPooling
from anypool.operators import Average, Max, Min, Sum

loadable = keras.saving.register_keras_serializable(package="anypool")
loadable(Pool)  # anypool's functions in functional models


# ---------------------------------------------------------------------------------------------------------------------
# Sliding windows


@loadable
class MaxPooling1D(SlidingPooling):
    """The greatest element of every window of steps; arguments are `SlidingPooling`'s."""

    rank = 1
    operator = Max()


@loadable
class MaxPooling2D(SlidingPooling):
    """The greatest element of every window of images; arguments are `SlidingPooling`'s."""

    rank = 2
    operator = Max()


@loadable
class MaxPooling3D(SlidingPooling):
    """The greatest element of every window of volumes; arguments are `SlidingPooling`'s."""

    rank = 3
    operator = Max()


@loadable
class MinPooling1D(SlidingPooling):
    """The least element of every window of steps; arguments are `SlidingPooling`'s."""

    rank = 1
    operator = Min()


@loadable
class MinPooling2D(SlidingPooling):
    """The least element of every window of images; arguments are `SlidingPooling`'s."""

    rank = 2
    operator = Min()


@loadable
class MinPooling3D(SlidingPooling):
    """The least element of every window of volumes; arguments are `SlidingPooling`'s."""

    rank = 3
    operator = Min()


@loadable
class AveragePooling1D(AveragingPooling):
    """The average of every window of steps; arguments are `SlidingPooling`'s, and count_include_pad."""

    rank = 1


@loadable
class AveragePooling2D(AveragingPooling):
    """The average of every window of images; arguments are `SlidingPooling`'s, and count_include_pad."""

    rank = 2


@loadable
class AveragePooling3D(AveragingPooling):
    """The average of every window of volumes; arguments are `SlidingPooling`'s, and count_include_pad."""

    rank = 3


# ---------------------------------------------------------------------------------------------------------------------
# Global


@loadable
class GlobalMaxPooling1D(StepsPooling):
    """The greatest element of every channel of steps; arguments are `GlobalPooling`'s."""

    operator = Max()


@loadable
class GlobalMaxPooling2D(GlobalPooling):
    """The greatest element of every channel of images; arguments are `GlobalPooling`'s."""

    rank = 2
    operator = Max()


@loadable
class GlobalMaxPooling3D(GlobalPooling):
    """The greatest element of every channel of volumes; arguments are `GlobalPooling`'s."""

    rank = 3
    operator = Max()


@loadable
class GlobalMinPooling1D(StepsPooling):
    """The least element of every channel of steps; arguments are `GlobalPooling`'s."""

    operator = Min()


@loadable
class GlobalMinPooling2D(GlobalPooling):
    """The least element of every channel of images; arguments are `GlobalPooling`'s."""

    rank = 2
    operator = Min()


@loadable
class GlobalMinPooling3D(GlobalPooling):
    """The least element of every channel of volumes; arguments are `GlobalPooling`'s."""

    rank = 3
    operator = Min()


@loadable
class GlobalAveragePooling1D(StepsPooling):
    """The average of every channel of steps; arguments are `GlobalPooling`'s."""

    operator = Average()

    def masked(self, inputs: Any, counted: Any) -> Any:
        """Σ of the steps that count / their number; where none does, NaN."""
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        accumulator, result = self.operator.dtypes(dtype, None, adapter_for(inputs).defaults)
        kept = keras.ops.where(counted, inputs, keras.ops.convert_to_tensor(0, dtype))
        total = global_pool(kept, Sum(), self.axes, self.keepdims, dtype=accumulator)
        number = keras.ops.sum(keras.ops.cast(counted, total.dtype), self.axes, self.keepdims)
        return keras.ops.cast(total / number, result)


@loadable
class GlobalAveragePooling2D(GlobalPooling):
    """The average of every channel of images; arguments are `GlobalPooling`'s."""

    rank = 2
    operator = Average()


@loadable
class GlobalAveragePooling3D(GlobalPooling):
    """The average of every channel of volumes; arguments are `GlobalPooling`'s."""

    rank = 3
    operator = Average()


# ---------------------------------------------------------------------------------------------------------------------
# Adaptive


@loadable
class AdaptiveMaxPooling1D(AdaptivePooling):
    """The greatest element of every adaptive window of steps; arguments are `AdaptivePooling`'s."""

    rank = 1
    operator = Max()


@loadable
class AdaptiveMaxPooling2D(AdaptivePooling):
    """The greatest element of every adaptive window of images; arguments are `AdaptivePooling`'s."""

    rank = 2
    operator = Max()


@loadable
class AdaptiveMaxPooling3D(AdaptivePooling):
    """The greatest element of every adaptive window of volumes; arguments are `AdaptivePooling`'s."""

    rank = 3
    operator = Max()


@loadable
class AdaptiveMinPooling1D(AdaptivePooling):
    """The least element of every adaptive window of steps; arguments are `AdaptivePooling`'s."""

    rank = 1
    operator = Min()


@loadable
class AdaptiveMinPooling2D(AdaptivePooling):
    """The least element of every adaptive window of images; arguments are `AdaptivePooling`'s."""

    rank = 2
    operator = Min()


@loadable
class AdaptiveMinPooling3D(AdaptivePooling):
    """The least element of every adaptive window of volumes; arguments are `AdaptivePooling`'s."""

    rank = 3
    operator = Min()


@loadable
class AdaptiveAveragePooling1D(AdaptivePooling):
    """The average of every adaptive window of steps; arguments are `AdaptivePooling`'s."""

    rank = 1
    operator = Average()


@loadable
class AdaptiveAveragePooling2D(AdaptivePooling):
    """The average of every adaptive window of images; arguments are `AdaptivePooling`'s."""

    rank = 2
    operator = Average()


@loadable
class AdaptiveAveragePooling3D(AdaptivePooling):
    """The average of every adaptive window of volumes; arguments are `AdaptivePooling`'s."""

    rank = 3
    operator = Average()


# ---------------------------------------------------------------------------------------------------------------------
# Keras's short names, and the same for min


MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
MinPool1D = MinPooling1D
MinPool2D = MinPooling2D
MinPool3D = MinPooling3D
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
GlobalMinPool1D = GlobalMinPooling1D
GlobalMinPool2D = GlobalMinPooling2D
GlobalMinPool3D = GlobalMinPooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
