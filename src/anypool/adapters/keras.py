"""Keras's symbolic tensors, which have a shape and no numbers: pooling in functional models. Keras variables too."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from anypool import masks, padding
from anypool.adapters.base import IMPLEMENTATIONS, Adapter, Implementation
from anypool.adapters.registry import adapter_for
from anypool.calls import CALLS
from anypool.operators import Defaults
from anypool.pooling import Pooling
from anypool.saving import FORMAT, from_config, to_config


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
        call: its name in `anypool.calls.CALLS`. arguments: what follows its tensors, by keyword.
    """

    def __init__(self, call: str, arguments: dict[str, Any], name: str | None = None) -> None:
        super().__init__(name=name)
        if call not in CALLS:
            raise ValueError(f"call must be one of {', '.join(CALLS)}, got {call!r}")
        self.function, self.arguments = CALLS[call], dict(arguments)

    def call(self, x: Any, *tensors: Any) -> Any:
        adapter = adapter_for(x)
        return adapter.call(self.function, x, *tensors, *self._positional(len(tensors)))

    def compute_output_spec(self, x: Any, *tensors: Any) -> Any:
        """Symbolic tensors of the results' shapes and dtypes: the function, with the adapter below, works that out."""
        return self.function(ADAPTER, x, *tensors, *self._positional(len(tensors)))

    def get_config(self) -> dict[str, Any]:
        arguments = {name: to_config(value) for name, value in self.arguments.items()}
        return {"call": self.function.__name__, "arguments": arguments, "format": FORMAT, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Pool:
        given = dict(config)
        if "function" in given:  # format 1: the function's name with an underscore, its arguments by position
            call = {"_pool": "pool", "_pool_global": "global_pool", "_unpool": "max_unpool"}[given.pop("function")]
            names = _names(call, 2 if call == "max_unpool" else 1)
            given = {**given, "call": call, "arguments": dict(zip(names, given["arguments"], strict=True))}
        elif given.pop("format", FORMAT) != FORMAT:
            raise ValueError(f"a pooling in a model must be of format {FORMAT} or older: update anypool")
        return cls(**{**given, "arguments": {name: from_config(value) for name, value in given["arguments"].items()}})

    def _positional(self, tensors: int) -> list[Any]:
        """The arguments after x and so many tensors beside it, up to the last that was given."""
        names = _names(self.function.__name__, 1 + tensors)
        return [self.arguments[name] for name in names if name in self.arguments]


def _names(call: str, tensors: int) -> list[str]:
    """The names of the arguments of a call that follow its adapter and tensors."""
    return list(inspect.signature(CALLS[call]).parameters)[1 + tensors :]


class Namespace:
    """The functions that pooling of a symbolic tensor needs: none of them computes."""

    @staticmethod
    def squeeze(x: keras.KerasTensor, axes: Sequence[int]) -> keras.KerasTensor:
        shape = tuple(length for axis, length in enumerate(x.shape) if axis not in axes)
        return keras.KerasTensor(shape, x.dtype)


class Symbolic(Implementation):
    """Shapes and dtypes alone."""

    name = "definition"

    def run(self, x: keras.KerasTensor, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        values = keras.KerasTensor(_shape(pooling.output_shape), pooling.result)
        return (values, keras.KerasTensor(values.shape, _index_dtype())) if pooling.return_indices else values


class Keras(Adapter):
    name = "Keras"

    def __init__(self) -> None:
        self.implementations = (Symbolic(self),)

    @property
    def defaults(self) -> Defaults:
        return _backend().defaults

    def call(self, function: Callable[..., Any], x: Any, *arguments: Any) -> Any:
        if isinstance(x, keras.Variable):
            return adapter_for(x.value).call(function, x.value, *arguments)
        tensors = tuple(itertools.takewhile(lambda argument: isinstance(argument, keras.KerasTensor), arguments))
        rest = arguments[len(tensors) :]
        names = _names(function.__name__, 1 + len(tensors))
        return Pool(function.__name__, dict(zip(names, rest, strict=False)))(x, *tensors)

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

    def choose(self, impl: str, x: keras.KerasTensor, pooling: Pooling) -> Implementation:
        """Left to the backend's arrays, when they come."""
        return super().choose("auto" if impl in IMPLEMENTATIONS else impl, x, pooling)

    def masked(
        self,
        x: keras.KerasTensor,
        where: Any,
        pooling: Pooling,
        parameters: Sequence[Any],
        settings: masks.Settings,
        impl: str,
    ) -> keras.KerasTensor:
        settings.filling(pooling)
        if where is not None:
            masks.checked(self, where, x, pooling)
        return self.choose(impl, x, pooling).run(x, pooling, parameters)

    def concat(self, arrays: Sequence[keras.KerasTensor], axis: int) -> keras.KerasTensor:
        shape = list(arrays[0].shape)
        shape[axis] = None if shape[axis] is None else sum(array.shape[axis] for array in arrays)
        return keras.KerasTensor(tuple(shape), arrays[0].dtype)

    def padded(self, x: keras.KerasTensor, pooling: Pooling) -> tuple[keras.KerasTensor, Pooling]:
        shape = list(self.shape(x))
        for axis, (before, after) in zip(pooling.axes, padding.amounts(pooling), strict=True):
            shape[axis] = shape[axis] + before + after
        with_padding = keras.KerasTensor(_shape(shape), x.dtype)
        return with_padding, padding.of_padded(self, with_padding, pooling)

    def indices_in_array(self, indices: keras.KerasTensor, pooling: Pooling) -> keras.KerasTensor:
        return indices

    def mask(self, where: Any, x: keras.KerasTensor) -> Any:
        return where if isinstance(where, keras.KerasTensor) else np.asarray(where)

    def parameters(self, x: keras.KerasTensor, pooling: Pooling, arrays: Sequence[Any]) -> tuple[Any, ...]:
        raise TypeError(
            f"parameters of {type(pooling.operator).__name__} must be numbers in a functional model, got an array: "
            "take a layer, which learns them"
        )

    def unpool(self, x: keras.KerasTensor, indices: Any, axes: Sequence[int], lengths: Sequence[Any]) -> Any:
        pooled = dict(zip(axes, lengths, strict=True))
        shape = [pooled.get(axis, length) for axis, length in enumerate(x.shape)]
        return keras.KerasTensor(_shape(shape), x.dtype)

    def is_traced(self, x: keras.KerasTensor) -> bool:
        return True

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


ADAPTER = Keras()
