"""Open input datasets and describe them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ParamSpec, TypeVar

import numpy as np
import rasterio
from rasterio.errors import RasterioError, RasterioIOError

from rio_mucho_cli import signals
from rio_mucho_cli.dtypes import numpy_dtype
from rio_mucho_cli.env import env_options, gdal_config, quiet_if_raised, unset_only
from rio_mucho_cli.errors import InputError, one_line, text_of
from rio_mucho_cli.gcps import has_gcps_or_rpcs, why_gcps_or_rpcs_unusable
from rio_mucho_cli.inputs.bands import GivenNodata, alpha_of, common_dtype, exact_nodatavals
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.inputs.warping import has_mask
from rio_mucho_cli.paths import SERVERS, vsi_path
from rio_mucho_cli.system import check_open_files
from rio_mucho_cli.text import did_you_mean_file, redact
from rio_mucho_cli.windows import Size

P = ParamSpec("P")
R = TypeVar("R")

OPENING_OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
"""GDAL options for opening remote inputs, unless the user has set them.

Without them, GDAL asks a plain HTTP server for some forty possible sidecar
files. VSI_CACHE, GDAL_INGESTED_BYTES_AT_OPEN and CPL_VSIL_CURL_USE_HEAD, often
recommended, made no difference to a COG read window by window. Merging of
ranges is on by default.
"""


_REFUSED = re.compile(r"HTTP response code: 40[13]\b")


def asks_for_sidecars(path: str | os.PathLike[str]) -> bool:
    """Return whether GDAL asks a server for sidecar files; not within an archive."""
    return re.match(rf"/{SERVERS}", vsi_path(path)) is not None


@contextmanager
def few_requests(path: str | os.PathLike[str], *, finds_sidecars: bool = False) -> Iterator[None]:
    """Set `OPENING_OPTIONS` for opening a remote input, in this thread only.

    The options also apply to later reads of the dataset. Local inputs are
    unaffected: their sidecar files are found.

    Parameters
    ----------
    path : str or Path
    finds_sidecars : bool
        Let GDAL ask for sidecar files of remote inputs too.
    """
    if finds_sidecars or not asks_for_sidecars(path):
        yield
        return
    with gdal_config(unset_only(OPENING_OPTIONS)):
        yield


def in_this_env(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function for other threads, which calls it with this thread's GDAL options."""
    options = env_options()

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with gdal_config(options):
            return function(*args, **kwargs)

    return call


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Description of an input dataset, for planning a run.

    Attributes
    ----------
    path : str
    grid : Grid
    profile : dict
        Profile from rasterio, with exact nodata.
    block : Size
        Block size of the first band, in pixels.
    alpha : int
        Index of the alpha band, from 1; 0 if there is none.
    has_gcps_or_rpcs : bool
        Whether the dataset has GCPs or RPCs and no transform.
    dtypes : tuple of str
        Dtype of each band.
    nodatavals : tuple of float or None
        Nodata value of each band.
    masked_by : str
        What masks the dataset as a whole: "a mask" (in the file or in a
        sidecar file), "an alpha band", or "".
    why_gcps_or_rpcs_unusable : str
        Reason why GCPs or RPCs cannot georeference the dataset, or "".
    structure : Mapping
        GDAL's tags about the file: COMPRESSION, PREDICTOR, INTERLEAVE.
    """

    path: str
    grid: Grid
    profile: dict[str, Any]
    block: Size
    alpha: int = 0
    has_gcps_or_rpcs: bool = False
    dtypes: tuple[str, ...] = ()
    nodatavals: tuple[float | None, ...] = ()
    masked_by: str = ""
    why_gcps_or_rpcs_unusable: str = ""
    structure: Mapping[str, str] = field(default_factory=dict)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Common dtype of all bands, in which arrays are read."""
        names = self.dtypes or (str(self.profile["dtype"]),)
        dtype: np.dtype[Any] = np.result_type(*map(numpy_dtype, names))
        return dtype

    @property
    def is_striped(self) -> bool:
        """Whether blocks are several strips, as wide as the raster."""
        return self.block.width >= self.grid.width and self.block.height < self.grid.height

    @classmethod
    def of(cls, path: str) -> DatasetInfo:
        """Return the description of the dataset at a path.

        Raises
        ------
        InputError
            If it does not exist, is not a raster, or has no bands.
        """
        with open_dataset(path) as src:
            if not src.count:
                raise InputError(f"{path} has no bands: give one of its subdatasets instead")
            rows, cols = src.block_shapes[0]
            alpha, by_gcps_or_rpcs = alpha_of(src), has_gcps_or_rpcs(src)
            nodatavals = exact_nodatavals(src)
            masked_by = "a mask" if has_mask(src) else "an alpha band" if alpha else ""
            return cls(
                path,
                Grid.of(src),
                {**src.profile, "nodata": nodatavals[0]},
                Size(cols, rows),
                alpha=alpha,
                has_gcps_or_rpcs=by_gcps_or_rpcs,
                why_gcps_or_rpcs_unusable=why_gcps_or_rpcs_unusable(src) if by_gcps_or_rpcs else "",
                dtypes=tuple(src.dtypes),
                nodatavals=nodatavals,
                masked_by=masked_by,
                structure=src.tags(ns="IMAGE_STRUCTURE"),
            )

    def with_nodata(self, nodata: GivenNodata | None) -> DatasetInfo:
        """Return the description with this nodata in all bands; None: unchanged."""
        if nodata is None:
            return self
        value = None if isinstance(nodata, str) else nodata
        profile = {**self.profile, "nodata": value}
        return replace(self, profile=profile, nodatavals=(value,) * len(self.nodatavals))

    def with_bands(self, indexes: Sequence[int]) -> DatasetInfo:
        """Return the description of a subset of bands.

        Parameters
        ----------
        indexes : sequence of int
            Band indexes from 1, in reading order; empty for all.

        Returns
        -------
        DatasetInfo
            Description whose profile has the count of these bands, their
            common dtype, and the nodata value of the first.
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
    """Return an open, unshared dataset, or raise InputError."""
    try:
        check_open_files()
        with quiet_if_raised():
            src = _open(path)
    except RasterioIOError as exc:
        raise InputError(_explain(path, one_line(exc))) from None
    except (RasterioError, OSError, TypeError, ValueError) as exc:
        raise InputError(f"{path} cannot be opened: {one_line(exc)}") from None
    signals.check()
    return src


def _explain(path: str, message: str) -> str:
    """Return GDAL's message about a path, with advice where possible."""
    message = redact(message if path in message else f"{path}: {message}")
    if _REFUSED.search(message):
        return (
            f"{message.rstrip('.')}: the server refuses it, which may need credentials; a signed "
            "address expires, so get a new one"
        )
    if os.path.isdir(path):  # noqa: PTH112 (Path.is_dir raises if a name is too long)
        return f"{message.rstrip('.')}: it is a folder, expected a raster"
    if "No such file" in message:
        return f"{message}{did_you_mean_file(path)}"
    return message


def _open(path: str) -> Any:
    try:
        with few_requests(path):
            return rasterio.open(path, sharing=False)
    except RasterioIOError as exc:
        if not asks_for_sidecars(path) or "not recognized" not in text_of(exc):
            raise
    # In some formats a dataset is several files, none of which can be opened alone.
    with few_requests(path, finds_sidecars=True):
        return rasterio.open(path, sharing=False)
