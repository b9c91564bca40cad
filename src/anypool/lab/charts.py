"""Charts as inline SVG: colours and text take the page's own, so one chart serves light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from .summary import PerSeed

WIDTH = 420
LEFT, RIGHT = 78, 18
ROW, TOP, BOTTOM = 34, 10, 40


@dataclass(frozen=True)
class Series:
    """What a chart shows for one pooling; `colour` is its number in the page's palette."""

    name: str
    colour: int
    measures: tuple[PerSeed, ...]


@dataclass(frozen=True)
class Scale:
    """A linear scale from values to positions, with round ticks."""

    low: float
    high: float
    start: float
    stop: float
    step: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, stop: float, ticks: int = 4) -> Scale:
        """A scale over at least all the values, its ends on ticks."""
        low, high = min(values), max(values)
        if low == high:
            low, high = low - (abs(low) / 100 or 1), high + (abs(high) / 100 or 1)
        rough = (high - low) / ticks
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))
        return cls(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, start, stop, step)

    def at(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return round(self.start + (value - self.low) / span * (self.stop - self.start), 1)

    @property
    def ticks(self) -> list[float]:
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return [self.low + i * self.step for i in range(count)]


def dots(series: Sequence[Series], title: str, unit: str, percent: bool = False) -> Markup:
    """One line per pooling: a dot per seed and a bar at the mean. Each series has one measure."""
    values = [value for one in series for value in one.measures[0].values]
    scale = Scale.over(values, LEFT, WIDTH - RIGHT)
    if percent and scale.high > 1:
        scale = Scale(scale.low, 1.0, scale.start, scale.stop, scale.step)
    floor = TOP + ROW * len(series)
    parts = _vertical_grid(scale, floor, percent)
    for row, one in enumerate(series):
        middle = TOP + ROW * row + ROW // 2
        mean = scale.at(one.measures[0].mean)
        parts.append(_text(LEFT - 12, middle + 4, one.name, "end", "name"))
        parts.append(_line(LEFT, middle, WIDTH - RIGHT, middle, "rail"))
        parts.append(f'<rect class="p{one.colour}" x="{mean - 1.5}" y="{middle - 11}" width="3" height="22" rx="1.5"/>')
        seeds = (scale.at(value) for value in one.measures[0].values)
        parts += [f'<circle class="p{one.colour} seed" cx="{seed}" cy="{middle}" r="5"/>' for seed in seeds]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, floor + 34, unit, "middle", "unit"))
    return _svg(parts, floor + BOTTOM, title)


def curves(series: Sequence[Series], title: str, unit: str) -> Markup:
    """One line per pooling over the epochs: the mean of the seeds, in a band from their least to their greatest."""
    height, left = 360, 52
    epochs = max(len(one.measures) for one in series)
    values = [value for one in series for measure in one.measures for value in measure.values]
    floor = height - BOTTOM
    across = Scale(1, max(epochs, 2), left, WIDTH - RIGHT, max(1, math.ceil((epochs - 1) / 6)))
    up = Scale.over([*values, 1.0], floor, TOP)
    parts = []
    for tick in up.ticks:
        parts.append(_line(left, up.at(tick), WIDTH - RIGHT, up.at(tick), "grid"))
        parts.append(_text(left - 8, up.at(tick) + 4, f"{tick:.0%}", "end", "tick"))
    parts += [_text(across.at(tick), floor + 17, f"{tick:.0f}", "middle", "tick") for tick in across.ticks]
    for one in series:
        upper = [(across.at(i + 1), up.at(max(m.values))) for i, m in enumerate(one.measures)]
        lower = [(across.at(i + 1), up.at(min(m.values))) for i, m in enumerate(one.measures)]
        middle = [(across.at(i + 1), up.at(m.mean)) for i, m in enumerate(one.measures)]
        parts.append(f'<polygon class="p{one.colour} band" points="{_points(upper + lower[::-1])}"/>')
        parts.append(f'<polyline class="p{one.colour} curve" points="{_points(middle)}"/>')
    parts.append(_text((left + WIDTH - RIGHT) / 2, floor + 34, unit, "middle", "unit"))
    return _svg(parts, height, title)


def _vertical_grid(scale: Scale, floor: float, percent: bool) -> list[str]:
    digits = max(0, -math.floor(math.log10(scale.step * (100 if percent else 1)) + 1e-9))
    parts = []
    for tick in scale.ticks:
        label = f"{tick:.{digits}%}" if percent else f"{tick:.{digits}f}"
        parts.append(_line(scale.at(tick), TOP, scale.at(tick), floor, "grid"))
        parts.append(_text(scale.at(tick), floor + 16, label, "middle", "tick"))
    return parts


def _svg(parts: Sequence[str], height: float, title: str) -> Markup:
    head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
    return Markup("\n".join([head, *parts, "</svg>"]))


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)
