"""Which tags of the first input are true of an output: one rule for each kind of tag.

The tables below name the tags that are left out, and when. Every other tag
describes the scene (sensor, date, names, licences) and is copied.

    about the file    never copied: GDAL finds them in each file anew
    about the values  never copied: the function computes other values
    about the grid    copied where the output has the first input's pixels
    about the bands   copied where the output has the first input's bands

Notes
-----
GDAL's raster data model and its pages on the drivers GTiff, netCDF and ENVI;
the CF conventions (appendix A) and ACDD for the attributes of netCDF files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from rio_mucho_cli.gcps import fault_of_rpcs

Tags: TypeAlias = "Mapping[str, Mapping[str, str]]"
"""Name to value, by namespace."""

OVERVIEWS = "rio_overview"
"""Where ``rio overview`` keeps what it needs to make overviews anew."""
RUN = "RIO_MUCHO"
"""Where a resumable run keeps its fingerprint."""
RPC = "RPC"
"""GDAL's namespace of rational polynomial coefficients."""

COLOURS = "COLOR_PROFILE"
"""GDAL's namespace of what colours the values of all bands together are."""

# Namespaces.
_FILE = {
    "IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS",  # how a file is made up
    "TILING_SCHEME",  # of the tiles and overviews of a COG
    "rio_creation_kwds", OVERVIEWS, RUN,  # how a file was written
}  # fmt: skip
_FILE_PREFIXES = ("xml:", "json:")  # labels of whole files, not NAME=VALUE
_GRID = {RPC, "GEOLOCATION"}  # a place for pixels, by their columns and rows
_BANDS = {COLOURS}

# Names, or their beginnings.
_VALUES_PREFIXES = (
    "STATISTICS_", "HISTOGRAM_",  # as gdalinfo -stats writes them
    "OVR_RESAMPLING_ALG",  # of the input's overviews
    "TIFFTAG_MINSAMPLEVALUE", "TIFFTAG_MAXSAMPLEVALUE",  # TIFF 6.0: the least and greatest value
)  # fmt: skip
_GRID_PREFIXES = (
    "TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION", "TIFFTAG_RESOLUTIONUNIT",  # pixels per inch
    "EXIF_XResolution", "EXIF_YResolution", "EXIF_ResolutionUnit", "EXIF_Pixel",
    "NITF_IGEOLO", "NITF_ICORDS",  # the corners of an image
    "geospatial_",  # ACDD: the extent, and the size of pixels
)  # fmt: skip
_BANDS_PREFIXES = (
    "NETCDF_DIM_",  # which values of a dimension the bands are for
    "Band_",  # ENVI: the bands' names
)
# Attributes of netCDF variables: NAME of a band, VARIABLE#NAME of a file.
_VALUES_ATTRIBUTES = {
    "_FillValue", "missing_value", "valid_min", "valid_max", "valid_range", "actual_range",
    "scale_factor", "add_offset", "_Unsigned",  # what stored numbers mean, and which there are
}  # fmt: skip
_GRID_ATTRIBUTES = {"grid_mapping"}
# A variable that has one of these is a CRS; with one of those standard names, coordinates.
_CRS_ATTRIBUTES = {"grid_mapping_name", "spatial_ref", "crs_wkt", "GeoTransform"}
_COORDINATES = {"projection_x_coordinate", "projection_y_coordinate", "latitude", "longitude"}
# What an ENVI header says of the file, of its grid and of its bands.
_ENVI_FILE = {
    "description", "samples", "lines", "bands", "header_offset", "file_type", "data_type",
    "interleave", "byte_order", "data_ignore_value", "data_gain_values", "data_offset_values",
    "default_stretch", "map_info", "projection_info", "coordinate_system_string", "geo_points",
    "x_start", "y_start", "band_names",
}  # fmt: skip


def tags_of(src: Any, index: int, *, same_grid: bool = True) -> dict[str, dict[str, str]]:
    """Return the tags of a dataset, or of one of its bands, that hold for an output.

    Parameters
    ----------
    src : dataset
    index : int
        Of the band; 0 for the dataset.
    same_grid : bool
        Whether the output has the pixels of the dataset.

    Returns
    -------
    dict
        Name to value, by namespace.
    """
    found = {}
    for namespace in ["", *src.tag_namespaces(index)]:
        if namespace in _FILE or namespace.startswith(_FILE_PREFIXES):
            continue
        if namespace in _GRID and not same_grid:
            continue
        tags = src.tags(index, ns=namespace or None)
        kept = _kept(tags, _about_values)
        if namespace == "ENVI":
            kept = _kept(kept, _ENVI_FILE.__contains__)
        if not same_grid:
            kept = _without_grid(kept)
        if kept:
            found[namespace] = kept
    return found


def without_grid(tags: Tags) -> dict[str, Mapping[str, str]]:
    """Leave out what is about the grid: for a part of the output."""
    kept = {space: _without_grid(values) for space, values in tags.items() if space not in _GRID}
    return {space: values for space, values in kept.items() if values}


def without_bands(tags: Tags) -> dict[str, Mapping[str, str]]:
    """Leave out what is about the bands: for an output that has others."""
    kept = {s: _kept(values, _about_bands) for s, values in tags.items() if s not in _BANDS}
    return {space: values for space, values in kept.items() if values}


def _kept(tags: Mapping[str, str], is_left_out: Callable[[str], bool]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if not is_left_out(name)}


def _about_values(name: str) -> bool:
    return name.startswith(_VALUES_PREFIXES) or name.rpartition("#")[2] in _VALUES_ATTRIBUTES


def _about_bands(name: str) -> bool:
    return name.startswith(_BANDS_PREFIXES)


def _without_grid(tags: Mapping[str, str]) -> dict[str, str]:
    places = {
        variable
        for variable, _, name in (key.rpartition("#") for key in tags)
        if variable
        and (
            name in _CRS_ATTRIBUTES
            or (name == "standard_name" and tags[f"{variable}#{name}"] in _COORDINATES)
        )
    }

    def about_grid(key: str) -> bool:
        variable, _, name = key.rpartition("#")
        return variable in places or name in _GRID_ATTRIBUTES or name.startswith(_GRID_PREFIXES)

    return _kept(tags, about_grid)


log = logging.getLogger(__name__)

# Which run an output is of.
_DIGEST = "RUN"

COLOUR_CODECS = {"JPEG", "WEBP"}
"""With these, a block can only be decoded as the header says what its bands are."""


@dataclass(frozen=True, slots=True)
class Band:
    """What is said of one band.

    Attributes
    ----------
    dtype : str
    tags : Mapping of str to Mapping
        By namespace.
    description, unit : str or None
    colorinterp : ColorInterp
    scale, offset : float
    colormap : Mapping or None
        Value to (red, green, blue, alpha).
    """

    dtype: str
    tags: Mapping[str, Mapping[str, str]]
    description: str | None
    unit: str | None
    colorinterp: ColorInterp
    scale: float
    offset: float
    colormap: Mapping[int, tuple[int, int, int, int]] | None

    @classmethod
    def all_of(cls, src: Any, indexes: Sequence[int], *, same_grid: bool) -> list[Band]:
        """Take it from bands of an open dataset."""
        # Each of these is made anew, for all bands, when it is asked for.
        dtypes, descriptions, units = src.dtypes, src.descriptions, src.units
        colours, scales, offsets = src.colorinterp, src.scales, src.offsets
        return [
            cls(
                dtype=dtypes[index - 1],
                tags=tags_of(src, index, same_grid=same_grid),
                description=descriptions[index - 1],
                unit=units[index - 1],
                colorinterp=colours[index - 1],
                scale=scales[index - 1],
                offset=offsets[index - 1],
                colormap=_colormap(src, index),
            )
            for index in indexes
        ]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is said of a dataset and its bands.

    Attributes
    ----------
    tags : Mapping of str to Mapping
        By namespace; RPCs are among them.
    bands : sequence of Band
    gcps : tuple or None
        GCPs and their CRS, which may be an empty one.
    """

    tags: Tags = field(default_factory=dict)
    bands: Sequence[Band] = ()
    gcps: Any = None

    @classmethod
    def of(cls, src: Any, indexes: Sequence[int], *, same_grid: bool) -> Metadata:
        """Take it from an open dataset.

        Parameters
        ----------
        src : dataset
        indexes : sequence of int
            Its bands that are read.
        same_grid : bool
            Whether the output has the pixels of the dataset: GCPs, RPCs and
            some tags are about these.

        Notes
        -----
        GDAL takes a geotransform before GCPs, and drops it of a GeoTIFF that
        is given both: GCPs are copied only where there is no geotransform.
        """
        tags = tags_of(src, 0, same_grid=same_grid)
        fault = fault_of_rpcs(src) if RPC in tags else ""
        if fault:
            log.warning("%s has %s: they are not copied to the output", src.name, fault)
            del tags[RPC]
        gcps, crs = src.gcps if same_grid and src.transform.is_identity else ([], None)
        return cls(
            tags if list(indexes) == list(src.indexes) else without_bands(tags),
            Band.all_of(src, indexes, same_grid=same_grid),
            # rasterio wants a CRS, and takes an empty one.
            (gcps, crs or src.crs or CRS()) if gcps else None,
        )

    def without_grid(self) -> Metadata:
        """Leave out what is about the pixels' places."""
        bands = [replace(band, tags=without_grid(band.tags)) for band in self.bands]
        return Metadata(without_grid(self.tags), bands)

    def with_overviews(self, resampling: str) -> Metadata:
        """Say how overviews are made, where `rio overview` looks for it."""
        return replace(self, tags={**self.tags, OVERVIEWS: {"resampling": resampling}})

    def with_digest(self, digest: str) -> Metadata:
        """Say which run the output is of."""
        return replace(self, tags={**self.tags, RUN: {_DIGEST: digest}})

    def write(self, dst: Any, compress: str = "") -> None:
        """Put it into a dataset that is open for writing, and has no pixels yet.

        Bands of the dataset are these if there are as many; colour tables,
        scales and offsets need the same dtype as well.
        """
        same_bands = dst.count == len(self.bands)
        tags = self.tags if same_bands else without_bands(self.tags)
        if [band.dtype for band in self.bands] != list(dst.dtypes):
            tags = {space: tags[space] for space in tags if space != COLOURS}
        _write_tags(dst, 0, tags)
        if self.gcps is not None and dst.transform.is_identity:
            dst.gcps = self.gcps
        if not same_bands:
            return
        colormaps = self._write_bands(dst)
        if not colormaps and compress.upper() not in COLOUR_CODECS:
            wanted = tuple(
                # A palette is nothing without its table.
                ColorInterp.gray if band.colorinterp == ColorInterp.palette else band.colorinterp
                for band in self.bands
            )
            if wanted != tuple(dst.colorinterp):
                dst.colorinterp = wanted

    def _write_bands(self, dst: Any) -> bool:
        """Write what is said of bands; return whether there was a colour table."""
        colormaps = False
        for index, (band, dtype) in enumerate(zip(self.bands, dst.dtypes, strict=True), start=1):
            _write_tags(dst, index, band.tags)
            if band.description:
                dst.set_band_description(index, band.description)
            if band.unit:
                dst.set_band_unit(index, band.unit)
            if band.dtype == dtype and band.colormap is not None and dst.count == 1:
                dst.write_colormap(index, band.colormap)
                colormaps = True
        same = [band.dtype == dtype for band, dtype in zip(self.bands, dst.dtypes, strict=True)]
        scales = [(band.scale, band.offset) for band in self.bands]
        if all(same) and any(pair != (1.0, 0.0) for pair in scales):
            dst.scales, dst.offsets = zip(*scales, strict=True)
        return colormaps


def digest_of(src: Any) -> str | None:
    """Return which run an open dataset is of, if that is said in it."""
    digest: str | None = src.tags(ns=RUN).get(_DIGEST)
    return digest


def write_band_tags(dst: Any, tags: Sequence[Mapping[str, str]]) -> None:
    """Write tags of each band into an open dataset."""
    for index, values in enumerate(tags, start=1):
        dst.update_tags(index, **values)


def _colormap(src: Any, index: int) -> Any:
    try:
        return src.colormap(index)
    except ValueError:
        return None


def _write_tags(dst: Any, index: int, tags: Mapping[str, Mapping[str, str]]) -> None:
    for namespace, values in tags.items():
        dst.update_tags(index, ns=namespace or None, **values)
