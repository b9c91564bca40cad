"""Tests in a process of their own, for what a process decides once: Keras's backend, JAX's x64, XLA's devices."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

QUICK_OPTIONS = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Options of XLA's for small arrays through many programs, which take longer to optimise than to run."""

QUICK_XLA = " ".join(f"--{name}={str(value).lower()}" for name, value in QUICK_OPTIONS.items())
"""The same as XLA_FLAGS."""


def run_tests(*arguments, timeout=540, **environment):
    """Run pytest with these arguments (paths under tests/, `-k`, …) and environment; fail with its output if it fails.

    A variable of None is removed. A run that collects or passes no test fails too. Tests meant for such a process skip
    elsewhere, and are named by the test that runs it:

        def test_float64_in_jax():
            run_tests("tests/jax/test_adapter.py", "-m", "x64", JAX_ENABLE_X64="1")
    """
    done = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, timeout=timeout, **environment)
    assert (done.returncode, " passed" in done.stdout) == (0, True), (
        f"{environment}\n{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
    )


def run_python(*arguments, timeout=300, **environment):
    """Run Python with these arguments, such as "-c", code, in the root of the repository; the completed process."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=changed_environment(environment),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def changed_environment(changes):
    """This process's environment with the package importable from the checkout, and these changes."""
    path = os.pathsep.join(
        filter(None, [str(ROOT / "src"), str(ROOT / "tests" / "support"), os.environ.get("PYTHONPATH")])
    )
    merged = {**os.environ, "PYTHONPATH": path, **changes}
    return {name: str(value) for name, value in merged.items() if value is not None}
