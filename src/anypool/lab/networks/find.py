"""Networks by what a user calls them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from .base import Network

RULE = "a .keras file, package.module:function, or a Keras or torch model"


def find_network(model: Any, weights: str | Path | None = None) -> Network:
    """The network in a .keras file, the one a function makes, or a Keras or torch model itself.

    Loading a file runs no code from it: Keras's safe mode is on, and torch loads weights only. A function named by
    `package.module:function` is run, after seeding, so that it makes the same first weights every time.

    Args:
        model: which one.
        weights: a .weights.h5 file for a Keras model, or a .pt file with the state of a torch model.

    Raises:
        ValueError: there is no such file, module or function, or it cannot be loaded. TypeError: it is no model.
    """
    made = model
    if isinstance(model, str):
        made = _load(Path(model)) if model.endswith(".keras") else _make(model)
    network = _wrapped(made)
    if network is None:
        raise TypeError(f"model must be {RULE}, got {_described(model, made)}")
    if weights is not None:
        try:
            network.load_weights(Path(weights))
        except Exception as error:  # h5py, pickle, zipfile and the frameworks each raise their own
            raise ValueError(f"weights must be a file of the model's weights, got {str(weights)!r}: {error}") from error
    return network


def swap_pooling(model: Any, layers: Mapping[str, Any]) -> Any:
    """A copy of a Keras or torch model with these layers in place of its poolings; weights are copied.

    Args:
        model: which.
        layers: a layer or module by the name of each pooling to take the place of: Keras's path of the layer, torch's
            name of the module. Where there is a convolution with a stride, it is made with stride 1, and the layer
            pools what it gives.

    Raises:
        TypeError: model is none. ValueError: it has no pooling of such a name, or cannot be copied.

    >>> import torch, anypool.torch
    >>> swap_pooling(torch.nn.Sequential(torch.nn.MaxPool2d(2)), {"0": anypool.torch.MinPool2d(2)})[0]
    MinPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    """
    network = _wrapped(model)
    if network is None:
        raise TypeError(f"model must be a Keras or torch model, got {type(model).__name__}")
    names = [site.name for site in network.sites()]
    unknown = [name for name in layers if name not in names]
    if unknown:
        raise ValueError(f"layers must be for poolings of the model ({', '.join(names) or 'none'}), got {unknown[0]!r}")
    return network.replaced(layers).model


def _wrapped(model: Any) -> Network | None:
    """The network that a model is, if its framework was imported, as that of every model is."""
    keras, torch = sys.modules.get("keras"), sys.modules.get("torch")
    if keras is not None and isinstance(model, keras.Model):
        from .keras import KerasNetwork

        return KerasNetwork(model)
    if torch is not None and isinstance(model, torch.nn.Module):
        from .torch import TorchNetwork

        return TorchNetwork(model)
    return None


def _described(model: Any, made: Any) -> str:
    if isinstance(model, str):
        return f"{model!r}, which gave {type(made).__name__}"
    return type(made).__name__


def _load(path: Path) -> Any:
    import keras

    if not path.is_file():
        raise ValueError(f"model must be {RULE}, got {str(path)!r}, which is not there")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # zipfile, json, h5py and Keras each raise their own
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"model must be {RULE}, but {str(path)!r} cannot be loaded: {reason}") from error


def _make(name: str) -> Any:
    make = find_object(name)
    if not callable(make):
        raise ValueError(f"model must be {RULE}, got {name!r}, which is {type(make).__name__} and no function")
    _seed()
    try:
        return make()
    except Exception as error:  # whatever a user's function raises
        raise ValueError(f"model must be {RULE}, but {name!r} raised {type(error).__name__}: {error}") from error


def find_object(name: str) -> Any:
    """What `package.module:name` names; modules in the working directory are found too.

    Raises:
        ValueError: there is no such module, or nothing of that name in it.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute or not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise ValueError(f"model must be {RULE}, got {name!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Callable[..., Any] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model must be {RULE}, got {name!r}: {error}") from error
    return found


def _seed() -> None:
    import keras

    keras.utils.set_random_seed(0)  # NumPy, Python, and the backend
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)
