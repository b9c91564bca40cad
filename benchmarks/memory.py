"""The group "memory": what training keeps, from the frameworks' own accounts; nothing is timed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import anypool as ap
from anypool import Sliding
from benchmarks.cases import Case

SHAPE = (8, 64, 112, 112)
GRADIENT_SHAPE = (16, 16, 1024, 1024)
"""One gigabyte of float32."""

Record = dict[str, Any]


def measure(report: Callable[[Record], None]) -> None:
    """One record per operator: bytes per output that torch keeps; and for JAX what XLA sets aside for a gradient."""
    for kind in ("Max", "Avg"):
        report(saved_by_torch(kind))
    for window in (Sliding(2), Sliding(3, 2, 1), Sliding(7, 1, 3)):
        for kind in ("max", "average"):
            report(jax_gradient(kind, window))


def saved_by_torch(kind: str, shape: tuple[int, ...] = SHAPE) -> Record:
    """Bytes that a pooling module saves for its backward pass, by anypool and by torch."""
    import torch

    import anypool.torch

    saved = {}
    for name, namespace in (("anypool", anypool.torch), ("torch", torch.nn)):
        sizes: list[int] = []

        def keep(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel() * tensor.element_size())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            y = getattr(namespace, f"{kind}Pool2d")(3, 2, 1)(torch.randn(shape, requires_grad=True))
        saved[name] = sum(sizes) / y.numel()
    return {"what": f"saved for the backward pass of {kind}Pool2d, 3 s2 p1, in torch", "bytes per output": saved}


def jax_gradient(kind: str, window: Sliding, shape: tuple[int, ...] = GRADIENT_SHAPE) -> Record:
    """What XLA sets aside for value and gradient of a pooling, for a given output gradient; compiled, not run."""
    import jax

    x = jax.ShapeDtypeStruct(shape, "float32")
    grad = jax.ShapeDtypeStruct((*shape[:2], *window.output_shape(shape[2:])), "float32")

    def step(x: Any, grad: Any) -> Any:
        y, pull = jax.vjp(lambda x: ap.pool(x, kind, window), x)
        return y, pull(grad)[0]

    analysis = jax.jit(step).lower(x, grad).compile().memory_analysis()
    outputs, name = math.prod(grad.shape), Case("", shape, window).window_name
    return {
        "what": f"temporary memory of value and gradient of {kind} pooling, {name}, of 1 GiB, in JAX",
        "bytes per output": {"anypool": analysis.temp_size_in_bytes / outputs},
    }
