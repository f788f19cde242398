"""Metadata that a function declares for its output, and how it joins the first input's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
from rasterio.enums import ColorInterp

from rio_mucho_cli.errors import ResultError
from rio_mucho_cli.geotiff.metadata import COLOURS, Band, Metadata, Tags, without_bands
from rio_mucho_cli.text import format_count, option

T = TypeVar("T")
PerBand: TypeAlias = tuple[T, ...] | T | None
"""A value for each band, one for all bands, or None if there is none."""

_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_NOTHING: Tags = {}


@dataclass(frozen=True, slots=True)
class Described:
    """Names, colours and tags that a function declares for one output.

    Attributes
    ----------
    where : str
        Name of the declaration in messages, such as ``index.py:run.output``.
    descriptions, units : PerBand of str
        Empty text for none.
    scales, offsets : PerBand of float
    colorinterp : PerBand of ColorInterp
    band_tags : PerBand of Tags
    tags : Mapping of str to Mapping
        Tags of the dataset by namespace.
    colormap : Mapping or None
        Mapping of value to (red, green, blue, alpha).
    sets_nodata : bool
        Whether the output's nodata is the one that the function declares, which
        it may write into ordinary arrays.
    """

    where: str
    descriptions: PerBand[str] = None
    units: PerBand[str] = None
    scales: PerBand[float] = None
    offsets: PerBand[float] = None
    colorinterp: PerBand[ColorInterp] = None
    band_tags: PerBand[Tags] = None
    tags: Tags | None = None
    colormap: Mapping[int, tuple[int, int, int, int]] | None = None
    sets_nodata: bool = False

    @property
    def has_odd_alpha(self) -> bool:
        """Whether an alpha band is where no creation option has it."""
        colours = self.colours(1)
        return ColorInterp.alpha in colours and _alpha_option(colours) == "no"

    @property
    def count(self) -> int | None:
        """Number of bands for which it has values; None if any number fits."""
        return next(iter(self.lengths().values()), None)

    def lengths(self) -> dict[str, int]:
        """Return the number of bands of each list, by name."""
        names = ("descriptions", "units", "scales", "offsets", "colorinterp", "band_tags")
        lists = {name: getattr(self, name) for name in names}
        return {name: len(value) for name, value in lists.items() if isinstance(value, tuple)}

    def colours(self, count: int) -> tuple[ColorInterp, ...]:
        """Return the colour interpretation of each band; empty if there is none."""
        given = self.colorinterp
        return () if given is None else given if isinstance(given, tuple) else (given,) * count

    def check(self, count: int, dtype: str) -> None:
        """Raise ResultError if it does not fit an output with these bands.

        Parameters
        ----------
        count : int
        dtype : str
        """
        for name, length in self.lengths().items():
            if length != count:
                raise ResultError(
                    f"{self.where}[{name!r}] has {length} values, but the output has "
                    f"{format_count(count, 'band')}: give one value for each band"
                )
        if self.colormap is None:
            return
        if count != 1 or dtype not in {"uint8", "uint16"}:
            raise ResultError(
                f"{self.where} has a colormap, which needs one band of uint8 or uint16, but the "
                f"output has {format_count(count, 'band')} of {dtype}: return uint8, or set "
                f"{option('dtype')}"
            )
        if dtype == "uint8" and max(self.colormap, default=0) > np.iinfo(dtype).max:
            raise ResultError(
                f"{self.where}['colormap'] has the value {max(self.colormap)}, which uint8 cannot "
                f"hold: set {option('dtype', 'uint16')}"
            )

    def apply(self, metadata: Metadata, count: int, dtype: str) -> Metadata:
        """Return the metadata of an output: this one, and what it leaves of another.

        A scale and an offset, or a colour table and a colour interpretation, are
        replaced together.

        Parameters
        ----------
        metadata : Metadata
            Metadata of the first input.
        count : int
        dtype : str
        """
        same_bands = len(metadata.bands) == count
        same_dtypes = same_bands and all(band.dtype == dtype for band in metadata.bands)
        tags = metadata.tags if same_bands else without_bands(metadata.tags)
        if not same_dtypes or self.colorinterp is not None or self.colormap is not None:
            tags = {space: tags[space] for space in tags if space != COLOURS}
        bands = [
            self._band(metadata.bands[index] if same_bands else _bare(dtype), index, dtype)
            for index in range(count)
        ]
        return Metadata(
            _joined(tags, self.tags or _NOTHING),
            bands,
            metadata.gcps,
            has_own_colours=self.colorinterp is not None,
        )

    def _band(self, band: Band, index: int, dtype: str) -> Band:
        """Return the metadata of one band, from that of the first input's."""
        if band.dtype != dtype:  # see `Metadata.write`
            band = replace(band, dtype=dtype, colormap=None, scale=1.0, offset=0.0)
        if self.descriptions is not None:
            band = replace(band, description=_of(self.descriptions, index))
        if self.units is not None:
            band = replace(band, unit=_of(self.units, index))
        if self.scales is not None or self.offsets is not None:
            scale, offset = _of(self.scales, index), _of(self.offsets, index)
            band = replace(
                band,
                scale=1.0 if scale is None else scale,
                offset=0.0 if offset is None else offset,
            )
        if self.colorinterp is not None:
            band = replace(band, colorinterp=_of(self.colorinterp, index), colormap=None)
        if self.colormap is not None:
            band = replace(band, colorinterp=ColorInterp.palette, colormap=self.colormap)
        return replace(band, tags=_joined(band.tags, _of(self.band_tags, index) or _NOTHING))


def _of(values: PerBand[T], index: int) -> T | None:
    """Return the value of a band."""
    return values[index] if isinstance(values, tuple) else values


def _bare(dtype: str) -> Band:
    """Return a band without metadata."""
    return Band(dtype, {}, None, None, None, 1.0, 0.0, None)


def _joined(tags: Tags, others: Tags) -> dict[str, Mapping[str, str]]:
    """Return tags with others added, which win."""
    return {space: {**tags.get(space, {}), **others.get(space, {})} for space in {**tags, **others}}


def colour_options(colours: tuple[ColorInterp, ...], dtype: str) -> dict[str, Any]:
    """Return the creation options of a GeoTIFF whose bands have these colours.

    They are those that affect the blocks: the photometric interpretation those
    of JPEG and WebP, an alpha band the averages of overviews.

    Notes
    -----
    GDAL's page on the GTiff driver: `ALPHA` is about the first band beyond the
    colours.
    """
    if not colours or dtype not in {"uint8", "uint16"}:
        return {}
    is_rgb = colours[:3] == _RGB
    options = {} if colours == (ColorInterp.palette,) else {
        "photometric": "rgb" if is_rgb else "minisblack"
    }  # fmt: skip
    if len(colours) > 1:
        options["alpha"] = _alpha_option(colours)
    return options


def _alpha_option(colours: tuple[ColorInterp, ...]) -> str:
    position = 3 if colours[:3] == _RGB else 1
    return "yes" if colours[position : position + 1] == (ColorInterp.alpha,) else "no"
