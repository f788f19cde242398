"""Read bands of one open dataset, with everything that masks them.

A pixel is masked by nodata of its band, by a mask in the file or in a sidecar
file, or by an alpha band of 0. GDAL uses only one of these, and the alpha band
only in datasets of 2 or 4 bands of uint8 or uint16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias
from xml.etree import ElementTree

import numpy as np
import rasterio.shutil
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import MemoryFile

from rio_mucho_cli.dtypes import numpy_dtype
from rio_mucho_cli.env import captured_messages

GivenNodata: TypeAlias = "float | Literal['none']"
"""Nodata in place of a file's own; "none": there is none, whatever the file says."""

WIDE_INTEGERS = {"int64", "uint64"}
"""Dtypes that GDAL and rasterio convert to doubles, which are not always exact."""

# Doubles hold every smaller whole number.
_EXACT = 2**53


class Bands:
    """Bands of an open dataset that are read together.

    Parameters
    ----------
    src : dataset
    indexes : sequence of int
        Band indexes from 1, in reading order.
    dtype : dtype, optional
        Dtype of the array. Default: numpy's common dtype of the bands.
    nodata : float or "none", optional
        Nodata of all bands, in place of the dataset's own.

    Attributes
    ----------
    src : dataset
    indexes : list of int
    dtype : dtype
    nodatavals : tuple of float or None
        Nodata value of each band; None for the alpha band.
    have_nodata, are_alpha : ndarray of bool
        Whether each band has a nodata value, and whether it is the alpha
        band, which is never masked.
    is_given : bool
        Whether nodata is given in place of the dataset's own.
    """

    def __init__(
        self,
        src: Any,
        indexes: Sequence[int],
        dtype: np.dtype[Any] | None = None,
        nodata: GivenNodata | None = None,
    ) -> None:
        self.src = src
        self.is_given = nodata is not None
        self.indexes = list(indexes)
        # rasterio computes each of these for all bands at every access.
        dtypes, flags = src.dtypes, src.mask_flag_enums
        nodatavals = nodatavals_of(src, nodata)
        names = [dtypes[index - 1] for index in indexes]
        self.dtype = numpy_dtype(common_dtype(names)) if dtype is None else dtype
        self._alpha = alpha_of(src)
        self.are_alpha = np.array([index == self._alpha for index in indexes], bool)
        self.nodatavals = tuple(
            None if is_alpha else nodata_in_dtype(nodatavals[index - 1], name)
            for index, name, is_alpha in zip(indexes, names, self.are_alpha, strict=True)
        )
        same = len(set(map(str, self.nodatavals))) == 1  # NaN is not equal to itself
        # numpy warns if magnitudes of complex numbers inherit a complex fill value.
        self._fill = self.nodatavals[0] if same and self.dtype.kind != "c" else None
        self.have_nodata = np.array([value is not None for value in self.nodatavals], bool)
        # rasterio can only read bands of one dtype together.
        self._by_dtype = [
            (name, [position for position, other in enumerate(names) if other == name])
            for name in dict.fromkeys(names)
        ]
        self._dtypes = list(map(numpy_dtype, names))
        self._find_masks([flags[index - 1] for index in indexes])

    def _find_masks(self, flags: Sequence[Sequence[MaskFlags]]) -> None:
        """Record which masks there are, and which of them GDAL ignores.

        GDAL uses one mask for a band: a mask in the file or in a sidecar
        file, nodata, or the alpha band. It knows nothing of nodata that is given.
        """
        if self.is_given:
            derived = MaskFlags.nodata, MaskFlags.alpha
            flags = [
                [MaskFlags.all_valid] if any(flag in of_band for flag in derived) else of_band
                for of_band in flags
            ]
        by_nodata = np.array([MaskFlags.nodata in of_band for of_band in flags], bool)
        by_alpha = np.array([MaskFlags.alpha in of_band for of_band in flags], bool)
        self._alpha_masks = bool(self._alpha) and not (by_alpha | self.are_alpha).all()
        missing = self.have_nodata & ~by_nodata
        # GDAL also masks an alpha band by nodata, and rasterio warns of nodata beside alpha.
        self._nodata_masks = bool(missing.any() or (self._alpha and by_nodata.any()))
        self._has_other_masks = any(
            of_band not in ([MaskFlags.all_valid], [MaskFlags.nodata]) for of_band in flags
        )

    @property
    def have_unread_mask(self) -> bool:
        """Whether a mask, or an alpha band that is not read, masks pixels."""
        return bool((self._has_other_masks or self._alpha_masks) and not self.are_alpha.any())

    def read(self, window: Any, *, masked: bool) -> Any:
        """Return the pixels of a window as (count, rows, cols)."""
        if not masked or not (self._alpha_masks or self._nodata_masks or self.is_given):
            array = self._read(window, masked=masked)
            if masked and self.dtype.kind == "c":
                return self._mask(np.ma.getdata(array), np.ma.getmaskarray(array))
            if masked and self._fill is not None:
                array.fill_value = self._fill  # rasterio sets none for NaN in several bands
            return array
        data = self._read(window, masked=False)
        hides_nothing = not (self._has_other_masks or self._alpha_masks or self._nodata_masks)
        if hides_nothing and self.dtype.kind != "c":
            return self._mask(data, np.ma.nomask)  # as rasterio does
        mask = np.zeros(data.shape, bool)
        compare = is_nodata
        if self.is_given and not (self._has_other_masks or self._alpha):
            compare = is_nodata_in_gdal  # which compares with a nodata tag alone
        if self._has_other_masks:
            mask |= self.src.read_masks(self.indexes, window=window) == 0
        for band, band_mask, nodata, dtype in zip(
            data, mask, self.nodatavals, self._dtypes, strict=True
        ):
            if nodata is not None:
                band_mask |= compare(band, nodata, dtype)
        if self._alpha_masks:
            mask[~self.are_alpha] |= self.src.read(self._alpha, window=window) == 0
        mask[self.are_alpha] = False
        return self._mask(data, mask)

    def pixels_outside(
        self, height: int, width: int, *, masked: bool, constant: float | None = None
    ) -> Any:
        """Return the pixels of an area outside of the input.

        Parameters
        ----------
        height, width : int
            Size of the area, in pixels.
        masked : bool
            Return a masked array. The alpha band is 0 and not masked.
        constant : float or None
            Value of all bands, not masked. None: nodata of each band, or 0.

        Returns
        -------
        ndarray
            (count, height, width).
        """
        data = np.zeros((len(self.indexes), height, width), self.dtype)
        mask = np.zeros(data.shape, bool)
        for band, band_mask, nodata, is_alpha in zip(
            data, mask, self.nodatavals, self.are_alpha, strict=True
        ):
            value = nodata if constant is None else constant
            band[:] = 0 if value is None else value
            band_mask[:] = constant is None and not is_alpha
        if not masked:
            return data
        whole = self._mask(data, mask)
        if not self.have_nodata.any():
            whole.fill_value = 0
        return whole

    def join(self, parts: Sequence[tuple[list[int], Any]], *, masked: bool) -> Any:
        """Return one array of bands that were read separately.

        Parameters
        ----------
        parts : sequence of (list of int, ndarray)
            Positions of bands in the result, and their pixels.
        masked : bool
            Return a masked array.
        """
        if len(parts) == 1:
            return parts[0][1]
        shape = len(self.indexes), *parts[0][1].shape[1:]
        data, mask = np.empty(shape, self.dtype), np.empty(shape, bool)
        for positions, part in parts:
            data[positions], mask[positions] = np.ma.getdata(part), np.ma.getmask(part)
        return self._mask(data, mask) if masked else data

    def _read(self, window: Any, *, masked: bool) -> Any:
        """Return the pixels of all bands, reading one dtype at a time."""
        parts = []
        for name, positions in self._by_dtype:
            indexes = [self.indexes[position] for position in positions]
            dtype = None if numpy_dtype(name) == self.dtype else self.dtype
            part = self.src.read(indexes, window=window, masked=masked, out_dtype=dtype)
            parts.append((positions, part))
        return self.join(parts, masked=masked)

    def _mask(self, data: Any, mask: Any) -> Any:
        return np.ma.array(data, mask=mask, fill_value=self._fill)


def common_dtype(names: Sequence[str]) -> str:
    """Return the dtype in which bands of several dtypes are read together.

    It is numpy's common dtype, as for bands of several files.
    """
    if len(set(names)) == 1:
        return names[0]
    return str(np.result_type(*map(numpy_dtype, names)).name)


def alpha_of(src: Any) -> int:
    """Return the index of the alpha band, from 1; 0 if there is none."""
    colours = list(src.colorinterp)
    return colours.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colours else 0


def nodata_in_dtype(nodata: float | None, name: str) -> float | None:
    """Return a nodata value, or None if a dtype cannot hold it."""
    dtype = numpy_dtype(name)
    if nodata is None or dtype.kind not in "iu":
        return nodata
    info = np.iinfo(dtype)
    if not math.isfinite(nodata) or not info.min <= nodata <= info.max:
        return None
    return nodata if nodata == int(nodata) else float(int(nodata))  # as in GDAL


def is_nodata(band: np.ndarray[Any, Any], nodata: float, dtype: np.dtype[Any]) -> Any:
    """Return where a band is nodata; `dtype` is the band's dtype in the file."""
    if math.isnan(nodata):
        return np.isnan(band)
    with np.errstate(over="ignore"):
        return band == np.asarray(nodata).astype(dtype)


def is_nodata_in_gdal(band: np.ndarray[Any, Any], nodata: float, dtype: np.dtype[Any]) -> Any:
    """Return where GDAL's mask hides a band with this nodata value.

    Notes
    -----
    ARE_REAL_EQUAL in gdal_priv.h: floats may differ by 2 units in the last
    place of float32, also in float64. Of complex numbers, the real part counts.
    """
    band = band.real
    if dtype.kind in "iu" or not math.isfinite(nodata):
        return is_nodata(band, nodata, dtype)
    value = np.asarray(nodata).astype(dtype).real.astype(band.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        distance, limit = band - value, band + value
        np.abs(distance, out=distance)
        np.abs(limit, out=limit)
        limit *= band.dtype.type(2 * np.finfo("float32").eps)
        close: Any = distance < limit
        close |= band == value
    return close


def nodatavals_of(src: Any, nodata: GivenNodata | None) -> tuple[float | None, ...]:
    """Return the exact nodata values of all bands, or what is given in their place."""
    if nodata is None:
        return exact_nodatavals(src)
    value = None if isinstance(nodata, str) else nodata
    return (value,) * len(src.indexes)


def exact_nodatavals(src: Any) -> tuple[float | None, ...]:
    """Return the exact nodata values of all bands.

    rasterio returns them as doubles, or None if out of the dtype's range.
    GDAL has the exact number and writes it into a VRT.
    """
    values = tuple(src.nodatavals)
    doubtful = [
        dtype in WIDE_INTEGERS
        and (MaskFlags.nodata in flags if value is None else abs(value) >= _EXACT)
        for value, dtype, flags in zip(values, src.dtypes, src.mask_flag_enums, strict=True)
    ]
    if not any(doubtful):
        return values
    bands = vrt_of(src).findall("VRTRasterBand")
    texts = [band.findtext("NoDataValue") for band in bands]
    return tuple(
        int(text) if is_doubtful and text is not None else value
        for value, text, is_doubtful in zip(values, texts, doubtful, strict=True)
    )


def vrt_of(src: Any) -> ElementTree.Element:
    """Return the VRT that GDAL makes of a dataset."""
    with captured_messages(), MemoryFile(ext=".vrt") as memory:
        rasterio.shutil.copy(src, memory.name, driver="VRT")
        return ElementTree.fromstring(bytes(memory.getbuffer()))
