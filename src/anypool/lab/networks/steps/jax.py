"""Steps of training in JAX: jitted, with what differentiation keeps read from the traced program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Var

from .base import Step, output_gradient

VIEWS = ("reshape", "squeeze", "expand_dims")
"""Primitives whose result is their argument in another shape."""

CALLS = ("jit", "pjit")
"""Primitives that run a program within the program."""

Apply = Callable[[Sequence[Any], Any], Any]
"""Weights and images to outputs."""


def jax_step(apply: Apply, weights: Sequence[Any], images: np.ndarray) -> Step:
    """A step of the network `apply`, compiled."""
    x = jnp.asarray(images)
    gradient = jnp.asarray(output_gradient(jax.eval_shape(apply, weights, x).shape))

    def forward_backward(weights: Sequence[Any], x: jax.Array, gradient: jax.Array) -> Any:
        outputs, backward = jax.vjp(lambda weights: apply(weights, x), weights)
        return outputs, backward(gradient.astype(outputs.dtype))

    forward = jax.jit(apply).lower(weights, x).compile()
    both = jax.jit(forward_backward).lower(weights, x, gradient).compile()
    memory = both.memory_analysis()
    return Step(
        forward=lambda: jax.block_until_ready(forward(weights, x)),
        both=lambda: jax.block_until_ready(both(weights, x, gradient)),
        saved_bytes=_saved_bytes(apply, weights, x),
        peak_bytes=memory.temp_size_in_bytes + memory.output_size_in_bytes if memory else None,
    )


def _saved_bytes(apply: Apply, weights: Sequence[Any], x: jax.Array) -> int:
    """Of the residuals of `jax.vjp`, each once; a reshaped array is the array, and constants are not kept."""

    def residuals(weights: Sequence[Any], x: jax.Array) -> list[Any]:
        return jax.tree_util.tree_leaves(jax.vjp(lambda weights: apply(weights, x), weights)[1])

    program = jax.make_jaxpr(residuals)(weights, x).jaxpr
    views = {eqn.outvars[0]: eqn.invars[0] for eqn in program.eqns if eqn.primitive.name in VIEWS}

    def viewed(variable: Any) -> Any:
        while variable in views:
            variable = views[variable]
        return variable

    computed = _depending(program, set(program.invars))
    saved = {viewed(variable) for variable in program.outvars if isinstance(variable, Var) and variable in computed}
    return sum(variable.aval.size * variable.aval.dtype.itemsize for variable in saved - set(program.invars))


def _depending(program: Any, found: set[Any]) -> set[Any]:
    """These variables of a program and all that are computed from them; what is left is constant."""
    for eqn in program.eqns:
        used = [isinstance(variable, Var) and variable in found for variable in eqn.invars]
        if not any(used):
            continue
        outputs = [True] * len(eqn.outvars)
        if eqn.primitive.name in CALLS:
            inner = eqn.params["jaxpr"].jaxpr
            within = _depending(
                inner, {variable for variable, is_used in zip(inner.invars, used, strict=True) if is_used}
            )
            outputs = [isinstance(variable, Var) and variable in within for variable in inner.outvars]
        found |= {variable for variable, is_used in zip(eqn.outvars, outputs, strict=True) if is_used}
    return found
