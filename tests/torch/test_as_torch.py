"""Where torch refuses, and what it takes: drop-in modules, accelerated models and calls within `accelerated()`.

Calls within `accelerated()` are torch's in all that they take and refuse. Modules, and models that `accelerate`
changed, take more: integers, any number of leading axes, and half precision over three axes.
"""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import anypool.torch as apt

warnings.filterwarnings("ignore", module="torch")

SLIDING = {
    "plain": {"kernel_size": 2},
    "overlapping": {"kernel_size": 3, "stride": 2, "padding": 1},
    "ceil_mode": {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    "dilation": {"kernel_size": 2, "dilation": 2},
    "indices": {"kernel_size": 2, "return_indices": True},
    "indices by a number": {"kernel_size": 2, "return_indices": 1},
    "ceil_mode by a number": {"kernel_size": 2, "ceil_mode": 1},
    "one entry": {"kernel_size": (2,)},
    "one entry of a list": {"kernel_size": [2]},
    "too many entries": {"kernel_size": (2, 2, 2, 2)},
    "no stride": {"kernel_size": 2, "stride": ()},
    "stride 0": {"kernel_size": 2, "stride": 0},
    "kernel_size 0": {"kernel_size": 0},
    "kernel_size below 0": {"kernel_size": -1},
    "kernel_size too large": {"kernel_size": 20},
    "kernel_size of a float": {"kernel_size": 2.0},
    "kernel_size of a text": {"kernel_size": "2"},
    "kernel_size of nothing": {"kernel_size": None},
    "kernel_size of a flag": {"kernel_size": True},
    "padding too large": {"kernel_size": 2, "padding": 5},
    "padding over half of a dilated kernel": {"kernel_size": 3, "dilation": 3, "padding": 2},
    "padding below 0": {"kernel_size": 2, "padding": -1},
    "dilation 0": {"kernel_size": 2, "dilation": 0},
    "divisor": {"kernel_size": 2, "divisor_override": 3},
    "divisor below 0": {"kernel_size": 2, "divisor_override": -3},
    "divisor 0": {"kernel_size": 2, "divisor_override": 0},
    "padding uncounted": {"kernel_size": 3, "padding": 1, "count_include_pad": False},
}
ADAPTIVE = {
    "2": 2,
    "1": 1,
    "9": 9,
    "0": 0,
    "below 0": -1,
    "a list": [2, 2],
    "one entry": (2,),
    "four entries": (2, 2, 2, 2),
    "a float": 2.0,
    "a flag": True,
    "None": None,
    "None among others": (None, 2),
}
ANY_SHAPE = ("plain", "overlapping", "ceil_mode", "indices", "kernel_size too large", "2", "1")
"""The settings that are tried on inputs of every shape."""
KINDS = {
    "MaxPool": SLIDING,
    "AvgPool": SLIDING,
    "LPPool": SLIDING,
    "AdaptiveMaxPool": ADAPTIVE,
    "AdaptiveAvgPool": ADAPTIVE,
}
FUNCTIONS = {
    "MaxPool": "max_pool",
    "AvgPool": "avg_pool",
    "LPPool": "lp_pool",
    "AdaptiveMaxPool": "adaptive_max_pool",
    "AdaptiveAvgPool": "adaptive_avg_pool",
}
DTYPES = (torch.float32, torch.float16, torch.int64, torch.uint8, torch.bool, torch.complex64)


def shapes(rank):
    lengths = (9, 8, 7)[:rank]
    nothing = (0, *lengths[1:])
    return {
        "batch": (2, 3, *lengths),
        "one image": (3, *lengths),
        "an element": (1, 1) + (1,) * rank,
        "no image": (0, 3, *lengths),
        "no channel": (2, 0, *lengths),
        "an image without channels": (0, *lengths),
        "maps without elements": (2, 3, *nothing),
        "an image without elements": (3, *nothing),
        "nothing at all": (0, 0, *nothing),
        "too few axes": lengths,
        "too many axes": (1, 2, 3, *lengths),
    }


def settings(kind, rank, name):
    if KINDS[kind] is SLIDING:
        return SLIDING[name]
    size = ADAPTIVE[name]
    return {"output_size": size * rank if isinstance(size, list) else size}


def inputs(kind, rank):
    """(settings, input) of every case."""
    for name in KINDS[kind]:
        for where, shape in shapes(rank).items():
            if where != "batch" and name not in ANY_SHAPE:
                continue
            for dtype in DTYPES if where == "batch" else DTYPES[:1]:
                x = (torch.linspace(0, 5, max(1, torch.Size(shape).numel()))[: torch.Size(shape).numel()]).reshape(
                    shape
                )
                yield f"{name} on {where} of {dtype}", settings(kind, rank, name), x.to(dtype)
                if dtype is torch.float32:
                    yield f"{name} on {where} with a gradient", settings(kind, rank, name), x.requires_grad_()


def outcome(call, *arguments, **options):
    """What came out, or the kind of the error."""
    try:
        result = call(*arguments, **options)
    except Exception as error:
        return type(error)
    return result if isinstance(result, tuple) else (result,)


def is_refused(result):
    return isinstance(result, type)


def assert_same(name, got, expected, errors=True):
    assert is_refused(got) == is_refused(expected), f"{name}: {got}, torch: {expected}"
    if is_refused(expected):
        assert got is expected or not errors, name
        return
    assert len(got) == len(expected), name
    for ours, theirs in zip(got, expected, strict=True):
        half = {"rtol": 0.01, "atol": 0.05} if theirs.dtype is torch.float16 else {}  # torch's own sums are as rough
        torch.testing.assert_close(ours, theirs, equal_nan=True, msg=lambda text: f"{name}: {text}", **half)


def power(kind):
    return (2.0,) if kind == "LPPool" else ()


def function_of(function, kind, given, x):
    return function(x, *power(kind), **given)


def module_of(module, kind, given, x, **options):
    return module(*power(kind), **given, **options)(x)


every_kind = pytest.mark.parametrize("kind", KINDS)
every_rank = pytest.mark.parametrize("rank", [1, 2, 3])


@every_kind
@every_rank
def test_accelerated_calls_are_torchs_in_all_they_take(kind, rank):
    function, module = getattr(F, f"{FUNCTIONS[kind]}{rank}d"), getattr(nn, f"{kind}{rank}d")
    for name, given, x in inputs(kind, rank):
        for call in (function_of, module_of):
            expected = outcome(call, function if call is function_of else module, kind, given, x)
            with apt.accelerated():
                got = outcome(call, function if call is function_of else module, kind, given, x)
            assert_same(name, got, expected)


def is_extra(rank, x):
    """What our modules take where torch's do not: windows longer than an axis too, over three axes."""
    if rank < x.dim() <= rank + 2:
        return not x.is_floating_point() or (rank == 3 and (x.dtype is torch.float16 or x.shape[-1] == 1))
    return True


@every_kind
@every_rank
def test_accelerated_models_take_and_refuse_as_before(kind, rank):
    module = getattr(nn, f"{kind}{rank}d")
    for name, given, x in inputs(kind, rank):
        try:
            faster = apt.accelerate(module(*power(kind), **given))[0]
        except TypeError:  # torch has no such setting
            continue
        got, expected = outcome(faster, x), outcome(module_of, module, kind, given, x)
        if is_refused(expected) and is_extra(rank, x):
            continue
        assert_same(name, got, expected, errors=False)


@every_kind
@every_rank
def test_modules_take_what_torchs_take_and_refuse_empty_inputs_alike(kind, rank):
    options = {"signed": True} if kind == "LPPool" else {}
    theirs, ours = (getattr(where, f"{kind}{rank}d") for where in (nn, apt))
    for name, given, x in inputs(kind, rank):
        expected = outcome(module_of, theirs, kind, given, x)
        got = outcome(module_of, ours, kind, given, x, **options)
        if is_refused(expected):
            if x.numel() == 0 and rank < x.dim() <= rank + 2 and name.split(" on ")[0] in ANY_SHAPE:
                assert is_refused(got), name
        elif not (name.startswith(("indices by", "ceil_mode by", "0 on"))):  # which we refuse when they are made
            assert_same(name, got, expected)


@every_rank
def test_unpooling_takes_and_refuses_as_torchs(rank):
    theirs, ours = (getattr(where, f"MaxUnpool{rank}d") for where in (nn, apt))
    lengths = (4, 3, 2)[:rank]
    for where, shape in shapes(rank).items():
        if where == "too many axes":
            continue
        x = torch.rand(shape)
        indices = torch.arange(x.numel()).reshape(shape) % max(1, torch.Size(shape[-rank:]).numel())
        for size in (None, tuple(2 * n + 1 for n in shape[-rank:]), lengths, (0,) * rank, (2,) * (rank + 3)):
            expected = outcome(lambda m, x=x, i=indices, o=size: m(2)(x, i, output_size=o), theirs)
            got = outcome(lambda m, x=x, i=indices, o=size: m(2)(x, i, output_size=o), ours)
            if where == "too few axes" and is_refused(expected):  # any number of leading axes is an extra
                continue
            assert_same(f"{where} to {size}", got, expected, errors=False)
