"""Every way in which a torch program leaves Python, tried on every operator over every kind of window.

A case is a pooling as a function or as a layer; a way makes of a program something that runs apart from it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

import anypool as ap
import anypool.torch as apt

OPERATORS: dict[str, Any] = {
    "max": "max",
    "max with indices": "max",
    "min": "min",
    "sum": "sum",
    "average": "average",
    "average with padding": ap.Average(count_include_pad=True),
    "average by divisor": ap.Average(divisor_override=3),
    "lp": ap.Lp(3),
    "gem": ap.GeM(2.5),
    "median": "median",
    "variance": ap.Variance(),
}

WINDOWS: dict[str, Callable[[int], Any]] = {
    "padded": lambda rank: ap.Sliding(3, 2, 1),
    "ceil mode": lambda rank: ap.Sliding(3, 2, ceil_mode=True),
    "padded, ceil mode": lambda rank: ap.Sliding(2, 3, 1, ceil_mode=True),
    "same": lambda rank: ap.Sliding(3, 2, "same"),
    "same lower": lambda rank: ap.Sliding(2, 1, "same_lower"),
    "same, kernel < stride": lambda rank: ap.Sliding(2, 3, "same"),
    "dilated": lambda rank: ap.Sliding(2, 1, 1, 2),
    "same, dilated": lambda rank: ap.Sliding(3, 2, "same", 2),
    "padding ≥ kernel": lambda rank: ap.Sliding(2, 2, 2, 3),
    "asymmetric": lambda rank: ap.Sliding(3, 2, ((0, 2),) * rank),
    "asymmetric, ceil mode": lambda rank: ap.Sliding(3, 2, ((1, 0),) * rank, ceil_mode=True),
    "zeros": lambda rank: ap.Sliding(3, 2, 1, padding_mode="zeros"),
    "reflect, ceil mode": lambda rank: ap.Sliding(3, 2, ((1, 2),) * rank, 1, True, "reflect"),
    "circular, same": lambda rank: ap.Sliding(3, 2, "same", padding_mode="circular"),
    "zeros, same": lambda rank: ap.Sliding(2, 3, "same", padding_mode="zeros"),
    "reflect, same lower": lambda rank: ap.Sliding(4, 2, "same_lower", padding_mode="reflect"),
    "adaptive": lambda rank: ap.Adaptive(3),
    "adaptive, one axis kept": lambda rank: ap.Adaptive((2, None, 3)[:rank]),
    "global": lambda rank: ap.Global(),
}

FORMS = ("function", "layer", "masked layer")
ZEROS = ("zeros", "zeros, same")
OF_FUNCTIONS = {"layer": ("global", *ZEROS, "reflect, ceil mode", "circular, same", "reflect, same lower")}
"""Windows of which layers give no indices; zeros beyond the edge have none anyhow."""

SIZES = {1: ((2, 3, 8), (4, 2, 13)), 2: ((2, 3, 8, 9), (3, 4, 13, 7)), 3: ((2, 3, 6, 9, 8), (1, 2, 7, 6, 11))}
"""By the number of pooled axes: the shape that is traced, and another one."""


@dataclass(frozen=True)
class Case:
    operator: str
    window: str
    rank: int
    form: str

    def __str__(self) -> str:
        return f"{self.operator}, {self.window}, {self.rank} axes, {self.form}"

    def pooling(self) -> Callable[[Tensor], Any]:
        """The pooling, of a tensor."""
        operator, window = OPERATORS[self.operator], WINDOWS[self.window](self.rank)
        indices, axes = self.operator.endswith("indices"), tuple(range(-self.rank, 0))
        if self.form == "function":
            return lambda x: ap.pool(x, operator, window, axes, return_indices=indices)
        layer = _layer(self, operator, window)
        return Masked(layer) if self.form == "masked layer" else layer


class Masked(torch.nn.Module):
    """A layer of the elements of a tensor that are not far below 0."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        return self.layer(x, x > -0.5)


def _layer(case: Case, operator: Any, window: Any) -> torch.nn.Module:
    """The layer named for this pooling where there is one, else the one for any operator."""
    rank = case.rank
    if isinstance(window, ap.Adaptive):
        named = {"max": "AdaptiveMaxPool", "max with indices": "AdaptiveMaxPool", "average": "AdaptiveAvgPool"}
        if case.operator in named:
            more = {"return_indices": True} if case.operator.endswith("indices") else {}
            return getattr(apt, f"{named[case.operator]}{rank}d")(window.output_size, **more)
        return getattr(apt, f"AdaptivePool{rank}d")(operator, window.output_size)
    if isinstance(window, ap.Global):
        return getattr(apt, f"GlobalPool{rank}d")(operator)
    sizes = window.kernel_size, window.stride, window.padding
    if window.padding_mode != "exclude":
        more = {"ceil_mode": window.ceil_mode, "padding_mode": window.padding_mode}
        return getattr(apt, f"Pool{rank}d")(operator, *sizes, **more)
    more = {"dilation": window.dilation, "ceil_mode": window.ceil_mode}
    name = {"max": "MaxPool", "max with indices": "MaxPool", "min": "MinPool", "sum": "SumPool"}.get(case.operator)
    if name:
        more |= {"return_indices": True} if case.operator.endswith("indices") else {}
        return getattr(apt, f"{name}{rank}d")(*sizes, **more)
    if isinstance(operator, ap.Average):
        more |= {"count_include_pad": operator.count_include_pad, "divisor_override": operator.divisor_override}
        return getattr(apt, f"AvgPool{rank}d")(*sizes, **more)
    return getattr(apt, f"Pool{rank}d")(operator, *sizes, **more)


def cases(rank: int, form: str, windows: Any = WINDOWS, operators: Any = OPERATORS) -> list[Case]:
    """All that mean something."""
    return [
        Case(operator, window, rank, form)
        for window in windows
        for operator in operators
        if _has_meaning(operator, window, form)
    ]


def _has_meaning(operator: str, window: str, form: str) -> bool:
    """Whether there is such a layer: global ones give no indices, and masks leave no indices and count no padding."""
    if form == "masked layer":
        return operator not in ("max with indices", "average with padding")
    return not (operator == "max with indices" and window in OF_FUNCTIONS.get(form, ZEROS))


class Net(torch.nn.Module):
    """A program that computes several poolings of one tensor."""

    def __init__(self, *chosen: Case) -> None:
        super().__init__()
        self.cases = chosen
        self.functions = [case.pooling() for case in chosen]
        self.layers = torch.nn.ModuleList([each for each in self.functions if isinstance(each, torch.nn.Module)])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        results = []
        for function in self.functions:
            result = function(x)
            results += list(result) if isinstance(result, tuple) else [result]
        return tuple(results)

    def named_results(self, x: Tensor) -> list[tuple[Case, Tensor]]:
        """What each case gives at once, in the order of the program's results."""
        found = []
        for case, function in zip(self.cases, self.functions, strict=True):
            result = function(x)
            found += [(case, each) for each in (result if isinstance(result, tuple) else (result,))]
        return found


def image(shape: tuple[int, ...], seed: int = 3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------------------------------------------------------
# The ways


Run = Callable[[Tensor], Any]


def _compiled(net: Net, x: Tensor) -> Run:
    torch._dynamo.reset()
    return torch.compile(net, backend="aot_eager", fullgraph=True)


def _compiled_dynamic(net: Net, x: Tensor) -> Run:
    torch._dynamo.reset()
    run = torch.compile(net, backend="aot_eager", fullgraph=True, dynamic=True)
    run(x)
    return run


def exported(net: Net, x: Tensor) -> torch.export.ExportedProgram:
    dynamic = dict.fromkeys(range(x.ndim), torch.export.Dim.DYNAMIC)
    return torch.export.export(net, (x,), dynamic_shapes=(dynamic,))


def _exported(net: Net, x: Tensor) -> Run:
    return exported(net, x).module()


def _decomposed(net: Net, x: Tensor) -> Run:
    program = exported(net, x).run_decompositions()
    foreign = {str(node.target) for node in program.graph.nodes if "anypool" in str(node.target)}
    assert not foreign, f"operators that are not torch's: {foreign}"
    return program.module()


def _jit_traced(net: Net, x: Tensor) -> Run:
    return torch.jit.trace(net, x)


def _symbolically_traced(net: Net, x: Tensor) -> Run:
    return torch.fx.symbolic_trace(net)


def _made_fx(net: Net, x: Tensor) -> Run:
    return make_fx(net, tracing_mode="symbolic", _allow_non_fake_inputs=True)(x)  # which parameters are


def _vmapped(net: Net, x: Tensor) -> Run:
    return torch.vmap(net)


def session(model: bytes) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    runtime = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda x: [torch.from_numpy(each) for each in runtime.run(None, {runtime.get_inputs()[0].name: x.numpy()})]


def onnx_model(net: torch.nn.Module, x: Tensor, dynamic: bool) -> Any:
    """As ONNX's own message, by torch's exporter of exported programs."""
    axes = {axis: torch.export.Dim.DYNAMIC for axis in range(x.ndim) if axis != 1}
    shapes = (axes,) if dynamic else None
    return torch.onnx.export(net, (x,), dynamo=True, verbose=False, dynamic_shapes=shapes).model_proto


def _onnx(net: Net, x: Tensor) -> Run:
    return session(onnx_model(net, x, False).SerializeToString())


def _onnx_dynamic(net: Net, x: Tensor) -> Run:
    return session(onnx_model(net, x, True).SerializeToString())


def torchscript_onnx_model(net: torch.nn.Module, x: Tensor, dynamic: bool) -> bytes:
    """By torch's exporter of TorchScript."""
    file = io.BytesIO()
    axes = {"x": {axis: f"n{axis}" for axis in range(x.ndim) if axis != 1}} if dynamic else {}
    torch.onnx.export(net, (x,), file, dynamo=False, input_names=["x"], dynamic_axes=axes, opset_version=18)
    return file.getvalue()


def _torchscript_onnx(net: Net, x: Tensor) -> Run:
    return session(torchscript_onnx_model(net, x, False))


def _torchscript_onnx_dynamic(net: Net, x: Tensor) -> Run:
    return session(torchscript_onnx_model(net, x, True))


@dataclass(frozen=True)
class Way:
    make: Callable[[Net, Tensor], Run]
    any_size: bool = True
    """Whether what it makes takes other sizes than the one it saw."""
    any_channels: bool = True
    tolerance: float = 1e-5


WAYS: dict[str, Way] = {
    "compile": Way(_compiled),
    "compile, dynamic": Way(_compiled_dynamic),
    "export": Way(_exported),
    "export, decomposed": Way(_decomposed),
    "jit.trace": Way(_jit_traced),
    "fx.symbolic_trace": Way(_symbolically_traced),
    "make_fx": Way(_made_fx),
    "vmap": Way(_vmapped),
    "ONNX": Way(_onnx, any_size=False),
    "ONNX, dynamic": Way(_onnx_dynamic, any_channels=False),
    "ONNX by TorchScript": Way(_torchscript_onnx, any_size=False),
    "ONNX by TorchScript, dynamic": Way(_torchscript_onnx_dynamic, any_channels=False),
}


def failures(way: str, chosen: list[Case]) -> Iterator[tuple[Case, str]]:
    """The cases of one rank that go wrong on this way, and how: at the traced size, and at another.

    All are tried in one program, and each half apart where that cannot be made.
    """
    net, (shape, other), how = Net(*chosen).eval(), SIZES[chosen[0].rank], WAYS[way]
    other = other if how.any_channels else (other[0], shape[1], *other[2:])
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            run = how.make(net, image(shape))
            found: list[tuple[Case, str]] = []
            for each in (shape, other) if how.any_size else (shape,):
                x = image(each, seed=4)
                for got, (case, expected) in zip(leaves(run(x)), net.named_results(x), strict=True):
                    problem = difference(got, expected, how.tolerance)
                    found += [(case, f"at {each}: {problem}")] if problem else []
    except Exception as error:
        if len(chosen) == 1:
            yield chosen[0], f"{type(error).__name__}: {error}"
            return
        middle = len(chosen) // 2
        yield from failures(way, chosen[:middle])
        yield from failures(way, chosen[middle:])
        return
    yield from found


def leaves(results: Any) -> list[Tensor]:
    return [leaf for each in results for leaf in (each if isinstance(each, tuple) else (each,))]


def difference(got: Tensor, expected: Tensor, tolerance: float) -> str | None:
    if tuple(got.shape) != tuple(expected.shape):
        return f"shape {tuple(got.shape)} instead of {tuple(expected.shape)}"
    if got.dtype != expected.dtype:
        return f"{got.dtype} instead of {expected.dtype}"
    if not np.allclose(got.numpy(), expected.numpy(), rtol=tolerance, atol=tolerance, equal_nan=True):
        return f"differs by {float((got - expected).abs().max()):g}"
    return None
