"""results.json: written whole as each run ends, read with suspicion, merged with what others wrote, never a mixture."""

import json
import os
import shutil
from pathlib import Path

import pytest
from labruns import made_up_run
from processes import ROOT

from anypool.lab.files import check_writable, write_whole
from anypool.lab.results import FORMAT, Results, ResultsError, records, to_csv
from anypool.lab.runs import AS_GIVEN, INVERTED, Failure, RunKey

OLD = ROOT / "tests" / "data" / "results-0.1.0.json"
SETTINGS = {"data": "digits", "digest": "abc", "epochs": 3}


def test_runs_survive_and_come_back_equal(tmp_path):
    path = tmp_path / "results.json"
    results = Results(path, SETTINGS)
    runs = [made_up_run("max"), made_up_run("min", seed=2, polarity=INVERTED, accuracy=1 / 3)]
    for done, run in enumerate(runs, 1):
        results.add(run)
        assert len(json.loads(path.read_text())["runs"]) == done
    again = Results(path, SETTINGS)
    assert again.chosen([run.key for run in runs]) == runs
    assert again.chosen([RunKey(7, AS_GIVEN, "max")]) == []
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".results.json.lock", "results.json"]


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
        "no measures": {**content, "runs": [{key: value for key, value in run.items() if key != "measures"}]},
        "text for a number": {**content, "runs": [{**run, "measures": {"accuracy": "high"}}]},
        "NaN": {**content, "runs": [{**run, "measures": {"accuracy": float("nan")}}]},
        "text in a curve": {**content, "runs": [{**run, "curve": ["a"]}]},
        "pooling": {**content, "runs": [{**run, "pool": 3}]},
        "stage": {**content, "runs": [{**run, "stage": None}]},
        "failures": {**content, "failures": [{"pool": "max"}]},
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


# ---------------------------------------------------------------------------------------------------------------------
# Several writers


def test_runs_of_several_writers_are_merged(tmp_path):
    """Each read the file before the others wrote it, and each keeps what the others wrote."""
    path = tmp_path / "results.json"
    writers = [Results(path, SETTINGS) for _ in range(4)]
    for seed in range(2):
        for number, results in enumerate(writers):
            results.add(made_up_run(f"pool {number}", seed))
    expected = {(f"pool {number}", seed) for number in range(4) for seed in range(2)}
    assert {(run.pool, run.seed) for run in Results(path, SETTINGS).runs.values()} == expected
    assert len(writers[-1].runs) == 8


def test_two_processes_lose_nothing(tmp_path):
    """Eight runs each, written as fast as they go."""
    import multiprocessing

    path = tmp_path / "results.json"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_runs, args=(path, f"pool {number}")) for number in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(Results(path, SETTINGS).runs) == 16


def write_runs(path, pool):
    results = Results(path, SETTINGS)
    for seed in range(8):
        results.add(made_up_run(pool, seed))


def test_who_works_keeps_others_waiting_until_they_stop(tmp_path):
    path = tmp_path / "results.json"
    first, second = Results(path, SETTINGS), Results(path, SETTINGS)
    told = []
    with first.working() as mine:
        first.add(made_up_run())
        assert mine
        with second.working(lambda: told.append("waits"), lambda: True) as granted:
            assert not granted
    assert told == ["waits"]
    with second.working() as mine:
        assert mine
        assert len(second.runs) == 1


def test_a_file_that_became_another_is_left_alone(tmp_path):
    path = tmp_path / "results.json"
    results = Results(path, SETTINGS)
    results.add(made_up_run())
    path.unlink()
    Results(path, {**SETTINGS, "epochs": 9}).add(made_up_run("min"))
    content = path.read_bytes()
    with pytest.raises(ResultsError, match="epochs was 9, now 3"):
        results.add(made_up_run("average"))
    assert path.read_bytes() == content
    assert [run.pool for run in results.runs.values()] == ["max"]


def test_a_run_that_cannot_be_written_is_not_there(tmp_path, monkeypatch):
    results = Results(tmp_path / "results.json", SETTINGS)
    results.add(made_up_run("max"))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultsError, match=r"results\.json cannot be written: No space left on device"):
        results.add(made_up_run("min"))
    assert [run.pool for run in results.runs.values()] == ["max"]
    assert [run.pool for run in Results(results.path, SETTINGS).runs.values()] == ["max"]


def test_a_failure_stays_until_there_is_a_result(tmp_path):
    results = Results(tmp_path / "results.json", SETTINGS)
    run = made_up_run()
    results.add_failure(Failure(run.key, "the loss was nan"))
    again = Results(results.path, SETTINGS)
    assert again.failures == {run.key: Failure(run.key, "the loss was nan")}
    again.add(run)
    assert Results(results.path, SETTINGS).failures == {}


# ---------------------------------------------------------------------------------------------------------------------
# Other versions


def test_a_file_of_version_0_1_0_is_read_and_continued(tmp_path):
    path = tmp_path / "results.json"
    shutil.copy(OLD, path)
    old = json.loads(OLD.read_text())
    results = Results.open(path)
    assert [(run.pool, run.seed, run.stage) for run in results.runs.values()] == [
        ("max", 0, "trained"),
        ("average", 0, "trained"),
    ]
    first = results.runs[RunKey(0, AS_GIVEN, "max")]
    assert first.measures == {name: old["runs"][0][name] for name in ("accuracy", "consistency", "fidelity")}
    assert first.environment["anypool"] == "0.1.0"
    assert first.environment["machine"] == old["settings"]["machine"]
    assert (results.settings["backend"], results.settings["model"]) == ("jax", "course")
    results.add(made_up_run("min"))
    again = Results(path, results.settings)
    assert list(again.runs.values()) == [*results.runs.values()]
    assert len(again.runs) == 3
    assert json.loads(path.read_text())["format"] == FORMAT


def test_fields_of_a_later_version_are_kept(tmp_path):
    path = tmp_path / "results.json"
    Results(path, SETTINGS).add(made_up_run())
    content = json.loads(path.read_text())
    content["tuning"] = {"trials": 3}
    content["runs"][0] |= {"energy": 2.5}
    content["runs"][0]["measures"]["wobble"] = 0.25
    content["runs"][0]["layers"][0]["bytes"] = 4
    path.write_text(json.dumps(content))
    results = Results(path, SETTINGS)
    assert results.runs[made_up_run().key].measures["wobble"] == 0.25
    results.add(made_up_run("min"))
    again = json.loads(path.read_text())
    assert again["tuning"] == {"trials": 3}
    assert again["runs"][0]["energy"] == 2.5


def test_a_later_format_is_refused(tmp_path):
    path = tmp_path / "results.json"
    Results(path, SETTINGS).add(made_up_run())
    path.write_text(path.read_text().replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}'))
    with pytest.raises(ValueError, match=f"format {FORMAT + 1}"):
        Results(path, SETTINGS)


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def test_records_have_all_columns_and_no_more():
    runs = [made_up_run("max"), made_up_run("min", measures={"accuracy": 0.5, "wobble": 0.25}, epoch_seconds=[3.0])]
    first, second = records(runs)
    assert list(first) == list(second)
    assert (first["accuracy"], first["wobble"], first["seconds_per_epoch"]) == (0.9, None, pytest.approx(0.3))
    assert (second["consistency"], second["wobble"], second["seconds_per_epoch"]) == (None, 0.25, None)
    header, line, other = to_csv(runs).splitlines()
    assert header.startswith("polarity,stage,pool,seed,accuracy,consistency,fidelity,parameters")
    assert line.startswith("as given,trained,max,0,0.9,")
    assert other.count(",") == header.count(",")


def test_what_killed_writers_left_is_removed(tmp_path):
    results = Results(tmp_path / "results.json", SETTINGS)
    (tmp_path / ".results.json.abc123").write_text("{")
    results.add(made_up_run())
    assert sorted(os.listdir(tmp_path)) == [".results.json.lock", "results.json"]
