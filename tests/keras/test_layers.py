"""Keras's backends, a process for each: Keras has one for life."""

import pytest
from processes import QUICK_XLA, run_tests

SUITES = (
    "tests/keras/layers_suite.py",
    "tests/keras/generic_suite.py",
    "tests/keras/masks_suite.py",
    "tests/keras/regions_suite.py",
    "tests/keras/accelerate_suite.py",
)


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_layers_on(backend):
    run_tests(*SUITES, KERAS_BACKEND=backend, XLA_FLAGS=QUICK_XLA if backend == "jax" else None)
