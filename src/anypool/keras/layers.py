"""The layers by name: an operator, a number of spatial axes, and a kind of window."""

from __future__ import annotations

from anypool.adapters.keras import Pool
from anypool.keras.bases import (
    AdaptivePooling,
    AveragingPooling,
    ExtremePooling,
    GlobalPooling,
    SlidingPooling,
    Unpooling,
    by_rank,
    loadable,
)
from anypool.operators import Average, Max, Min, Sum

loadable(Pool)  # anypool's functions in functional models

# ---------------------------------------------------------------------------------------------------------------------
# Sliding windows

MaxPooling1D, MaxPooling2D, MaxPooling3D = by_rank(
    "MaxPooling", ExtremePooling, "The greatest element of every window of {inputs}.", __name__, operator=Max()
)
MinPooling1D, MinPooling2D, MinPooling3D = by_rank(
    "MinPooling", ExtremePooling, "The least element of every window of {inputs}.", __name__, operator=Min()
)
AveragePooling1D, AveragePooling2D, AveragePooling3D = by_rank(
    "AveragePooling", AveragingPooling, "The average of every window of {inputs}.", __name__
)
SumPooling1D, SumPooling2D, SumPooling3D = by_rank(
    "SumPooling", SlidingPooling, "The sum of every window of {inputs}.", __name__, operator=Sum()
)
MaxUnpooling1D, MaxUnpooling2D, MaxUnpooling3D = by_rank(
    "MaxUnpooling", Unpooling, "Values back to where they were in {inputs}, zeros elsewhere.", __name__
)

# ---------------------------------------------------------------------------------------------------------------------
# Global

GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D = by_rank(
    "GlobalMaxPooling",
    GlobalPooling,
    "The greatest element of every channel of {inputs}.",
    __name__,
    operator=Max(),
)
GlobalMinPooling1D, GlobalMinPooling2D, GlobalMinPooling3D = by_rank(
    "GlobalMinPooling",
    GlobalPooling,
    "The least element of every channel of {inputs}.",
    __name__,
    operator=Min(),
)
GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D = by_rank(
    "GlobalAveragePooling",
    GlobalPooling,
    "The average of every channel of {inputs}.",
    __name__,
    operator=Average(),
)

# ---------------------------------------------------------------------------------------------------------------------
# Adaptive

AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D = by_rank(
    "AdaptiveMaxPooling",
    AdaptivePooling,
    "The greatest element of every adaptive window of {inputs}.",
    __name__,
    operator=Max(),
)
AdaptiveMinPooling1D, AdaptiveMinPooling2D, AdaptiveMinPooling3D = by_rank(
    "AdaptiveMinPooling",
    AdaptivePooling,
    "The least element of every adaptive window of {inputs}.",
    __name__,
    operator=Min(),
)
AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D = by_rank(
    "AdaptiveAveragePooling",
    AdaptivePooling,
    "The average of every adaptive window of {inputs}.",
    __name__,
    operator=Average(),
)

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
