"""Networks of the user's, in a process with JAX as Keras's backend and with torch."""

from processes import QUICK_XLA, run_tests


def test_networks_of_the_users_are_swapped_in():
    run_tests("tests/lab/swap_suite.py", KERAS_BACKEND="jax", XLA_FLAGS=QUICK_XLA)
