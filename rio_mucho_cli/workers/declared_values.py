"""Parse what a function declares about one output."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypedDict

import numpy as np
from rasterio.dtypes import check_dtype
from rasterio.enums import ColorInterp

from rio_mucho_cli.dtypes import DTYPES, nodata_fits, number_text
from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.geotiff.described import Described, PerBand
from rio_mucho_cli.geotiff.metadata import MUCHO, Tags
from rio_mucho_cli.text import did_you_mean, format_count, truncate


class OutputAttributes(TypedDict, total=False):
    """What can be declared about an output; see `output`."""

    descriptions: str | Sequence[str | None]
    colormap: Mapping[int, Sequence[int]]
    nodata: float | None
    tags: Mapping[str, Any]
    band_tags: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    units: str | Sequence[str | None]
    scales: float | Sequence[float]
    offsets: float | Sequence[float]
    colorinterp: str | Sequence[str]
    dtype: Any
    count: int


@dataclass(frozen=True, slots=True)
class DeclaredOutput:
    """What a function declares about one output.

    Attributes
    ----------
    where : str
        Name of the declaration in messages.
    described : Described or None
        Names, colours and tags.
    names : tuple of str
        Names of all that is declared.
    dtype : str or None
    count : int or None
    nodata : float or None
        None, too, if it is not in `names`.
    """

    where: str = ""
    described: Described | None = None
    names: tuple[str, ...] = ()
    dtype: str | None = None
    count: int | None = None
    nodata: float | None = None


def parse_output(
    values: Mapping[str, Any], where: str, others: Iterable[str] = ()
) -> DeclaredOutput:
    """Return the validated declaration of one output."""
    known = tuple(OutputAttributes.__annotations__)
    for name in values:
        if name not in known:
            names = (*known, *sorted(others))
            hint = did_you_mean(str(name), names) or f": expected one of {', '.join(names)}"
            raise UsageError(f"{where} has an unknown entry {name!r}{hint}")
    given = {name: value for name, value in values.items() if name == "nodata" or value is not None}
    dtype, count, nodata = given.get("dtype"), given.get("count"), given.get("nodata")
    if dtype is not None:
        dtype = _dtype(dtype, where)
    if count is not None and (not is_number(count, Integral) or count < 1):
        raise declaration_error(where, "count", count, "at least 1 band")
    if nodata is not None:
        if not is_number(nodata, Real):
            raise declaration_error(
                where, "nodata", nodata, 'a number, such as float("nan"), or None'
            )
        nodata = nodata.item() if isinstance(nodata, np.generic) else nodata
        if dtype is not None and not nodata_fits(nodata, dtype):
            raise declaration_error(where, "nodata", nodata, f"a number that {dtype} can hold")
    described = Described(
        where,
        descriptions=_per_band(given, "descriptions", where, _text, "text"),
        units=_per_band(given, "units", where, _text, "text"),
        scales=_per_band(given, "scales", where, _number, "a number"),
        offsets=_per_band(given, "offsets", where, _number, "a number"),
        colorinterp=_per_band(given, "colorinterp", where, _colour, _COLOURS),
        band_tags=_per_band(given, "band_tags", where, _tags, _TAGS),
        tags=_one(given, "tags", where, _tags, _TAGS),
        colormap=_one(given, "colormap", where, _colormap, _COLORMAP),
    )
    _check_lengths(described, where, None if count is None else int(count))
    is_empty = described == Described(where)
    return DeclaredOutput(
        where,
        None if is_empty else described,
        tuple(name for name in known if name in given),
        dtype,
        None if count is None else int(count),
        nodata,
    )


def _check_lengths(described: Described, where: str, count: int | None) -> None:
    """Raise UsageError if lists have different lengths, or a palette has no colours."""
    lengths = ({} if count is None else {"count": count}) | described.lengths()
    for name, length in lengths.items():
        first = next(iter(lengths))
        if length != lengths[first]:
            bands = lengths[first]
            other = (
                f"count is {bands}"
                if first == "count"
                else f"{first!r} is for {format_count(bands, 'band')}"
            )
            raise UsageError(
                f"{where}[{name!r}] has {length} values, but {other}: give one value for each band"
            )
    colours = described.colours(1)
    if ColorInterp.palette in colours and described.colormap is None:
        raise UsageError(f"{where}['colorinterp'] has a palette: give its colours as colormap")
    if described.colormap is not None and set(colours) - {ColorInterp.palette}:
        raise UsageError(f"{where} has a colormap and another colorinterp: leave out one of them")


_COLOURS = f"one of {', '.join(ColorInterp.__members__)}"
_TAGS = "a dict of numbers and text by name, or of such dicts by namespace"
_COLORMAP = "a dict of colours by pixel value, such as {1: (255, 0, 0)}, of numbers from 0 to 255"
# Namespaces that GDAL or this package fill in.
_RESERVED = {MUCHO, "IMAGE_STRUCTURE"}
# Parameters of rasterio's update_tags.
_IMPOSSIBLE = {"ns", "bidx", "self"}
_MOST_VALUE = 65535


def _per_band(
    given: Mapping[str, Any], name: str, where: str, parse: Callable[[Any], Any], expected: str
) -> PerBand[Any]:
    """Return a value for each band as a tuple, or one for all bands."""
    value = given.get(name)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        return _one(given, name, where, parse, expected)
    if not value:
        raise declaration_error(where, name, value, f"a list with {expected} for each band")
    return tuple(_parsed(item, where, name, parse, expected) for item in value)


def _one(
    given: Mapping[str, Any], name: str, where: str, parse: Callable[[Any], Any], expected: str
) -> Any:
    return _parsed(given[name], where, name, parse, expected) if name in given else None


def _parsed(value: Any, where: str, name: str, parse: Callable[[Any], Any], expected: str) -> Any:
    """Return a parsed value, or raise UsageError."""
    try:
        return parse(value)
    except _UnexpectedError as exc:
        hint = did_you_mean(str(value), ColorInterp.__members__) if parse is _colour else ""
        raise declaration_error(where, name, exc.args[0], f"{expected}{hint}") from None


class _UnexpectedError(Exception):
    """A value, or a part of it, is invalid."""


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _UnexpectedError(value)
    return value


def _number(value: Any) -> float:
    if not is_number(value, Real) or not math.isfinite(value):
        raise _UnexpectedError(value)
    return float(value)


def _colour(value: Any) -> ColorInterp:
    if isinstance(value, ColorInterp):
        return value
    if not isinstance(value, str) or value.lower() not in ColorInterp.__members__:
        raise _UnexpectedError(value)
    return ColorInterp[value.lower()]


def _tags(value: Any) -> Tags:
    """Return tags by namespace."""
    if not isinstance(value, Mapping):
        raise _UnexpectedError(value)
    tags: dict[str, dict[str, str]] = {}
    for name, item in value.items():
        inner = item if isinstance(item, Mapping) else {name: item}
        space = name if isinstance(item, Mapping) else ""
        if not isinstance(space, str) or space in _RESERVED or space.startswith(("xml:", "json:")):
            raise _UnexpectedError({space: item})
        for key, text in inner.items():
            is_name = isinstance(key, str) and key and "=" not in key and key not in _IMPOSSIBLE
            if not is_name or not (isinstance(text, str) or is_number(text, Real)):
                raise _UnexpectedError({key: text})
            tags.setdefault(space, {})[key] = text if isinstance(text, str) else _tag_text(text)
    return tags


def _tag_text(number: Any) -> str:
    return number_text(number.item() if isinstance(number, np.generic) else number)


def _colormap(value: Any) -> dict[int, tuple[int, int, int, int]]:
    if not isinstance(value, Mapping) or not value:
        raise _UnexpectedError(value)
    colours = {}
    for key, colour in value.items():
        parts = colour.tolist() if isinstance(colour, np.ndarray) else colour
        if not (
            is_number(key, Integral)
            and 0 <= key <= _MOST_VALUE
            and isinstance(parts, list | tuple)
            and len(parts) in {3, 4}
            and all(is_number(part, Integral) and 0 <= part <= 255 for part in parts)
        ):
            raise _UnexpectedError({key: colour})
        red, green, blue, *alpha = map(int, parts)
        colours[int(key)] = (red, green, blue, alpha[0] if alpha else 255)
    return colours


def _dtype(value: Any, where: str) -> str:
    try:
        name = str(np.dtype(value).name)
    except TypeError:
        name = str(value)
    if name not in DTYPES or not check_dtype(name):
        hint = did_you_mean(name, DTYPES)
        raise declaration_error(where, "dtype", value, f"a dtype such as uint8 or float32{hint}")
    return name


def is_number(value: Any, kind: type) -> bool:
    """Return whether a value is a number of a kind; True and False are not."""
    return isinstance(value, kind) and not isinstance(value, bool | np.bool_)


def declaration_error(where: str, name: str, value: Any, expected: str) -> UsageError:
    """Return the error for an invalid value of a declaration."""
    return UsageError(f"{where}[{name!r}] is {short(value)}: expected {expected}")


def short(value: Any) -> str:
    """Return a value as short text for messages."""
    return truncate(" ".join(repr(value).split()), 60)
