"""`anypool info` says what a report of a bug needs, and imports no framework for it."""

import re

import pytest
from processes import run_python

import anypool as ap

pytest.importorskip("typer")


def lines_of(**environment):
    done = run_python("-m", "anypool", "info", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(re.split(r"  +", line, maxsplit=1) for line in done.stdout.splitlines())


def test_versions_kernels_and_settings_are_there():
    said = lines_of(ANYPOOL_NUM_THREADS="1", KERAS_BACKEND="torch")
    assert said["anypool"] == ap.__version__
    assert {"python", "processor", "numpy"} <= said.keys()
    assert said["ANYPOOL_NUM_THREADS"] == "1"
    assert said["KERAS_BACKEND"] == "torch"
    if ap.get_cpu_capability() is not None:
        assert said["kernels"].startswith(f"{ap.get_cpu_capability()}, 1 threads, memory cache of at most ")


@pytest.mark.filterwarnings("ignore")
def test_where_there_are_no_kernels_the_reason_is_said():
    said = lines_of(ANYPOOL_ISA="v9", PYTHONWARNINGS="ignore")
    assert said["kernels"].startswith("none: ")
    assert "ANYPOOL_ISA='v9'" in said["kernels"]


def test_no_framework_is_imported():
    code = "import sys, anypool.cli.info as module; module.info(); "
    code += "assert not {'torch', 'jax', 'tensorflow', 'keras'} & set(sys.modules)"
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
