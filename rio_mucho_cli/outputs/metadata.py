"""What is carried over from the first input: everything that stays true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rasterio.enums import ColorInterp

# Where `rio overview` keeps what it needs to make overviews anew.
_OVERVIEWS = "rio_overview"
# Where a run that can be resumed says which one it was.
_RUN, _DIGEST = "RIO_MUCHO", "RUN"
# Namespaces in which GDAL tells what it sees in a file, not what was put there.
_OF_THE_FILE = {
    "IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "rio_creation_kwds", _OVERVIEWS, _RUN,
}  # fmt: skip
# Tags that are about pixels, which are others now.
_OF_PIXELS = ("STATISTICS_", "HISTOGRAM_", "OVR_RESAMPLING_ALG")

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
    def all_of(cls, src: Any, indexes: Sequence[int]) -> list[Band]:
        """Take it from bands of an open dataset."""
        # Each of these is made anew, for all bands, when it is asked for.
        dtypes, descriptions, units = src.dtypes, src.descriptions, src.units
        colours, scales, offsets = src.colorinterp, src.scales, src.offsets
        return [
            cls(
                dtype=dtypes[index - 1],
                tags=_tags(src, index),
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
        By namespace.
    bands : sequence of Band
    points : tuple or None
        GCPs and their CRS.
    rpcs : RPC or None
    """

    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    bands: Sequence[Band] = ()
    points: Any = None
    rpcs: Any = None

    @classmethod
    def of(cls, src: Any, indexes: Sequence[int], *, same_grid: bool) -> Metadata:
        """Take it from an open dataset.

        Parameters
        ----------
        src : dataset
        indexes : sequence of int
            Its bands that are read.
        same_grid : bool
            Whether GCPs and RPCs speak of the output's pixels, too.
        """
        points = src.gcps if same_grid and src.gcps[0] else None
        bands = Band.all_of(src, indexes)
        return cls(_tags(src, 0), bands, points, src.rpcs if same_grid else None)

    def with_overviews(self, resampling: str) -> Metadata:
        """Say how overviews are made, where `rio overview` looks for it."""
        return replace(self, tags={**self.tags, _OVERVIEWS: {"resampling": resampling}})

    def with_digest(self, digest: str) -> Metadata:
        """Say which run the output is of."""
        return replace(self, tags={**self.tags, _RUN: {_DIGEST: digest}})

    def write(self, dst: Any, compress: str = "") -> None:
        """Put it into a dataset that is open for writing, and has no pixels yet.

        Bands of the dataset are these if there are as many; colour tables,
        scales and offsets need the same dtype as well.
        """
        _write_tags(dst, 0, self.tags)
        if self.points is not None:
            dst.gcps = self.points
        if self.rpcs is not None:
            dst.rpcs = self.rpcs
        if dst.count != len(self.bands):
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
    digest: str | None = src.tags(ns=_RUN).get(_DIGEST)
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


def _tags(src: Any, index: int) -> dict[str, dict[str, str]]:
    found = {}
    for namespace in ["", *src.tag_namespaces(index)]:
        if namespace not in _OF_THE_FILE and not namespace.startswith("xml:"):
            tags = src.tags(index, ns=namespace or None)
            kept = {name: tags[name] for name in tags if not name.startswith(_OF_PIXELS)}
            if kept:
                found[namespace] = kept
    return found


def _write_tags(dst: Any, index: int, tags: Mapping[str, Mapping[str, str]]) -> None:
    for namespace, values in tags.items():
        dst.update_tags(index, ns=namespace or None, **values)
