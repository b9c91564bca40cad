"""A long kernel ends soon after Ctrl-C, or whatever a signal's handler raises."""

import signal
import threading
import time

import numpy as np
import pytest

import anypool as ap
from anypool.cpu import kernels
from anypool.windows import Sliding

pytestmark = [
    pytest.mark.skipif(not kernels.available(), reason=str(kernels.why_not_built)),
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no timer here"),
]


class Interrupted(Exception):
    pass


@pytest.fixture
def soon():
    """A signal 0.2 seconds from now, whose handler raises."""

    def handler(*_):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("operator", ["max", "average"])
@pytest.mark.usefixtures("soon")
def test_a_long_call_ends_when_a_handler_raises(operator, threads):
    x = np.broadcast_to(np.float32(1), (100_000, 1000, 1000))  # a minute's work in four bytes
    ap.set_num_threads(threads)
    start = time.perf_counter()
    with pytest.raises(Interrupted):
        ap.pool(x, operator, Sliding(1000), (1, 2), impl="kernel")
    ap.set_num_threads(0)
    assert time.perf_counter() - start < 10
    np.testing.assert_array_equal(ap.max_pool(np.arange(16.0).reshape(4, 4), 2), [[5, 7], [13, 15]])


@pytest.mark.usefixtures("soon")
def test_other_threads_finish_their_calls():
    """Handlers run in the main thread alone."""
    x, found = np.broadcast_to(np.float32(1), (1000, 1000, 1000)), []
    call = threading.Thread(target=lambda: found.append(ap.pool(x, "max", Sliding(1000), (1, 2), impl="kernel")))
    call.start()
    with pytest.raises(Interrupted):
        time.sleep(1)
    call.join()
    assert found[0].shape == (1000, 1, 1)
