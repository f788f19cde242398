"""Make overviews with GDAL: of one window in memory, or of a file."""

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
from rio_mucho_cli.env import captured_messages, env_options, gdal_config
from rio_mucho_cli.errors import OutputError, one_line
from rio_mucho_cli.geotiff import gdal_io
from rio_mucho_cli.geotiff.gdal_io import internal_masks, write_array
from rio_mucho_cli.geotiff.ifd import IFD
from rio_mucho_cli.geotiff.options import is_yes
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan
from rio_mucho_cli.signals import INTERRUPTS
from rio_mucho_cli.text import option
from rio_mucho_cli.windows import Size

# Options of compression, which an uncompressed file does not need.
_ENCODING = {
    "compress", "predictor", "zlevel", "zstd_level", "lzma_preset", "jpeg_quality",
    "jpegtablesmode", "webp_level", "webp_lossless", "max_z_error", "max_z_error_overview",
    "num_threads", "sparse_ok", "discard_lsb", "jxl_lossless", "jxl_effort", "jxl_distance",
}  # fmt: skip


def overview_profile(profile: Mapping[str, Any], block: int) -> dict[str, Any]:
    """Return the profile for encoding an overview, in square tiles."""
    return {**profile, "tiled": True, "blockxsize": block, "blockysize": block}


def uncompressed_profile(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile of an uncompressed, lossless file of the same kind."""
    rest = {key: value for key, value in profile.items() if key not in _ENCODING}
    if str(rest.get("photometric")).lower() == "ycbcr":  # needs JPEG
        del rest["photometric"]
    return rest


def check_overviews(profile: Mapping[str, Any]) -> None:
    """Raise OutputError if GDAL cannot make overviews in a file with this profile.

    Notes
    -----
    For 64-bit integers with nodata, GDAL 3.10 and 3.12 write only the first
    overview, and never return if the file is uncompressed.
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
    """Make the overviews of a file with GDAL.

    Parameters
    ----------
    path : str
    factors : sequence of int
    resampling : str
    block : int
        Side of the tiles, in pixels.
    beside : bool
        Write an uncompressed ``.ovr`` file, and leave the file itself
        unchanged.

    Raises
    ------
    OutputError
        If GDAL cannot make them.
    """
    options = {
        "GDAL_TIFF_OVR_BLOCKSIZE": block,
        "BIGTIFF_OVERVIEW": "IF_SAFER",
        # If GDAL cannot start a thread, it leaves overviews empty without an error.
        "GDAL_NUM_THREADS": 1,
    }
    if beside:
        options.update(TIFF_USE_OVR=True, COMPRESS_OVERVIEW="NONE", INTERLEAVE_OVERVIEW="PIXEL")
    try:
        with (
            gdal_config(options),
            internal_masks(True),
            captured_messages(logging.ERROR, always=True) as errors,
            rasterio.open(path, "r+") as dst,
        ):
            dst.build_overviews(list(factors), OverviewResampling[resampling])
    except Exception as exc:
        raise OutputError(f"overviews cannot be made: {one_line(exc)}") from None
    if errors:  # from closing the file; rasterio only logs them
        raise OutputError(f"overviews cannot be made: {errors[0]}; is the disk full?")
    if path.startswith("/vsimem/"):
        return
    try:
        with (
            Path(f"{path}.ovr" if beside else path).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            check_no_block_missing(data, beside=beside)
    except (OSError, ValueError) as exc:
        if isinstance(exc, OutputError):
            raise
        raise OutputError(f"overviews cannot be checked: {one_line(exc)}") from None


_NEW_SUBFILE_TYPE, _IS_REDUCED = 254, 1


def check_no_block_missing(data: Any, *, beside: bool = False) -> None:
    """Raise OutputError if overviews made by GDAL lack blocks.

    If there is no memory for its buffers, GDAL (3.10, 3.12) leaves blocks out
    without an error. It does write blocks of nodata.

    Parameters
    ----------
    data : buffer
        A TIFF file.
    beside : bool
        Whether the file holds only overviews.
    """
    if is_yes(_option("SPARSE_OK_OVERVIEW")):
        return
    for ifd in IFD.read_all(data):
        tag = ifd.tags.get(_NEW_SUBFILE_TYPE)
        kind = 0 if tag is None else ifd.values(data, tag)[0]
        if not (beside or kind & _IS_REDUCED):
            continue  # the raster, or its mask, which lacks blocks of windows without a result
        if not ifd.values(data, ifd.table_tags[1]).all():
            raise OutputError(
                "overviews cannot be made: GDAL has left blocks of them out, as it does where "
                "there is too little memory: fewer jobs, or smaller windows, need less"
            )


def _option(name: str) -> Any:
    """Return the value of a GDAL option, from rasterio's Env or the environment."""
    return env_options().get(name, os.environ.get(name, "NO"))


def build_in_thread(path: str, plan: OverviewPlan) -> None:
    """Make all overviews of a finished file with GDAL, in another thread."""
    env = env_options()

    def work() -> None:
        with gdal_config(env):
            build(path, plan.factors, plan.resampling, block=plan.block)

    run_in_thread(work)


def compute_statistics(path: str) -> None:
    """Compute the statistics of a finished file and write them into it."""
    env = env_options()

    def work() -> None:
        with gdal_config(env), captured_messages(), rasterio.open(path, "r+") as dst:
            dst.update_stats()

    run_in_thread(work)


def run_in_thread(work: Callable[[], None]) -> None:
    """Run a function in another thread, as GDAL cannot be interrupted by Ctrl-C."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="mucho-gdal")
    try:
        pool.submit(work).result()
    except INTERRUPTS:
        pool.shutdown(wait=False)
        raise
    pool.shutdown()


def read_level(path: str, level: int, window: Any = None, *, masked: bool) -> Any:
    """Return the pixels of an overview as (count, rows, cols).

    Parameters
    ----------
    path : str
    level : int
        Level from 1; 0 is the raster itself.
    window : Window or None
    masked : bool
        Return a masked array, with the internal mask.
    """
    options = {"overview_level": level - 1} if level else {}
    with rasterio.open(path, sharing=False, **options) as src:
        data: np.ndarray[Any, Any] = src.read(window=window)
        if not masked:
            return data
        mask = src.read_masks(1, window=window) == 0
        return np.ma.array(data, mask=np.broadcast_to(mask, data.shape))


def build_in_memory(
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
        File to work in; it is overwritten.
    array : ndarray
        (count, rows, cols): pixels of the output.
    profile : Mapping
        Profile of the output: nodata and alpha bands affect averages.
    factors : sequence of int
    resampling : str
    block : int
    masked : bool
        Whether the output has an internal mask.

    Returns
    -------
    list of ndarray
        One array for each factor; masked if `masked`.
    """
    name = memory.name
    whole = overview_profile(uncompressed_profile(profile), block)
    whole.update(width=array.shape[2], height=array.shape[1])
    with internal_masks(masked), rasterio.open(name, "w", **whole) as dst:
        write_array(dst, array, masked=masked)
    build(name, factors, resampling, block=block)
    check_no_block_missing(memory.getbuffer())
    return [read_level(name, level, masked=masked) for level in range(1, len(factors) + 1)]


_NAME = "source-level.tif"
_BLOCK = 256


class SourceLevel:
    """An uncompressed file with one level, from which further overviews are made.

    Parameters
    ----------
    output : Path
        Path of the output; the file is written to its directory.
    profile : Mapping
        Profile of the output.
    size : Size
        Size of the level, in pixels.
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
        """Write the pixels of a window: (count, rows, cols), possibly masked."""
        name = str(self.path)
        gdal_io.write(self._dst, name, window, np.ma.getdata(data), masked=False)
        if self._masked:
            with gdal_io.internal_masks(True):
                valid = ~np.ma.getmaskarray(data)[0]
                self._dst.write_mask(valid, window=window)

    def close(self) -> None:
        """Close the file for reading, or raise OutputError if the disk is full."""
        gdal_io.close(self._dst, str(self.path))

    def discard(self) -> None:
        """Close the file and ignore errors."""
        with suppress(Exception), captured_messages():
            self._dst.close()
