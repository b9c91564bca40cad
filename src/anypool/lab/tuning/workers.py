"""Trials side by side, in processes of their own: one that dies loses its trial, which is tried again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from ..callbacks import Stopped, TuneCallback
from .trials import Task

if TYPE_CHECKING:
    import optuna

POLL_SECONDS = 0.5
MOST_DEATHS = 4
"""More for every job, without a trial that is over between them, and something is wrong with this machine."""

DONE, STORE_FAILED = 0, 3


def run_trials(
    study: optuna.Study,
    task: Task,
    url: str,
    trials: int,
    jobs: int,
    callback: TuneCallback,
    on_trial_end: Callable[[], None],
) -> None:
    """Run trials in so many processes until there are as many, together with those of others.

    Raises:
        Stopped: the callback said so; the trials at hand are given back. StoreError: a process could not write a trial,
            or one after another died.
    """
    from . import store

    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    crew = _Crew(lambda: context.Process(target=_work, args=(task, url, study.study_name, trials, stop)), stop)
    over = 0
    try:
        while True:
            crew.hire(min(jobs, max(store.remaining(study, trials), 0) + len(crew.workers)))
            if not crew.workers:
                return
            wait([worker.sentinel for worker in crew.workers], POLL_SECONDS)
            store.give_back_all(study, crew.bury(MOST_DEATHS * jobs))
            on_trial_end()
            before, over = over, len(store.finished(study))
            if over > before:
                crew.deaths = 0
            if callback.should_stop():
                raise Stopped
    finally:
        store.give_back_all(study, crew.dismiss())


@dataclass
class _Crew:
    """Processes that run trials."""

    make: Callable[[], BaseProcess]
    stop: Any

    def __post_init__(self) -> None:
        self.workers: list[BaseProcess] = []
        self.deaths = 0

    def hire(self, count: int) -> None:
        """Have so many of them."""
        while len(self.workers) < count:
            worker = self.make()
            worker.start()
            self.workers.append(worker)

    def bury(self, most: int) -> list[str]:
        """Let go of those that have ended; gives what those are called that died, of whom there may be so many.

        Raises:
            StoreError: one could not write its trial, or too many died.
        """
        from . import store

        ended = [worker for worker in self.workers if not worker.is_alive()]
        self.workers = [worker for worker in self.workers if worker not in ended]
        if any(worker.exitcode == STORE_FAILED for worker in ended):
            raise store.StoreError("the store of trials cannot be read or written by the processes that run them")
        dead = [worker for worker in ended if worker.exitcode != DONE]
        self.deaths += len(dead)
        if self.deaths > most:
            raise store.StoreError(f"{self.deaths} processes that ran trials died, the last with {dead[-1].exitcode}")
        return [f"{socket.gethostname()}:{worker.pid}" for worker in dead]

    def dismiss(self) -> list[str]:
        """Tell all to stop after the batch at hand, and wait for it; gives what those are called that died."""
        self.stop.set()
        for worker in self.workers:
            worker.join()
        return [f"{socket.gethostname()}:{worker.pid}" for worker in self.workers if worker.exitcode != DONE]


class _Asking(TuneCallback):
    """Stops a trial where the process that started this one says so."""

    def __init__(self, stop: Any) -> None:
        self.stop = stop

    def should_stop(self) -> bool:
        return bool(self.stop.is_set())


def _work(task: Task, url: str, name: str, trials: int, stop: Any) -> None:
    """What one process does."""
    import optuna

    from . import search, store

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one asks it to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with store.quietly():
            study = optuna.load_study(study_name=name, storage=store.open_store(url))
            search.run_trials(study, task, trials, _Asking(stop))
    except Stopped:
        pass
    except store.StoreError:
        os._exit(STORE_FAILED)


def _end_with_parent() -> None:
    """End this process where the one that started it is gone: nobody would wait for what it does."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
