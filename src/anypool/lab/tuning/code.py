"""The lines of code that build a network with what was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anypool as ap

from ..data import Dataset
from ..networks.base import Site, is_there
from ..poolings import ORIGINAL, layer_name
from ..subjects import Subject, SwappedNetwork, TrainedNetwork
from .candidates import settings_of
from .space import Choice


def lines(
    subject: Subject, model: Any, sites: Sequence[Site], choices: Sequence[Choice], data: Dataset, weights: str
) -> str:
    """A program that builds the network, and takes its weights from a file.

    Args:
        subject: what was searched.
        model: how the user called it.
        sites, choices: where, and what was chosen there.
        data: the images it is for.
        weights: the name of the file.
    """
    if isinstance(subject, SwappedNetwork):
        return _of_the_users(subject, model, sites, choices, weights)
    assert isinstance(subject, TrainedNetwork)
    from ..models import NETWORKS

    make = NETWORKS[subject.name].__name__
    imports = {"import anypool.keras", f"from anypool.lab.models import {make}"}
    layers = [_layer("keras", choice, "sliding", settings_of(choice), imports) for choice in choices]
    return _program(
        imports,
        "layers = iter([",
        *(f"    {layer}," for layer in layers),
        "])",
        f"model = {make}(lambda **window: next(layers), input_shape={data.input_shape}, classes={data.classes})",
        f'model.load_weights("{weights}")',
    )


def _of_the_users(
    subject: SwappedNetwork, model: Any, sites: Sequence[Site], choices: Sequence[Choice], weights: str
) -> str:
    framework = "keras" if "keras" in subject.network.libraries else "torch"
    imports = {f"import anypool.{framework}", "from anypool.lab import swap_pooling"}
    entries = []
    for site, choice in zip(sites, choices, strict=True):
        if choice.pool == ORIGINAL or is_there(site, choice.candidate):
            continue
        resized = site
        if choice.size is not None and choice.stride is not None:
            resized = subject.network.resized(site, choice.size, choice.stride)
        entries.append(f'    "{site.name}": {_layer(framework, choice, site.kind, resized.settings, imports)},')
    given = _given(model, imports)
    if framework == "torch":
        imports.add("import torch")
        loading = f'model.load_state_dict(torch.load("{weights}", weights_only=True))'
    else:
        loading = f'model.load_weights("{weights}")'
    if not entries:
        return _program(imports - {"from anypool.lab import swap_pooling"}, f"model = {given}", loading)
    return _program(imports, f"model = swap_pooling({given}, {{", *entries, "})", loading)


def _given(model: Any, imports: set[str]) -> str:
    """The expression for the network as it came."""
    if not isinstance(model, str):
        return "model"
    if model.endswith(".keras"):
        imports.add("import keras")
        return f"keras.saving.load_model({_written(model)})"
    module, _, function = model.partition(":")
    imports.add(f"from {module} import {function}")
    return f"{function}()"


def _layer(framework: str, choice: Choice, kind: str, settings: dict[str, Any], imports: set[str]) -> str:
    """The expression for one layer."""
    written = [f"{name}={_written(value)}" for name, value in settings.items() if value is not None]
    operator = choice.candidate.operator
    if operator is None:
        imports.add(f"from anypool.lab.networks.{framework} import StridedConvolution")
        return f"StridedConvolution({', '.join(written)})"
    name, named = layer_name(framework, operator, kind)
    if not named:
        written.insert(0, _operator(choice.pool, imports))
    return f"anypool.{framework}.{name}({', '.join(written)})"


def _operator(name: str, imports: set[str]) -> str:
    start = name.partition(":")[0]
    if start in ap.OPERATORS:
        return _written(name)
    imports.add(f"import {start}")
    return f"{name.replace(':', '.')}()"


def _written(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _program(imports: set[str], *body: str) -> str:
    straight = sorted(line for line in imports if line.startswith("import"))
    return "\n".join([*straight, *sorted(imports - set(straight)), "", *body, ""])
