"""What kernels cannot run is known before they run, and the next implementation has it."""

import numpy as np
import pytest

import anypool as ap
from anypool.adapters import adapter_for
from anypool.cpu import kernels
from anypool.operators import operator_for
from anypool.pooling import decide

pytestmark = pytest.mark.skipif(not kernels.available(), reason=str(kernels.why_not_built))
OPERATORS = ("max", "min", "average", "sum", "lp", "gem", "median")


def packed(dtype, shape):
    """A field of records that are one byte longer than it, and a copy of it."""
    records = np.zeros(shape, dtype=[("before", "u1"), ("field", dtype)])
    records["field"] = np.random.default_rng(0).integers(0, 50, shape)
    return records["field"], records["field"].copy()


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<i2", "<i8", ">f4"])
def test_fields_of_packed_records(operator, dtype):
    x, copy = packed(dtype, (2, 6, 6))
    for window in (ap.Sliding(2), ap.Sliding(3, 2, 1), ap.Adaptive(4), ap.Global()):
        expected = ap.pool(copy, operator, window, axes=(1, 2), impl="definition")
        np.testing.assert_allclose(ap.pool(x, operator, window, axes=(1, 2)), expected, rtol=1e-6)
    if operator in ("max", "min"):
        values, indices = ap.pool(x, operator, ap.Sliding(2), return_indices=True)
        assert (indices == ap.pool(copy, operator, ap.Sliding(2), return_indices=True)[1]).all()
        assert (values == ap.pool(copy, operator, ap.Sliding(2))).all()
    if dtype.startswith("<"):
        assert (ap.max_pool(x, 2, impl="kernel") == ap.max_pool(copy, 2)).all()


def test_writing_into_a_field_of_packed_records():
    x = np.random.default_rng(0).standard_normal((2, 6, 6)).astype(np.float32)
    out, _ = packed("<f4", (2, 3, 3))
    assert ap.max_pool(x, 2, out=out) is out
    assert (out == ap.max_pool(x, 2)).all()


def test_fields_that_are_not_aligned():
    records = np.zeros((4, 4), dtype=[("before", "u1"), ("field", "<f4"), ("after", "u1", 3)])
    records["field"] = np.arange(16).reshape(4, 4)
    assert ap.max_pool(records["field"], 2).tolist() == [[5, 7], [13, 15]]


def chosen(x, operator, return_indices=False):
    adapter = adapter_for(x)
    pooling = decide(adapter, x, operator_for(operator), ap.Global(), (0, 1), return_indices)
    return adapter.choose("auto", x, pooling).name


@pytest.mark.parametrize("operator", ["max", "min"])
def test_windows_whose_elements_no_offset_can_number(operator):
    """Of more than 2³¹ elements, here all the same one in memory."""
    for length, by in ((2**15, "kernel"), (2**15 + 1, "definition")):
        x = np.broadcast_to(np.int8(1), (2**16, length))
        assert chosen(x, operator) == "kernel"
        assert chosen(x, operator, return_indices=True) == by


@pytest.mark.parametrize("operator", ["max", "min"])
def test_gradients_through_windows_whose_elements_no_offset_can_number(operator):
    torch = pytest.importorskip("torch")
    for length, is_kernels in ((2**15, True), (2**15 + 1, False)):
        x = torch.zeros(1).expand(2**16, length)
        assert chosen(x, operator) == "kernel"
        assert (chosen(x.requires_grad_(), operator) == "kernel") is is_kernels
        with torch.no_grad():
            assert chosen(x, operator) == "kernel"
    assert chosen(x, "sum") == "kernel"
