"""The group "large" of the benchmark: everyone makes the same levels, and the page shows who made them wrong."""

import pytest

pytest.importorskip("zarr")
pytest.importorskip("rich")

from benchmarks import large, page


@pytest.mark.parametrize("row", large.ROWS[::3], ids=lambda row: row[0])
def test_a_row_has_everyone_or_says_why_not(row, tmp_path, monkeypatch):
    monkeypatch.setattr(large, "ROUNDS", 1)
    monkeypatch.setattr(large, "CHUNK", 32)
    name, operator, make, copies = row
    made = []
    record = large.measure_row(name, operator, make((32, 64, 64)), copies, tmp_path)
    made.append(record)
    assert set(record["cpu"]) | set(record["refused"]) == set(large.CONTENDERS)
    assert set(record["cpu"]) == set(record["wall"])
    assert record["differs"]["anypool"] == 0
    text = page.sections({"large": {"machine": MACHINE, "minutes": 0, "records": made}})["large"]
    assert all(f"| {who} |" in text for who in record["cpu"])


MACHINE = {"processor": "", "system": "", "python": "", "threads": 2, "date": "", "versions": {}}
