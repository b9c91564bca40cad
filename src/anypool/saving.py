"""What files and programs hold of a pooling: public names and keywords, and a format number; what older versions wrote
is read too.

Values are those of JSON: numbers, names, lists, and a dict for an operator {"operator": "max", …} or a window
{"window": "sliding", …}. Reading imports nothing and runs nothing but these classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anypool.arguments import dtype_name
from anypool.operators import OPERATORS, Operator, deserialize, serialize
from anypool.windows import WINDOWS, Window

FORMAT = 2
"""1 was without a number: class names and fields by position."""


def to_config(value: Any) -> Any:
    """A value in what JSON has; TypeError where it is nothing that pooling takes.

    >>> import anypool as ap
    >>> to_config((ap.Max(), ap.Global(), None))
    [{'operator': 'max'}, {'window': 'global'}, None]
    """
    if isinstance(value, Operator):
        return {name: to_config(field) for name, field in serialize(value).items()}
    if isinstance(value, Window):
        given = {name: to_config(getattr(value, name)) for name in type(value).__match_args__}
        return {"window": next(name for name, kind in WINDOWS.items() if type(value) is kind), **given}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_config(entry) for entry in value]
    return value if value is None or isinstance(value, str | int | float) else dtype_name(value)


def from_config(config: Any) -> Any:
    """The value of what `to_config` gave, or an older version wrote; ValueError where a name is not known here."""
    if isinstance(config, dict):
        if set(config) == {"anypool", "fields"}:  # a Keras model of format 1
            return _first_format(config["anypool"])(**_each_field(config["fields"]))
        given = _each_field(config)
        if "operator" in given:
            return deserialize(given)
        if "window" in given:
            return _named(WINDOWS, "window", given.pop("window"))(**given)
        if len(config) == 1:  # a torch program of format 1
            ((name, arguments),) = config.items()
            return _first_format(name.rpartition(".")[2])(*from_config(arguments))
        return given
    if isinstance(config, Sequence) and not isinstance(config, str):
        return tuple(map(from_config, config))
    return config


def _each_field(config: dict[str, Any]) -> dict[str, Any]:
    return {name: from_config(field) for name, field in config.items()}


def _first_format(name: str) -> Any:
    """The class of an operator or a window that version 0.1.0 had, by its name."""
    kinds = (*WINDOWS.values(), *(OPERATORS[each] for each in ("max", "min", "average", "sum", "lp")))
    known: dict[str, Any] = {kind.__name__: kind for kind in kinds}
    return _named(known, "operator or window", name)


def _named(known: dict[str, Any], what: str, name: str) -> Any:
    if name not in known:
        raise ValueError(f"{what} must be one of {', '.join(known)}, got {name!r}")
    return known[name]
