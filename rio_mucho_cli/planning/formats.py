"""Choose the format of each output: driver, intermediate file and overviews."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import rasterio

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
class OutputFormat:
    """Driver and options of an output, and how it is written.

    Attributes
    ----------
    driver : str
        Driver of the file that is written window by window.
    options : Mapping
        Creation options; for a COG, with the names of GDAL's COG driver.
    given : Mapping or None
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
    given: Mapping[str, Any] | None = None
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
                "no statistics are known of a COG that GDAL's driver makes (because "
                f"{why}), and that has other values than the function's: use gdalinfo -stats on it"
            )
        log.info("GDAL's driver COG finishes the output, because %s", why)
        options = {**self.options, "overview_resampling": self.resampling.replace("_", "")}
        conversion = Conversion("COG", options)
        return OutputFormat("GTiff", INTERMEDIATE, None, conversion)


def choose_format(
    job: Job, output: Output, first: DatasetInfo | None, grid: Grid | None
) -> OutputFormat:
    """Return the format of an output.

    Parameters
    ----------
    job : Job
    output : Output
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
            f"{path} would be a file of the driver {driver}, which holds no pixels itself: "
            "give it another driver, or another name (one that ends in .vrt is a VRT over parts)"
        )
    if path is None and job.stats:
        raise UsageError("statistics are written into files, and the output is an open dataset")
    if driver == "GTiff" or path is None or is_in_memory(path):
        is_local_geotiff = driver == "GTiff" and path is not None and not is_in_memory(path)
        if job.overviews is not None and not is_local_geotiff:
            raise UsageError(
                "overviews are made in GeoTIFFs that are local files: use rio overview on "
                f"{path or 'the dataset'}"
            )
        given = _on_grid(output.profile, grid)
        factors = _factors(job, first, given)
        resampling = job.overview_resampling or "nearest"
        return OutputFormat(
            driver, output.creation_options, given, None, False, factors, resampling
        )
    if driver.upper() == "COG" and output.profile is None:
        return _cog(job, output, cast("DatasetInfo", first))
    for name, asked, tool in (
        ("overviews", job.overviews is not None, "rio overview"),
        ("statistics", job.stats, "gdalinfo -stats"),
    ):
        if asked:
            raise UsageError(
                f"{name} are made in GeoTIFFs and COGs, and {path} is to be {driver}: "
                f"use {tool} on it"
            )
    log.info("a GeoTIFF first, which GDAL converts to %s at the end", driver)
    if output.profile is None:
        conversion = Conversion(driver, output.creation_options)
        return OutputFormat("GTiff", INTERMEDIATE, None, conversion)
    conversion = Conversion.of_profile(output.profile)
    given = _on_grid(output.profile, grid)
    kept = {name: given[name] for name in PROFILE_KEYS & given.keys()} if given else {}
    tiles = {"driver": "GTiff", "tiled": True, "blockxsize": 256, "blockysize": 256}
    return OutputFormat("GTiff", INTERMEDIATE, {**kept, **INTERMEDIATE, **tiles}, conversion)


def choose_part_format(job: Job, output: Output, part: DatasetInfo) -> OutputFormat:
    """Return the format of the parts of a mosaic.

    Parameters
    ----------
    job : Job
    output : Output
        The mosaic.
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
        return _cog(job, output, part)
    if driver not in {"GTIFF", "VRT"}:
        raise OutputError(
            f"{output.path} is a VRT over parts, which are GeoTIFFs or COGs, and the driver is "
            f"{output.driver}: leave it out or give COG"
        )
    factors = _factors(job, part, None)
    resampling = job.overview_resampling or "nearest"
    return OutputFormat("GTiff", output.creation_options, factors=factors, resampling=resampling)


def _cog(job: Job, output: Output, first: DatasetInfo) -> OutputFormat:
    """Return the format of a COG, written by this package or by GDAL's driver."""
    options = dict(output.creation_options)
    if job.overviews is not None and not has_overviews(options):
        del options["overviews"]
    if job.overviews:
        powers = [2**level for level in range(1, len(job.overviews) + 1)]
        if list(job.overviews) != powers:
            raise UsageError("the overviews of a COG are 2, 4, 8, ...: give such factors")
        options["overview_count"] = str(len(powers))
    asked = resampling_of(options)
    resampling = job.overview_resampling or asked or "nearest"
    found = OutputFormat("GTiff", options, cog=True, resampling=resampling)
    option = only_gdal_supports(options)
    check_cog_options(options)
    block = found.cog_block
    if block % TILE_UNIT:
        raise UsageError(f"blocksize is {block}: expected a multiple of {TILE_UNIT} pixels")
    if option is not None:
        if not found.suits_gdal:
            raise UsageError(
                f"blocksize is {block}: expected {LEAST_BLOCK} or more with the option "
                f"{option.upper()}, for which GDAL's driver makes the COG"
            )
        why = f"of the option {option.upper()}"
        return found.left_to_gdal(why, stats=job.stats, same_values=False)
    check_resampling(resampling)
    if resampling not in LOCAL_RESAMPLINGS and found.suits_gdal:
        why = f"the resampling {resampling} looks beyond 2 x 2 pixels"
        return found.left_to_gdal(why, stats=job.stats)
    factors = default_factors(first.grid.width, first.grid.height, block)
    count = pixels_of(options, "overview_count")
    if count is not None:
        # A single pixel has no overviews.
        factors = default_factors(first.grid.width, first.grid.height, 1)[:count]
    if not has_overviews(options):
        factors = ()
    return replace(found, factors=factors)


def _factors(
    job: Job, first: DatasetInfo | None, given: Mapping[str, Any] | None
) -> tuple[int, ...]:
    if job.overviews is None:
        return ()
    if job.overviews:
        return tuple(job.overviews)
    if given is not None:
        return default_factors(int(given["width"]), int(given["height"]))
    grid = cast("DatasetInfo", first).grid
    return default_factors(grid.width, grid.height)


def _on_grid(given: Mapping[str, Any] | None, grid: Grid | None) -> Mapping[str, Any] | None:
    """Return a complete profile on the output's grid.

    Raises
    ------
    UsageError
        If required keys are missing.
    """
    if given is None:
        return None
    if grid is not None:
        place = {"crs": grid.crs, "transform": grid.transform}
        given = {**given, "width": grid.width, "height": grid.height, **place}
    missing = [name for name in _NEEDED if given.get(name) is None]
    if missing:
        raise UsageError(
            f"the output's profile (options of RioMucho) has no {', '.join(missing)}: begin with "
            "that of the first input, rasterio.open(path).profile, and change what differs"
        )
    return given


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
            f"there is no driver {driver!r} in this GDAL: gdalinfo --formats lists what there is"
            f"{did_you_mean(driver, known)}"
        )
