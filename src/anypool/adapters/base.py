"""On which array: what an adapter of a framework must know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anypool import definition
from anypool.definition import Pooling
from anypool.operators import Defaults

IMPLEMENTATIONS = ("kernel", "framework", "definition")


class Adapter:
    """What anypool knows of one framework; a subclass and a namespace of functions make the whole package serve it.

    The namespace (`namespace(x)`) holds what operators and the definition call. With NumPy's names and meanings: abs,
    any, arange, asarray, astype (to a dtype's name), concat, expand_dims, isnan, max, min, moveaxis, reshape, round,
    shape, squeeze, sum, take, transpose, where. Beside them: is_floating, constant (no gradient flows through it),
    highest and lowest (for the dtype of an array), zero and zeros (in the dtype of an array), take_along_last, and
    latest (for unpooling: the last source of every place).
    """

    name: str
    order: tuple[str, ...] = ("definition",)
    """The implementations that `impl="auto"` tries, in this order; the last refuses nothing."""

    @property
    def defaults(self) -> Defaults:
        """The dtypes of results that no dtype of an operand gives: the same object wherever they are the same."""
        raise NotImplementedError

    def call(self, function: Callable[..., Any], x: Any, *arguments: Any) -> Any:
        """`function(self, x, *arguments)`; where a compiler reads Python as it runs, it meets this call and no more."""
        return function(self, x, *arguments)

    def array(self, x: Any) -> Any:
        """x as an array of the framework; TypeError for kinds that have no windows (ragged, sparse, masked)."""
        return x

    def shape(self, x: Any) -> tuple[Any, ...]:
        """The lengths, integers where known."""
        return tuple(x.shape)

    def dtype(self, x: Any) -> str:
        """The name of the dtype, NumPy's."""
        return x.dtype.name

    def namespace(self, x: Any) -> Any:
        """The functions for arrays like x."""
        raise NotImplementedError

    def refusal(self, implementation: str, x: Any, pooling: Pooling) -> str | None:
        """Why this implementation cannot run; None if it can."""
        if implementation == "definition":
            return None
        return f"{self.name} arrays have no {implementation} implementation"

    def run(self, implementation: str, x: Any, pooling: Pooling) -> Any:
        """The values, or (values, indices), by an implementation that does not refuse."""
        return definition.pool(x, pooling, self.namespace(x))

    def is_array(self, x: Any) -> bool:
        """Whether x is an array of the framework that can be written into."""
        return False

    def check_out(self, out: Any, shape: tuple[Any, ...], dtype: str) -> None:
        """TypeError or ValueError where `out` is not an array of this shape and dtype."""
        if not self.is_array(out):
            raise TypeError(f"out must be an array to write into, of x's kind, {self.name}; got {type(out).__name__}")
        if tuple(out.shape) != shape:
            raise ValueError(f"out must have the output's shape {shape}, got {tuple(out.shape)}")
        if self.dtype(out) != dtype:
            raise TypeError(f"out must have the output's dtype {dtype}, got {self.dtype(out)}")

    def run_into(self, out: Any, implementation: str, x: Any, pooling: Pooling) -> Any:
        """As `run`, with the values written into `out`, once it is found fit, which is returned in their place."""
        raise TypeError(f"out= needs an array that can be written into; {self.name} arrays cannot")

    def choose(self, impl: str, x: Any, pooling: Pooling) -> str:
        """The implementation to run; ValueError where the one asked for cannot."""
        if impl == "auto":
            for name in self.order[:-1]:
                if self.refusal(name, x, pooling) is None:
                    return name
            return self.order[-1]
        if impl not in IMPLEMENTATIONS:
            raise ValueError(f"impl must be one of 'auto', {', '.join(map(repr, IMPLEMENTATIONS))}, got {impl!r}")
        reason = self.refusal(impl, x, pooling)
        if reason is not None:
            raise ValueError(f"impl={impl!r} cannot run here: {reason}")
        return impl

    def unpool(self, x: Any, indices: Any, axes: Sequence[int], lengths: Sequence[int]) -> Any:
        """Zeros with x at the flat positions `indices` within the axes."""
        return definition.unpool(x, indices, axes, lengths, self.namespace(x))

    def largest(self, indices: Any) -> tuple[int, int] | None:
        """The least and the greatest of an array of indices; None where values are not known yet, or there are none."""
        raise NotImplementedError
