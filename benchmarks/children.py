"""Measurements in a process of their own, for what a process decides once: Keras's backend, how memory is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def records(module: str, *arguments: str, environment: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The records that `python -m module arguments` prints, one to a line, as they come."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, env=os.environ | environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
    if process.returncode:
        given = " ".join(f"{name}={value}" for name, value in environment.items())
        raise RuntimeError(f"{given} {' '.join(command[1:])} ended with code {process.returncode}")


def report(record: dict[str, Any]) -> None:
    """What a child prints for `records`."""
    print(json.dumps(record), flush=True)
