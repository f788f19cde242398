"""Call the user's function for a window, and wrap what it raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rio_mucho_cli import signals
from rio_mucho_cli.env import ignore_georeferencing_warnings
from rio_mucho_cli.errors import InfoError, ResultError, UsageError
from rio_mucho_cli.inputs.window_data import InputDatasets
from rio_mucho_cli.windows import PlannedWindow
from rio_mucho_cli.workers.context import RunContext
from rio_mucho_cli.workers.functions import FunctionRef, make_callable, wrap_user_error
from rio_mucho_cli.workers.parameters import hint_of_arguments, takes_info

if TYPE_CHECKING:
    from rio_mucho_cli.workers.info import WindowInfo

# Raised by reductions, and by `info`: their message is enough.
_OURS = (ResultError, UsageError, InfoError)


class FunctionCall:
    """The function of a run, in one worker.

    Parameters
    ----------
    context : RunContext
    run_id : str

    Raises
    ------
    MuchoError
        If the function cannot be imported, or a class cannot be instantiated.
    """

    def __init__(self, context: RunContext, run_id: str) -> None:
        function, reading = context.function, context.reading
        if isinstance(function, FunctionRef):
            function = function.load()
        arrays = 1 if reading.mode == "array_read" else reading.arrays
        self._call = make_callable(
            function, context.global_args, plain=context.plain, arrays=arrays
        )
        self._context, self._run_id = context, run_id
        self._takes_info = takes_info(self._call)
        self._info: Callable[[PlannedWindow], WindowInfo] | None = None

    def __call__(self, data: Any, planned: PlannedWindow, datasets: InputDatasets) -> Any:
        """Return what the function returns for a window.

        Parameters
        ----------
        data : list of ndarray, ndarray, or list of datasets
        planned : PlannedWindow
        datasets : InputDatasets
            The worker's open inputs.

        Raises
        ------
        MuchoChildError
            If the function raises.
        """
        context = self._context
        arguments = data, planned.given, planned.ij, context.global_args
        try:
            if not self._takes_info:
                return self._call(*arguments)
            return self._call(*arguments, info=self._info_of(planned, datasets))
        except (*signals.INTERRUPTS, *_OURS):
            raise
        except BaseException as exc:
            signals.check(instead=True)
            arrays = len(data) if isinstance(data, list) else 1
            hint = hint_of_arguments(self._call, exc, arrays, plain=context.plain)
            raise wrap_user_error("the function", exc, hint) from None
        finally:
            ignore_georeferencing_warnings()

    def _info_of(self, planned: PlannedWindow, datasets: InputDatasets) -> WindowInfo:
        if self._info is None:
            from rio_mucho_cli.workers.info import info_of_windows

            self._info = info_of_windows(self._context, datasets, self._run_id)
        return self._info(planned)
