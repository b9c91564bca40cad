"""What is aimed at, and how far the results are from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.cases import AVERAGE, BACKWARD, FIRST, FORWARD, LAST, MAX, TRAINING
from benchmarks.contenders import INTO, NUMPY, TORCH
from benchmarks.jax_gradients import OURS as JAX
from benchmarks.pooling import COPY, ratios
from benchmarks.timing import geometric_mean

Record = dict[str, Any]
Named = list[tuple[float, str]]
"""Numbers, and of what."""


@dataclass(frozen=True)
class Goal:
    """A number to reach (or, with `below`, not to exceed), what was reached, and where that was."""

    text: str
    target: float
    reached: float
    below: bool = False
    where: str = ""
    unit: str = "×"

    @property
    def met(self) -> bool:
        return self.reached <= self.target if self.below else self.reached >= self.target


def goals(results: dict[str, Any]) -> Iterator[Goal]:
    """Every goal that the results say something about."""
    of = {name: group["records"] for name, group in results.items()}
    yield from _kernel_goals(of.get("kernels", []))
    yield from _peer_goals(of.get("kernels", []))
    yield from _layer_goals(of.get("kernels", []))
    yield from _network_goals(of.get("torch-networks", []))
    yield from _jax_goals(of.get("jax", []))
    yield from _keras_goals(of.get("keras", []))
    yield from _memory_goals(of.get("memory", []))


def _worst(
    text: str, target: float, named: Iterable[tuple[float, str]], unit: str = "×", below: bool = False
) -> Iterator[Goal]:
    """The goal that every one of these reaches the target; nothing where there are none."""
    named = list(named)
    if named:
        reached, where = max(named) if below else min(named)
        missed = sum(value > target if below else value < target for value, _ in named)
        if len(named) > 1:
            where = f"worst of {len(named)}: {where}" + (f"; {missed} miss it" if missed > 1 else "")
        yield Goal(text, target, reached, below, where, unit)


def _mean(text: str, target: float, numbers: Iterable[float]) -> Iterator[Goal]:
    """The goal that the geometric mean of these reaches the target."""
    numbers = list(numbers)
    if numbers:
        yield Goal(text, target, geometric_mean(numbers), where=f"geometric mean of {len(numbers)}")


def _pairs(records: Iterable[Record], above: str, under: str) -> Named:
    """The ratio of two contenders' times in every row that has both."""
    both = [record for record in records if above in record["seconds"] and under in record["seconds"]]
    return [(record["seconds"][above] / record["seconds"][under], record["name"]) for record in both]


def _where(records: Iterable[Record], **wanted: Any) -> list[Record]:
    return [r for r in records if all(r[key.replace("_", " ")] == value for key, value in wanted.items())]


def _kernel_goals(records: list[Record]) -> Iterator[Goal]:
    floats = [r for r in _where(records, memory_bound=True, dtype="float32") if r["sliding"]]
    forward = _where(floats, direction=FORWARD)
    few = _pairs(_where(forward, overlaps_little=True), COPY, INTO)
    yield from _worst("forward, 64 MB and more, k ≤ 3 with stride ≥ 2: share of the copy's speed", 0.8, few, "")
    rest = _pairs(_where(forward, overlaps_little=False), COPY, INTO)
    yield from _worst("forward, the other sliding windows: share of the copy's speed", 0.5, rest, "")
    backward = _pairs(_where(floats, direction=BACKWARD), COPY, INTO)
    yield from _worst("backward: share of the copy's speed", 0.6, backward, "")
    yield from _worst("k = 63 at stride 1: its time over that of k = 3", 2.0, _growth(records), below=True)
    for dtype, target in (("float16", 1.0), ("bfloat16", 1.0), ("uint8", 1.0)):
        gains = _dtype_gains(records, dtype)
        yield from _worst(f"{dtype} on the ResNet stem: speed per element over float32's", target, gains)
    tiny = [(r["seconds"][NUMPY] * 1e6, r["name"]) for r in _where(records, what="tiny", direction=FORWARD)]
    yield from _worst("a NumPy call on the tiny case", 5.0, tiny, " µs", below=True)


def _growth(records: list[Record]) -> Named:
    found = []
    for wide in _where(records, what="large 63", direction=FORWARD):
        same = {key: wide[key] for key in ("operator", "layout", "direction")}
        for narrow in _where(records, what="large 3", **same):
            found.append((wide["seconds"][INTO] / narrow["seconds"][INTO], wide["name"]))
    return found


def _dtype_gains(records: list[Record], dtype: str) -> Named:
    found = []
    for record in _where(records, what="ResNet stem", dtype=dtype, direction=FORWARD):
        same = {key: record[key] for key in ("what", "operator", "layout", "direction")}
        for single in _where(records, dtype="float32", **same):
            found.append((single["seconds"][INTO] / record["seconds"][INTO], record["name"]))
    return found


def _peer_goals(records: list[Record]) -> Iterator[Goal]:
    for direction in (FORWARD, BACKWARD):
        rows = [r for r in _where(records, direction=direction) if "torch" in ratios(r)]
        for family, target in ((MAX, 15.0), (AVERAGE, 6.0), ("large windows", 50.0)):
            first = [ratios(r)["torch"] for r in _where(rows, layout=FIRST, family=family)]
            yield from _mean(f"against torch eager, channels first, {direction}: {family}", target, first)
        last = [ratios(r)["torch"] for r in _where(rows, layout=LAST, operator=MAX)]
        yield from _mean(f"against torch eager, channels last, {direction}: max", 2.0, last)
    best = [
        (min(ratios(r).values()), f"{r['name']}: {min(ratios(r), key=ratios(r).__getitem__)}")
        for r in records
        if ratios(r)
    ]
    yield from _mean("against the best peer of each row", 2.0, [value for value, _ in best])
    yield from _worst("no row more than 5% slower than any peer", 0.95, best)


def _layer_goals(records: list[Record]) -> Iterator[Goal]:
    for layout, target in ((FIRST, 5.0), (LAST, 1.3)):
        steps = [r for r in _where(records, direction=TRAINING, layout=layout) if r["memory bound"]]
        text = f"torch layers, forward and backward against torch eager, channels {layout}"
        yield from _worst(text, target, _pairs(steps, "torch", TORCH))
    tiny = _where(records, what="tiny")
    yield from _worst("torch layers, tiny, no gradient", 1.0, _pairs(_where(tiny, direction=FORWARD), "torch", TORCH))
    training = _pairs(_where(tiny, direction=TRAINING), "torch", TORCH)
    yield from _worst("torch layers, tiny, forward and backward", 0.8, training)


def _network_goals(records: list[Record]) -> Iterator[Goal]:
    def named(record: Record) -> str:
        return f"{record['network']}, batch {record['batch']}, {record['direction']}, channels {record['layout']}"

    gains = [(r["gain"], named(r)) for r in records]
    worthwhile = [r for r in records if r["bound"] >= 1.05]
    shares = [((1 - 1 / r["gain"]) / (1 - 1 / r["bound"]), named(r)) for r in worthwhile]
    yield from _worst(
        "whole torch networks: share of the gain that free pooling would bring (where that is 5% and more)",
        0.5,
        shares,
        "",
    )
    yield from _worst("whole torch networks: no row slower", 0.97, gains)
    for part in ("SPPF block", "SPPF pooling"):
        named_so = [(gain, name) for gain, name in gains if name.startswith(part) and "channels first" in name]
        yield from _worst(f"the {part}, channels first", 5.0, named_so)


def _jax_goals(records: list[Record]) -> Iterator[Goal]:
    for memory in dict.fromkeys(record["memory"] for record in records):
        maxima = _where(records, operator=MAX, memory=memory)
        named = [r for r in maxima if r["what"] in ("plain", "ResNet stem", "VGG")]
        gradients = _pairs(_where(named, direction=BACKWARD), "JAX", JAX)
        large = _pairs([r for r in maxima if r["family"] == "large windows"], "JAX", JAX)
        yield from _worst(
            f"JAX, max gradient on plain, stem and VGG, against jax.grad; memory: {memory}", 2.5, gradients
        )
        yield from _worst(f"JAX, max windows of 7 to 63, forward and gradient; memory: {memory}", 20.0, large)


def _keras_goals(records: list[Record]) -> Iterator[Goal]:
    def gains(**wanted: Any) -> Named:
        chosen = _where(records, **wanted)
        return [(r["gain"], f"{r['backend']}, {r['pooling']}, {r['what']}") for r in chosen]

    for backend, target in (("jax", 2.2), ("torch", 1.5), ("tensorflow", 0.97)):
        yield from _worst(
            f"Keras on {backend}: an epoch with max pooling", target, gains(backend=backend, pooling=MAX, what="epoch")
        )
    yield from _worst("Keras: an epoch with average pooling", 0.97, gains(pooling=AVERAGE, what="epoch"))
    for what in ("predict", "evaluate"):
        yield from _worst(f"Keras: {what}", 0.95, gains(what=what))


def _memory_goals(records: list[Record]) -> Iterator[Goal]:
    for record in records:
        target = 0.0 if "Avg" in record["what"] or "average" in record["what"] else 1.0
        reached = record["bytes per output"]["anypool"]
        yield Goal(record["what"], target, round(reached, 2), below=True, unit=" bytes per output")
