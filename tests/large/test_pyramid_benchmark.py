"""The group "pyramids" of the benchmark: everyone makes the same levels, and the page shows who made them wrong."""

import pytest

pytest.importorskip("zarr")
pytest.importorskip("rich")

from benchmarks import page, pyramids


@pytest.mark.parametrize("row", pyramids.ROWS[::3], ids=lambda row: row[0])
def test_a_row_has_everyone_or_says_why_not(row, tmp_path, monkeypatch):
    monkeypatch.setattr(pyramids, "ROUNDS", 1)
    monkeypatch.setattr(pyramids, "CHUNK", 32)
    name, operator, make, copies = row
    made = []
    record = pyramids.measure_row(name, operator, make((32, 64, 64)), copies, tmp_path)
    made.append(record)
    assert set(record["cpu"]) | set(record["refused"]) == set(pyramids.CONTENDERS)
    assert set(record["cpu"]) == set(record["wall"])
    assert record["differs"]["anypool"] == 0
    text = page.sections({"pyramids": {"machine": MACHINE, "minutes": 0, "records": made}})["pyramids"]
    assert all(f"| {who} |" in text for who in record["cpu"])


MACHINE = {"processor": "", "system": "", "python": "", "threads": 2, "date": "", "versions": {}}
