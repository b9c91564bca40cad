"""How a command says no."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

INSTALL = "pip install 'anypool[lab]'"


class Refused(Exception):
    """Wrong input; the message names the argument, the value and the rule."""


class Failed(Exception):
    """Something went wrong on the way; the message says what, and what is kept."""


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what the checks inside raise into `Refused`."""
    try:
        yield
    except ModuleNotFoundError as error:
        said = str(error) if "pip install" in str(error) else f"this command needs {error.name!r}: {INSTALL}"
        raise Refused(said) from error
    except (ValueError, TypeError, OSError) as error:
        raise Refused(str(error).replace("kernel_size", "size")) from error
