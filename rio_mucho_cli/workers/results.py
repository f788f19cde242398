"""The function's results: one checked array per output, missing pixels masked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rasterio.windows import Window

from rio_mucho_cli.dtypes import nodata_fits
from rio_mucho_cli.errors import ResultError, line_of
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.outputs.profile import ProfileTemplate
from rio_mucho_cli.outputs.value_loss import NO_LOSS, ValueLoss, lost_in_cast, taken_for_nodata
from rio_mucho_cli.outputs.values import ValueNotSupportedError, plain_value
from rio_mucho_cli.signals import INTERRUPTS
from rio_mucho_cli.text import describe_type, did_you_mean, option
from rio_mucho_cli.workers.context import OutputSpec, ValueSpec

# A value may be a table that happens to be as large as a small window.
_MOST_IN_A_TABLE = 255


def named_results(
    returned: Any, names: Sequence[str | None], *, is_value: bool = False
) -> list[Any]:
    """Return the result for each output: an array or a value.

    Parameters
    ----------
    returned : object
        A dict of results by name, or the result for the only output.
    names : sequence of str or None
        Names of the outputs; None for the one that gets the remaining result.
    is_value : bool
        Whether the outputs get values; the value for the only output may be a dict.

    Raises
    ------
    ResultError
        If there is not exactly one result for each output.
    """
    others = [name for name in names if name is not None]
    if is_value and not others:
        return [returned]
    if not isinstance(returned, dict):
        if others:
            raise ResultError(
                f"the function returned {describe_type(returned)}, expected a dict with results "
                f"for {', '.join(others)} and for the first output"
            )
        return [returned]
    rest = [name for name in returned if name not in others]
    missing = [name for name in others if name not in returned]
    if missing:
        hint = did_you_mean(missing[0], [str(name) for name in rest])
        raise ResultError(
            f"the function returned a dict without {missing[0]!r}, for which there is an "
            f"output{hint}"
        )
    if not rest:
        raise ResultError(
            "the function returned nothing for the first output: all entries of the dict belong to "
            "other outputs"
        )
    if len(rest) > 1:
        raise ResultError(
            f"the function returned {len(rest)} results ({', '.join(map(repr, rest))}) for the "
            f"first output: give the others outputs with {option('also')}, or write values to a "
            "file such as out.json"
        )
    return [returned[rest[0] if name is None else name] for name in names]


def check_and_cast(
    result: Any,
    spec: OutputSpec,
    window: Window,
    overlap: int,
    outside: np.ndarray[Any, Any] | None = None,
) -> tuple[np.ndarray[Any, Any], ValueLoss]:
    """Return a result as (count, rows, cols) in the output's dtype, and its losses.

    Pixels outside the area of interest (rows, cols) are masked.
    """
    array = check_result(result, window, spec.count, overlap, spec.name)
    if outside is not None:
        mask = np.ma.getmaskarray(array) | outside
        array = np.ma.array(np.ma.getdata(array), mask=mask, fill_value=0)
    if spec.masks_nan and array.dtype.kind in "fc":
        array = with_nan_masked(array, spec)
    if spec.dtype is None or array.dtype == spec.dtype:
        return array, NO_LOSS
    loss = lost_in_cast(array, spec.dtype)
    is_given = spec.template is None or spec.template.complete is not None
    if is_given and np.ma.isMaskedArray(array):
        return array, loss  # rasterio fills first and casts afterwards
    with np.errstate(invalid="ignore", over="ignore"):
        return array.astype(spec.dtype, copy=False), loss


def check_value(result: Any, spec: ValueSpec, window: Window, overlap: int) -> Any:
    """Return what the function returned for a value output: a plain value, or Lines.

    Raises
    ------
    ResultError
        If it cannot be written, or is an array like those of rasters.
    """
    what = "the function returned" if spec.name is None else f"for {spec.name!r} it returned"
    shape = np.shape(result) if hasattr(type(result), "__array__") else ()
    sizes = [(window.height + 2 * more, window.width + 2 * more) for more in (0, overlap)]
    if len(shape) in {2, 3} and shape[-2:] in sizes and math.prod(shape[-2:]) > _MOST_IN_A_TABLE:
        raise ResultError(
            f"{what} an array of shape {shape}, the pixels of the window, for an output of "
            f"values ({spec.format}): give it an output such as out.tif, or return values"
        )
    try:
        value = plain_value(result)
        if not spec.is_streamed:
            return value
        from rio_mucho_cli.outputs.value_text import make_lines

        return make_lines(value, spec.format)
    except ValueNotSupportedError as exc:
        raise ResultError(f"{what} {exc}") from None
    except RecursionError:
        raise ResultError(f"{what} a value that is nested too deeply") from None


def check_result(
    result: Any, window: Window, count: int | None, overlap: int = 0, name: str | None = None
) -> np.ndarray[Any, Any]:
    """Return what the function returned as a checked (count, rows, cols) array.

    Parameters
    ----------
    result : object
        (count, rows, cols), or (rows, cols) for one band: an array, or an object
        with ``__array__`` or DLPack's ``__dlpack__``, such as a DataArray or a
        tensor. Masked arrays stay masked; booleans become uint8.
    window : Window
        A fractional window may be rounded up or down, as rasterio does.
    count : int or None
        Expected number of bands, if known.
    overlap : int
        Extra pixels that the result may have on each side; they are cropped.
    name : str or None
        Its name in a dict of results.

    Raises
    ------
    ResultError
        If it is not an array, or has another shape.
    """
    what = "the function returned" if name is None else f"for {name!r} the function returned"
    result = _as_array(result, what)
    array: np.ndarray[Any, Any] = result[np.newaxis] if result.ndim == 2 else result
    expected = f"({count if count is not None else 'count'}, {window.height}, {window.width})"
    if overlap and array.shape[1:] == (window.height + 2 * overlap, window.width + 2 * overlap):
        array = array[:, overlap:-overlap, overlap:-overlap]
    if (
        array.ndim != 3
        or not array.shape[0]
        or abs(array.shape[1] - window.height) >= 1
        or abs(array.shape[2] - window.width) >= 1
        or (count is not None and array.shape[0] != count)
    ):
        raise ResultError(
            f"{what} an array of shape {result.shape}, expected {expected}"
            + (f" or {expected.replace('(1, ', '(', 1)}" if count == 1 else "")
            + hint_of_bands(result.shape, window, overlap)
        )
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind not in "iufc":
        raise ResultError(f"{what} an array of dtype {array.dtype}, expected numbers")
    return array


def _as_array(result: Any, what: str) -> np.ndarray[Any, Any]:
    """Return a result as a plain or masked array.

    Raise ResultError for sequences and numbers.
    """
    by_dlpack = _has_dlpack(result)
    if isinstance(result, np.generic) or not (by_dlpack or hasattr(type(result), "__array__")):
        raise ResultError(
            f"{what} {describe_type(result)}, expected a numpy array of shape "
            "(count, rows, cols) or (rows, cols); values need an output such as out.json"
        )
    try:
        array: np.ndarray[Any, Any] = np.from_dlpack(result) if by_dlpack else np.asanyarray(result)
    except INTERRUPTS:
        raise
    except BaseException as exc:
        text = line_of(exc)
        raise ResultError(
            f"{what} {describe_type(result)} that cannot be converted to a numpy array "
            f"({type(exc).__name__}{f': {text}' if text else ''})"
        ) from None
    if not np.ma.isMaskedArray(array):
        return np.asarray(array)
    if type(array) is np.ma.MaskedArray:
        return array
    masked: np.ma.MaskedArray[Any, Any] = np.ma.asarray(array)
    return masked


def _has_dlpack(result: Any) -> bool:
    """Return whether DLPack is the only way to get a result as an array."""
    kind = type(result)
    return hasattr(kind, "__dlpack__") and not hasattr(kind, "__array__")


def hint_of_bands(shape: tuple[int, ...], window: Window, overlap: int) -> str:
    """Return a hint about a result whose bands come last, or nothing."""
    sizes = [(window.height + 2 * more, window.width + 2 * more) for more in (0, overlap)]
    if len(shape) != 3 or shape[:2] not in sizes:
        return ""
    return ": bands come first, return np.moveaxis(result, -1, 0)"


def with_nan_masked(array: np.ndarray[Any, Any], spec: OutputSpec) -> np.ndarray[Any, Any]:
    """Return a result with NaN masked, unless NaN is the output's nodata."""
    template = spec.template
    nodata = None if template is None else template.nodata_of(spec.dtype or array.dtype.name)
    if nodata is not None and math.isnan(nodata):
        return array
    masked: np.ndarray[Any, Any] = np.ma.array(array, mask=np.isnan(np.ma.getdata(array)))
    return masked


def count_nodata(
    array: np.ndarray[Any, Any],
    template: ProfileTemplate,
    absent: np.ndarray[Any, Any] | None,
    reading: ReadSpec,
) -> ValueLoss:
    """Count results that equal nodata, or still have the first input's.

    Parameters
    ----------
    array : ndarray or MaskedArray
        (count, rows, cols), in the output's dtype.
    template : ProfileTemplate
    absent : ndarray of bool, or None
        (rows, cols): pixels without a value in an input, where the function got
        a number.
    reading : ReadSpec
    """
    dtype, inherited = array.dtype.name, template.inherited_nodata
    if inherited is not None and not nodata_fits(inherited, dtype):
        inherited = None
    # A calculation does not yield -9999.0 by chance.
    is_chosen = reading.records_absent and not template.keep_nodata and array.dtype.kind in "fc"
    return taken_for_nodata(
        array,
        template.nodata_of(dtype),
        inherited=inherited,
        absent=absent,
        is_chosen=is_chosen or template.sets_nodata or reading.mode == "manual_read",
    )


def needs_mask(
    array: Any, profile: Mapping[str, Any], template: ProfileTemplate, *, has_area: bool = False
) -> bool:
    """Return whether masked pixels need an internal mask: nodata is not set.

    Those of a complete profile need none, except outside an area of interest.

    Raises
    ------
    ResultError
        If they do, and the masks of the bands differ.
    """
    if template.complete is not None and not has_area:
        return False
    if profile.get("nodata") is not None or not np.ma.isMaskedArray(array):
        return False
    _check_is_one_mask(np.ma.getmaskarray(array))
    return True


def make_transparent(array: Any, alpha: int) -> Any:
    """Return a masked result with the same mask in all bands, and 0 under it.

    Parameters
    ----------
    array : MaskedArray
        (count, rows, cols). Pixels masked in the colour bands or in the alpha
        band become transparent.
    alpha : int
        1-based index of the alpha band.

    Raises
    ------
    ResultError
        If the masks of the colour bands differ.
    """
    mask = np.ma.getmaskarray(array)
    colours = np.delete(mask, alpha - 1, axis=0)
    _check_is_one_mask(colours)
    hidden = np.broadcast_to(colours[0] | mask[alpha - 1], array.shape)
    return np.ma.array(np.where(hidden, array.dtype.type(0), np.ma.getdata(array)), mask=hidden)


def _check_is_one_mask(mask: np.ndarray[Any, Any]) -> None:
    """Raise ResultError if the masks of the bands differ."""
    if (mask != mask[:1]).any():
        raise ResultError(
            "the function masked other pixels in one band than in another, and the output has no "
            f"nodata to mark them: give it one with {option('nodata')}, or mask the same in all "
            "bands"
        )
