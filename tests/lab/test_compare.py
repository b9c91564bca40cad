"""results.json: written whole as each run ends, read with suspicion, never a mixture."""

import json
import os
from pathlib import Path

import pytest
from labruns import made_up_run

from anypool.lab import compare
from anypool.lab.compare import AS_GIVEN, INVERTED, Results, default_epochs, plan_runs
from anypool.lab.data import load
from anypool.lab.files import check_writable, write_whole

SETTINGS = {"data": "digits", "digest": "abc", "epochs": 3}


def test_poolings_take_turns_within_a_seed():
    assert plan_runs(["min", "max"], 2, invert=False) == [
        (0, AS_GIVEN, "min"), (0, AS_GIVEN, "max"), (1, AS_GIVEN, "min"), (1, AS_GIVEN, "max"),
    ]  # fmt: skip
    assert [polarity for _, polarity, _ in plan_runs(["min"], 2, invert=True)] == [AS_GIVEN, INVERTED] * 2


@pytest.mark.parametrize(("pool", "seeds", "message"), [
    (["max", "mean"], 1, "pool must name some of max, min, average, got 'mean'"),
    (["max", "max"], 1, "pool must name each pooling once, got 'max' twice"),
    ([], 1, "pool must name one or more"),
    (["max"], 0, "seeds must be between 1 and 1000, got 0"),
    (["max"], 10**30, "seeds must be between 1 and 1000"),
])  # fmt: skip
def test_plans_that_cannot_be(pool, seeds, message):
    with pytest.raises(ValueError, match=message):
        plan_runs(pool, seeds, invert=False)


def test_default_epochs_show_about_as_many_images():
    assert default_epochs(load("digits")) == 30


def test_runs_survive_and_come_back_equal(tmp_path):
    path = tmp_path / "results.json"
    results = Results(path, SETTINGS)
    runs = [made_up_run("max"), made_up_run("min", seed=2, polarity=INVERTED, accuracy=1 / 3)]
    for done, run in enumerate(runs, 1):
        results.add(run)
        assert len(json.loads(path.read_text())["runs"]) == done
    again = Results(path, SETTINGS)
    assert again.chosen([run.key for run in runs]) == runs
    assert again.chosen([(7, AS_GIVEN, "max")]) == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]


def test_other_settings_are_not_mixed(tmp_path):
    path = tmp_path / "results.json"
    Results(path, SETTINGS).add(made_up_run())
    with pytest.raises(ValueError, match=r"out must hold .* \(epochs was 3, now 5\)"):
        Results(path, {**SETTINGS, "epochs": 5})
    with pytest.raises(ValueError, match="digest was 'abc', now 'abd'"):
        Results(path, {**SETTINGS, "digest": "abd"})
    with pytest.raises(ValueError, match="batch_size was None, now 3"):
        Results(path, {**SETTINGS, "batch_size": 3})


def damaged(content):
    """Ways in which a results.json may be wrong."""
    run = content["runs"][0]
    yield "not JSON", b"{"
    yield "not text", b"\xff\xfe\x00"
    for name, wrong in {
        "a list": [],
        "no runs": {key: value for key, value in content.items() if key != "runs"},
        "format": {**content, "format": 99},
        "settings": {**content, "settings": None},
        "a field less": {**content, "runs": [{key: value for key, value in run.items() if key != "seed"}]},
        "a field more": {**content, "runs": [{**run, "more": 1}]},
        "text for a number": {**content, "runs": [{**run, "accuracy": "high"}]},
        "NaN": {**content, "runs": [{**run, "fidelity": float("nan")}]},
        "text in a curve": {**content, "runs": [{**run, "curve": ["a"]}]},
        "pooling": {**content, "runs": [{**run, "pool": "mean"}]},
        "polarity": {**content, "runs": [{**run, "polarity": "green"}]},
        "layers": {**content, "runs": [{**run, "layers": [{"name": "x"}]}]},
    }.items():
        yield name, json.dumps(wrong).encode()


def test_damaged_results_are_refused_and_left_alone(tmp_path):
    path = tmp_path / "results.json"
    Results(path, SETTINGS).add(made_up_run())
    for name, content in damaged(json.loads(path.read_text())):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"out must hold no results\.json, or one of this version"):
            pytest.fail(f"{name} was accepted: {Results(path, SETTINGS).runs}")
        assert path.read_bytes() == content


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_whole(path, b"old")

    def broken(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    assert path.read_bytes() == b"old"


def test_where_nothing_can_be_written(tmp_path):
    check_writable("out", tmp_path / "x", tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"^out must lie in a directory that can be written to, got '/proc/x': "):
        check_writable("out", Path("/proc/x"), Path("/proc"))


def test_counts():
    with pytest.raises(ValueError, match="epochs must be between 1 and 100000, got 0"):
        compare.check_count("epochs", 0, compare.MOST_EPOCHS)
    with pytest.raises(TypeError, match=r"epochs must be an integer, got 2\.0"):
        compare.check_count("epochs", 2.0, compare.MOST_EPOCHS)


def test_the_measures_are_those_the_docs_give():
    assert (compare.MAX_SHIFT, compare.DRAWS) == (2, 8)
