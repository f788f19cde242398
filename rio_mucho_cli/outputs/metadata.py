"""What is carried over from the first input: everything that stays true."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from rio_mucho_cli.gcps import fault_of_rpcs
from rio_mucho_cli.outputs.tags import (
    COLOURS,
    OVERVIEWS,
    RPC,
    RUN,
    Tags,
    tags_of,
    without_bands,
    without_grid,
)

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
