"""Keras's own tests of its pooling layers, with anypool's layers in their place."""

import re
import shutil
from importlib.metadata import files

import pytest
from processes import run_python

SUBSTITUTED = """
import keras, anypool.keras
from keras.src import layers
for name in anypool.keras.__all__:
    if hasattr(layers, name):
        setattr(layers, name, getattr(anypool.keras, name))

from keras.src.testing import TestCase
tried = TestCase.run_layer_test

def run_layer_test(self, *arguments, supports_masking=None, **options):  # which all of anypool's do
    return tried(self, *arguments, **options)

TestCase.run_layer_test = run_layer_test
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_keras_own_tests_pass(backend, tmp_path):
    found = [path for path in files("keras") or () if re.search(r"layers/pooling/\w+_test\.py$", str(path))]
    if not found:
        pytest.skip("this build of Keras has no tests")
    for path in found:
        shutil.copy(path.locate(), tmp_path)
    (tmp_path / "conftest.py").write_text(SUBSTITUTED)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = run_python("-m", "pytest", "-q", "-c", tmp_path / "pytest.ini", tmp_path, KERAS_BACKEND=backend)
    failed = re.findall(r"^FAILED .*::(\w+)", done.stdout, re.MULTILINE)
    assert re.search(r"\d{2,} passed", done.stdout), done.stdout[-4000:] + done.stderr[-2000:]
    assert failed == [], done.stdout[-8000:]
