"""Open an input, and describe it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import RasterioError, RasterioIOError

from rio_mucho_cli.dtypes import numpy_dtype
from rio_mucho_cli.env import gdal_config, quiet_if_raised, unset_only
from rio_mucho_cli.errors import InputError, one_line, text_of
from rio_mucho_cli.gcps import fault_of_points, has_gcps_or_rpcs
from rio_mucho_cli.inputs.bands import alpha_of, common_dtype
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.int64 import exact_nodatavals
from rio_mucho_cli.inputs.warping import has_mask
from rio_mucho_cli.paths import SERVERS, vsi_path
from rio_mucho_cli.signals import check
from rio_mucho_cli.system import check_open_files
from rio_mucho_cli.text import did_you_mean_file
from rio_mucho_cli.windows import Size

OPENING = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
"""GDAL's options while such an input is opened, as far as the user has set none of them.

Without it GDAL asks a plain HTTP server for some forty files that might lie
beside a raster. Others that are said to help were tried: VSI_CACHE,
GDAL_INGESTED_BYTES_AT_OPEN and CPL_VSIL_CURL_USE_HEAD made no difference to a
COG that is read window by window, and what merges ranges is on by default.
"""


def is_listed(path: str | os.PathLike[str]) -> bool:
    """Whether GDAL asks a server for what lies beside a dataset: not of those in an archive."""
    return re.match(rf"/{SERVERS}", vsi_path(path)) is not None


@contextmanager
def few_requests(path: str | os.PathLike[str], *, looks_beside: bool = False) -> Iterator[None]:
    """Set GDAL's options for opening an input, in this thread alone.

    They hold for whatever GDAL will read of it later. Local inputs are opened
    as ever: what lies beside them is found.

    Parameters
    ----------
    path : str or Path
    looks_beside : bool
        Look for files that lie beside it all the same.
    """
    if looks_beside or not is_listed(path):
        yield
        return
    with gdal_config(unset_only(OPENING)):
        yield


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What a run needs to know of an input before it starts.

    Attributes
    ----------
    path : str
    grid : Grid
    profile : dict
        As rasterio gives it.
    block : Size
        Of the first band.
    alpha : int
        The band of opacity, from 1; 0 if there is none.
    has_points : bool
        Whether GCPs or RPCs say where its pixels are, and no transform.
    dtypes : tuple of str
        The dtype of each band.
    nodatavals : tuple of float or None
        The nodata value of each band.
    hidden_by : str
        What masks the dataset as a whole: "a mask", in the file or beside it,
        "an alpha band", or "".
    fault_of_points : str
        What those GCPs or RPCs lack to place pixels in a CRS.
    structure : Mapping
        GDAL's tags about the file: COMPRESSION, PREDICTOR, INTERLEAVE.
    """

    path: str
    grid: Grid
    profile: dict[str, Any]
    block: Size
    alpha: int = 0
    has_points: bool = False
    dtypes: tuple[str, ...] = ()
    nodatavals: tuple[float | None, ...] = ()
    hidden_by: str = ""
    fault_of_points: str = ""
    structure: Mapping[str, str] = field(default_factory=dict)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the arrays that are read, which holds the values of all bands."""
        names = self.dtypes or (str(self.profile["dtype"]),)
        found: np.dtype[Any] = np.result_type(*map(numpy_dtype, names))
        return found

    @property
    def is_striped(self) -> bool:
        """Whether blocks are as wide as the raster, and there are several."""
        return self.block.width >= self.grid.width and self.block.height < self.grid.height

    @classmethod
    def of(cls, path: str) -> DatasetInfo:
        """Open a dataset, look at it, close it.

        Raises
        ------
        InputError
            If it is missing or is no raster.
        """
        with open_dataset(path) as src:
            if not src.count:
                raise InputError(f"{path} has no bands: give one of its subdatasets instead")
            rows, cols = src.block_shapes[0]
            alpha, has_points = alpha_of(src), has_gcps_or_rpcs(src)
            nodatavals = exact_nodatavals(src)
            hidden_by = "a mask" if has_mask(src) else "an alpha band" if alpha else ""
            return cls(
                path,
                Grid.of(src),
                {**src.profile, "nodata": nodatavals[0]},
                Size(cols, rows),
                alpha=alpha,
                has_points=has_points,
                fault_of_points=fault_of_points(src) if has_points else "",
                dtypes=tuple(src.dtypes),
                nodatavals=nodatavals,
                hidden_by=hidden_by,
                structure=src.tags(ns="IMAGE_STRUCTURE"),
            )

    def of_bands(self, indexes: Sequence[int]) -> DatasetInfo:
        """Return the input as if it had some of its bands only.

        Parameters
        ----------
        indexes : sequence of int
            Bands, from 1, in the order in which they are read; empty for all.

        Returns
        -------
        Source
            Its profile has their count, the dtype in which they are read
            together, and the nodata value of the first of them.
        """
        indexes = tuple(indexes) or tuple(range(1, len(self.dtypes) + 1))
        dtypes = tuple(self.dtypes[index - 1] for index in indexes)
        nodatavals = tuple(self.nodatavals[index - 1] for index in indexes)
        alpha = indexes.index(self.alpha) + 1 if self.alpha in indexes else 0
        profile = {
            **self.profile,
            "count": len(indexes),
            "dtype": common_dtype(dtypes),
            "nodata": nodatavals[0],
        }
        return replace(self, profile=profile, alpha=alpha, dtypes=dtypes, nodatavals=nodatavals)


def open_dataset(path: str) -> Any:
    """Open an input, shared with nobody, or raise InputError."""
    try:
        check_open_files()
        with quiet_if_raised():
            src = _open(path)
    except RasterioIOError as exc:
        raise InputError(_explain(path, one_line(exc))) from None
    except (RasterioError, OSError, TypeError, ValueError) as exc:
        raise InputError(f"{path} cannot be opened: {one_line(exc)}") from None
    check()
    return src


def _explain(path: str, said: str) -> str:
    """Say more than GDAL does of a path that leads to no raster."""
    said = said if path in said else f"{path}: {said}"
    if os.path.isdir(path):  # noqa: PTH112 (a Path takes no name of a length like any)
        return f"{said.rstrip('.')}: it is a folder, expected a raster"
    if "No such file" in said:
        return f"{said}{did_you_mean_file(path)}"
    return said


def _open(path: str) -> Any:
    try:
        with few_requests(path):
            return rasterio.open(path, sharing=False)
    except RasterioIOError as exc:
        if not is_listed(path) or "not recognized" not in text_of(exc):
            raise
    # There are formats of several files, each of which means nothing by itself.
    with few_requests(path, looks_beside=True):
        return rasterio.open(path, sharing=False)
