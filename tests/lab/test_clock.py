"""How much of a run is computing, with a clock that is made up."""

import pytest
from labruns import made_up_run

from anypool.lab import clock


def test_what_computes_counts_once(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(clock, "perf_counter", lambda: now[0])
    monkeypatch.setattr(clock, "_clock", clock.Clock())

    @clock.computing
    def predict():
        now[0] += 2

    @clock.computing
    def fit():
        now[0] += 5
        predict()

    def measure():
        for seed in range(2):
            now[0] += 1
            fit()
            yield made_up_run(seed=seed)

    runs = list(clock.timed(measure()))
    assert [run.seconds for run in runs] == [{"total": 8.0, "computing": 7.0}] * 2
    assert clock.overhead(runs) == pytest.approx(1 / 8)
    assert clock.overhead([made_up_run()]) is None


def test_a_failure_while_computing_stops_the_clock(monkeypatch):
    monkeypatch.setattr(clock, "_clock", clock.Clock())

    @clock.computing
    def broken():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        broken()
    assert not clock._clock.running
