"""Band statistics by window, written as the tags that GDAL and QGIS read."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields, replace
from typing import Any

import numpy as np

from rio_mucho_cli.dtypes import numpy_dtype

# Pixels measured at once, so that they fit in the CPU cache. Measuring a whole
# window takes 1.2 to 2.4 times as long, and 8 bytes of memory per pixel.
_CHUNK = 65536
_PREFIX = "STATISTICS_"


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Statistics of some pixels of one band.

    The defaults are those of pixels of which none is valid.

    Attributes
    ----------
    pixels, valid : int
        Number of all pixels and of valid pixels.
    minimum, maximum : float
        Range of the valid pixels; int in an integer band.
    above : float
        Mean minus minimum, which is more precise than the mean where values
        are large and close together.
    squares : float
        Sum of squared deviations from the mean.

    Notes
    -----
    Sums are float64, as in GDAL. The same windows in the same order give the
    same digits; other windows change the last one or two of 15.
    """

    pixels: int
    valid: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    above: float = 0.0
    squares: float = 0.0

    @classmethod
    def constant(cls, value: float, pixels: int) -> BandStatistics:
        """Return the statistics of valid pixels that all have the same value."""
        return cls(pixels, pixels, value, value) if pixels else cls(0)

    @classmethod
    def of(
        cls,
        band: np.ndarray[Any, Any],
        *,
        nodata: float | None = None,
        mask: np.ndarray[Any, Any] | None = None,
        dtype: str | None = None,
    ) -> BandStatistics:
        """Return the statistics of a band, in the values that the file will hold.

        Parameters
        ----------
        band : ndarray
            (rows, cols).
        nodata : float or None
            Value of invalid pixels. NaN is always invalid.
        mask : ndarray of bool, or None
            (rows, cols), True where pixels are invalid, as in numpy.ma.
        dtype : str or None
            Dtype of the file, if it differs. Values are cast to it first.
        """
        values, invalid = band.reshape(-1), None if mask is None else mask.reshape(-1)
        total = cls(0)
        # Infinities and overflows give inf or NaN on purpose.
        with np.errstate(invalid="ignore", over="ignore"):
            for start in range(0, values.size, _CHUNK):
                part = slice(start, start + _CHUNK)
                chunk = values[part]
                valid = chunk if invalid is None else chunk.compress(~invalid[part])
                valid = _without_nodata(valid.astype(dtype or valid.dtype, copy=False), nodata)
                statistics = _measure(valid) if valid.size else cls(0)
                total = total.merge(replace(statistics, pixels=chunk.size))
        return total

    def as_json(self) -> list[float]:
        """Return the numbers as a list for JSON."""
        return list(astuple(self))

    @classmethod
    def from_json(cls, value: Any) -> BandStatistics:
        """Return the statistics from the result of `as_json`.

        Raises
        ------
        ValueError
            If the value is anything else.
        """
        if (
            not isinstance(value, list)
            or len(value) != len(fields(cls))
            or not all(isinstance(number, int | float) for number in value)
        ):
            raise ValueError("expected the statistics of a band")
        return cls(*value)

    @property
    def mean(self) -> float:
        """Mean of the valid pixels; NaN if some are infinite, or if there are none."""
        infinite = math.isinf(self.minimum) or math.isinf(self.maximum)
        return math.nan if infinite else self.minimum + self.above

    @property
    def deviation(self) -> float:
        """Population standard deviation; NaN if the mean is NaN."""
        return math.nan if math.isnan(self.mean) else math.sqrt(self.squares / self.valid)

    def merge(self, other: BandStatistics) -> BandStatistics:
        """Return the combined statistics of these and other pixels.

        Notes
        -----
        T. F. Chan, G. H. Golub, R. J. LeVeque: "Algorithms for computing the
        sample variance", The American Statistician 37 (1983).
        """
        pixels, valid = self.pixels + other.pixels, self.valid + other.valid
        if not self.valid or not other.valid:
            return replace(self if self.valid else other, pixels=pixels)
        minimum = min(self.minimum, other.minimum)
        above = self.above + (self.minimum - minimum)
        apart = other.above + (other.minimum - minimum) - above
        step = apart * other.valid / valid
        return BandStatistics(
            pixels,
            valid,
            minimum,
            max(self.maximum, other.maximum),
            above + step,
            self.squares + other.squares + apart * step * self.valid,
        )

    def tags(self) -> dict[str, str]:
        """Return the band's tags as GDAL writes them, name to text.

        Notes
        -----
        As in GDALRasterBand::SetStatistics and SetValidPercent, values have 14
        digits and the percentage has four; it is 100 only if all pixels are
        valid. Without valid pixels the percentage is the only tag.
        """
        percent = f"{100 * self.valid / self.pixels:.4g}" if self.valid else "0"
        if percent == "100" and self.valid < self.pixels:
            percent = "99.999"
        tags = {f"{_PREFIX}VALID_PERCENT": percent}
        if self.valid:
            numbers = {
                "MINIMUM": self.minimum,
                "MAXIMUM": self.maximum,
                "MEAN": self.mean,
                "STDDEV": self.deviation,
            }
            # Adding 0.0 turns -0 into 0.
            tags |= {f"{_PREFIX}{name}": f"{x + 0.0:.14g}" for name, x in numbers.items()}
        return tags


def has_statistics(dtype: str | np.dtype[Any]) -> bool:
    """Return whether bands of a dtype have statistics, which complex bands do not."""
    return numpy_dtype(dtype).kind in "iuf"


def statistics_of(
    array: np.ndarray[Any, Any],
    *,
    nodata: float | None = None,
    dtype: str | None = None,
    alpha: bool = False,
) -> tuple[BandStatistics, ...]:
    """Return the statistics of each band, an empty tuple for complex numbers.

    Parameters
    ----------
    array : ndarray
        (count, rows, cols). Masked pixels are invalid: they become nodata or
        go into a mask.
    nodata, dtype
        Nodata and dtype of the file; see `BandStatistics.of`.
    alpha : bool
        True if the last band is alpha. Where it is 0, the other bands are
        invalid if GDAL uses it as their mask: with two or four bands of uint8
        or uint16 without nodata.
    """
    data, masks = np.ma.getdata(array), [np.ma.getmask(band) for band in array]
    kind = numpy_dtype(dtype or array.dtype)
    if not has_statistics(kind):
        return ()
    if alpha and nodata is None and len(array) in {2, 4} and kind in (np.uint8, np.uint16):
        clear = data[-1] == 0
        masks = [mask | clear for mask in masks[:-1]] + masks[-1:]
    return tuple(
        BandStatistics.of(
            band, nodata=nodata, dtype=dtype, mask=None if mask is np.ma.nomask else mask
        )
        for band, mask in zip(data, masks, strict=True)
    )


def statistics_of_nothing(
    pixels: int, count: int, *, nodata: float | None, dtype: str, alpha: bool, masked: bool
) -> tuple[BandStatistics, ...]:
    """Return the statistics of pixels outside all windows: nodata, else 0.

    Parameters
    ----------
    pixels, count : int
        Number of pixels per band and number of bands.
    nodata, dtype, alpha
        See `statistics_of`.
    masked : bool
        True if the file has an internal mask, which masks these pixels.
    """
    value = 0 if nodata is None else nodata
    one = np.ma.array(np.full((count, 1, 1), value, dtype), mask=masked)
    return tuple(
        BandStatistics.constant(value, pixels) if band.valid else BandStatistics(pixels)
        for band in statistics_of(one, nodata=nodata, alpha=alpha)
    )


def _without_nodata(values: np.ndarray[Any, Any], nodata: float | None) -> np.ndarray[Any, Any]:
    """Return the values that are neither nodata nor NaN."""
    if not values.size:
        return values
    ends = np.array([values.min(), values.max()])
    if np.isnan(ends[0]):
        return _without_nodata(values.compress(~np.isnan(values)), nodata)
    if nodata is None or not (ends[0] < nodata < ends[1] or _is_nodata(ends, nodata).any()):
        return values
    return values.compress(~_is_nodata(values, nodata))


def _is_nodata(values: np.ndarray[Any, Any], nodata: float) -> np.ndarray[Any, Any]:
    """Return a mask of values that GDAL treats as nodata: equal or very close.

    Notes
    -----
    ARE_REAL_EQUAL in gdal_priv.h compares float32 in float32 and other dtypes
    in float64, both with the epsilon of float32. Different 16-bit integers are
    never that close. GDAL 3.10 uses it in statistics of all dtypes and in
    masks of floating point; 3.12 requires equality in statistics of float64.
    """
    same: np.ndarray[Any, Any]
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        same = values == (int(nodata) if float(nodata).is_integer() else nodata)
        return same
    kind = np.result_type(values, np.float32)
    # Nodata is rounded to the band's dtype: in a float32 band, 0.1 is not the float64 0.1.
    number = np.array(nodata).astype(values.dtype if values.dtype.kind == "f" else kind)
    reals, number = values.astype(kind, copy=False), number.astype(kind)
    near = 2 * float(np.finfo(np.float32).eps) * np.abs(reals + number)
    same = (reals == number) | (np.abs(reals - number) < near)
    return same


def _measure(values: np.ndarray[Any, Any]) -> BandStatistics:
    """Return the statistics of valid values, of shape (pixels,)."""
    if values.dtype.kind in "iu" and values.dtype.itemsize > 4:
        values = values.astype(np.float64)
    size, minimum, maximum = values.size, values.min().item(), values.max().item()
    raised = values.astype(np.float64)
    raised -= minimum
    above = float(raised.sum()) / size
    raised -= above
    squares = float(np.square(raised, out=raised).sum())
    return BandStatistics(size, size, minimum, maximum, above, squares)
