"""On which array: what an adapter knows of a framework, and how its implementations are chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from anypool import calls, definition, masks, padding
from anypool.arguments import is_known
from anypool.operators import ARRAY, Defaults
from anypool.pooling import Pooling, lifted, shown

IMPLEMENTATIONS = ("kernel", "framework", "definition")


class Implementation:
    """One way to run poolings: it says why not, or runs them, gradient included where the framework has them."""

    name: str
    """One of `IMPLEMENTATIONS`: what `impl=` asks for."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter

    def refusal(self, x: Any, pooling: Pooling) -> str | None:
        """Why it cannot run; None if it can."""
        return None

    def run(self, x: Any, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        """The values, or (values, indices), of a pooling that is not refused; `parameters` are the operator's."""
        raise NotImplementedError

    def run_into(self, out: Any, x: Any, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        """As `run`, with the values written into `out`, once it is found fit, which is returned in their place."""
        adapter = self.adapter
        adapter.check_out(out, pooling.output_shape, pooling.result)
        adapter.check_writable(out, x)
        result = self.run(x, pooling, parameters)
        values, indices = result if pooling.return_indices else (result, None)
        adapter.write(out, values)
        return (out, indices) if pooling.return_indices else out


class Definition(Implementation):
    """`anypool.definition`, which runs everything."""

    name = "definition"

    def run(self, x: Any, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        if pooling.operator.composed:
            return self._composed(x, pooling, parameters)
        with self.adapter.quiet():
            result = definition.pool(x, pooling, parameters, self.adapter.namespace(x))
        return self.adapter.in_order_of(x, result)

    def _composed(self, x: Any, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        """The values of an operator that is made of other poolings, each by whoever runs it fastest."""
        adapter, xp = self.adapter, self.adapter.namespace(x)

        def pool(array: Any, operator: Any, window: Any, axes: tuple[int, ...] = pooling.axes) -> Any:
            return calls.pool(adapter, array, operator, window, axes)

        array, parameters = xp.astype(x, pooling.accumulator), definition.in_dtype(parameters, pooling.accumulator, xp)
        where = pooling.window, pooling.plan, pooling.axes
        with adapter.quiet():
            values = pooling.operator.compose(array, *where, pool, *parameters, xp)
            values = definition.result_of(values, pooling, xp)
        return adapter.in_order_of(x, values)


class Lifted(Implementation):
    """An operator by its reductions, which another implementation runs."""

    def __init__(self, inner: Implementation) -> None:
        super().__init__(inner.adapter)
        self.inner, self.name = inner, inner.name

    def refusal(self, x: Any, pooling: Pooling) -> str | None:
        operator = pooling.operator
        if not operator.reductions:
            return f"{type(operator).__name__} is no maximum, minimum or sum of anything"
        if operator.lift_dtype == "float64" != self.adapter.defaults.widest:
            return f"{type(operator).__name__} is lifted in float64, which {self.adapter.name} does not have here"
        reason = operator.lift_refusal(pooling.dtype, pooling.accumulator)
        return reason or next(filter(None, (self.inner.refusal(x, each) for each in lifted(pooling))), None)

    def run(self, x: Any, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        def reduce(array: Any, each: Pooling) -> Any:
            return self.inner.run(array, each, ())

        xp = self.adapter.namespace(x)
        with self.adapter.quiet():
            values = definition.lift_and_finish(x, pooling, parameters, reduce, xp)
            values = definition.result_of(values, pooling, xp)
        return self.adapter.in_order_of(x, values)


class Adapter:
    """What anypool knows of one framework; a subclass and a namespace of functions make the whole package serve it.

    The namespace (`namespace(x)`) holds what operators and the definition call. With NumPy's names and meanings: abs,
    any, arange, asarray, astype (to a dtype's name), broadcast_to, concat, exp, expand_dims, expm1, isfinite, isnan,
    log, log1p, matmul, max, maximum, min, minimum, moveaxis, reshape, round, shape, sign, sqrt, squeeze, sum, take,
    transpose, where.
    Beside them: sort and take_along_axis (along the last axis), stop_gradient, is_floating, astype_like (in the dtype
    of another array), index_ones_like (ones, in the integers of indices), highest, lowest and nan_like (numbers, in
    the dtype of an array), zero and zeros (likewise), max_of_all (the greatest element of all axes), and scatter_last
    (for unpooling: the last source of every place).
    """

    name: str
    implementations: tuple[Implementation, ...]
    """In the order in which `impl="auto"` tries them; the last refuses nothing."""

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

    def concat(self, arrays: Sequence[Any], axis: int) -> Any:
        """Arrays of the framework, one after another along an axis."""
        return self.namespace(arrays[0]).concat(arrays, axis)

    def quiet(self) -> AbstractContextManager[Any]:
        """Where NaN and infinities are data like other, without a framework's warnings."""
        return nullcontext()

    def in_order_of(self, x: Any, result: Any) -> Any:
        """A result, or a tuple of such, laid out in memory as x is, where that can be asked for."""
        return result

    def parameters(self, x: Any, pooling: Pooling, arrays: Sequence[Any]) -> tuple[Any, ...]:
        """The arrays of an operator's parameters as arrays of the framework.

        ValueError where one does not broadcast against x with length 1 along the pooled axes, or has not as many
        entries as the window has elements where that is asked for.
        """
        xp, operator, room = self.namespace(x), pooling.operator, pooling.shape
        checked = tuple(xp.asarray(array) for array in arrays)
        declared = (each for each in operator.parameters() if getattr(operator, each.name) is ARRAY)
        lengths = [1 if axis in pooling.axes else n for axis, n in enumerate(room)]
        for each, array in zip(declared, checked, strict=True):
            shape = self.shape(array)
            size = pooling.window_size
            if each.per_element and not (shape and _broadcasts((shape[-1],), (size,), exactly=True)):
                raise ValueError(
                    f"{each.name} of {type(operator).__name__} must have one entry per element of the window ({size}) "
                    f"along its last axis, got shape {shown(shape)}"
                )
            if each.per_window or each.per_position:
                whole, what = (pooling.output_shape, "the output") if each.per_window else (room, "x")
                if not _broadcasts(shape, whole):
                    raise ValueError(
                        f"{each.name} of {type(operator).__name__} must broadcast to {what}, of shape {shown(whole)}, "
                        f"got shape {shown(shape)}"
                    )
                continue
            beside = shape[:-1] if each.per_element else shape
            if not _broadcasts(beside, lengths):
                raise ValueError(
                    f"a parameter of {type(operator).__name__} must broadcast against x, with length 1 along the "
                    f"pooled axes {pooling.axes}: x has shape {shown(room)}, the parameter {shown(beside)}"
                )
        return checked

    def masked(
        self, x: Any, where: Any, pooling: Pooling, parameters: Sequence[Any], settings: masks.Settings, impl: str
    ) -> Any:
        """The values of the elements that count."""
        mask = masks.mask_of(self, x, where, pooling, settings)
        if pooling.window.pads_with_data:
            xp = self.namespace(x)
            mask = padding.padded_mask(mask, masks.with_pooled_axes(xp.shape(mask), pooling), pooling, xp)
            x, pooling = self.padded(x, pooling)
        return masks.run(self, x, mask, pooling, parameters, settings, impl)

    def padded(self, x: Any, pooling: Pooling) -> tuple[Any, Pooling]:
        """x with the padding that is data, and the pooling of that."""
        with_padding = padding.padded(x, pooling, self.namespace(x))
        return with_padding, padding.of_padded(self, with_padding, pooling)

    def indices_in_array(self, indices: Any, pooling: Pooling) -> Any:
        """Flat positions within the padded axes as those within x's."""
        return padding.indices_in_array(indices, pooling)

    def mask(self, where: Any, x: Any) -> Any:
        """`where` as an array of the framework, on x's device; of booleans if it is right."""
        return self.namespace(x).asarray(where)

    def choose(self, impl: str, x: Any, pooling: Pooling) -> Implementation:
        """The implementation to run; ValueError where the one asked for cannot."""
        if impl == "auto":
            for implementation in self.implementations:
                if implementation.refusal(x, pooling) is None:
                    return implementation
        if impl not in IMPLEMENTATIONS:
            raise ValueError(f"impl must be one of 'auto', {', '.join(map(repr, IMPLEMENTATIONS))}, got {impl!r}")
        reason = f"{self.name} arrays have no {impl} implementation"
        for implementation in (each for each in self.implementations if each.name == impl):
            why_not = implementation.refusal(x, pooling)
            if why_not is None:
                return implementation
            reason = why_not if not isinstance(implementation, Lifted) or pooling.operator.reductions else reason
        raise ValueError(f"impl={impl!r} cannot run here: {reason}")

    complex_as_pairs: ClassVar[bool] = False
    """Whether the namespace has view_as_real and view_as_complex (torch's names): complex arrays as pairs of reals
    along a last axis, and back."""

    def with_chunks(self, chunks: Any) -> Adapter:
        """The adapter that cuts outputs into these chunks; TypeError where arrays of the framework have none."""
        raise TypeError(
            f"chunks= says how the outputs of Dask and zarr arrays are cut; {self.name} arrays have no chunks"
        )

    no_arithmetic: ClassVar[tuple[str, ...]] = ()
    """The dtypes that arrays of the framework may have, but in which it does not compute."""

    # out=

    writable: ClassVar[bool] = False
    """Whether arrays of the framework can be written into."""

    def is_array(self, x: Any) -> bool:
        """Whether x is an array of the framework."""
        raise NotImplementedError

    def check_out(self, out: Any, shape: tuple[Any, ...], dtype: str) -> None:
        """TypeError or ValueError where `out` is not an array of this shape and dtype that can be written into."""
        if not self.writable:
            raise TypeError(f"out= needs an array that can be written into; {self.name} arrays cannot")
        if not self.is_array(out):
            raise TypeError(f"out must be an array to write into, of x's kind, {self.name}; got {type(out).__name__}")
        if tuple(out.shape) != shape:
            raise ValueError(f"out must have the output's shape {shape}, got {tuple(out.shape)}")
        if self.dtype(out) != dtype:
            raise TypeError(f"out must have the output's dtype {dtype}, got {self.dtype(out)}")

    def check_writable(self, out: Any, x: Any) -> None:
        """TypeError or ValueError where `out` cannot be written into while x is read."""

    def write(self, out: Any, values: Any) -> None:
        """Copy values into `out`."""
        raise NotImplementedError

    # Unpooling

    def unpool(self, x: Any, indices: Any, axes: Sequence[int], lengths: Sequence[int]) -> Any:
        """Zeros with x at the flat positions `indices` within the axes."""
        return definition.unpool(x, indices, axes, lengths, self.namespace(x))

    def checks_indices(self, x: Any, indices: Any) -> bool:
        """Whether `unpool` itself refuses indices that are out of range, by `definition.out_of_range`."""
        return False

    def is_traced(self, x: Any) -> bool:
        """Whether x stands for values that come when a program runs, so that nothing can be checked of them."""
        return False

    def largest(self, indices: Any) -> tuple[int, int] | None:
        """The least and the greatest of an array of indices; None where values are not known yet, or there are none."""
        raise NotImplementedError


def _broadcasts(shape: Sequence[Any], lengths: Sequence[Any], exactly: bool = False) -> bool:
    """Whether an array of this shape broadcasts to these lengths, or has them; what is not known is let pass."""
    return len(shape) <= len(lengths) and all(
        not is_known(n) or not is_known(m) or n == m or (n == 1 and not exactly)
        for n, m in zip(reversed(shape), reversed(lengths), strict=False)
    )
