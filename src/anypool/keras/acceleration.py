"""`accelerate`: a copy of a Keras model that pools with anypool."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Sequence
from typing import Any

import keras

from anypool.acceleration import Acceleration
from anypool.keras import layers

NAMES = [
    f"{name}{rank}D"
    for rank in (1, 2, 3)
    for kind in ("Max", "Average")
    for name in (f"{kind}Pooling", f"Global{kind}Pooling", f"Adaptive{kind}Pooling")
]
REPLACEMENTS = {getattr(keras.layers, name): getattr(layers, name) for name in NAMES if hasattr(keras.layers, name)}
"""Keras's layers, and ours of the same name and configuration."""

KERAS_POOLING = tuple(REPLACEMENTS)
GRAPHS = (keras.Sequential, keras.Function)
"""Models whose layers Keras can call anew; subclasses of them come back as plain ones."""

COMMON = ("name", "trainable", "dtype")
"""What the configuration of every layer has."""

POOLING_FUNCTIONS = ("MaxPool", "AveragePool", "AdaptiveMaxPool", "AdaptiveAveragePool")
"""What keras.ops' pooling functions are in a functional model."""


def accelerate(model: keras.Model) -> tuple[keras.Model, Acceleration]:
    """A copy of a Keras model with its pooling layers replaced by anypool's, and a report of what was and was not.

    Weights, random states, the compilation and the optimizer's state are copied; outputs are equal. Layers are found in
    Sequential and functional models, nested and shared, and in subclassed models and layers where they are attributes,
    or in lists, tuples and dicts that are. What a `call` does with functions of `keras.ops` is not seen.

    Args:
        model: any Keras model, built or not. Subclassed models and layers must have a `get_config` that fits their
            `__init__`, as for saving; Keras writes one where the arguments are plain.

    Returns:
        The copy, and an `Acceleration`: names of the layers `replaced`, and (name, reason) of those `kept`.

    Raises:
        TypeError: model is no Keras model. ValueError: a layer cannot be made anew from its configuration.

    >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.MaxPooling2D(name="pool")])
    >>> copy, report = accelerate(model)
    >>> print(report)
    replaced 1 pooling layer: pool
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Keras model, got {type(model).__name__}")
    with keras.saving.custom_object_scope({type(layer).__name__: type(layer) for layer in model._flatten_layers()}):
        copying = _Copying()
        copy = copying.copy(model, "")
        if model.built and not copy.built:
            copy.build_from_config(model.get_build_config())
        if model.compiled and not copy.compiled:
            copy.compile_from_config(model.get_compile_config())
    _assign(copy.variables, model.variables, model)
    for new, old in zip(copy._flatten_layers(), model._flatten_layers(), strict=True):
        if new.trainable != old.trainable:
            new.trainable = old.trainable
    if model.compiled and copy.compiled and model.optimizer is not None:
        _assign_optimizer(copy, model)
    return copy, Acceleration(tuple(copying.replaced), tuple(copying.kept))


class _Copying:
    """The copy of one model: what is used twice is copied once."""

    def __init__(self) -> None:
        self.replaced: list[str] = []
        self.kept: list[tuple[str, str]] = []
        self.copies: dict[int, tuple[Any, Any]] = {}  # with the originals, whose ids they keep from being used again

    def copy(self, original: Any, path: str) -> Any:
        """The copy of a layer, model or other operation that is called `path`."""
        if id(original) not in self.copies:
            self.copies[id(original)] = original, self._copy(original, path)
        return self.copies[id(original)][1]

    def _copy(self, original: Any, path: str) -> Any:
        if not isinstance(original, keras.Layer):
            if type(original).__name__ in POOLING_FUNCTIONS:
                self.kept.append((path, "a function of keras.ops and no layer"))
            return original
        if isinstance(original, KERAS_POOLING):
            return self._pooling(original, path)
        if isinstance(original, GRAPHS):
            return keras.models.clone_model(
                original, clone_function=lambda layer: self.copy(layer, _joined(path, layer.name))
            )
        copy = _anew(original, path)
        self._replace_within(copy, path)
        return copy

    def _pooling(self, layer: keras.Layer, path: str) -> keras.Layer:
        reason = _reason_to_keep(layer)
        if reason is not None:
            self.kept.append((path, reason))
            return _anew(layer, path)
        self.replaced.append(path)
        obeys_masks = isinstance(layer, keras.layers.GlobalAveragePooling1D)  # of Keras's it alone does
        config = layer.get_config() if obeys_masks else {**layer.get_config(), "use_mask": False}
        return REPLACEMENTS[type(layer)].from_config(config)

    def _replace_within(self, layer: keras.Layer, path: str) -> None:
        """Replace what pools in a layer's attributes, which are nobody else's: the layer is new."""
        self.copies[id(layer)] = layer, layer
        for name in [*vars(layer), *vars(layer).get("_modules", ())]:  # torch keeps layers apart
            if name.startswith("_self_"):  # TensorFlow's record of the other attributes
                continue
            value = getattr(layer, name, None)
            new = self._replacement(value, layer, _joined(path, name))
            if new is not value:
                setattr(layer, name, new)

    def _replacement(self, value: Any, holder: keras.Layer, path: str) -> Any:
        """What takes the place of an attribute, or of an element of one; lists and dicts are changed themselves."""
        if isinstance(value, keras.Layer):
            return self._layer_replacement(value, holder, path)
        if isinstance(value, tuple):
            new = [self._replacement(entry, holder, _joined(path, str(n))) for n, entry in enumerate(value)]
            return value if all(map(operator.is_, new, value)) else tuple(new)
        # Keras marks the containers that were given to it; the others are its own.
        if isinstance(value, list | dict) and hasattr(value, "tracker"):
            for key, entry in list(value.items() if isinstance(value, dict) else enumerate(value)):
                value[key] = self._replacement(entry, holder, _joined(path, str(key)))
        return value

    def _layer_replacement(self, layer: keras.Layer, holder: keras.Layer, path: str) -> keras.Layer:
        if id(layer) not in self.copies and not isinstance(layer, KERAS_POOLING + GRAPHS):
            self._replace_within(layer, path)
        new = self.copy(layer, path)
        if holder._tracker.is_in_store("layers", layer) and new is not layer:
            holder._tracker.replace_tracked_value("layers", layer, new)  # in its place, for the order of weights
        return new


def _reason_to_keep(layer: keras.Layer) -> str | None:
    if type(layer) not in REPLACEMENTS:
        return f"{type(layer).__name__} is a class of its own, and may compute something else"
    if keras.backend.backend() != "torch" or not hasattr(layer, "pool_size") or layer.padding != "same":
        return None
    even = all(stride == 1 and size % 2 for size, stride in zip(layer.pool_size, layer.strides, strict=True))
    if layer.pool_mode == "average" and not even:
        return "on torch, Keras averages copies of the border in where the padding is odd"
    return None


def _anew(layer: keras.Layer, path: str) -> keras.Layer:
    """The layer made from its configuration."""
    try:
        config = layer.get_config()
        accepted = inspect.signature(type(layer)).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
            # What every layer has, but not every __init__ takes; they are set from the original in the end.
            config = {name: value for name, value in config.items() if name not in COMMON or name in accepted}
        return type(layer).from_config(config)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path or 'the model'} ({type(layer).__name__}) must have a get_config() that fits its __init__, "
            f"to be copied: {str(error).strip()}"
        ) from error


def _assign(new: Sequence[keras.Variable], old: Sequence[keras.Variable], model: keras.Model) -> None:
    if [tuple(variable.shape) for variable in new] != [tuple(variable.shape) for variable in old]:
        raise ValueError(
            f"{model.name} has {len(old)} variables, but made anew from its configuration {len(new)}, or of other "
            "shapes: it must build everything in __init__ or build()"
        )
    for variable, value in zip(new, old, strict=True):
        variable.assign(keras.ops.copy(value.value))  # training in JAX takes the memory of the arrays it is given


def _assign_optimizer(copy: keras.Model, model: keras.Model) -> None:
    if model.optimizer.built and not copy.optimizer.built:
        copy.optimizer.build(copy.trainable_variables)
    new, old = copy.optimizer.variables, model.optimizer.variables
    # One that was never used may lack what the copy's has after the step count and the learning rate, all zeros.
    _assign(new if model.optimizer.built else new[: len(old)], old, model)


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
