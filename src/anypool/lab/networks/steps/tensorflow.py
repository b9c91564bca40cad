"""Steps of training in TensorFlow: graphs, with what backward reads of forward counted in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from .base import Step, output_gradient

VIEWS = ("Reshape", "Identity", "Squeeze", "ExpandDims", "IdentityN", "StopGradient")
"""Operations whose result is their argument, maybe in another shape."""
THERE = ("ReadVariableOp", "Placeholder", "Const", "Shape")
"""Operations whose results were there before, or are a few integers."""


def tensorflow_step(apply: Callable[[Any], Any], weights: Sequence[Any], images: np.ndarray) -> Step:
    """A step of the network `apply`, images to outputs, as a graph."""
    x = tf.constant(images)
    gradient = tf.constant(output_gradient(tuple(apply(x).shape)))
    saved: list[int] = []

    @tf.function
    def forward_backward(x: Any, gradient: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = apply(x)
        known = set(outputs.graph.get_operations())
        gradients = tape.gradient(outputs, weights, tf.cast(gradient, outputs.dtype))
        saved.append(_saved_bytes(outputs.graph, known))
        return outputs, gradients

    forward = tf.function(apply).get_concrete_function(x)
    both = forward_backward.get_concrete_function(x, gradient)
    return Step(lambda: forward(x), lambda: both(x, gradient), saved[-1], None)


def _saved_bytes(graph: Any, forward: set[Any]) -> int:
    """Of all results of `forward` that the graph's other operations read, each once."""
    backward = [operation for operation in graph.get_operations() if operation not in forward]
    read = {_viewed(tensor).ref() for operation in backward for tensor in operation.inputs if tensor.op in forward}
    return sum(
        tensor.shape.num_elements() * tensor.dtype.size
        for tensor in (reference.deref() for reference in read)
        if tensor.op.type not in THERE and tensor.shape.is_fully_defined()
    )


def _viewed(tensor: Any) -> Any:
    while tensor.op.type in VIEWS:
        tensor = tensor.op.inputs[tensor.value_index if tensor.op.type == "IdentityN" else 0]
    return tensor
