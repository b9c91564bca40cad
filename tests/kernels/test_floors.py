"""Each folder of csrc/ includes headers of itself and of the folders below it alone, by their paths from csrc/."""

import re

import pytest
from processes import ROOT

SOURCES = ROOT / "csrc"
FLOORS = ("core", "runtime", "simd", "reduce", "forward", "windowed", "backward", "unpool", "python")
"""From the ground up, as csrc/README.md lists them."""
FILES = sorted(path.relative_to(SOURCES) for path in SOURCES.rglob("*") if path.suffix in (".h", ".cpp"))


def wrong_includes(folder, text):
    """The includes of a file in `folder` that name no header of its own floor or a lower one."""
    below = FLOORS[: FLOORS.index(folder) + 1]
    names = re.findall(r'#include "([^"]*)"', text)
    return [name for name in names if name.split("/")[0] not in below or not (SOURCES / name).is_file()]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_includes_run_down_only(path):
    assert path.parts[0] in FLOORS
    assert not wrong_includes(path.parts[0], (SOURCES / path).read_text())


def test_the_rule_finds_what_breaks_it():
    text = '#include "core/problem.h"\n#include "backward/gather.h"\n#include "reducers.h"\n#include <vector>\n'
    assert wrong_includes("reduce", text) == ["backward/gather.h", "reducers.h"]


def test_only_the_binding_knows_python():
    knowing = {path.parts[0] for path in FILES if re.search(r"Python\.h|nanobind|numpy", (SOURCES / path).read_text())}
    assert knowing == {"python"}


def test_the_readme_lists_the_floors_in_order():
    listed = re.findall(r"^\| `(\w+)/` \|", (SOURCES / "README.md").read_text(), re.MULTILINE)
    assert tuple(listed) == FLOORS
