"""torch's own lists of inputs and errors of its pooling, for calls within `accelerated()` and for our modules."""

import warnings

import pytest
import torch

pytest.importorskip("expecttest")  # which torch's own tests import
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.common_modules import module_db

import anypool.torch as apt

pytestmark = pytest.mark.filterwarnings("ignore")

POOLING = [op for op in op_db if op.name.startswith("nn.functional.") and "pool" in op.name]
POOLING = [op for op in POOLING if "fractional" not in op.name]  # random
MODULES = [info for info in module_db if hasattr(apt, info.module_cls.__name__)]


def outcome(call, *arguments, **options):
    """What came out, or the kind of the error."""
    try:
        result = call(*arguments, **options)
    except Exception as error:
        return type(error)
    return result if isinstance(result, tuple) else (result,)


def assert_same(got, expected):
    if isinstance(expected, type):
        assert got is expected
    else:
        torch.testing.assert_close(got, expected, equal_nan=True)


@pytest.mark.parametrize("op", POOLING, ids=lambda op: op.name.removeprefix("nn.functional."))
def test_samples_and_errors_within_accelerated(op):
    for sample in op.sample_inputs("cpu", torch.float32):
        expected = outcome(op, sample.input, *sample.args, **sample.kwargs)
        with apt.accelerated():
            got = outcome(op, sample.input, *sample.args, **sample.kwargs)
        assert_same(got, expected)
    for case in op.error_inputs("cpu") if op.error_inputs_func else ():
        sample = case.sample_input
        with apt.accelerated(), pytest.raises(case.error_type, match=case.error_regex):
            op(sample.input, *sample.args, **sample.kwargs)


def used(cls, made, given, **options):
    return cls(*made.args, **made.kwargs, **options)(*given.args, **given.kwargs)


@pytest.mark.parametrize("info", MODULES, ids=lambda info: info.module_cls.__name__)
def test_samples_and_errors_of_modules(info):
    ours = getattr(apt, info.module_cls.__name__)
    options = {"signed": True} if "LPPool" in ours.__name__ else {}
    given = {"device": "cpu", "dtype": torch.float32, "requires_grad": False, "training": False}
    for sample in info.module_inputs_func(info, **given):
        expected = outcome(used, info.module_cls, sample.constructor_input, sample.forward_input)
        got = outcome(used, ours, sample.constructor_input, sample.forward_input, **options)
        assert_same(got, expected)
    for case in info.module_error_inputs_func(info, **given) if info.module_error_inputs_func else ():
        made, taken = case.module_error_input.constructor_input, case.module_error_input.forward_input
        with apt.accelerated(), pytest.raises(case.error_type, match=case.error_regex):
            used(info.module_cls, made, taken)
