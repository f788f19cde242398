"""Valid pixels of every band, and reductions that treat bands one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, ClassVar, TypeAlias

import numpy as np

from rio_mucho_cli.errors import UsageError

Array: TypeAlias = np.ndarray[Any, Any]
Value: TypeAlias = dict[str, Any]


class BandReduction:
    """Base of reductions whose value has one entry for each band of every input.

    Subclasses measure the valid pixels of a band, merge two such measurements, and
    turn the total into the entry of the result.
    """

    output: ClassVar[Mapping[str, Any]] = {"masked": True}

    def __call__(self, data: Any, window: Any, ij: Any, global_args: Any, *, info: Any) -> Value:
        """Return the value of a window.

        Parameters
        ----------
        data : list of ndarray or MaskedArray
            Arrays (count, rows, cols), one per input. Masked pixels and NaN are
            invalid; in plain arrays, nodata is invalid too.
        window, ij, global_args
            As for every function; not used.
        info : WindowInfo
        """
        entries = []
        for number, index, band in bands_of(data, info):
            source = info.inputs[number]
            label = {
                "input": name_of(source.path),
                "band": source.indexes[index],
                "description": source.descriptions[index],
                "dtype": band.dtype.name,
            }
            values = _valid(band, source.nodata[index])
            entries.append(label | self._measure(values, info))
        return {"bands": entries} | self._measure_window(info)

    def merge(self, total: Value, value: Value) -> Value:
        """Return the running total with the value of another window."""
        for entry, other in zip(total["bands"], value["bands"], strict=True):
            entry |= self._merge(entry, other)
        return total

    def finish(self, total: Value | None) -> Value:
        """Return the result; without any window, one that has no bands."""
        if total is None:
            return {"bands": []}
        result = {name: value for name, value in total.items() if name != "bands"}
        names = ("input", "band", "description")
        return result | {
            "bands": [
                {name: entry[name] for name in names} | self._finish(entry)
                for entry in total["bands"]
            ]
        }

    def _measure_window(self, info: Any) -> Value:
        """Return entries of the value that do not belong to a band."""
        return {}

    def _measure(self, values: Array, info: Any) -> Value:
        """Return the entries of a band's valid pixels, given as (pixels,)."""
        raise NotImplementedError

    def _merge(self, entry: Value, other: Value) -> Value:
        """Return the entries that change when another window is added."""
        raise NotImplementedError

    def _finish(self, entry: Value) -> Value:
        """Return a band's entries of the result."""
        raise NotImplementedError


def bands_of(data: Any, info: Any) -> Iterator[tuple[int, int, Array]]:
    """Yield input, position in the input, and pixels of each band, without the overlap.

    Raises
    ------
    UsageError
        If there are datasets instead of arrays, or complex numbers.
    """
    for number, array in enumerate(_arrays(data, info)):
        if array.dtype.kind not in "biuf":
            name = name_of(info.inputs[number].path)
            raise UsageError(
                f"{name} has pixels of dtype {array.dtype}, expected real numbers: convert it "
                "first, with a function that returns data[0].real or abs(data[0])"
            )
        rows, cols = (slice(info.overlap, length - info.overlap) for length in array.shape[1:])
        for index, band in enumerate(array[:, rows, cols]):
            if band.dtype == bool:
                band = band.astype(np.uint8)
            elif band.dtype == np.float16:
                band = band.astype(np.float32)
            yield number, index, band


def name_of(path: str) -> str:
    """Return the file name in a path or URL, without a query, which may be secret."""
    is_remote = "://" in path or path.startswith("/vsi")
    return PurePath(path.partition("?")[0] if is_remote else path).name


def _arrays(data: Any, info: Any) -> Sequence[Array]:
    """Return one array per input, whichever mode it was read in."""
    if isinstance(data, np.ndarray):
        ends = np.cumsum([len(source.indexes) for source in info.inputs])
        return np.split(data, ends[:-1])
    if not all(isinstance(array, np.ndarray) for array in data):
        raise UsageError(
            "reductions need arrays, but mode manual_read gives datasets: use mode simple_read"
        )
    arrays: Sequence[Array] = data
    return arrays


def invalid_pixels(band: Array, nodata: float | None) -> Array | None:
    """Return where a band is masked, nodata or NaN; None if it is so nowhere.

    Parameters
    ----------
    band : ndarray or MaskedArray
        (rows, cols).
    nodata : float or None
        Ignored for a masked array, whose mask includes it.
    """
    values = np.ma.getdata(band)
    invalid: Array | None = None
    if np.ma.isMaskedArray(band):
        mask = np.ma.getmaskarray(band)
        invalid = mask if mask.any() else None
    elif nodata is not None and _can_hold(values.dtype, nodata):
        invalid = values == values.dtype.type(nodata)
        invalid = invalid if invalid.any() else None
    if values.dtype.kind == "f" and values.size and np.isnan(values.min()):
        missing = np.isnan(values)
        invalid = missing if invalid is None else invalid | missing
    return invalid


def _valid(band: Array, nodata: float | None) -> Array:
    """Return the valid pixels of a band, without a copy if all are valid."""
    invalid = invalid_pixels(band, nodata)
    values = np.ma.getdata(band)
    return values.reshape(-1) if invalid is None else values[~invalid]


def _can_hold(dtype: np.dtype[Any], nodata: float) -> bool:
    """Return whether pixels of a dtype can equal a nodata value."""
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)
    return nodata == nodata // 1 and limits.min <= nodata <= limits.max
