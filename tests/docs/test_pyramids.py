"""The numbers of *Image pyramids* are those that the repository's own command measures."""

import pytest
from processes import ROOT

pytest.importorskip("zarr")

from benchmarks import chained

PAGE = ROOT / "docs" / "howto" / "pyramids.md"


@pytest.fixture(scope="module")
def table():
    return chained.table()


def test_the_table_is_what_the_command_prints(table):
    """`python -m benchmarks.chained --fill` writes it."""
    assert table in PAGE.read_text()


def test_levels_of_levels_are_as_wrong_as_the_page_says(table):
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    last = [float(cells[-1].rstrip("%")) for cells in rows]
    assert last[0] < -2
    assert all(share > 5 for share in last[1:])
    assert max(float(cell.rstrip("%")) for cell in rows[2][1:]) > 50
