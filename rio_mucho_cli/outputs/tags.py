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

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

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
