"""A console that says how long work goes on, with a bar of its progress, until it is done or Ctrl-C stops it."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeRemainingColumn

from .console import has_unicode
from .interruption import Interruption

NARROW = 60
"""Terminals of fewer columns show progress without a bar."""


class Telling:
    """What the callbacks of commands share: lines, a bar beside them, and the user's Ctrl-C."""

    def __init__(self, console: Console, interruption: Interruption, how_far: ProgressColumn) -> None:
        self.console = console
        self.interruption = interruption
        columns: list[ProgressColumn] = [
            SpinnerColumn("dots" if has_unicode(console) else "line"),
            TextColumn("{task.description}"),
        ]
        if console.width >= NARROW:
            columns += [BarColumn(), how_far, TimeRemainingColumn()]
        self.progress = Progress(*columns, console=console, transient=True)
        self.task = self.progress.add_task("", start=False)

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def should_stop(self) -> bool:
        return self.interruption.requested

    def say(self, line: str) -> None:
        self.progress.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def describe(self, what: str) -> None:
        """What is being done, beside the bar."""
        self.progress.update(self.task, description=what)
