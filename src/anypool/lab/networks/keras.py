"""Keras models as the lab sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

import anypool.keras

from ..callbacks import check_stop
from ..clock import computing
from ..data import Dataset
from ..runs import PoolingLayer
from .base import (
    BATCH_SIZE,
    GREATEST_STRIDE,
    PREDICTED_AT_ONCE,
    Diverged,
    History,
    Kind,
    Network,
    ShouldStop,
    Site,
    accuracy_of,
    are_probabilities,
    check_outputs,
    digest_of,
    is_there,
)

if TYPE_CHECKING:
    from ..poolings import Candidate
    from .steps.base import Step

GRAPHS = (keras.Sequential, keras.Function)
"""Models whose layers Keras can call anew."""

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
"""Whose stride counts as a pooling."""

DROPOUTS = (keras.layers.Dropout, keras.layers.SpatialDropout2D, keras.layers.GaussianDropout)


def _classes(prefix: str) -> tuple[type, ...]:
    names = [f"{prefix}{operator}Pooling2D" for operator in ("Max", "Min", "Average", "")]
    return tuple(
        found for room in (keras.layers, anypool.keras) for name in names if (found := getattr(room, name, None))
    )


@anypool.keras.bases.loadable
class StridedConvolution(keras.layers.Layer):
    """A convolution in place of a pooling: the same window and stride, weights that begin as a channel's average."""

    def __init__(
        self,
        pool_size: int | tuple[int, int] = 2,
        strides: int | tuple[int, int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.pool_size = (pool_size, pool_size) if isinstance(pool_size, int) else tuple(pool_size)
        self.strides: Any = strides or self.pool_size
        self.padding = padding
        self.data_format = data_format or keras.config.image_data_format()

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights, which know how many channels there are."""
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        if channels is None:
            raise ValueError(f"inputs must have a known number of channels, got shape {input_shape}")
        average = np.eye(channels, dtype="float32") / prod(self.pool_size)
        self.kernel = self.add_weight((*self.pool_size, channels, channels), name="kernel", initializer="zeros")
        self.kernel.assign(np.broadcast_to(average, (*self.pool_size, channels, channels)))

    def call(self, inputs: Any) -> Any:
        """The convolution."""
        return keras.ops.conv(inputs, self.kernel, self.strides, self.padding, self.data_format)

    def get_config(self) -> dict[str, Any]:
        """What makes the same layer again."""
        own = {name: getattr(self, name) for name in ("pool_size", "strides", "padding", "data_format")}
        return {**super().get_config(), **own}


@anypool.keras.bases.loadable
class PooledConvolution(keras.layers.Layer):
    """A convolution with stride 1, and a pooling of what it gives: what a strided convolution is swapped for."""

    def __init__(self, convolution: keras.Layer, pooling: keras.Layer, **options: Any) -> None:
        super().__init__(**options)
        self.convolution = convolution
        self.pooling = pooling

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights of both, where loading has not made them already."""
        if not self.convolution.built:
            self.convolution.build(input_shape)
        if not self.pooling.built:
            self.pooling.build(self.convolution.compute_output_shape(input_shape))

    def call(self, inputs: Any) -> Any:
        """The pooled convolution."""
        return self.pooling(self.convolution(inputs))

    def get_config(self) -> dict[str, Any]:
        """What makes the same layer again."""
        own = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("convolution", "pooling")}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PooledConvolution:
        """The layer of a configuration."""
        own = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("convolution", "pooling")}
        return cls(**{**config, **own})


POOLINGS: dict[Kind, tuple[type, ...]] = {
    "global": _classes("Global"),
    "adaptive": _classes("Adaptive"),
    "sliding": (*_classes(""), StridedConvolution),
}
SETTINGS: dict[Kind, tuple[str, ...]] = {
    "global": ("keepdims", "data_format"),
    "adaptive": ("output_size", "data_format"),
    "sliding": ("pool_size", "strides", "padding", "data_format"),
}


def site_of(layer: Any, path: str) -> Site | None:
    """What a layer is as a pooling of images; None where it is something else."""
    if isinstance(layer, CONVOLUTIONS) and 1 < max(layer.strides) <= GREATEST_STRIDE:
        window = {"pool_size": layer.strides, "strides": layer.strides, "padding": "same"}
        return Site(path, "strided", {**window, "data_format": layer.data_format})
    kind = next((kind for kind, classes in POOLINGS.items() if isinstance(layer, classes)), None)
    if kind is None:
        return None
    config = layer.get_config()
    return Site(path, kind, {name: config[name] for name in SETTINGS[kind] if name in config})


class KerasNetwork:
    """A Keras model for images. Sequential, functional (nested too) and subclassed models can be swapped in."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.libraries: tuple[str, ...] = ("keras", keras.backend.backend())

    @property
    def backend(self) -> str:
        """The backend of Keras."""
        return keras.backend.backend()

    @property
    def parameters(self) -> int:
        """How many numbers the model holds."""
        return self.model.count_params()

    @property
    def has_batch_norm(self) -> bool:
        """Whether there is a layer that normalises by statistics of training."""
        return bool(self._batch_norms())

    def _batch_norms(self) -> list[Any]:
        return [layer for layer in self.model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]

    def copied(self) -> KerasNetwork:
        """A copy; nothing is shared."""
        return self._copy(_Swap({}))

    @property
    def suffix(self) -> str:
        """`.keras`, or `.weights.h5` where a layer of the user's own pools: a file says how to make it anew."""
        held = {id(layer) for layer in _leaves(self.model)}
        poolings = (layer for layer in self.model._flatten_layers() if site_of(layer, "") is not None)
        return ".keras" if all(id(layer) in held for layer in poolings) else ".weights.h5"

    def save(self, path: Path) -> None:
        """Write the model to a .keras file, or its weights to a .weights.h5 file."""
        if path.suffix == ".keras":
            self.model.save(path)
        else:
            self.model.save_weights(path)

    def load_weights(self, path: Path) -> None:
        """Take the weights in a .weights.h5 file."""
        self.model.load_weights(path)

    def digest(self) -> str:
        """A fingerprint of the weights."""
        return digest_of(keras.ops.convert_to_numpy(variable.value) for variable in self.model.variables)

    def sites(self) -> list[Site]:
        """The model's pooling layers, in the order in which Keras holds them."""
        found = (site_of(layer, _path(layer)) for layer in self.model._flatten_layers())
        return [site for site in found if site is not None]

    def swapped(self, choices: Sequence[tuple[Site, Candidate]]) -> Network:
        """A copy in which each candidate pools at its site; a strided convolution is `strided` already.

        Raises:
            ValueError: the model cannot be made anew from its configuration.
        """
        return self._copy(
            _Swap({site.name: _maker(site, candidate) for site, candidate in choices if not is_there(site, candidate)})
        )

    def replaced(self, layers: Mapping[str, Any]) -> Network:
        """A copy in which these layers pool at the sites of these names.

        Raises:
            ValueError: the model cannot be made anew from its configuration.
        """
        strided = {site.name for site in self.sites() if site.kind == "strided"}

        def maker(name: str, layer: Any) -> LayerMaker:
            return lambda original: _after(original, layer) if name in strided else layer

        return self._copy(_Swap({name: maker(name, layer) for name, layer in layers.items()}))

    def resized(self, site: Site, size: int, stride: int) -> Site:
        """The site with another window."""
        padding = site.settings["padding"] if size == stride else "same"
        return replace(site, settings={**site.settings, "pool_size": size, "strides": stride, "padding": padding})

    def _copy(self, swap: _Swap) -> KerasNetwork:
        copy = swap.copy(self.model)
        if not copy.built:
            copy.build(self.model.input_shape)
        made = swap.made()
        inside = {id(layer) for new in made for layer in new._flatten_layers(include_self=False)}
        layers = [layer for layer in copy._flatten_layers() if id(layer) not in inside]
        for new, old in zip(layers, self.model._flatten_layers(), strict=True):
            if isinstance(new, PooledConvolution):
                new = new.convolution
            if new in made:
                continue
            for variable, value in zip(_own_variables(new), _own_variables(old), strict=True):
                variable.assign(keras.ops.copy(value.value))
            new.trainable = old.trainable
        return KerasNetwork(copy)

    @computing
    def predict(self, images: np.ndarray, should_stop: ShouldStop) -> np.ndarray:
        """The model's outputs in inference."""
        asking = keras.callbacks.LambdaCallback()
        asking.on_predict_batch_begin = lambda batch, logs=None: check_stop(should_stop)
        missing = -len(images) % PREDICTED_AT_ONCE
        whole = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)]) if missing else images
        outputs = self.model.predict(whole, batch_size=PREDICTED_AT_ONCE, verbose=0, callbacks=[asking])
        return np.asarray(outputs)[: len(images)]

    @computing
    def recalibrate(self, images: np.ndarray, should_stop: ShouldStop) -> None:
        """Take the statistics of batch normalisation anew, as the means of those of batches of these images."""
        norms = self._batch_norms()
        dropouts = [layer for layer in self.model._flatten_layers() if isinstance(layer, DROPOUTS)]
        kept = [norm.momentum for norm in norms], [dropout.rate for dropout in dropouts]
        try:
            for dropout in dropouts:
                dropout.rate = 0.0
            for number, start in enumerate(range(0, len(images), PREDICTED_AT_ONCE)):
                check_stop(should_stop)
                for norm in norms:
                    norm.momentum = number / (number + 1)  # so that every batch counts alike
                self.model(images[start : start + PREDICTED_AT_ONCE], training=True)
        finally:
            for norm, momentum in zip(norms, kept[0], strict=True):
                norm.momentum = momentum
            for dropout, rate in zip(dropouts, kept[1], strict=True):
                dropout.rate = rate

    @computing
    def fit(
        self,
        data: Dataset,
        epochs: int,
        learning_rate: float,
        seed: int,
        on_epoch: Callable[[int, float], None],
        should_stop: ShouldStop,
    ) -> History:
        """Train the model with Adam; the seed decides the order of the images."""
        keras.utils.set_random_seed(seed)
        first = self.predict(data.x_test[:PREDICTED_AT_ONCE], should_stop)
        check_outputs(first, len(first), data.classes)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not are_probabilities(first))
        self.model.compile(keras.optimizers.Adam(learning_rate), loss)
        history = History()
        network = self

        class Watch(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                self.began = perf_counter()

            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
                check_stop(should_stop)

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                history.epoch_seconds.append(perf_counter() - self.began)
                if not np.isfinite(logs["loss"]):
                    raise Diverged(f"the loss was {logs['loss']} after epoch {epoch + 1} of {epochs}")
                history.curve.append(accuracy_of(network.predict(data.x_test, should_stop), data.y_test))
                on_epoch(epoch + 1, history.curve[-1])

        images, labels = data.x_train, data.y_train
        self.model.fit(images, labels, epochs=epochs, batch_size=BATCH_SIZE, verbose=0, callbacks=[Watch()])
        return history

    def layers(self) -> list[PoolingLayer]:
        """What each pooling layer does to an image, where the model is a graph that says so."""
        leaves = list(_leaves(self.model))
        return [
            PoolingLayer(
                name=type(layer).__name__,
                values_in=prod(layer.input.shape[1:]),
                values_out=prod(layer.output.shape[1:]),
                parameters_after=sum(later.count_params() for later in leaves[place + 1 :]),
            )
            for place, layer in enumerate(leaves)
            if site_of(layer, "") is not None and _is_called_once(layer)
        ]

    def cost(self, images: np.ndarray) -> dict[str, float]:
        """Multiply-adds of convolutions and dense layers, and bytes of all layers' outputs, per image."""
        layers = [layer for layer in _leaves(self.model) if _is_called_once(layer)]
        if not layers or any(None in layer.output.shape[1:] for layer in layers):
            return {}
        outputs = [layer.output for layer in layers if not isinstance(layer, keras.layers.InputLayer)]
        return {
            "multiply_adds": float(sum(_multiply_adds(layer) for layer in layers)),
            "activation_bytes": float(sum(prod(output.shape[1:]) * 4 for output in outputs)),
        }

    def pooled_maps(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """What enters and leaves the first sliding pooling layer, where the model is a graph that holds it itself."""
        layers = self.model.layers if isinstance(self.model, GRAPHS) else []
        for layer in layers:
            site = site_of(layer, "")
            if site is not None and site.kind == "sliding" and _is_called_once(layer):
                both = keras.Model(self.model.inputs, [layer.input, layer.output])([image])
                before, after = (keras.ops.convert_to_numpy(maps)[0] for maps in both)
                is_first = getattr(layer, "data_format", None) == "channels_first"
                return (np.moveaxis(before, 0, -1), np.moveaxis(after, 0, -1)) if is_first else (before, after)
        return None

    def training_step(self, images: np.ndarray) -> Step | None:
        """A step of training by the backend, without its optimiser; None where nothing is trainable."""
        if not self.model.trainable_variables:
            return None
        return _STEPS[self.backend](self, images)


def _jax_step(network: KerasNetwork, images: np.ndarray) -> Step:
    from .steps.jax import jax_step

    model = network.model
    state = [variable.value for variable in model.non_trainable_variables]

    def apply(weights: Any, x: Any) -> Any:
        return model.stateless_call(weights, state, x, training=True)[0]

    return jax_step(apply, [variable.value for variable in model.trainable_variables], images)


def _tensorflow_step(network: KerasNetwork, images: np.ndarray) -> Step:
    from .steps.tensorflow import tensorflow_step

    model = network.copied().model
    weights = [variable.value for variable in model.trainable_variables]
    return tensorflow_step(lambda x: model(x, training=True), weights, images)


def _torch_step(network: KerasNetwork, images: np.ndarray) -> Step:
    from .steps.torch import torch_step

    model, x = network.copied().model, keras.ops.convert_to_tensor(images)
    return torch_step(lambda: model(x, training=True), [x, *(variable.value for variable in model.variables)])


_STEPS: dict[str, Callable[[KerasNetwork, np.ndarray], Step]] = {
    "jax": _jax_step,
    "tensorflow": _tensorflow_step,
    "torch": _torch_step,
}


def _leaves(model: Any) -> Iterator[Any]:
    """The layers of a graph and of the graphs within it, in order."""
    for layer in model.layers if isinstance(model, GRAPHS) else ():
        if isinstance(layer, GRAPHS):
            yield from _leaves(layer)
        else:
            yield layer


def _is_called_once(layer: Any) -> bool:
    nodes = getattr(layer, "_inbound_nodes", [])
    return bool(nodes) and isinstance(layer.output, keras.KerasTensor)


def _multiply_adds(layer: Any) -> int:
    """Of one image through a convolution or a dense layer: the size of its kernel times how often it is applied."""
    kernel = getattr(layer, "kernel", None)
    if kernel is None:
        return 0
    places = (
        layer.output.shape[1:-1] if getattr(layer, "data_format", None) != "channels_first" else layer.output.shape[2:]
    )
    return prod(kernel.shape) * prod(places)


def _path(layer: Any) -> str:
    """What tells a layer apart within its model."""
    return str(layer.path or layer.name)


def _own_variables(layer: Any) -> list[Any]:
    """The variables of a layer that are not those of a layer within it."""
    inner = {id(variable) for sub in layer._flatten_layers(include_self=False) for variable in sub.variables}
    return [variable for variable in layer.variables if id(variable) not in inner]


LayerMaker = Callable[[Any], Any]
"""What makes the layer that takes the place of another."""


def _maker(site: Site, candidate: Candidate) -> LayerMaker:
    def make(original: Any) -> Any:
        options = {"name": original.name, "dtype": original.dtype_policy}
        if site.kind != "strided":
            return candidate.keras_layer(site.kind, **site.settings, **options)
        return _after(original, candidate.keras_layer(site.kind, **site.settings, dtype=original.dtype_policy))

    return make


def _after(strided: Any, pooling: Any) -> PooledConvolution:
    """A strided convolution made with stride 1, with a pooling of what it gives; its name is the convolution's."""
    config = {**strided.get_config(), "strides": (1, 1)}
    return PooledConvolution(type(strided).from_config(config), pooling, name=strided.name, dtype=strided.dtype_policy)


class _Swap:
    """A copy of a model with other layers at the sites of these names: what is used twice is copied once."""

    def __init__(self, makers: Mapping[str, LayerMaker]) -> None:
        self.makers = makers
        self.copies: dict[int, tuple[Any, Any]] = {}  # with the originals, whose ids they keep from being used again

    def made(self) -> list[Any]:
        """The layers that took the place of others."""
        return [new for old, new in self.copies.values() if _path(old) in self.makers]

    def copy(self, original: Any) -> Any:
        """The copy of a layer, a model or another operation."""
        if not isinstance(original, keras.Layer):
            return original
        if id(original) not in self.copies:
            self.copies[id(original)] = original, self._copy(original)
        return self.copies[id(original)][1]

    def _copy(self, original: Any) -> Any:
        path = _path(original)
        if path in self.makers:
            return self.makers[path](original)
        if isinstance(original, GRAPHS):
            return keras.models.clone_model(original, clone_function=self.copy)
        try:
            copy = type(original).from_config(original.get_config())
        except (NotImplementedError, TypeError, ValueError) as error:
            rule = "must have a get_config() that fits its __init__, to be copied"
            raise ValueError(f"{path or 'the model'} ({type(original).__name__}) {rule}: {error}") from error
        self._swap_within(copy, original)
        return copy

    def _swap_within(self, copy: Any, original: Any) -> None:
        """Swap what pools in the attributes of a layer of the user's own; the copy is nobody else's."""
        for name, value in list(vars(original).items()):
            if not name.startswith("_"):
                self._swap_value(copy, name, value, getattr(copy, name, None))

    def _swap_value(self, holder: Any, name: str, old: Any, new: Any) -> None:
        if isinstance(old, keras.Layer) and isinstance(new, keras.Layer):
            if _path(old) not in self.makers:
                self._swap_within(new, old)
            else:
                replacement = self.copy(old)
                holder._tracker.replace_tracked_value("layers", new, replacement)
                setattr(holder, name, replacement)
        elif isinstance(old, list) and isinstance(new, list):
            for place, (inner_old, inner_new) in enumerate(zip(old, new, strict=True)):
                if isinstance(inner_old, keras.Layer) and _path(inner_old) in self.makers:
                    new[place] = self.copy(inner_old)
                elif isinstance(inner_old, keras.Layer):
                    self._swap_within(inner_new, inner_old)
