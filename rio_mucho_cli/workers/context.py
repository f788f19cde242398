"""The context of a run, which every worker needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cloudpickle

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.outputs.profile import ProfileTemplate
from rio_mucho_cli.outputs.values import ValueFormat
from rio_mucho_cli.workers.functions import FunctionRef, UserFunction
from rio_mucho_cli.workers.pickling import dumps


class ResultType(NamedTuple):
    """What all results for one output have in common.

    Attributes
    ----------
    count : int
        Number of bands.
    dtype : str
    masked : bool
        Whether masked pixels need an internal mask.
    """

    count: int  # type: ignore[assignment]  # a tuple has a method of this name
    dtype: str
    masked: bool = False


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """What workers produce for one output.

    Attributes
    ----------
    name : str or None
        Key of its array in the dict that the function returns; None for the
        output that gets the remaining array.
    count : int or None
        Number of bands the function must return, if known in advance.
    dtype : str or None
        Dtype that results are cast to, if known in advance.
    template : ProfileTemplate or None
        Template of the output's profile; None if the output already exists.
    encodes : bool
        Encode results in the worker. Otherwise GDAL writes them in the main
        process.
    overviews : OverviewPlan or None
        Plan of its overviews.
    statistics : bool
        Compute band statistics.
    masks_nan : bool
        Mask NaN in results.
    """

    name: str | None = None
    count: int | None = None
    dtype: str | None = None
    template: ProfileTemplate | None = None
    encodes: bool = False
    overviews: OverviewPlan | None = None
    statistics: bool = False
    masks_nan: bool = False


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """What workers produce for a value output.

    Attributes
    ----------
    name : str or None
        Key of its value in the dict that the function returns; None for the
        output that gets the remaining one.
    format : ValueFormat
    is_streamed : bool
        Make lines of the output of it. Otherwise values are merged.
    merge : object
        Merge of the output, for parts of mosaics; see `merging.find_mergings`.
    """

    name: str | None
    format: ValueFormat
    is_streamed: bool = False
    merge: Any = None


@dataclass(frozen=True, slots=True)
class RunContext:
    """Everything a worker needs to know about a run.

    Attributes
    ----------
    reading : ReadSpec
        How to read windows of the inputs.
    function : callable or FunctionRef
        The user's function.
    global_args : object
        Global args of the function; a dict from the command line.
    specs : tuple of OutputSpec
        One for each raster output.
    plain : bool
        Call the function with arrays, and the global args as keywords.
    tolerant : bool
        Fill windows whose function raises with nodata.
    for_command_line : bool
        Name options in messages as on the command line.
    timeout : float or None
        Most seconds for one window.
    env : Mapping
        GDAL options to set, or None to keep those of the current thread.
    values : tuple of ValueSpec
        One for each value output.
    total : int
        Number of windows of the whole plan.
    grid : Grid or None
        Grid of the output, if workers cannot know it from `specs`, `reading`
        and the first input.
    workers : int
        Number of workers of a user's executor; 0 for others, or if unknown.
    """

    reading: ReadSpec
    function: UserFunction | FunctionRef
    global_args: Any
    specs: tuple[OutputSpec, ...] = (OutputSpec(),)
    plain: bool = False
    tolerant: bool = False
    for_command_line: bool = False
    timeout: float | None = None
    env: Mapping[str, Any] | None = None
    values: tuple[ValueSpec, ...] = ()
    total: int = 1
    grid: Grid | None = None
    workers: int = 0

    def to_bytes(self, *, or_name: bool = True) -> bytes:
        """Pickle the context for other processes.

        The global args, and a function that was given as an object, are pickled by
        value, with everything they use from modules that are not installed.

        Parameters
        ----------
        or_name : bool
            Pickle by name what cannot be pickled by value.

        Raises
        ------
        UsageError
            If the function or its global args cannot be pickled.
        """
        options = {"by_value": not isinstance(self.function, FunctionRef), "or_name": or_name}
        try:
            # Pickled together, so that an object they share is one object in the worker too.
            merges = tuple(spec.merge for spec in self.values)
            user = dumps((self.function, self.global_args, merges), "the function", **options)
        except UsageError:
            dumps(self.function, "the function", **options)
            dumps(self.global_args, "global_args", **options)
            raise
        values = tuple(replace(spec, merge=None) for spec in self.values)
        bare = replace(self, function=_nothing, global_args=None, values=values)
        data: bytes = cloudpickle.dumps((bare, user))
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> RunContext:
        """Return the context from its pickle; the inverse of `to_bytes`."""
        bare, user = cloudpickle.loads(data)
        function, global_args, merges = cloudpickle.loads(user)
        values = tuple(
            replace(spec, merge=merge) for spec, merge in zip(bare.values, merges, strict=True)
        )
        context: RunContext = replace(
            bare, function=function, global_args=global_args, values=values
        )
        return context


def _nothing(data: Any, window: Any, ij: Any, global_args: Any) -> Any:
    """Replace the function, which is pickled separately."""
    raise NotImplementedError
