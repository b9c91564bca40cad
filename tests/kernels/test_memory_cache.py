"""The memory of large outputs, which is cached for the next ones when they are freed."""

import copy
import os
import pickle
import sys

import numpy as np
import pytest
import torch
from harness import in_process, in_threads

import anypool as ap
import anypool.torch as apt
from anypool.cpu import kernels
from anypool.cpu.extension import compiled

pytestmark = pytest.mark.skipif(not kernels.available(), reason=str(kernels.why_not_built))

X = np.random.default_rng(0).standard_normal((6, 4, 1024, 1024), np.float32)  # its output has 24 MiB


@pytest.fixture(autouse=True)
def empty_cache():
    """Every test begins with an empty cache."""
    limit = ap.get_memory_cache_limit()
    ap.set_memory_cache_limit(0)
    ap.set_memory_cache_limit(2**28)
    yield
    ap.set_memory_cache_limit(limit)


def place(array):
    return array.__array_interface__["data"][0]


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is cached where the system cannot take it back")
def test_an_output_takes_the_place_of_a_freed_one():
    first = ap.max_pool(X, 2)
    where = place(first)
    alive = ap.min_pool(X, 2)
    assert place(alive) != where
    view = first[1:]
    del first
    assert place(ap.max_pool(X, 2)) != where, "a view of it is alive"
    del view
    assert place(ap.max_pool(X, 2)) == where
    np.testing.assert_array_equal(alive, -ap.max_pool(-X, 2))


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is cached where the system cannot take it back")
def test_no_more_is_cached_than_the_limit():
    size = ap.max_pool(X, 2).nbytes
    assert compiled.memory_cache_bytes() == size
    outputs = [ap.max_pool(X, 2) for _ in range(3)]
    assert compiled.memory_cache_bytes() == 0
    ap.set_memory_cache_limit(2 * size)
    outputs.clear()
    assert compiled.memory_cache_bytes() == 2 * size
    smaller = ap.max_pool(X[:2], 2)
    assert compiled.memory_cache_bytes() == 2 * size, "much larger memory is no place for a small output"
    ap.set_memory_cache_limit(size - 1)
    assert compiled.memory_cache_bytes() == 0
    del smaller


@pytest.mark.parametrize("name", ["max", "min", "sum", "average"])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 3, 0), (2, 3, 0), (5, 1, 2)])
def test_whatever_cached_memory_holds_is_overwritten(name, kernel, stride, padding):
    x = torch.from_numpy(X)[:3].contiguous().requires_grad_()
    window = ap.Sliding(kernel, stride, padding)

    def values_and_gradient():
        y = ap.pool(x, name, window)
        (gradient,) = torch.autograd.grad(y.square().sum(), x)
        return y.detach(), gradient

    ap.set_memory_cache_limit(0)
    expected = [t.clone() for t in values_and_gradient()]
    ap.set_memory_cache_limit(2**30)
    for spoiled in (*values_and_gradient(), *values_and_gradient()):
        spoiled.fill_(torch.nan)
        del spoiled
    for given, wanted in zip(values_and_gradient(), expected, strict=True):
        assert torch.equal(given, wanted)


def test_tensors_in_cached_memory_are_tensors_like_others():
    x = torch.from_numpy(X)[:2].contiguous().requires_grad_()
    module = apt.MaxPool2d(2, 1)
    y = module(x)
    assert not y._is_view()
    torch.relu_(y).sum().backward()  # as nn.ReLU(inplace=True) does
    z = torch.relu(torch.nn.functional.max_pool2d(x, 2, 1))
    assert torch.equal(torch.autograd.grad(z.sum(), x)[0], x.grad)
    for other in (copy.deepcopy(x.grad), pickle.loads(pickle.dumps(x.grad)), x.grad.clone().share_memory_()):
        assert torch.equal(other, x.grad)
    with torch.inference_mode():
        assert torch.equal(module(x.detach()).relu_(), z)
    channels_last = x.detach().to(memory_format=torch.channels_last)
    assert module(channels_last).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(module(channels_last.bfloat16()), module(x.detach().bfloat16()))


def test_threads_never_share_an_output():
    expected = {k: ap.max_pool(X, k, 2) for k in (2, 3)}
    wrong = []

    def work(kernel):
        for _ in range(6):
            if not np.array_equal(ap.max_pool(X, kernel, 2), expected[kernel]):
                wrong.append(kernel)

    in_threads(work, 2, 3, 2, 3)
    assert not wrong


FORKED = """
import os, numpy as np, anypool as ap
x = np.arange(2**24, dtype=np.float32).reshape(4096, 4096)
kept, gone = ap.max_pool(x, 2), ap.max_pool(x, 2)
del gone
child = os.fork()
if child == 0:
    mine = ap.min_pool(x, 2)
    mine[:] = 0
    os._exit(0 if np.array_equal(kept, x[1::2, 1::2]) else 1)
mine = ap.max_pool(x, 2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert np.array_equal(mine, kept)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_its_own():
    done = in_process(FORKED)
    assert done.returncode == 0, done.stderr


def test_the_limit_from_the_environment():
    code = "import anypool; print(anypool.get_memory_cache_limit())"
    assert in_process(code, ANYPOOL_MEMORY_CACHE="4096").stdout.strip() == "4096"
    refused = in_process(code, ANYPOOL_MEMORY_CACHE="1 GB")
    assert "ANYPOOL_MEMORY_CACHE must be a number of bytes, got '1 GB'" in refused.stderr


def test_the_limit_is_checked():
    with pytest.raises(TypeError, match=r"n must be an integer, got 1\.5"):
        ap.set_memory_cache_limit(1.5)
    with pytest.raises(ValueError, match=r"n must be between 0 and 2\*\*62 bytes, got -1"):
        ap.set_memory_cache_limit(-1)
