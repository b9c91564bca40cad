"""Keras's symbolic tensors, which have a shape and no numbers: pooling in functional models. Keras variables too."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras

from anypool import functional, operators, windows
from anypool.adapters import IMPLEMENTATIONS, Adapter, adapter_for
from anypool.definition import Pooling
from anypool.operators import Defaults


class _Unknown:
    """A length that is not known: what is computed from it is not known either."""

    def __neg__(self) -> _Unknown:
        return self

    def __abs__(self) -> _Unknown:
        return self

    def _with(self, other: Any) -> _Unknown:
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _with
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _with


UNKNOWN = _Unknown()


class Pool(keras.Operation):
    """A call of one of anypool's functions as a node of a functional model.

    Args:
        function: its name in `anypool.functional`. arguments: what follows its tensors.
    """

    def __init__(self, function: str, arguments: Sequence[Any], name: str | None = None) -> None:
        super().__init__(name=name)
        self.function = getattr(functional, function)
        self.arguments = tuple(arguments)

    def call(self, x: Any, *tensors: Any) -> Any:
        return adapter_for(x).call(self.function, x, *tensors, *self.arguments)

    def compute_output_spec(self, x: Any, *tensors: Any) -> Any:
        """Symbolic tensors of the results' shapes and dtypes: the function, with the adapter below, works that out."""
        return self.function(ADAPTER, x, *tensors, *self.arguments)

    def get_config(self) -> dict[str, Any]:
        return {"function": self.function.__name__, "arguments": _plain(self.arguments), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Pool:
        return cls(**{**config, "arguments": _restored(config["arguments"])})


class Namespace:
    """The functions that pooling of a symbolic tensor needs: none of them computes."""

    @staticmethod
    def squeeze(x: keras.KerasTensor, axes: Sequence[int]) -> keras.KerasTensor:
        shape = tuple(length for axis, length in enumerate(x.shape) if axis not in axes)
        return keras.KerasTensor(shape, x.dtype)


class Keras(Adapter):
    name = "Keras"

    @property
    def defaults(self) -> Defaults:
        return _backend().defaults

    def call(self, function: Callable[..., Any], x: Any, *arguments: Any) -> Any:
        if isinstance(x, keras.Variable):
            return adapter_for(x.value).call(function, x.value, *arguments)
        tensors = tuple(itertools.takewhile(lambda argument: isinstance(argument, keras.KerasTensor), arguments))
        return Pool(function.__name__, arguments[len(tensors) :])(x, *tensors)

    def array(self, x: Any) -> keras.KerasTensor:
        if not isinstance(x, keras.KerasTensor) or x.sparse or x.ragged:
            raise TypeError(f"x must be a dense tensor, whose windows are whole, got {x!r}")
        return x

    def shape(self, x: keras.KerasTensor) -> tuple[Any, ...]:
        return tuple(UNKNOWN if length is None else length for length in x.shape)

    def dtype(self, x: keras.KerasTensor) -> str:
        return x.dtype

    def namespace(self, x: keras.KerasTensor) -> type[Namespace]:
        return Namespace

    def choose(self, impl: str, x: keras.KerasTensor, pooling: Pooling) -> str:
        """Left to the backend's arrays, when they come."""
        if impl not in ("auto", *IMPLEMENTATIONS):
            return super().choose(impl, x, pooling)
        return impl

    def run(self, implementation: str, x: keras.KerasTensor, pooling: Pooling) -> Any:
        values = keras.KerasTensor(_shape(pooling.output_shape), pooling.result)
        return (values, keras.KerasTensor(values.shape, _index_dtype())) if pooling.return_indices else values

    def unpool(self, x: keras.KerasTensor, indices: Any, axes: Sequence[int], lengths: Sequence[Any]) -> Any:
        pooled = dict(zip(axes, lengths, strict=True))
        shape = [pooled.get(axis, length) for axis, length in enumerate(x.shape)]
        return keras.KerasTensor(_shape(shape), x.dtype)

    def largest(self, indices: Any) -> None:
        return None


def _backend() -> Adapter:
    """The adapter of the backend's arrays."""
    return adapter_for(keras.ops.zeros(()))


def _index_dtype() -> str:
    adapter, array = _backend(), keras.ops.zeros(())
    return adapter.dtype(adapter.namespace(array).arange(1))


def _shape(lengths: Sequence[Any]) -> tuple[int | None, ...]:
    return tuple(None if length is UNKNOWN else length for length in lengths)


def _plain(argument: Any) -> Any:
    """An argument in what JSON has."""
    if dataclasses.is_dataclass(argument) and not isinstance(argument, type):  # an operator or a window
        fields = {field.name: _plain(getattr(argument, field.name)) for field in dataclasses.fields(argument)}
        return {"anypool": type(argument).__name__, "fields": fields}
    if isinstance(argument, Sequence) and not isinstance(argument, str):
        return [_plain(entry) for entry in argument]
    return argument if argument is None or isinstance(argument, str | int | float) else functional.dtype_name(argument)


def _restored(argument: Any) -> Any:
    """An argument from what JSON had."""
    if isinstance(argument, dict):
        name = argument["anypool"]
        kind = getattr(operators, name, None) or getattr(windows, name)
        return kind(**{field: _restored(value) for field, value in argument["fields"].items()})
    return (
        tuple(map(_restored, argument))
        if isinstance(argument, Sequence) and not isinstance(argument, str)
        else argument
    )


ADAPTER = Keras()
