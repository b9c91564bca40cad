"""The course network and real training, in a process with JAX as Keras's backend."""

from processes import QUICK_XLA, run_tests


def test_network_and_training_on_jax():
    run_tests("tests/lab/network_suite.py", KERAS_BACKEND="jax", XLA_FLAGS=QUICK_XLA)
