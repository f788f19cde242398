"""Choose the format of each output: driver, intermediate file and overviews."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import rasterio

from rio_mucho_cli.dtypes import fills_with_nan
from rio_mucho_cli.errors import FormatError, OutputError, UsageError
from rio_mucho_cli.geotiff.options import (
    BLOCK,
    LEAST_BLOCK,
    check_cog_options,
    geotiff_options,
    has_overviews,
    only_gdal_supports,
    pixels_of,
    resampling_of,
)
from rio_mucho_cli.geotiff.overview_plan import LOCAL_RESAMPLINGS, check_resampling, default_factors
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.inputs.grid import Grid
from rio_mucho_cli.job import Job, Output
from rio_mucho_cli.outputs import profile as profiles
from rio_mucho_cli.outputs.from_geotiff import INTERMEDIATE, Conversion
from rio_mucho_cli.outputs.layout import TILE_UNIT
from rio_mucho_cli.outputs.profile import PROFILE_KEYS
from rio_mucho_cli.paths import is_in_memory
from rio_mucho_cli.text import did_you_mean

# Required keys of a profile; the driver follows from the extension.
_NEEDED = ("width", "height", "count", "dtype")

log = logging.getLogger(__name__)

# Files of these drivers hold no pixels themselves.
_WITHOUT_PIXELS = {"VRT", "MEM", "MEMORY"}


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Options of a job for all its outputs.

    Attributes
    ----------
    overviews : tuple of int, or None
        Factors of the overviews; empty for the default, None for no overviews.
    resampling : str or None
        Resampling for overviews, if given.
    stats : bool
        Write statistics of all bands.
    resume : bool
        Keep progress for a later run.
    masks_nan : bool
        Mask NaN in results.
    """

    overviews: tuple[int, ...] | None = None
    resampling: str | None = None
    stats: bool = False
    resume: bool = False
    masks_nan: bool = False

    @classmethod
    def of(cls, job: Job) -> OutputOptions:
        """Return the options of a job."""
        return cls(
            overviews=None if job.overviews is None else tuple(job.overviews),
            resampling=job.overview_resampling,
            stats=job.stats,
            resume=job.resume,
            masks_nan=fills_with_nan(job.fill),
        )


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """Driver and options of an output, and how it is written.

    Attributes
    ----------
    driver : str
        Driver of the file that is written window by window.
    options : Mapping
        Creation options; for a COG, with the names of GDAL's COG driver.
    profile : Mapping or None
        Complete profile, if the output has one.
    conversion : Conversion or None
        Conversion by GDAL at the end.
    cog : bool
        Whether the GeoTIFF is rewritten as a COG at the end.
    factors : tuple of int
        Factors of the overviews.
    resampling : str
        Resampling for overviews.
    """

    driver: str
    options: Mapping[str, str] = field(default_factory=dict)
    profile: Mapping[str, Any] | None = None
    conversion: Conversion | None = None
    cog: bool = False
    factors: tuple[int, ...] = ()
    resampling: str = "nearest"

    @property
    def is_geotiff(self) -> bool:
        """Whether the file that is written window by window is a GeoTIFF."""
        return self.driver == "GTiff"

    @property
    def layout_options(self) -> Mapping[str, str]:
        """Creation options for the block layout, with the names of the GTiff driver."""
        if not self.cog:
            return self.options
        return geotiff_options(self.options, "none", 1, "uint8")

    @property
    def cog_block(self) -> int:
        """Side of a COG's tiles, in pixels."""
        return pixels_of(self.options, "blocksize") or BLOCK

    @property
    def suits_gdal(self) -> bool:
        """Whether GDAL's COG driver supports this tile size."""
        return self.cog_block >= LEAST_BLOCK

    def left_to_gdal(self, why: str, *, stats: bool, same_values: bool = True) -> OutputFormat:
        """Return the format of a COG that GDAL's driver writes at the end.

        Raises
        ------
        UsageError
            If statistics are asked for, and the driver may change values.
        """
        if stats and (not same_values or profiles.changes_values(self.options)):
            raise UsageError(
                "statistics are unknown if GDAL's driver writes the COG and changes its values "
                f"(because {why}): use gdalinfo -stats on it afterwards"
            )
        log.info("GDAL's COG driver finishes the output, because %s", why)
        options = {**self.options, "overview_resampling": self.resampling.replace("_", "")}
        conversion = Conversion("COG", options)
        return OutputFormat("GTiff", INTERMEDIATE, None, conversion)


def choose_format(
    output: Output, options: OutputOptions, first: DatasetInfo | None, grid: Grid | None
) -> OutputFormat:
    """Return the format of an output.

    Parameters
    ----------
    output : Output
    options : OutputOptions
    first : DatasetInfo or None
        First input, on the output's grid.
    grid : Grid or None
        Grid of the output, if it differs from the first input's.

    Raises
    ------
    FormatError
        If there is no such driver.
    UsageError
        If a creation option is invalid.
    """
    driver = _choose_driver(output, first)
    path = output.local_path
    if driver.upper() in _WITHOUT_PIXELS and path is not None:
        raise FormatError(
            f"{path} cannot be written by the driver {driver}, whose files hold no pixels: give "
            "another driver, or a name that ends in .vrt for a mosaic of parts"
        )
    if path is None and options.stats:
        raise UsageError("statistics cannot be written to an open dataset: give a path as output")
    if driver == "GTiff" or path is None or is_in_memory(path):
        is_local_geotiff = driver == "GTiff" and path is not None and not is_in_memory(path)
        if options.overviews is not None and not is_local_geotiff:
            raise UsageError(
                "overviews need a GeoTIFF that is a local file: use rio overview on "
                f"{path or 'the dataset'} afterwards"
            )
        profile = _on_grid(output.profile, grid)
        return OutputFormat(
            driver,
            output.creation_options,
            profile,
            factors=_factors(options.overviews, first, profile),
            resampling=options.resampling or "nearest",
        )
    if driver.upper() == "COG" and output.profile is None:
        return _cog(output, options, cast("DatasetInfo", first))
    for name, asked, tool in (
        ("overviews", options.overviews is not None, "rio overview"),
        ("statistics", options.stats, "gdalinfo -stats"),
    ):
        if asked:
            raise UsageError(
                f"{name} need a GeoTIFF or COG, and the driver of {path} is {driver}: "
                f"use {tool} on it afterwards"
            )
    log.info("writing a GeoTIFF first, which GDAL converts to %s at the end", driver)
    if output.profile is None:
        conversion = Conversion(driver, output.creation_options)
        return OutputFormat("GTiff", INTERMEDIATE, None, conversion)
    conversion = Conversion.of_profile(output.profile)
    profile = _on_grid(output.profile, grid)
    common = {name: profile[name] for name in PROFILE_KEYS & profile.keys()} if profile else {}
    tiles = {"driver": "GTiff", "tiled": True, "blockxsize": 256, "blockysize": 256}
    return OutputFormat("GTiff", INTERMEDIATE, {**common, **INTERMEDIATE, **tiles}, conversion)


def choose_part_format(output: Output, options: OutputOptions, part: DatasetInfo) -> OutputFormat:
    """Return the format of the parts of a mosaic.

    Parameters
    ----------
    output : Output
        The mosaic.
    options : OutputOptions
    part : DatasetInfo
        First input, on the grid of the part.

    Raises
    ------
    OutputError
        If the driver is neither GTiff nor COG.
    """
    profiles.check_options(output.creation_options)
    driver = (output.driver or "GTiff").upper()
    if driver == "COG":
        return _cog(output, options, part)
    if driver not in {"GTIFF", "VRT"}:
        raise OutputError(
            f"{output.path} is a VRT over parts, which are GeoTIFFs or COGs, and the driver is "
            f"{output.driver}: leave it out or give COG"
        )
    factors = _factors(options.overviews, part, None)
    resampling = options.resampling or "nearest"
    return OutputFormat("GTiff", output.creation_options, factors=factors, resampling=resampling)


def _cog(output: Output, options: OutputOptions, first: DatasetInfo) -> OutputFormat:
    """Return the format of a COG, written by this package or by GDAL's driver."""
    creation = dict(output.creation_options)
    if options.overviews is not None and not has_overviews(creation):
        del creation["overviews"]
    if options.overviews:
        powers = tuple(2**level for level in range(1, len(options.overviews) + 1))
        if options.overviews != powers:
            raise UsageError("a COG can only have the overviews 2, 4, 8, ...: give these factors")
        creation["overview_count"] = str(len(powers))
    resampling = options.resampling or resampling_of(creation) or "nearest"
    chosen = OutputFormat("GTiff", creation, cog=True, resampling=resampling)
    option = only_gdal_supports(creation)
    check_cog_options(creation)
    block = chosen.cog_block
    if block % TILE_UNIT:
        raise UsageError(f"blocksize is {block}: expected a multiple of {TILE_UNIT} pixels")
    if option is not None:
        if not chosen.suits_gdal:
            raise UsageError(
                f"blocksize is {block}: expected {LEAST_BLOCK} or more with the option "
                f"{option.upper()}, for which GDAL's driver makes the COG"
            )
        why = f"of the option {option.upper()}"
        return chosen.left_to_gdal(why, stats=options.stats, same_values=False)
    check_resampling(resampling)
    if resampling not in LOCAL_RESAMPLINGS and chosen.suits_gdal:
        why = f"the resampling {resampling} looks beyond 2 x 2 pixels"
        return chosen.left_to_gdal(why, stats=options.stats)
    factors = default_factors(first.grid.width, first.grid.height, block)
    count = pixels_of(creation, "overview_count")
    if count is not None:
        # A single pixel has no overviews.
        factors = default_factors(first.grid.width, first.grid.height, 1)[:count]
    if not has_overviews(creation):
        factors = ()
    return replace(chosen, factors=factors)


def _factors(
    asked: tuple[int, ...] | None, first: DatasetInfo | None, profile: Mapping[str, Any] | None
) -> tuple[int, ...]:
    if asked is None:
        return ()
    if asked:
        return asked
    if profile is not None:
        return default_factors(int(profile["width"]), int(profile["height"]))
    grid = cast("DatasetInfo", first).grid
    return default_factors(grid.width, grid.height)


def _on_grid(profile: Mapping[str, Any] | None, grid: Grid | None) -> Mapping[str, Any] | None:
    """Return a complete profile on the output's grid.

    Raises
    ------
    UsageError
        If required keys are missing.
    """
    if profile is None:
        return None
    if grid is not None:
        profile = {
            **profile,
            "crs": grid.crs,
            "transform": grid.transform,
            "width": grid.width,
            "height": grid.height,
        }
    missing = [name for name in _NEEDED if profile.get(name) is None]
    if missing:
        raise UsageError(
            f"the output's profile (options of RioMucho) has no {', '.join(missing)}: start "
            "from the first input's, rasterio.open(path).profile, and change what differs"
        )
    return profile


def _choose_driver(output: Output, first: DatasetInfo | None) -> str:
    driver = "GTiff"
    if output.profile is not None:
        driver = str(output.profile.get("driver", driver))
    elif output.local_path is not None:
        profiles.check_options(output.creation_options)
        driver = profiles.choose_driver(
            output.driver, output.local_path, cast("DatasetInfo", first)
        )
        _check_driver(driver)
    return "GTiff" if driver.upper() == "GTIFF" else driver


def _check_driver(driver: str) -> None:
    with rasterio.Env() as env:
        known = env.drivers()
    if driver.upper() not in {name.upper() for name in known}:
        raise FormatError(
            f"this GDAL has no driver {driver!r}: gdalinfo --formats lists its drivers"
            f"{did_you_mean(driver, known)}"
        )
