"""Copy the metadata of the first input that still applies to an output.

The tables below list the tags that are left out, and when. Every other tag
describes the scene (sensor, date, names, licences) and is copied.

    about the file    never copied: GDAL derives them from each file
    about the values  never copied: the function computes other values
    about the grid    copied if the output has the first input's grid
    about the bands   copied if the output has the first input's bands

Notes
-----
GDAL's raster data model and its pages on the drivers GTiff, netCDF and ENVI;
the CF conventions (appendix A) and ACDD for the attributes of netCDF files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from rio_mucho_cli.gcps import why_rpcs_unusable

if TYPE_CHECKING:
    from rio_mucho_cli.geotiff.described import Described

log = logging.getLogger(__name__)

Tags: TypeAlias = "Mapping[str, Mapping[str, str]]"
"""Mapping of namespace to tags, each a mapping of name to value."""

OVERVIEWS = "rio_overview"
"""Namespace in which ``rio overview`` stores what it needs to rebuild overviews."""
MUCHO = "MUCHO"
"""Namespace of the tags on how an output was made; a resumable run stores its fingerprint, too."""
RPC = "RPC"
"""GDAL's namespace of rational polynomial coefficients."""

COLOURS = "COLOR_PROFILE"
"""GDAL's namespace of the colour profile, which concerns all bands together."""

_FILE_NAMESPACES = {
    "IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS",  # structure of the file
    "TILING_SCHEME",  # tiles and overviews of a COG
    "rio_creation_kwds", OVERVIEWS, MUCHO, "RIO_MUCHO",  # how a file was written
}  # fmt: skip
_FILE_PREFIXES = ("xml:", "json:")  # whole documents, not NAME=VALUE
_GRID_NAMESPACES = {RPC, "GEOLOCATION"}  # georeferencing by column and row

# Prefixes of names.
_VALUES_PREFIXES = (
    "STATISTICS_", "HISTOGRAM_",  # written by gdalinfo -stats
    "OVR_RESAMPLING_ALG",  # overviews of the input
    "TIFFTAG_MINSAMPLEVALUE", "TIFFTAG_MAXSAMPLEVALUE",  # TIFF 6.0: minimum and maximum
)  # fmt: skip
_GRID_PREFIXES = (
    "TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION", "TIFFTAG_RESOLUTIONUNIT",  # pixels per inch
    "EXIF_XResolution", "EXIF_YResolution", "EXIF_ResolutionUnit", "EXIF_Pixel",
    "NITF_IGEOLO", "NITF_ICORDS",  # the corners of an image
    "geospatial_",  # ACDD: extent and pixel size
)  # fmt: skip
_BANDS_PREFIXES = (
    "NETCDF_DIM_",  # dimension values of the bands
    "Band_",  # ENVI: names of the bands
)
# Attributes of netCDF variables: NAME for a band, VARIABLE#NAME for a file.
_VALUES_ATTRIBUTES = {
    "_FillValue", "missing_value", "valid_min", "valid_max", "valid_range", "actual_range",
    "scale_factor", "add_offset", "_Unsigned",  # meaning and range of stored numbers
}  # fmt: skip
_GRID_ATTRIBUTES = {"grid_mapping"}
# Attributes of variables that hold a CRS; standard names of those that hold coordinates.
_CRS_ATTRIBUTES = {"grid_mapping_name", "spatial_ref", "crs_wkt", "GeoTransform"}
_COORDINATES = {"projection_x_coordinate", "projection_y_coordinate", "latitude", "longitude"}
# Fields of an ENVI header about the file, its grid and its bands.
_ENVI_FILE = {
    "description", "samples", "lines", "bands", "header_offset", "file_type", "data_type",
    "interleave", "byte_order", "data_ignore_value", "data_gain_values", "data_offset_values",
    "default_stretch", "map_info", "projection_info", "coordinate_system_string", "geo_points",
    "x_start", "y_start", "band_names",
}  # fmt: skip


def tags_of(src: Any, index: int, *, same_grid: bool = True) -> dict[str, dict[str, str]]:
    """Return the tags of a dataset, or one of its bands, that apply to an output.

    Parameters
    ----------
    src : dataset
    index : int
        Index of the band; 0 for the dataset.
    same_grid : bool
        Whether the output has the grid of the dataset.

    Returns
    -------
    dict
        Mapping of namespace to tags.
    """
    by_namespace = {}
    for namespace in ["", *src.tag_namespaces(index)]:
        if namespace in _FILE_NAMESPACES or namespace.startswith(_FILE_PREFIXES):
            continue
        if namespace in _GRID_NAMESPACES and not same_grid:
            continue
        tags = _leave_out(_about_values, src.tags(index, ns=namespace or None))
        if namespace == "ENVI":
            tags = _leave_out(_ENVI_FILE.__contains__, tags)
        if not same_grid:
            tags = _without_grid(tags)
        if tags:
            by_namespace[namespace] = tags
    return by_namespace


def without_grid(tags: Tags) -> dict[str, Mapping[str, str]]:
    """Return the tags that are not about the grid, for a part of the output."""
    rest = {ns: _without_grid(values) for ns, values in tags.items() if ns not in _GRID_NAMESPACES}
    return {ns: values for ns, values in rest.items() if values}


def without_bands(tags: Tags) -> dict[str, Mapping[str, str]]:
    """Return the tags that are not about the bands, for an output with others."""
    rest = {ns: _leave_out(_about_bands, values) for ns, values in tags.items() if ns != COLOURS}
    return {ns: values for ns, values in rest.items() if values}


def _leave_out(is_left_out: Callable[[str], bool], tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if not is_left_out(name)}


def _about_values(name: str) -> bool:
    return name.startswith(_VALUES_PREFIXES) or name.rpartition("#")[2] in _VALUES_ATTRIBUTES


def _about_bands(name: str) -> bool:
    return name.startswith(_BANDS_PREFIXES)


def _without_grid(tags: Mapping[str, str]) -> dict[str, str]:
    coords = {
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
        return variable in coords or name in _GRID_ATTRIBUTES or name.startswith(_GRID_PREFIXES)

    return _leave_out(about_grid, tags)


# Tag with the run that wrote an output.
_DIGEST = "RUN"

COLOUR_CODECS = {"JPEG", "WEBP"}
"""Codecs whose blocks depend on the colour interpretation in the header."""


@dataclass(frozen=True, slots=True)
class Band:
    """Metadata of one band.

    Attributes
    ----------
    dtype : str
    tags : Mapping of str to Mapping
        Tags by namespace.
    description, unit : str or None
    colorinterp : ColorInterp or None
        None: as GDAL creates the band.
    scale, offset : float
    colormap : Mapping or None
        Mapping of value to (red, green, blue, alpha).
    """

    dtype: str
    tags: Mapping[str, Mapping[str, str]]
    description: str | None
    unit: str | None
    colorinterp: ColorInterp | None
    scale: float
    offset: float
    colormap: Mapping[int, tuple[int, int, int, int]] | None

    @classmethod
    def all_of(cls, src: Any, indexes: Sequence[int], *, same_grid: bool) -> list[Band]:
        """Return the metadata of some bands of an open dataset."""
        # rasterio computes each of these for all bands at every access.
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
    """Metadata of a dataset and its bands.

    Attributes
    ----------
    tags : Mapping of str to Mapping
        Tags by namespace, including RPCs.
    bands : sequence of Band
    gcps : tuple or None
        GCPs and their CRS, which may be empty.
    described : Described or None
        What the function declares, until the bands of the output are known; see
        `resolved`.
    has_own_colours : bool
        Whether the function declares the colours, which the blocks heed.
    """

    tags: Tags = field(default_factory=dict)
    bands: Sequence[Band] = ()
    gcps: Any = None
    described: Described | None = None
    has_own_colours: bool = False

    @classmethod
    def of(cls, src: Any, indexes: Sequence[int], *, same_grid: bool) -> Metadata:
        """Return the metadata of an open dataset.

        Parameters
        ----------
        src : dataset
        indexes : sequence of int
            Bands that are read.
        same_grid : bool
            Whether the output has the grid of the dataset; if not, GCPs, RPCs
            and some tags are left out.

        Notes
        -----
        GDAL prefers a geotransform to GCPs, but drops it when a GeoTIFF is
        given both. GCPs are therefore copied only if there is no geotransform.
        """
        tags = tags_of(src, 0, same_grid=same_grid)
        reason = why_rpcs_unusable(src) if RPC in tags else ""
        if reason:
            log.warning("%s has %s: they are not copied to the output", src.name, reason)
            del tags[RPC]
        gcps, crs = src.gcps if same_grid and src.transform.is_identity else ([], None)
        return cls(
            tags if list(indexes) == list(src.indexes) else without_bands(tags),
            Band.all_of(src, indexes, same_grid=same_grid),
            # rasterio needs a CRS, which may be empty.
            (gcps, crs or src.crs or CRS()) if gcps else None,
        )

    @property
    def has_colormap(self) -> bool:
        """Whether a band may get a colour table."""
        declared = self.described is not None and self.described.colormap is not None
        return declared or any(band.colormap for band in self.bands)

    def without_grid(self) -> Metadata:
        """Return the metadata that is not about the grid."""
        bands = [replace(band, tags=without_grid(band.tags)) for band in self.bands]
        return replace(self, tags=without_grid(self.tags), bands=bands, gcps=None)

    def with_overviews(self, resampling: str) -> Metadata:
        """Return the metadata with the resampling of overviews, for `rio overview`."""
        return replace(self, tags={**self.tags, OVERVIEWS: {"resampling": resampling}})

    def with_provenance(self, tags: Mapping[str, str]) -> Metadata:
        """Return the metadata with tags on how the output is made."""
        provenance = {**self.tags.get(MUCHO, {}), **tags}
        return replace(self, tags={**self.tags, MUCHO: provenance}) if tags else self

    def with_digest(self, digest: str) -> Metadata:
        """Return the metadata with the run that writes the output."""
        return self.with_provenance({_DIGEST: digest})

    def resolved(self, count: int, dtype: str) -> Metadata:
        """Return the metadata of an output with these bands, with what the function declares."""
        return self if self.described is None else self.described.apply(self, count, dtype)

    def write(self, dst: Any, compress: str = "") -> None:
        """Write the metadata to a new dataset that has no pixels yet.

        Metadata of bands is written if the dataset has the same number of
        bands; colour tables, scales and offsets also need the same dtype.
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
        if not colormaps and (self.has_own_colours or compress.upper() not in COLOUR_CODECS):
            colorinterp = tuple(
                # A palette needs its colour table.
                current
                if band.colorinterp is None
                else ColorInterp.gray
                if band.colorinterp == ColorInterp.palette
                else band.colorinterp
                for band, current in zip(self.bands, dst.colorinterp, strict=True)
            )
            if colorinterp != tuple(dst.colorinterp):
                dst.colorinterp = colorinterp

    def _write_bands(self, dst: Any) -> bool:
        """Write the metadata of bands; return whether there was a colour table."""
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
    """Return the run that wrote an open dataset, or None if it is not recorded."""
    digest: str | None = src.tags(ns=MUCHO).get(_DIGEST)
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
