"""Overviews that GDAL makes: of one window in memory, or of a file."""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import OverviewResampling
from rasterio.io import MemoryFile
from rasterio.windows import Window

from rio_mucho_cli.dtypes import numpy_dtype
from rio_mucho_cli.env import captured_messages, env_options, gdal_config, heard
from rio_mucho_cli.errors import OutputError, one_line
from rio_mucho_cli.geotiff import gdal_io
from rio_mucho_cli.geotiff.gdal_io import internal_masks, write_array
from rio_mucho_cli.geotiff.ifd import IFD
from rio_mucho_cli.geotiff.options import is_yes
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan
from rio_mucho_cli.signals import INTERRUPTS
from rio_mucho_cli.text import option
from rio_mucho_cli.windows import Size

# What says how pixels are compressed, but not what they are.
_ENCODING = {
    "COMPRESS", "PREDICTOR", "ZLEVEL", "ZSTD_LEVEL", "LZMA_PRESET", "JPEG_QUALITY",
    "JPEGTABLESMODE", "WEBP_LEVEL", "WEBP_LOSSLESS", "MAX_Z_ERROR", "MAX_Z_ERROR_OVERVIEW",
    "NUM_THREADS", "SPARSE_OK", "DISCARD_LSB", "JXL_LOSSLESS", "JXL_EFFORT", "JXL_DISTANCE",
}  # fmt: skip


def overview_profile(profile: Mapping[str, Any], block: int) -> dict[str, Any]:
    """Return the profile with which blocks of an overview are encoded: they are square tiles."""
    layout = {"TILED", "BLOCKXSIZE", "BLOCKYSIZE"}
    rest = {key: value for key, value in profile.items() if key.upper() not in layout}
    return {**rest, "tiled": True, "blockxsize": block, "blockysize": block}


def uncompressed_profile(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile of a file with the same pixels that nothing is lost in."""
    kept = {key: value for key, value in profile.items() if key.upper() not in _ENCODING}
    for key in [key for key in kept if key.upper() == "PHOTOMETRIC"]:
        if str(kept[key]).lower() == "ycbcr":  # which wants JPEG
            del kept[key]
    return kept


def check_overviews(profile: Mapping[str, Any]) -> None:
    """Raise OutputError if GDAL cannot make overviews in a file with this profile.

    Notes
    -----
    Where 64-bit integers have a nodata value, GDAL 3.10 and 3.12 keep the
    first overview alone, and if the file is not compressed, they never end.
    """
    dtype = numpy_dtype(profile["dtype"])
    if dtype.kind in "iu" and dtype.itemsize == 8 and profile.get("nodata") is not None:
        raise OutputError(
            f"GDAL makes no overviews of {dtype} with nodata: choose another dtype, such as "
            "int32 or float64, or leave them out (of a COG with "
            f"{option('creation_options', ('OVERVIEWS', 'NONE'))})"
        )


def build(
    path: str,
    factors: Sequence[int],
    resampling: str,
    *,
    block: int,
    beside: bool = False,
) -> None:
    """Have GDAL make the overviews of a file.

    Parameters
    ----------
    path : str
    factors : sequence of int
    resampling : str
    block : int
        The side of their tiles.
    beside : bool
        Into another file, ``.ovr``, uncompressed; the file itself is not
        changed.

    Raises
    ------
    OutputError
        If GDAL does not make them.
    """
    options = {
        "GDAL_TIFF_OVR_BLOCKSIZE": block,
        "BIGTIFF_OVERVIEW": "IF_SAFER",
        # Where the system gives it no thread, GDAL leaves overviews empty, and does not say so.
        "GDAL_NUM_THREADS": 1,
    }
    if beside:
        options.update(TIFF_USE_OVR=True, COMPRESS_OVERVIEW="NONE", INTERLEAVE_OVERVIEW="PIXEL")
    try:
        with (
            gdal_config(options),
            internal_masks(True),
            heard(logging.ERROR) as errors,
            rasterio.open(path, "r+") as dst,
        ):
            dst.build_overviews(list(factors), OverviewResampling[resampling])
    except Exception as exc:
        raise OutputError(f"overviews cannot be made: {one_line(exc)}") from None
    if errors:  # while it was closed; rasterio only logs them
        raise OutputError(f"overviews cannot be made: {errors[0]}; is the disk full?")
    if path.startswith("/vsimem/"):
        return
    try:
        with (
            Path(f"{path}.ovr" if beside else path).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            check_block_size(data, beside=beside)
    except (OSError, ValueError) as exc:
        if isinstance(exc, OutputError):
            raise
        raise OutputError(f"overviews cannot be checked: {one_line(exc)}") from None


def check_block_size(data: Any, *, beside: bool = False) -> None:
    """Raise OutputError if overviews that GDAL has made lack blocks.

    Where there is no memory for its buffers, GDAL (3.10, 3.12) makes
    overviews without any, and does not say so. Those of nodata are there.

    Parameters
    ----------
    data : buffer
        A TIFF.
    beside : bool
        It has nothing but overviews.
    """
    if is_yes(_option("SPARSE_OK_OVERVIEW")):
        return
    for directory in IFD.read_all(data)[0 if beside else 1 :]:
        if not directory.values(data, directory.tables[1]).all():
            raise OutputError(
                "overviews cannot be made: GDAL has left blocks of them out, as it does where "
                "there is too little memory: fewer jobs, or smaller windows, need less"
            )


def _option(name: str) -> Any:
    """Return what the user has set one of GDAL's options to."""
    return env_options().get(name, os.environ.get(name, "NO"))


def build_in_thread(path: str, pyramid: OverviewPlan) -> None:
    """Have GDAL make all overviews of a finished file, in the calling process."""
    env = env_options()

    def work() -> None:
        with gdal_config(env):
            build(path, pyramid.factors, pyramid.resampling, block=pyramid.block)

    run_in_thread(work)


def compute_statistics(path: str) -> None:
    """Have GDAL find out the statistics of a finished file, and write them into it."""
    env = env_options()

    def work() -> None:
        with gdal_config(env), captured_messages(), rasterio.open(path, "r+") as dst:
            dst.update_stats()

    run_in_thread(work)


def run_in_thread(work: Callable[[], None]) -> None:
    """Let GDAL work in a thread of its own, because it does not look for Ctrl-C."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="mucho-gdal")
    try:
        pool.submit(work).result()
    except INTERRUPTS:
        pool.shutdown(wait=False)
        raise
    pool.shutdown()


def read_level(path: str, level: int, window: Any = None, *, masked: bool) -> Any:
    """Return the pixels of an overview: (count, rows, cols), masked if that is asked for.

    Parameters
    ----------
    path : str
    level : int
        From 1; 0 is the raster itself.
    window : Window or None
    masked : bool
        Take along what an internal mask says.
    """
    which = {"overview_level": level - 1} if level else {}
    with rasterio.open(path, sharing=False, **which) as src:
        data: np.ndarray[Any, Any] = src.read(window=window)
        if not masked:
            return data
        mask = src.read_masks(1, window=window) == 0
        return np.ma.array(data, mask=np.broadcast_to(mask, data.shape))


def reduce(
    memory: MemoryFile,
    array: np.ndarray[Any, Any],
    profile: Mapping[str, Any],
    factors: Sequence[int],
    resampling: str,
    *,
    block: int,
    masked: bool,
) -> list[Any]:
    """Return an array's overviews, made in memory.

    Parameters
    ----------
    memory : MemoryFile
        It is written to.
    array : ndarray
        (count, rows, cols), as the output has it.
    profile : Mapping
        Of the output: nodata, alpha bands and masks have their part in an
        average.
    factors : sequence of int
    resampling : str
    block : int
    masked : bool
        Whether the output has an internal mask.

    Returns
    -------
    list of ndarray
        One for each factor; masked if `masked`.
    """
    name = memory.name
    whole = overview_profile(uncompressed_profile(profile), block)
    whole.update(width=array.shape[2], height=array.shape[1])
    with internal_masks(masked), rasterio.open(name, "w", **whole) as dst:
        write_array(dst, array, masked=masked)
    build(name, factors, resampling, block=block)
    check_block_size(memory.getbuffer())
    return [read_level(name, level, masked=masked) for level in range(1, len(factors) + 1)]


_NAME = "kept.tif"
_BLOCK = 256


class SourceLevel:
    """A level of an output, uncompressed, in a file of its own while a run is under way.

    Parameters
    ----------
    output : Path
        The file lies beside it.
    profile : Mapping
        Of the output.
    size : Size
        Of the level, in pixels.
    masked : bool
        Whether the output has an internal mask.
    """

    def __init__(
        self, output: Path, profile: Mapping[str, Any], size: Size, *, masked: bool
    ) -> None:
        self.path = output.with_name(_NAME)
        self.size = size
        self._masked = masked
        own = overview_profile(uncompressed_profile(profile), _BLOCK)
        own.update(width=size.width, height=size.height, sparse_ok=True, bigtiff="IF_SAFER")
        with gdal_io.internal_masks(masked), captured_messages():
            self._dst: Any = rasterio.open(self.path, "w", **own)

    def write(self, window: Window, data: Any) -> None:
        """Write the pixels of a window: (count, rows, cols), masked if some are."""
        name = str(self.path)
        gdal_io.write(self._dst, name, window, np.ma.getdata(data), masked=False)
        if self._masked:
            with gdal_io.internal_masks(True):
                valid = ~np.ma.getmaskarray(data)[0]
                self._dst.write_mask(valid, window=window)

    def close(self) -> None:
        """Let others read it, or raise OutputError: what GDAL had not written yet may not fit."""
        gdal_io.close(self._dst, str(self.path))

    def discard(self) -> None:
        """Close it, whatever comes of it."""
        with suppress(Exception), captured_messages():
            self._dst.close()
