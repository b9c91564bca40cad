"""What `compare` plans, refuses and tells, with made-up training."""

import pytest
from labruns import MadeUpSubject

from anypool.lab import comparison as module
from anypool.lab.callbacks import Callback
from anypool.lab.comparison import compare, default_epochs, one_line, prepare
from anypool.lab.data import load
from anypool.lab.measures.shifts import SHIFT_SHARE, pixels_of_shift
from anypool.lab.results import Results
from anypool.lab.runs import AS_GIVEN, INVERTED
from anypool.lab.subjects import SwappedNetwork, TrainedNetwork


@pytest.fixture
def subject(monkeypatch):
    made_up = MadeUpSubject()
    monkeypatch.setattr(module, "find_subject", lambda *arguments: made_up)
    return made_up


class Recorder(Callback):
    """Notes what it is told; stops after so many runs."""

    def __init__(self, stop_after=None):
        self.told = []
        self.stop_after = stop_after

    def on_begin(self, comparison, missing):
        self.told.append(("begin", len(missing)))

    def on_run_begin(self, key):
        self.told.append(("run", key.pool))

    def on_epoch_end(self, key, epoch, accuracy):
        self.told.append(("epoch", key.pool, epoch))

    def on_run_end(self, run):
        self.told.append(("done", run.pool))

    def on_failure(self, failure):
        self.told.append(("failed", failure.key.pool, failure.reason))

    def should_stop(self):
        return self.stop_after is not None and sum(kind == "done" for kind, *_ in self.told) >= self.stop_after


def test_poolings_take_turns_within_a_seed(subject):
    keys = prepare(poolings=["min", "max"], seeds=2).keys
    assert [key[:3] for key in keys] == [
        (0, AS_GIVEN, "min"), (0, AS_GIVEN, "max"), (1, AS_GIVEN, "min"), (1, AS_GIVEN, "max"),
    ]  # fmt: skip
    assert [key.polarity for key in prepare(poolings=["min"], seeds=2, invert=True).keys] == [AS_GIVEN, INVERTED] * 2


@pytest.mark.parametrize(("arguments", "kind", "message"), [
    ({"poolings": ["max", "mean"]}, ValueError, "pool must name some of max, min, average, .*, got 'mean'"),
    ({"poolings": ["max", "max"]}, ValueError, "pool must name each pooling once, got 'max' twice"),
    ({"poolings": []}, ValueError, "pool must name one or more"),
    ({"seeds": 0}, ValueError, "seeds must be between 1 and 1000, got 0"),
    ({"seeds": 10**30}, ValueError, "seeds must be between 1 and 1000"),
    ({"epochs": 0}, ValueError, "epochs must be between 1 and 100000, got 0"),
    ({"epochs": 2.0}, TypeError, r"epochs must be an integer, got 2\.0"),
    ({"shift": 8}, ValueError, r"shift must be .* from 1 to 7 pixels of 8, got 8"),
    ({"shift": 0.0}, ValueError, r"shift must be .*, got 0\.0"),
    ({"shift": float("nan")}, ValueError, r"shift must be .*, got nan"),
    ({"shift": "far"}, TypeError, "shift must be a number, got 'far'"),
    ({"out": ""}, ValueError, "out must name a directory, got ''"),
    ({"out": "  "}, ValueError, "out must name a directory, got '  '"),
])  # fmt: skip
def test_comparisons_that_cannot_be(subject, arguments, kind, message):
    with pytest.raises(kind, match=message):
        compare(**arguments)
    assert subject.jobs == []


def test_default_epochs_show_about_as_many_images():
    assert default_epochs(load("digits")) == 30


def test_it_tells_and_keeps_in_memory(subject):
    recorder = Recorder()
    result = compare(poolings=["max", "min"], seeds=1, callback=recorder)
    assert [run.pool for run in result.runs] == ["max", "min"]
    assert recorder.told == [
        ("begin", 2), ("run", "max"), ("epoch", "max", 1), ("done", "max"), ("run", "min"), ("epoch", "min", 1),
        ("done", "min"),
    ]  # fmt: skip
    frame = result.to_frame()
    assert list(frame.pool) == ["max", "min"]
    assert frame.accuracy.tolist() == [0.9, 0.9]


def test_it_continues_where_it_was_stopped(subject, tmp_path):
    first = compare(poolings=["max", "min"], seeds=2, out=tmp_path, callback=Recorder(stop_after=3))
    assert first.stopped
    assert len(first.runs) == 3
    second = compare(poolings=["max", "min"], seeds=2, out=tmp_path)
    assert not second.stopped
    assert [job[:3] for job in subject.jobs] == [
        (0, AS_GIVEN, "max"), (0, AS_GIVEN, "min"), (1, AS_GIVEN, "max"), (1, AS_GIVEN, "min"),
    ]  # fmt: skip
    assert (tmp_path / "results.csv").read_text().count("\n") == 5


def test_a_pooling_that_fails_does_not_stop_the_others(subject, tmp_path):
    subject.failing = {"min": ValueError("kernel_size 9 does not fit\ninto 8"), "average": MemoryError()}
    recorder = Recorder()
    result = compare(poolings=["min", "average", "max"], seeds=1, out=tmp_path, callback=recorder)
    assert [run.pool for run in result.runs] == ["max"]
    reasons = {failure.key.pool: failure.reason for failure in result.failures}
    assert reasons == {"min": "kernel_size 9 does not fit into 8", "average": "MemoryError"}
    assert ("failed", "average", "MemoryError") in recorder.told
    assert len(Results.open(tmp_path / "results.json").failures) == 2
    subject.failing = {}
    again = compare(poolings=["min", "average", "max"], seeds=1, out=tmp_path)
    assert (len(again.runs), again.failures) == (3, [])


def test_what_nobody_says_goes_on_as_it_was(subject, tmp_path):
    compare(poolings=["max"], seeds=1, shift=2, out=tmp_path)
    assert prepare(poolings=["max"], seeds=1, out=tmp_path).settings["max_shift"] == 2
    with pytest.raises(ValueError, match="max_shift was 2, now 1"):
        prepare(poolings=["max"], seeds=1, shift=1, out=tmp_path)


def test_only_inverted_runs_see_inverted_images(subject):
    compare(poolings=["max"], seeds=1, invert=True)
    assert subject.jobs == [(0, AS_GIVEN, "max", 0.0), (0, INVERTED, "max", 1.0)]


@pytest.mark.parametrize(("shift", "side", "pixels"), [
    (None, 28, 2), (None, 8, 1), (None, 32, 2), (None, 224, 16), (None, 4, 1),
    (0.5, 8, 4), (0.01, 8, 1), (2, 8, 2), (0.99, 300, 297),
])  # fmt: skip
def test_shifts_are_a_share_of_the_shorter_side(shift, side, pixels):
    assert pixels_of_shift(shift, (side, side + 9)) == pixels
    assert pixels_of_shift(shift, (side + 9, side)) == pixels


def test_the_measures_are_those_the_docs_give():
    assert SHIFT_SHARE == 1 / 14
    assert (TrainedNetwork.draws, SwappedNetwork.draws, SwappedNetwork.moved_images) == (8, 2, 250)


def test_long_reasons_are_cut():
    assert len(one_line(ValueError("x" * 5000))) == 300
