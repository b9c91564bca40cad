"""The tables of docs/explained/ways-out.md, from what pytest wrote of the sweeps over ways out of Python.

`make ways-out` runs the sweeps whole and puts their tables into the page.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

WAYS = {
    "jax": {
        "test_compiled": "`jax.jit`",
        "test_differentiated": "`jax.grad` under `jax.jit`",
        "test_mapped": "`jax.vmap` under `jax.jit`",
        "test_exported_with_every_length_unknown": "`jax.export`, every length unknown",
        "test_exported_gradients_with_every_length_unknown": "the gradient through `jax.export`, every length unknown",
        "test_under_strict_settings": "`jit`, `vjp` and `jvp` under JAX's strict settings",
    },
    "tensorflow": {
        "test_graphs_of_unknown_lengths": "`tf.function`, every length unknown, and its gradient",
        "test_compiled_by_xla": "`tf.function(jit_compile=True)`",
        "test_mapped": "`tf.vectorized_map`, and its gradient",
        "test_saved_models": "SavedModel, every length unknown",
        "test_tflite": "TFLite, a batch given and any batch",
    },
}
"""What each test of the grid tries, as its row is headed."""

TITLES = {"torch": "PyTorch", "jax": "JAX", "tensorflow": "TensorFlow, and Keras on it"}
START, END = "<!-- tables: written by make ways-out -->", "<!-- end of the tables -->"


@dataclass(frozen=True)
class Result:
    framework: str
    way: str
    operator: str
    said: str
    """"right", or what went wrong."""


def results(report: Path) -> Iterator[Result]:
    """Of every case of the whole sweeps in pytest's XML."""
    for test in ElementTree.parse(report).iter("testcase"):
        function, _, parameters = test.get("name", "").partition("[")
        file = test.get("classname", "").rpartition(".")[2]
        properties = [(each.get("name", ""), each.get("value", "")) for each in test.iter("property")]
        if file == "test_ways_out" and function == "test_all":
            way = parameters.partition("-")[0]
            yield from (Result("torch", way, operator, said) for operator, said in properties)
            continue
        framework = "jax" if ".jax." in f".{test.get('classname')}" else "tensorflow"
        way = WAYS[framework].get(function)
        if way and parameters:
            failure = test.find("failure")
            case = parameters.rstrip("]")
            said = f"{case}: {failure.get('message')}" if failure is not None else dict(properties).get("said", "right")
            operator = next(name for name in (*case.split("-"),) if not name.isdigit() and name != "None")
            yield Result(framework, way, operator, said)


def table(found: list[Result]) -> str:
    """Way × operator, in Markdown: how many of its windows, ranks and forms are right, and what the others say."""
    operators, ways = (list(dict.fromkeys(getattr(each, name) for each in found)) for name in ("operator", "way"))
    cells: dict[tuple[str, str], list[str]] = defaultdict(list)
    for each in found:
        cells[each.way, each.operator].append(each.said)
    lines = [f"| way | {' | '.join(operators)} |", f"|---|{'---|' * len(operators)}"]
    for way in ways:
        counts = (cells[way, operator] for operator in operators)
        of_each = (f"{said.count('right')} of {len(said)}" for said in counts)
        lines.append(f"| {way} | {' | '.join(of_each)} |")
    notes = {f"- {each.way}: {each.said.splitlines()[0]}" for each in found if each.said != "right"}
    return "\n".join([*lines, "", *sorted(notes)]).rstrip() + "\n"


def written(page: str, found: list[Result]) -> str:
    """The page with its tables replaced."""
    before, rest = page.split(START)
    after = rest.split(END)[1]
    parts = []
    for framework, title in TITLES.items():
        of_it = [each for each in found if each.framework == framework]
        parts.append(f"## {title}\n\n{table(of_it)}")
    return f"{before}{START}\n\n" + "\n".join(parts) + f"\n{END}{after}"


if __name__ == "__main__":
    reports, page = sys.argv[1:-1], Path(sys.argv[-1])
    found = [result for report in reports for result in results(Path(report))]
    page.write_text(written(page.read_text(), found))
