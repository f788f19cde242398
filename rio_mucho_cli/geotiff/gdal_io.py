"""Create, write and close datasets through GDAL."""

from __future__ import annotations

import logging
import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from rio_mucho_cli.dtypes import numpy_dtype
from rio_mucho_cli.env import captured_messages, gdal_config, gdal_log
from rio_mucho_cli.errors import FormatError, OutputError, one_line
from rio_mucho_cli.geotiff.ifd import IFD, NODATA
from rio_mucho_cli.geotiff.metadata import Metadata
from rio_mucho_cli.geotiff.options import COG_OPTIONS, GTIFF_OPTIONS, OUTPUT_FIELDS
from rio_mucho_cli.text import did_you_mean, option
from rio_mucho_cli.windows import format_window


def create(
    path: str,
    name: str,
    profile: Mapping[str, Any],
    options: Mapping[str, str],
    metadata: Metadata | None = None,
) -> Any:
    """Return a new dataset, open for writing.

    Parameters
    ----------
    path : str
    name : str
        Name of the output in messages.
    profile : Mapping
    options : Mapping
        Creation options from the user. It is an error if GDAL rejects one of
        these, and a warning for any other.
    metadata : Metadata or None
        Metadata to write.

    Raises
    ------
    OutputError
        If GDAL cannot create the dataset.
    """
    with captured_messages(always=True) as messages:
        try:
            dst = rasterio.open(path, "w", **creation_profile(profile))
        except Exception as exc:
            raise OutputError(f"{name} cannot be made: {one_line(exc)}") from None
    try:
        raise_for_options(messages, name, str(profile.get("driver")), options)
        write_metadata(dst, name, profile, metadata)
    except OutputError:
        dst.close()
        raise
    return dst


def write_metadata(
    dst: Any, name: str, profile: Mapping[str, Any], metadata: Metadata | None
) -> None:
    """Write metadata into a dataset without pixels, or raise OutputError."""
    if metadata is None:
        return
    try:
        with captured_messages() as messages:
            metadata.write(dst, str(profile.get("compress", "")))
    except (RasterioError, ValueError, TypeError) as exc:
        raise OutputError(
            f"the metadata cannot be written to {name}: {one_line(exc)}; pass "
            f"{option('metadata')} to leave out the first input's"
        ) from None
    for message in messages:
        gdal_log.info("%s", message)


# Advice for option names that belong to another driver or to GDAL's utilities.
_ALTERNATIVES = {
    ("", "COLORMAP"): "a colour table is copied from the first input, or the function's "
    "attribute output gives one",
    ("", "SRS"): "the CRS is that of the output's grid",
    ("COG", "TILED"): "a COG is tiled, leave it out",
    **dict.fromkeys([("COG", "BLOCKXSIZE"), ("COG", "BLOCKYSIZE")], "use BLOCKSIZE"),
    **{("COG", name): "use LEVEL" for name in ("ZLEVEL", "ZSTD_LEVEL", "LZMA_PRESET")},
    **{("COG", name): "use QUALITY" for name in ("JPEG_QUALITY", "WEBP_LEVEL")},
    **{
        ("COG", name): "GDAL chooses it for a COG, leave it out"
        for name in ("INTERLEAVE", "PHOTOMETRIC", "ALPHA")
    },
    ("GTIFF", "BLOCKSIZE"): "use BLOCKXSIZE and BLOCKYSIZE",
    ("GTIFF", "LEVEL"): "use ZLEVEL, ZSTD_LEVEL or LZMA_PRESET, by the compression",
    ("GTIFF", "QUALITY"): "use JPEG_QUALITY or WEBP_LEVEL, by the compression",
    **{
        ("GTIFF", name): "overviews are asked for by {overviews} and {overview_resampling}"
        for name in ("OVERVIEWS", "OVERVIEW_COUNT", "OVERVIEW_RESAMPLING", "RESAMPLING")
    },
}


def raise_for_options(
    messages: Sequence[str], name: str, driver: str, options: Mapping[str, str]
) -> None:
    """Raise FormatError for messages about the user's options; log the others."""
    for message in messages:
        unknown = _unknown_option(message, options)
        if unknown:
            raise FormatError(
                f"{name} cannot be made: {unknown} is not a creation option of the driver {driver} "
                f"in GDAL {rasterio.__gdal_version__}: {_alternative_to(unknown, driver)}"
            )
        if any(option.upper() in message.upper() for option in options):
            raise FormatError(
                f"{name} cannot be made: {message}; GDAL's page on the driver "
                f"{driver} lists its creation options"
            )
        gdal_log.warning("%s", message)


def write(
    dst: Any, name: str, window: Any, array: np.ndarray[Any, Any], *, masked: bool = False
) -> None:
    """Write one window, or raise OutputError; see `write_array`."""
    try:
        with internal_masks(masked):
            write_array(dst, array, window, masked=masked)
    except (RasterioError, OSError, ValueError) as exc:
        raise OutputError(
            f"{name} cannot be written at {format_window(window)}: {one_line(exc)}"
        ) from None


def write_array(
    dst: Any,
    array: np.ndarray[Any, Any],
    window: Any = None,
    *,
    masked: bool = False,
    filled: bool = True,
) -> None:
    """Write an array, and its mask if the file has an internal one.

    An internal mask is shared by all bands. Masked pixels are written as 0 if
    `filled`.
    """
    if masked:
        pixels = np.ma.filled(array, 0) if filled else np.ma.getdata(array)
        dst.write(pixels, window=window)
        dst.write_mask(~np.ma.getmaskarray(array[0]), window=window)
    else:
        dst.write(_without_nan_mask(dst, array), window=window)


def _without_nan_mask(dst: Any, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an array with masked pixels set to NaN if NaN is the file's nodata.

    rasterio fills with nodata only if all bands have the same value, and it
    treats the NaN of two bands as different values.
    """
    if isinstance(array, np.ma.MaskedArray) and np.isnan([v or 0 for v in dst.nodatavals]).all():
        return np.ma.filled(array.astype(dst.dtypes[0], copy=False), np.nan)
    return array


def make_mask(dst: Any) -> None:
    """Create the internal mask of a file, with every pixel masked."""
    with internal_masks(True):
        dst.write_mask(np.zeros((1, 1), bool), window=Window(0, 0, 1, 1))


@contextmanager
def internal_masks(enabled: bool) -> Iterator[None]:
    """Make GDAL write masks into the file, not to a sidecar file."""
    with gdal_config({"GDAL_TIFF_INTERNAL_MASK": True}) if enabled else nullcontext():
        yield


def close(dst: Any, name: str) -> None:
    """Close a dataset, or raise OutputError for errors that rasterio only logs."""
    with captured_messages(logging.ERROR, always=True) as errors:
        try:
            dst.close()
        except Exception as exc:
            raise OutputError(f"{name} cannot be finished: {one_line(exc)}") from None
    if errors:
        raise OutputError(f"{name} cannot be finished: {errors[0]}; is the disk full?")


def _unknown_option(message: str, options: Mapping[str, str]) -> str:
    """Return the creation option that GDAL's message rejects, or an empty string."""
    if "support creation option" not in message:
        return ""
    words = message.upper().split()
    return next((name.upper() for name in options if name.upper() in words), "")


def _alternative_to(unknown: str, driver: str) -> str:
    """Return what to use instead of a creation option that a driver lacks."""
    kind = driver.upper()
    alternative = _ALTERNATIVES.get((kind, unknown)) or _ALTERNATIVES.get(("", unknown))
    known = {"GTIFF": GTIFF_OPTIONS, "COG": COG_OPTIONS}.get(kind)
    if alternative is not None:
        names = ("overviews", "overview_resampling")
        return alternative.format(**{name: option(name) for name in names})
    if known is None:
        return f"GDAL's page on the driver {driver} lists them"
    hint = did_you_mean(unknown, (*known, *OUTPUT_FIELDS))
    return hint.removeprefix(": ") or f"expected one of {', '.join(known)}"


# rasterio passes nodata to GDAL as a double, which cannot hold every 64-bit integer. Where
# the value would change, the file is created with a placeholder whose text in the tag
# GDAL_NODATA is longer. The exact text replaces it once GDAL has closed the file.
# 23 characters; a 64-bit integer has at most 20.
_PLACEHOLDER = 1.0000000000000002e-300
# GDAL writes larger doubles with an exponent, but reads 64-bit integers only up to it:
# "1e+17" is read as 1.
_WITH_EXPONENT = 10**17


def is_inexact_in_gdal(nodata: float | None, dtype: Any) -> bool:
    """Return whether GDAL would receive a different nodata value."""
    kind = numpy_dtype(dtype)
    if nodata is None or kind.kind not in "iu" or kind.itemsize < 8:
        return False
    number = int(nodata)
    return abs(number) >= _WITH_EXPONENT or int(float(number)) != number


def needs_exact_nodata(profile: Mapping[str, Any]) -> bool:
    """Return whether a file with this profile needs `write_exact_nodata`."""
    return is_inexact_in_gdal(profile.get("nodata"), profile.get("dtype", "uint8"))


def creation_profile(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile to create the file with, which may hold the placeholder."""
    return {**profile, "nodata": _PLACEHOLDER} if needs_exact_nodata(profile) else dict(profile)


def write_exact_nodata(path: Path, profile: Mapping[str, Any]) -> None:
    """Write the exact nodata into a GeoTIFF created with `creation_profile`."""
    if not needs_exact_nodata(profile):
        return
    text = f"{int(profile['nodata'])}\0".encode("ascii")
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        is_big = 43 in (data[2], data[3])
        for ifd in IFD.read_all(data):
            tag = ifd.tags.get(NODATA)
            if tag is not None:
                data[tag.offset : tag.offset + len(text)] = text
                entry = ifd.entry_bytes(tag, len(text), tag.offset, big=is_big)
                data[tag.entry_offset : tag.entry_offset + len(entry)] = entry
