"""The compiled kernels in threads, in forked children, and on every instruction set."""

import os
import threading

import numpy as np
import pytest
from harness import SUPPORT, in_process, in_threads

import anypool as ap
from anypool.adapters.numpy import ADAPTER
from anypool.cpu import kernels
from anypool.operators import Max
from anypool.pooling import decide
from anypool.windows import Sliding

pytestmark = pytest.mark.skipif(not kernels.available(), reason=str(kernels.why_not_built))


def test_several_python_threads():
    numbers = np.random.default_rng(0)
    x = numbers.standard_normal((16, 8, 64, 64)).astype(np.float32)
    pooling = decide(ADAPTER, x, Max(), Sliding(3, 2, 1), (2, 3))
    expected = kernels.forward(x, pooling)
    wrong = []

    def work(number):
        for _ in range(20):
            if not np.array_equal(kernels.forward(x, pooling), expected):
                wrong.append(number)

    in_threads(work, *range(4))
    assert not wrong


FORKED = """
import os, numpy as np
import anypool as ap
from anypool.pooling import decide
from anypool.cpu import kernels
from anypool.adapters.numpy import ADAPTER
from anypool.operators import Max
from anypool.windows import Sliding
x = np.random.default_rng(0).standard_normal((64, 16, 32, 32)).astype(np.float32)
pooling = decide(ADAPTER, x, Max(), Sliding(2), (2, 3))
ap.set_num_threads(2)
expected = kernels.forward(x, pooling)
child = os.fork()
if child == 0:
    same = ap.get_num_threads() == 1 and np.array_equal(kernels.forward(x, pooling), expected)
    os._exit(0 if same else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert np.array_equal(kernels.forward(x, pooling), expected)
"""


def test_a_thread_whose_first_call_needs_no_scratch_memory():
    x = np.arange(42, dtype=np.float32).reshape(2, 7, 3)
    found = []
    call = threading.Thread(target=lambda: found.append(ap.max_pool(x, 3, 2, "same", axes=1, return_indices=True)))
    call.start()
    call.join()
    np.testing.assert_array_equal(found[0][0], x[:, [1, 3, 5, 6]])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_runs_on_one_thread():
    done = in_process(FORKED)
    assert done.returncode == 0, done.stderr


SWEEP = """
import sys
sys.path[:0] = {tests!r}
import test_kernels as t
for seed in range(2):
    t.test_values_and_indices_are_those_of_the_reference(100 + seed)
    t.test_gradients_are_those_of_the_reference(100 + seed)
t.test_wide_windows_on_long_rows("average", 13)
t.test_wide_windows_on_long_rows("max", 31)
"""


@pytest.mark.parametrize("name", ["x86-64-v2", "x86-64-v3", "x86-64-v4"])
def test_an_instruction_set_by_its_full_name(name):
    code = "from anypool.cpu import extension; print(extension.why_not_built or extension.compiled.isa)"
    said = in_process(code, ANYPOOL_ISA=name)
    assert said.stdout.strip() in (name[-2:], f"ANYPOOL_ISA={name!r}: this machine cannot run such kernels")


@pytest.mark.parametrize("isa", ["v2", "v3", "v4", "plain"])
def test_every_instruction_set(isa):
    chosen = in_process("from anypool import _kernels; print(_kernels.isa)", ANYPOOL_ISA=isa)
    assert chosen.returncode == 0, chosen.stderr
    if chosen.stdout.strip() == "None":
        pytest.skip(f"no {isa} here")
    assert chosen.stdout.strip() == isa
    done = in_process(SWEEP.format(tests=[SUPPORT, os.path.dirname(__file__)]), ANYPOOL_ISA=isa)
    assert done.returncode == 0, done.stderr


def test_threads_from_the_environment():
    code = "import anypool; print(anypool.get_num_threads())"
    assert in_process(code, ANYPOOL_NUM_THREADS="3").stdout.strip() == "3"
