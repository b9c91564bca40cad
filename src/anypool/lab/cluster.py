"""Runs on a Dask cluster: each network is a task there, and what it measured is kept here as it comes."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import threading
import time
import uuid
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .callbacks import Callback, Stopped
from .clock import timed
from .runs import POLARITIES, Run, RunKey

if TYPE_CHECKING:
    from distributed import Client, Future

    from .data import Dataset
    from .subjects import Job, Plan, Subject

CONNECT_SECONDS = 10
POLL_SECONDS = 0.1
ASK_SECONDS = 1.0
"""How often a worker asks whether it should stop."""

STOP_SECONDS = 30
"""How long workers are waited for that were told to stop."""

MOST_LOSSES = 5
"""So often is everything sent anew, where the workers that held it died."""


class ClusterError(ValueError):
    """The cluster does not answer, or not any more."""


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of the scheduler at this address.

    Raises:
        ModuleNotFoundError: distributed is not installed. ClusterError: nobody answers there.
    """
    try:
        from distributed import Client
    except ImportError as missing:
        message = "a cluster needs distributed: pip install 'anypool[cluster]'"
        raise ModuleNotFoundError(message, name="distributed") from missing
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except Exception as error:  # OSError, TimeoutError, ValueError, TypeError: as the address is wrong
        said = " ".join(str(error).split())[:200]
        rule = "the address of a Dask scheduler that answers, such as tcp://host:8786"
        raise ClusterError(f"cluster must be {rule}, got {address!r}: {said}") from error
    with client:
        yield client


@dataclass(frozen=True)
class Outcome:
    """What became of a task: its runs, and why the others came to no result."""

    runs: tuple[Run, ...]
    reason: str | None = None


@dataclass
class Parcel:
    """All that every task needs, pickled once; workers unpack it once."""

    content: bytes
    backend: str | None
    """Keras's, which a process chooses once; None where Keras computes nothing."""
    name: str
    """Of this comparison: events and signals have it."""

    @classmethod
    def of(cls, subject: Subject, data: Dataset, plan: Plan) -> Parcel:
        """The parcel of a comparison."""
        keras = sys.modules.get("keras")
        backend = None if keras is None else keras.backend.backend()
        return cls(pickle.dumps((subject, data, plan)), backend, f"anypool-{uuid.uuid4().hex}")

    @property
    def digest(self) -> str:
        """A fingerprint of what is in it."""
        return hashlib.sha256(self.content).hexdigest()


def run_jobs(
    client: Client, parcel: Parcel, jobs: Mapping[Job, Sequence[RunKey]], callback: Callback
) -> Generator[tuple[Job, Outcome], None, None]:
    """What became of each job, as they end.

    Raises:
        Stopped: the callback said so. ClusterError: there is no cluster any more.
    """
    from distributed import Event

    stop = Event(parcel.name, client=client)
    client.subscribe_topic(parcel.name, lambda event: _tell(callback, event))
    losses = 0
    waiting = dict(jobs)
    futures: dict[Job, Future] = {}
    try:
        while waiting:
            if not futures:
                futures = _submit(client, parcel, waiting)
            ended = [job for job, future in futures.items() if future.done()]
            for job in ended:
                outcome = _outcome(futures.pop(job))
                if outcome is not None:
                    del waiting[job]
                    yield job, outcome
            lost = bool(waiting) and not futures
            losses += lost
            if losses > MOST_LOSSES or client.status not in ("running", "connecting"):
                raise ClusterError("the cluster lost what it was sent, again and again, or is gone")
            if callback.should_stop():
                raise Stopped
            if not ended:
                time.sleep(POLL_SECONDS)
    finally:
        client.unsubscribe_topic(parcel.name)
        if futures:
            _stop(client, stop, list(futures.values()))


def _submit(client: Client, parcel: Parcel, jobs: Mapping[Job, Sequence[RunKey]]) -> dict[Job, Future]:
    """A task for each job. Every worker is sent the parcel, so that one that dies takes it from nobody."""
    (sent,) = client.scatter([parcel], broadcast=True, hash=False)
    return {job: client.submit(work, sent, job, tuple(keys), pure=False) for job, keys in jobs.items()}


def _outcome(future: Future) -> Outcome | None:
    """What became of a task; None where it is to be sent again."""
    if future.status == "cancelled" or future.status == "lost":
        return None
    if future.status == "error":
        error = future.exception()
        return Outcome((), f"{type(error).__name__}: {' '.join(str(error).split())}")
    found: Outcome = future.result()
    return found


def _stop(client: Client, stop: Any, futures: Sequence[Future]) -> None:
    """Tell the workers to stop after the batch at hand, and wait for it."""
    try:
        stop.set()
        running = [key for keys in client.processing().values() for key in keys]
        client.cancel([future for future in futures if future.key not in running])
        end = time.monotonic() + STOP_SECONDS
        while time.monotonic() < end and not all(future.done() for future in futures):
            time.sleep(POLL_SECONDS)
    except (OSError, TimeoutError):
        pass  # there is nobody to tell


def _tell(callback: Callback, event: Any) -> None:
    """Pass on what a worker says of a run; its kind is the first of what it says."""
    _, (kind, key, *rest) = event
    if kind == "begin":
        callback.on_run_begin(RunKey(*key))
    else:
        callback.on_epoch_end(RunKey(*key), *rest)


# ---------------------------------------------------------------------------------------------------------------------
# On a worker

_ALONE = threading.Lock()
"""A process trains one network at a time, whose seeds are the process's."""

_unpacked: dict[str, Any] = {}


def work(parcel: Parcel, job: Job, keys: Sequence[RunKey]) -> Outcome:
    """Measure one network, on a worker.

    Whatever a model raises is a reason that is given back; Dask would try again elsewhere what fails in itself.
    """
    from .comparison import one_line

    remote = _Remote(parcel.name)
    runs: list[Run] = []
    with _ALONE:
        try:
            subject, data, plan = _unpack(parcel)
            if job.polarity != POLARITIES[0]:
                data = data.inverted()
            remote.say("begin", keys[0])
            runs += [run for run in timed(subject.measure(job, data, plan, remote)) if run.key in keys]
        except Exception as error:
            return Outcome(tuple(runs), one_line(error) or type(error).__name__)
    return Outcome(tuple(runs))


def _unpack(parcel: Parcel) -> tuple[Subject, Dataset, Plan]:
    if parcel.backend is not None:
        if "keras" not in sys.modules:
            os.environ["KERAS_BACKEND"] = parcel.backend
        import keras

        if keras.backend.backend() != parcel.backend:
            has = keras.backend.backend()
            raise ValueError(f"the worker has Keras on {has}, and the comparison is on {parcel.backend}")
    if parcel.digest not in _unpacked:
        _unpacked.clear()
        _unpacked[parcel.digest] = pickle.loads(parcel.content)
    found: tuple[Subject, Dataset, Plan] = _unpacked[parcel.digest]
    return found


class _Remote(Callback):
    """Tells whoever compares how a run goes, and asks them whether it should stop."""

    def __init__(self, name: str) -> None:
        from distributed import Event, get_worker

        self.name = name
        self.worker = get_worker()
        self.event = Event(name)
        self.asked = time.monotonic()
        self.stopping = False

    def say(self, *what: Any) -> None:
        """Tell something, which is a tuple with its kind first."""
        self.worker.log_event(self.name, what)

    def on_epoch_end(self, key: RunKey, epoch: int, accuracy: float) -> None:
        self.say("epoch", key, epoch, accuracy)

    def should_stop(self) -> bool:
        if not self.stopping and time.monotonic() - self.asked > ASK_SECONDS:
            self.asked = time.monotonic()
            self.stopping = bool(self.event.is_set())
        return self.stopping
