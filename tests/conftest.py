"""What every test file shares: quiet frameworks and repeatable random numbers."""

import os
import secrets

# Read by TensorFlow when it is first imported, which is after this file.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from adapters import ADAPTERS
from browser import browsing
from hypothesis import HealthCheck, settings

settings.register_profile("tests", deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
settings.load_profile("tests")


os.environ.setdefault("ANYPOOL_SWEEP_SEED", str(secrets.randbelow(2**32)))  # one for all processes of a run


def pytest_terminal_summary(terminalreporter, config):
    if config.option.markexpr != "not slow":
        terminalreporter.write_line(f"ANYPOOL_SWEEP_SEED={os.environ['ANYPOOL_SWEEP_SEED']} repeats this run's sweep")


@pytest.fixture
def rng():
    """Random numbers, the same in every run."""
    return np.random.default_rng(20_241)


@pytest.fixture
def adapter(request):
    """The array kind of that name; see adapters.EVERY_ADAPTER."""
    return ADAPTERS[request.param]()


@pytest.fixture(scope="module")
def open_page():
    """Opens a file in a headless browser, of a width and a colour scheme; see browser.py."""
    with browsing() as opens:
        yield opens
