"""What every worker of a run has to know, and how it gets there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cloudpickle

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.outputs.profile import ProfileTemplate
from rio_mucho_cli.workers.functions import FunctionRef, UserFunction
from rio_mucho_cli.workers.pickling import dumps


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """What is wanted for one output.

    Attributes
    ----------
    name : str or None
        Of its array in the dict that the function returns; None for the one
        that no other output has.
    count : int or None
        Bands that the function must return, if that is known beforehand.
    dtype : str or None
        What its results are cast to, if that is known beforehand.
    recipe : ProfileTemplate or None
        For the output's profile; None if the output is there already.
    encodes : bool
        Encode results; else the parent lets GDAL write them.
    pyramid : OverviewPlan or None
        Its overviews.
    statistics : bool
        Of its bands.
    masks_nan : bool
        Mask NaN in results.
    """

    name: str | None = None
    count: int | None = None
    dtype: str | None = None
    recipe: ProfileTemplate | None = None
    encodes: bool = False
    pyramid: OverviewPlan | None = None
    statistics: bool = False
    masks_nan: bool = False


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every worker of a run has to know.

    Attributes
    ----------
    reading : ReadSpec
    function : callable or FunctionRef
    global_args : object
        A dict, from the command line.
    width, height : int
        Of the outputs, in pixels.
    wanted : tuple of OutputSpec
        One for each output.
    plain : bool
        Call the function with arrays and the global args by their names.
    tolerant : bool
        Windows whose function raises are nodata.
    for_command_line : bool
        Messages name options as the command line does.
    env : Mapping
        GDAL options to set, or None to keep those of the calling thread.
    """

    reading: ReadSpec
    function: UserFunction | FunctionRef
    global_args: Any
    width: int
    height: int
    wanted: tuple[OutputSpec, ...] = (OutputSpec(),)
    plain: bool = False
    tolerant: bool = False
    for_command_line: bool = False
    env: Mapping[str, Any] | None = None

    def packed(self, *, or_name: bool = True) -> bytes:
        """Pickle the order for other processes.

        A function that was handed over as an object travels by value, with what
        it uses of modules that are not installed; and so do the global args.

        Parameters
        ----------
        or_name : bool
            They travel by name where they cannot be pickled by value.

        Raises
        ------
        UsageError
            If the function or its global args cannot be sent.
        """
        given = {"by_value": not isinstance(self.function, FunctionRef), "or_name": or_name}
        try:
            # In one piece: what both of them use is one object there as well.
            user = dumps((self.function, self.global_args), "the function", **given)
        except UsageError:
            dumps(self.function, "the function", **given)
            dumps(self.global_args, "global_args", **given)
            raise
        bare = replace(self, function=_nothing, global_args=None)
        data: bytes = cloudpickle.dumps((bare, user))
        return data

    @classmethod
    def unpacked(cls, data: bytes) -> RunContext:
        """Undo `packed`."""
        bare, user = cloudpickle.loads(data)
        function, global_args = cloudpickle.loads(user)
        order: RunContext = replace(bare, function=function, global_args=global_args)
        return order


def _nothing(data: Any, window: Any, ij: Any, global_args: Any) -> Any:
    """Stand where the function goes, while that travels on its own."""
    raise NotImplementedError
