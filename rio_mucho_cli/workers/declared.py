"""What a function declares about its outputs, in its attribute `output`."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, TypeVar, Unpack

import numpy as np

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.workers.declared_values import (
    DeclaredOutput,
    OutputAttributes,
    declaration_error,
    is_number,
    parse_output,
    short,
)
from rio_mucho_cli.workers.functions import FunctionRef, name_of

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

_ATTRIBUTE = "output"


class RunAttributes(OutputAttributes, total=False):
    """What can be declared about the first output and the run."""

    overlap: int
    masked: bool


def output(name: str | None = None, **attributes: Unpack[RunAttributes]) -> Callable[[F], F]:
    """Return a decorator that declares the output of a function.

    It sets the attribute `output` of the function or class, a dict that may
    also be set by hand. Declarations are defaults: options of the command
    line, and attributes of `Job` and `Output`, take precedence.

    Parameters
    ----------
    name : str, optional
        Name of the output (`Output.name`). None: the first output. Decorators
        can be stacked. In the dict, named outputs are in the entry ``also``.
    descriptions, units : str or sequence of str
        Description and unit of each band. Here and below, a single value is
        for all bands.
    scales, offsets : float or sequence of float
        A number in the file means ``number * scale + offset``. The function
        returns the numbers in the file.
    colorinterp : str or sequence of str
        Colour interpretation of each band, by rasterio's name: gray, red,
        green, blue, alpha, undefined, ...
    colormap : Mapping
        Colours (red, green, blue) or (red, green, blue, alpha) from 0 to 255
        of values; for one band of uint8 or uint16.
    tags : Mapping
        Tags of the dataset: numbers and text by name. A dict has the tags of a
        namespace.
    band_tags : Mapping or sequence of Mapping
        Tags of each band.
    dtype, count, nodata
        As for `Job`. ``nodata=None`` means that the output has no nodata.
    overlap, masked
        As for `Job`; not with a name.

    Examples
    --------
    >>> @output(descriptions="slope", units="degree", dtype="float32", nodata=-1, overlap=1)
    ... def slope(data, window, ij, global_args): ...

    Without an import:

    >>> slope.output = {"descriptions": "slope", "units": "degree"}
    """

    def decorate(function: F) -> F:
        known = inspect.getattr_static(function, _ATTRIBUTE, {})
        if not isinstance(known, Mapping):
            raise UsageError(
                f"{name_of(function)} has an attribute {_ATTRIBUTE} of its own: rename that, or "
                "decorate a function that calls it"
            )
        if name is None:
            declared = {**known, **attributes}
        else:
            others = known.get("also", {})
            declared = {**known, "also": {**others, name: {**others.get(name, {}), **attributes}}}
        setattr(function, _ATTRIBUTE, declared)
        return function

    return decorate


@dataclass(frozen=True, slots=True)
class Declared:
    """What a function declares.

    Attributes
    ----------
    first : DeclaredOutput
        About the first output.
    also : Mapping of str to DeclaredOutput
        About others, by name.
    overlap : int or None
    masked : bool or None
    """

    first: DeclaredOutput = field(default_factory=DeclaredOutput)
    also: Mapping[str, DeclaredOutput] = field(default_factory=dict)
    overlap: int | None = None
    masked: bool | None = None

    @classmethod
    def by(cls, function: Any) -> Declared | None:
        """Return what a function declares; None if that is nothing.

        A FunctionRef is loaded.

        Raises
        ------
        UsageError
            If a name is unknown, or a value invalid.
        FunctionNotFoundError
            If a FunctionRef does not lead to a function.
        """
        name = name_of(function)
        if isinstance(function, FunctionRef):
            function = function.load()
        attribute = declaration_of(function, name)
        return None if attribute is None else _parse(attribute, f"{name}.{_ATTRIBUTE}")

    def for_outputs(self, names: Sequence[str | None]) -> list[DeclaredOutput]:
        """Return what is declared about each output of a run.

        Parameters
        ----------
        names : sequence of str or None
            Names of the outputs; None for the first one. If everything is
            declared by name, the first output is the one that no other is.
        """
        rest = [name for name in self.also if name not in names]
        first = self.also[rest[0]] if not self.first.names and len(rest) == 1 else self.first
        return [first if name is None else self.also.get(name, DeclaredOutput()) for name in names]


def declaration_of(function: Any, name: str = "") -> Mapping[str, Any] | None:
    """Return the attribute `output` of a function or of what it wraps, if that is a Mapping.

    A class or an object may have a method or a property of this name, which is
    no declaration.
    """
    seen: set[int] = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        value = inspect.getattr_static(function, _ATTRIBUTE, None)
        if isinstance(value, Mapping):
            return value or None
        if isinstance(value, list | tuple | str):
            log.warning(
                "%s.%s is a %s and says nothing of the output: expected a dict",
                *(name or name_of(function), _ATTRIBUTE, type(value).__name__),
            )
        function = _wrapped(function)
    return None


def _wrapped(function: Any) -> Any:
    """Return the function that a callable passes its arguments to, as far as it says so."""
    if isinstance(function, functools.partial):
        return function.func
    for name in ("__func__", "__wrapped__"):
        inner = inspect.getattr_static(function, name, None)
        if name == "__func__" and inspect.ismethod(function):
            return function.__func__
        if callable(inner):
            return inner
    cls = function if isinstance(function, type) else type(function)
    call = inspect.getattr_static(cls, "__call__", None)
    return call if inspect.isfunction(call) or isinstance(call, functools.partial) else None


_RUN = frozenset(RunAttributes.__annotations__) - frozenset(OutputAttributes.__annotations__)


def _parse(attribute: Mapping[str, Any], where: str) -> Declared:
    """Return a validated declaration."""
    own = {name: value for name, value in attribute.items() if name not in {"also", *_RUN}}
    first = parse_output(own, where, {*_RUN, "also"})
    others = attribute.get("also", {})
    if not isinstance(others, Mapping):
        raise declaration_error(where, "also", others, "a dict of outputs by name")
    also = {}
    for name, value in others.items():
        here = f"{where}['also'][{name!r}]"
        if not isinstance(name, str) or not isinstance(value, Mapping):
            raise UsageError(f"{here} is {short(value)}: expected a dict, and text as its name")
        for run_name in _RUN & value.keys():
            raise UsageError(f"{here} has {run_name!r}, which is of the run: set it in {where}")
        also[name] = parse_output(value, here)
    overlap, masked = attribute.get("overlap"), attribute.get("masked")
    if overlap is not None and (not is_number(overlap, Integral) or overlap < 0):
        raise declaration_error(where, "overlap", overlap, "0 or more pixels")
    if masked is not None and not isinstance(masked, bool | np.bool_):
        raise declaration_error(where, "masked", masked, "True or False")
    return Declared(
        first,
        also,
        None if overlap is None else int(overlap),
        None if masked is None else bool(masked),
    )
