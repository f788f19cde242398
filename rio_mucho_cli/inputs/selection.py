"""What is said of some inputs, or of all: bands, for instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from rio_mucho_cli.errors import InputError, UsageError
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.text import format_count

T = TypeVar("T")


def parse_bidx(value: str | int | Sequence[int], source: DatasetInfo) -> tuple[int, ...]:
    """Return the bands that are asked for, checked against an input.

    Parameters
    ----------
    value : str, int or sequence of int
        Text is ``1``, ``3,1`` or a range, ``1..3``, ``2..`` or ``..2``.
    source : DatasetInfo

    Raises
    ------
    UsageError
        If it is none of these.
    InputError
        If there is no such band.
    """
    count = int(source.profile["count"])
    indexes: list[int] = []
    try:
        if isinstance(value, str):
            for part in value.split(","):
                first, dots, last = part.strip().partition("..")
                start, stop = int(first or 1 if dots else first), int(last or count)
                stop = stop if dots else start
                # One band that is not there is enough to say so.
                indexes += range(
                    start, min(stop, max(start, count + 1)) + 1 if stop >= start else 0
                )
        else:
            indexes = [value] if isinstance(value, int) else [int(index) for index in value]
    except (TypeError, ValueError):
        raise UsageError(f"bidx is {value!r}: expected bands such as 1, 3,1 or 1..3") from None
    for index in indexes:
        if not 1 <= index <= count:
            bands = format_count(count, "band")
            raise InputError(f"{source.path} has {bands}: there is no band {index}")
    if not indexes:
        raise UsageError(f"bidx {value!r} selects no band: expected bands such as 1, 3,1 or 1..3")
    return tuple(indexes)


def for_each(value: T | Mapping[int, T] | None, default: T, inputs: int, name: str) -> list[T]:
    """Spread a value over inputs.

    Parameters
    ----------
    value : object, Mapping of int to object, or None
        One for all inputs; or by the number of the input, from 1, where 0
        means all others.
    default : object
    inputs : int
    name : str
        For messages.

    Raises
    ------
    UsageError
        If there is no such input.
    """
    if value is None:
        return [default] * inputs
    if not isinstance(value, Mapping):
        return [value] * inputs
    for number in value:
        if not isinstance(number, int) or not 0 <= number <= inputs:
            given = "is 1 input" if inputs == 1 else f"are {inputs} inputs"
            raise UsageError(f"{name} is given for input {number!r}: there {given}")
    others = value.get(0, default)
    return [value.get(number, others) for number in range(1, inputs + 1)]
