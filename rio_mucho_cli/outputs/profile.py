"""The profile of an output: driver, dtype, nodata and creation options."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import rasterio
from rasterio.drivers import driver_from_extension, raster_driver_extensions
from rasterio.dtypes import check_dtype
from rasterio.enums import ColorInterp

from rio_mucho_cli.dtypes import nodata_fits
from rio_mucho_cli.errors import FormatError, NodataError, OutputError, UsageError
from rio_mucho_cli.geotiff.described import Described, colour_options
from rio_mucho_cli.geotiff.metadata import COLOUR_CODECS
from rio_mucho_cli.geotiff.options import geotiff_options, is_yes
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.outputs.layout import BlockLayout, choose_compression
from rio_mucho_cli.outputs.values import VALUE_ENDINGS
from rio_mucho_cli.text import did_you_mean, option

PROFILE_KEYS = {"driver", "width", "height", "count", "dtype", "nodata", "crs", "transform"}
"""Profile keys that are not creation options of a driver."""
_OPTIONS = {"driver", "count", "dtype", "nodata"}


def choose_driver(asked: str | None, path: str, first: DatasetInfo) -> str:
    """Return the requested driver, else the one for the path's extension.

    A path without an extension gets the first input's driver.

    Raises
    ------
    FormatError
        If no driver of GDAL writes files with that extension.
    """
    if asked:
        return asked
    try:
        driver: str = driver_from_extension(path)
    except ValueError:
        suffix = Path(path).suffix
        if suffix:
            known = [f".{extension}" for extension in raster_driver_extensions()]
            known += VALUE_ENDINGS
            raise FormatError(
                f"{path}: GDAL writes no rasters that end in {suffix}: name the format with "
                f"-f, such as -f GTiff, or give another extension{did_you_mean(suffix, known)}"
            ) from None
        driver = str(first.profile["driver"])
        # Other drivers, such as VRT, read only or cannot write rasters this way.
        driver = driver if driver in {"GTiff", "COG", "PNG", "JPEG", "HFA", "ENVI"} else "GTiff"
    return driver


@dataclass(frozen=True, slots=True)
class ProfileTemplate:
    """Rules that derive the output's profile from the first result.

    The main process and the workers apply it and get the same profile.

    Attributes
    ----------
    first : DatasetInfo or None
        First input: source of size, CRS and transform, and of a GeoTIFF's
        compression (see `choose_compression`). None only with `complete`.
    driver : str
    layout : BlockLayout or None
        Block layout of a GeoTIFF whose profile is derived from options.
    nodata : float or None
        Requested nodata, used if `keep_nodata` is False.
    keep_nodata : bool
        Derive nodata from the first input and the dtype; see `nodata_of`.
    options : Mapping
        Creation options, which override everything chosen here.
    complete : Mapping or None
        Complete profile, used unchanged except for BIGTIFF.
    cog : bool
        True if `options` are those of GDAL's COG driver. The profile is then
        that of the intermediate GeoTIFF.
    copies_band_metadata : bool
        Copy the metadata of the first input's bands to the output.
    described : Described or None
        What the function declares, for its colours.
    """

    first: DatasetInfo | None
    driver: str = "GTiff"
    layout: BlockLayout | None = None
    nodata: float | None = None
    keep_nodata: bool = True
    options: Mapping[str, str] = field(default_factory=dict)
    complete: Mapping[str, Any] | None = None
    cog: bool = False
    copies_band_metadata: bool = False
    described: Described | None = None

    def profile(self, count: int, dtype: str) -> dict[str, Any]:
        """Return the profile for opening the output with rasterio.

        Raises
        ------
        OutputError
            If GDAL does not support the dtype.
        NodataError
            If the requested nodata does not fit the dtype.
        """
        if self.complete is not None:
            return _with_bigtiff(self.complete)
        if not check_dtype(dtype):
            raise OutputError(
                f"the function returned {dtype}, which GDAL {rasterio.__gdal_version__} cannot "
                f"write: choose another dtype with {option('dtype')}"
            )
        first = cast("DatasetInfo", self.first)
        nodata = self.nodata_of(dtype)
        if nodata is not None and not nodata_fits(nodata, dtype):
            where = self.described.where if self.sets_nodata and self.described else ""
            raise NodataError.of(nodata, dtype, where)
        profile: dict[str, Any] = {
            "driver": self.driver,
            "width": first.grid.width,
            "height": first.grid.height,
            "count": count,
            "dtype": dtype,
            "nodata": nodata,
            "crs": first.grid.crs,
            "transform": first.grid.transform,
        }
        if self.layout is not None:
            profile.update(tiled=self.layout.tiled, blockysize=self.layout.block.height)
            if self.layout.tiled:
                profile.update(blockxsize=self.layout.block.width)
            if count > 1 and first.profile.get("interleave") in {"pixel", "band"}:
                profile["interleave"] = first.profile["interleave"]
            if "compress" not in self.options:
                interleave = "pixel" if self.cog else profile.get("interleave", "band")
                profile.update(choose_compression(first, self.options, dtype, count, interleave))
            if not {"alpha", "photometric"} & set(self.options):
                has_alpha = first.alpha == count and first.profile["count"] == count
                if count == 4 and dtype == "uint8":
                    # GDAL takes the fourth of four uint8 bands for alpha, even near infrared.
                    profile["alpha"] = "yes" if has_alpha else "no"
                elif count == 2 and has_alpha:
                    profile["alpha"] = "yes"
        if self.cog:
            codec = self.options.get("compress", profile.get("compress", "lzw"))
            if "predictor" in self.options:
                profile.pop("predictor", None)
            profile.update(geotiff_options(self.options, codec, count, dtype))
        else:
            profile.update(self.options)
        if self.layout is not None and not {"alpha", "photometric"} & set(self.options):
            colours = colour_options(self._colours(count), dtype)
            if colours.get("photometric") == "rgb" and "photometric" in profile:
                del colours["photometric"]  # YCbCr is RGB, too
            profile.update(colours)
        return _with_bigtiff(profile)

    @property
    def sets_nodata(self) -> bool:
        """Whether nodata is the one that the function declares."""
        return self.described is not None and self.described.sets_nodata

    def _colours(self, count: int) -> tuple[ColorInterp, ...]:
        """Return the colours of the bands that the function declares; empty for none."""
        return () if self.described is None else self.described.colours(count)

    def inherited_lossy_codec(self, count: int, dtype: str) -> str | None:
        """Return the lossy codec inherited from the first input, or None."""
        if self.complete is not None or "compress" in self.options:
            return None
        codec = self.profile(count, dtype).get("compress")
        return codec if codec in {"jpeg", "webp"} else None

    def nodata_of(self, dtype: str) -> float | None:
        """Return the nodata of an output with a dtype, or None if it has none.

        This is the requested nodata, or the first input's if the dtypes are the
        same. Otherwise it is NaN for floating point and None for other dtypes,
        where the first input's nodata may be a valid result.
        """
        if self.complete is not None:
            return self.complete.get("nodata")
        if not self.keep_nodata:
            return self.nodata
        first = cast("DatasetInfo", self.first)
        if np.dtype(dtype) != first.dtype:
            return math.nan if np.dtype(dtype).kind == "f" else None
        nodata: float | None = first.profile["nodata"]
        return None if nodata is None or not nodata_fits(nodata, dtype) else nodata

    @property
    def inherited_nodata(self) -> float | None:
        """The first input's nodata, if it is a number and the output may inherit it."""
        if self.first is None or self.complete is not None or not self.keep_nodata:
            return None
        nodata: float | None = self.first.profile["nodata"]
        return None if nodata is None or math.isnan(nodata) else nodata

    def dropped_nodata(self, dtype: str) -> float | None:
        """Return the first input's nodata if it does not fit the dtype, else None."""
        nodata = self.inherited_nodata
        return None if nodata is None or nodata_fits(nodata, dtype) else nodata

    def nan_is_unexpected(self, dtype: str) -> bool:
        """Return whether NaN in the output counts as valid: nodata is a number."""
        if self.complete is not None or self.first is None or np.dtype(dtype).kind != "f":
            return False
        nodata = self.nodata_of(dtype)
        return nodata is not None and not math.isnan(nodata)

    def inherited_alpha(self, count: int) -> int:
        """Return the alpha band that is declared, or the first input's, from 1; else 0."""
        first, colours = self.first, self._colours(count)
        if self.complete is not None:
            return 0
        if colours:
            return colours.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colours[1:] else 0
        if first is None or not first.alpha:
            return 0
        return first.alpha if 1 < count == first.profile["count"] else 0

    def masks_by_alpha(self, profile: Mapping[str, Any]) -> bool:
        """Return whether GDAL derives the output's mask from its alpha band.

        It does for 2 or 4 bands of uint8 or uint16 without nodata, where the last
        band is alpha.
        """
        count = int(profile["count"])
        if count not in {2, 4} or profile["dtype"] not in {"uint8", "uint16"}:
            return False
        if profile.get("nodata") is not None:
            return False
        if is_yes(profile.get("alpha")):
            return True
        keeps_colours = str(profile.get("compress", "")).upper() not in COLOUR_CODECS
        keeps_colours = keeps_colours and self.copies_band_metadata
        sets_colours = keeps_colours or bool(self._colours(count))
        return sets_colours and self.inherited_alpha(count) == count


def changes_values(profile: Mapping[str, Any]) -> bool:
    """Return whether writing a GeoTIFF with this profile changes values."""
    codec = str(profile.get("compress", "")).lower()
    if codec == "webp":
        return not is_yes(profile.get("webp_lossless"))
    if codec.startswith("lerc") and float(profile.get("max_z_error", 0)) > 0:
        return True
    return codec in {"jpeg", "jxl"} or bool({"nbits", "discard_lsb"} & profile.keys())


def check_options(options: Mapping[str, str]) -> None:
    """Raise UsageError for profile keys given as creation options."""
    wrong = sorted(PROFILE_KEYS.intersection(options))
    if wrong:
        raise UsageError(
            f"{wrong[0]} is not a creation option: use "
            + (option(wrong[0]) if wrong[0] in _OPTIONS else "rio warp or rio edit-info")
        )


def _with_bigtiff(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return a profile in which a GeoTIFF has ``BIGTIFF=IF_SAFER`` by default.

    A classic TIFF ends at 4 GB, and the size of a compressed one is unknown in
    advance.
    """
    is_gtiff = str(profile.get("driver", "GTiff")).upper() == "GTIFF"
    if not is_gtiff or "bigtiff" in profile:
        return dict(profile)
    return {**profile, "bigtiff": "IF_SAFER"}
