"""The examples print what a course on pooling prints."""

import pytest
from processes import run_python

PRINTED = {
    "max_pooling": "[[9. 7.]\n [8. 6.]]\n",
    "average_pooling": "[[4.25 4.25]\n [4.25 3.5 ]]\n",
    "min_pooling": "[[2. 1.]\n [1. 2.]]\n",
    "pyramid": "".join(
        f"{level} {shape} 50.9\n"
        for level, shape in enumerate([(32, 128, 128), (16, 64, 64), (8, 32, 32), (4, 16, 16), (2, 8, 8)], 1)
    ),
    "global_pooling": "gm_output:  9.0\nga_output:  4.0625\ngmin_output:  1.0\n",
}


@pytest.mark.parametrize("name", PRINTED)
def test_example_prints(name):
    done = run_python(f"examples/{name}.py", KERAS_BACKEND=None)
    assert (done.returncode, done.stdout) == (0, PRINTED[name]), done.stderr


def test_a_backend_that_is_configured_is_kept():
    done = run_python("examples/max_pooling.py", KERAS_BACKEND="torch")
    assert (done.returncode, done.stdout) == (0, PRINTED["max_pooling"]), done.stderr
