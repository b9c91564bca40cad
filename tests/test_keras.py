"""Keras's backends, a process for each: Keras has one for life."""

import pytest
from processes import run_tests

SUITES = ("tests/keras_suite.py", "tests/keras_acceleration_suite.py")


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_layers_on(backend):
    # Small arrays through many programs: XLA takes longer to optimise them than to run them.
    quickly = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    run_tests(*SUITES, KERAS_BACKEND=backend, XLA_FLAGS=quickly if backend == "jax" else None)
