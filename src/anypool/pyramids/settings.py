"""What a caller may say of a pyramid, checked before any work."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from anypool.arguments import as_flag, as_integer, plain
from anypool.operators import Operator, operator_for

from .ome import VERSIONS

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30,
         "TIB": 2**40}  # fmt: skip
ISOTROPIC = "isotropic"
OPERATORS = ("mean", "average", "mode", "median", "min", "max", "sum")


def as_operator(operator: Any) -> tuple[Operator, str]:
    """The operator and its name; "mean" is the average."""
    found = operator_for("average" if operator == "mean" else operator)
    name = found.info.name
    if name not in OPERATORS or found != operator_for(name):
        raise ValueError(f"operator must be one of {', '.join(OPERATORS)}, without settings, got {operator!r}")
    return found, name


def as_bytes(memory: Any) -> int:
    """A number of bytes, or a text such as "2GB" or "512 MiB"."""
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", memory)
        if match is None or match[2].upper() not in UNITS:
            raise ValueError(f"memory must be a number of bytes, or a text such as '2GB' or '512MiB', got {memory!r}")
        memory = int(float(match[1]) * UNITS[match[2].upper()])
    elif isinstance(memory, float):
        memory = int(memory)
    if isinstance(memory, bool) or not isinstance(memory, int | np.integer):
        raise TypeError(f"memory must be a number of bytes, or a text such as '2GB', got {memory!r}")
    if memory < 1:
        raise ValueError(f"memory must be at least 1 byte, got {memory}")
    return int(memory)


def as_levels(levels: Any) -> int | str:
    """How many levels after level 0, or "auto"."""
    if isinstance(levels, str) and levels != "auto":
        raise ValueError(f"levels must be an integer or 'auto', got {levels!r}")
    return "auto" if isinstance(levels, str) else as_integer("levels", levels, 1)


def as_part(part: Any) -> tuple[int, int]:
    """(i, n) or "i/n": the i-th of n shares of the work."""
    if part is None:
        return 1, 1
    if isinstance(part, str):
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", part)
        part = (int(match[1]), int(match[2])) if match else part
    if not isinstance(part, Sequence) or isinstance(part, str) or len(part) != 2:
        raise ValueError(f"part must be i/n, the i-th of n shares of the work, such as '3/64', got {part!r}")
    i, n = (as_integer("part", each, 1) for each in part)
    if i > n:
        raise ValueError(f"part must be i/n with i from 1 to n, got {i}/{n}")
    return i, n


def as_resume(resume: Any, part: Any) -> bool:
    """Whether to go on; parts always do, since none may begin again what others have done."""
    flag = as_flag("resume", resume)
    if part is not None and not flag:
        raise ValueError("resume must be True with part, which would remove what other parts have done")
    return flag


def as_version(ome: Any) -> str | None:
    """A version of OME-Zarr; None for that of the source, or the newest."""
    if ome is not None and str(ome) not in VERSIONS:
        raise ValueError(f"ome must be one of {', '.join(VERSIONS)}, got {ome!r}")
    return None if ome is None else str(ome)


def as_factors(factors: Any, names: Sequence[str], spatial: Sequence[bool]) -> tuple[int, ...] | None:
    """A factor for every axis, None for "isotropic".

    An integer is that of the axes in space; otherwise one per axis, or a mapping from names of axes, others having 1.
    """
    if isinstance(factors, str):
        if factors != ISOTROPIC:
            raise ValueError(f"factors must be an integer, one per axis, or {ISOTROPIC!r}, got {factors!r}")
        return None
    if isinstance(factors, Mapping):
        unknown = [name for name in factors if name not in names]
        if unknown:
            raise ValueError(f"factors must be of the axes {''.join(names)}, got one of {unknown[0]!r}")
        return tuple(as_integer("factors", factors.get(name, 1), 1) for name in names)
    value = plain(factors)
    if isinstance(value, Sequence):
        if len(value) != len(names):
            raise ValueError(f"factors must have one entry per axis {''.join(names)}, got {value!r}")
        return tuple(as_integer("factors", each, 1) for each in value)
    factor = as_integer("factors", value, 2)
    return tuple(factor if inside else 1 for inside in spatial)


def as_nodata(nodata: Any, dtype: np.dtype[Any]) -> Any:
    """The value of pixels that are none, in the array's dtype; None where all are."""
    if nodata is None:
        return None
    if isinstance(nodata, bool) or not isinstance(nodata, int | float | np.number) or dtype.kind == "b":
        raise TypeError(f"nodata must be a number, of an image of numbers, got {nodata!r} of {dtype.name}")
    if dtype.kind == "f":
        return dtype.type(nodata)
    info = np.iinfo(dtype)
    if not float(nodata).is_integer() or not info.min <= int(nodata) <= info.max:
        raise ValueError(f"nodata must be a value of {dtype.name}, got {nodata!r}")
    return dtype.type(int(nodata))
