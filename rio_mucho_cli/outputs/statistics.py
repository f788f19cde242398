"""Statistics of bands, taken window by window, as GDAL and QGIS look for them in a file."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from rio_mucho_cli.dtypes import numpy_dtype

# So few pixels at a time stay in the processor's cache, and integers of 32
# bits add up to less than 2**53: their sums are exact in float64.
_PIECE = 65536
_PREFIX = "STATISTICS_"


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """What some pixels of one band are like.

    With the number of pixels alone: pixels of which none is valid.

    Attributes
    ----------
    pixels, valid : int
        How many there are, and how many of them have a value.
    minimum, maximum : float
        Of the valid ones; an int in a band of integers.
    above : Fraction or float
        How far the mean is above the minimum: near to each other, it is known
        better than the mean is, if values are large and alike.
    squares : Fraction or float
        Sum of the squared deviations from the mean.

    Notes
    -----
    For integers of up to 32 bits everything is exact, and the same however
    the band was cut into windows. Other dtypes are summed in float64, as by
    GDAL; windows change the last digit or two of 15.
    """

    pixels: int
    valid: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    above: Fraction | float = Fraction(0)
    squares: Fraction | float = Fraction(0)

    @classmethod
    def constant(cls, value: float, pixels: int) -> BandStatistics:
        """Describe pixels that are all valid and have one value."""
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
        """Describe a band: (rows, cols), in the values that the file will hold.

        Parameters
        ----------
        band : ndarray
        nodata : float or None
            Pixels with it are not valid. NaN never is.
        mask : ndarray of bool, or None
            (rows, cols), True where pixels are not valid, as in numpy.ma.
        dtype : str or None
            Of the file, if it is another: values are cast first.
        """
        values, masked = band.reshape(-1), None if mask is None else mask.reshape(-1)
        found = cls(0)
        # What infinities and overflows give is meant to be inf or NaN.
        with np.errstate(invalid="ignore", over="ignore"):
            for start in range(0, values.size, _PIECE):
                part = slice(start, start + _PIECE)
                piece = values[part]
                kept = piece if masked is None else piece.compress(~masked[part])
                kept = _without_nodata(kept.astype(dtype or kept.dtype, copy=False), nodata)
                measured = _measure(kept) if kept.size else cls(0)
                found = found.merged(replace(measured, pixels=piece.size))
        return found

    def as_json(self) -> list[Any]:
        """Return it as what JSON can say; numbers stay what they are."""
        return [
            f"{value.numerator}/{value.denominator}" if isinstance(value, Fraction) else value
            for value in astuple(self)
        ]

    @classmethod
    def from_json(cls, value: Any) -> BandStatistics:
        """Undo `as_json`.

        Raises
        ------
        ValueError
            If it is something else.
        """
        if not isinstance(value, list) or len(value) != 6:
            raise ValueError("no statistics of a band")
        numbers: list[Any] = [Fraction(each) if isinstance(each, str) else each for each in value]
        if not all(isinstance(each, int | float | Fraction) for each in numbers):
            raise ValueError("no statistics of a band")
        return cls(*numbers)

    @property
    def mean(self) -> float:
        """The mean of the valid pixels; NaN if some are infinite, or if there are none."""
        infinite = math.isinf(self.minimum) or math.isinf(self.maximum)
        return math.nan if infinite else float(self.minimum + self.above)

    @property
    def deviation(self) -> float:
        """The standard deviation, of the whole population; NaN where the mean is."""
        return math.nan if math.isnan(self.mean) else math.sqrt(self.squares / self.valid)

    def merged(self, other: BandStatistics) -> BandStatistics:
        """Describe these and other pixels together.

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
        """Return the band's tags: name to text, as GDAL writes them.

        Notes
        -----
        GDALRasterBand::SetStatistics and SetValidPercent: 14 digits, and four
        of the percentage, which is 100 only if all pixels are valid. Where
        none is, the percentage stands alone.
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
            # Adding 0.0 makes 0 of -0.
            tags |= {f"{_PREFIX}{name}": f"{x + 0.0:.14g}" for name, x in numbers.items()}
        return tags


def has_statistics(dtype: str | np.dtype[Any]) -> bool:
    """Whether there is a least and a greatest value: not so for complex numbers."""
    return numpy_dtype(dtype).kind in "iuf"


def statistics_of(
    array: np.ndarray[Any, Any],
    *,
    nodata: float | None = None,
    dtype: str | None = None,
    alpha: bool = False,
) -> tuple[BandStatistics, ...]:
    """Describe every band of an array: (count, rows, cols); of complex numbers, none.

    Parameters
    ----------
    array : ndarray
        Masked pixels are not valid: they become nodata, or go into a mask.
    nodata, dtype
        Of the file; see `BandStatistics.of`.
    alpha : bool
        The last band is alpha. Where it is 0, those before it are not valid,
        if GDAL sees a mask in it: in two or four bands of uint8 or uint16
        without nodata.
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
    """Describe every band of pixels that no window covers: nodata, or 0, and masked if may be.

    Parameters
    ----------
    pixels, count : int
        Pixels of a band, and bands.
    nodata, dtype, alpha
        As for `statistics_of`.
    masked : bool
        The file has an internal mask.
    """
    value = 0 if nodata is None else nodata
    one = np.ma.array(np.full((count, 1, 1), value, dtype), mask=masked)
    return tuple(
        BandStatistics.constant(value, pixels) if band.valid else BandStatistics(pixels)
        for band in statistics_of(one, nodata=nodata, alpha=alpha)
    )


def _without_nodata(values: np.ndarray[Any, Any], nodata: float | None) -> np.ndarray[Any, Any]:
    """Leave out what is nodata or NaN; most often there is nothing to leave out."""
    if not values.size:
        return values
    ends = np.array([values.min(), values.max()])
    if np.isnan(ends[0]):
        return _without_nodata(values.compress(~np.isnan(values)), nodata)
    if nodata is None or not (ends[0] < nodata < ends[1] or _is_nodata(ends, nodata).any()):
        return values
    return values.compress(~_is_nodata(values, nodata))


def _is_nodata(values: np.ndarray[Any, Any], nodata: float) -> np.ndarray[Any, Any]:
    """Whether values are nodata, or so near to it that GDAL takes them for it.

    Notes
    -----
    ARE_REAL_EQUAL in gdal_priv.h: in float32 for float32, else in float64,
    yet with the epsilon of float32 in both. No integer of 16 bits is so near
    to another. GDAL 3.10 does so for statistics of every dtype and for masks
    of floating point; 3.12 asks for equality in statistics of float64.
    """
    same: np.ndarray[Any, Any]
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        same = values == (int(nodata) if float(nodata).is_integer() else nodata)
        return same
    kind = np.result_type(values, np.float32)
    # Nodata is a number of the band's dtype: 0.1 in a band of float32 is not 0.1.
    number = np.array(nodata).astype(values.dtype if values.dtype.kind == "f" else kind)
    reals, number = values.astype(kind, copy=False), number.astype(kind)
    near = 2 * float(np.finfo(np.float32).eps) * np.abs(reals + number)
    same = (reals == number) | (np.abs(reals - number) < near)
    return same


def _measure(values: np.ndarray[Any, Any]) -> BandStatistics:
    """Describe one piece: (pixels,), all of them valid."""
    if values.dtype.kind in "iu" and values.dtype.itemsize > 4:
        values = values.astype(np.float64)
    size, minimum, maximum = values.size, values.min().item(), values.max().item()
    raised = values.astype(np.float64)
    raised -= minimum
    total = float(raised.sum())
    above: Fraction | float
    squares: Fraction | float
    if values.dtype.kind in "iu":
        above = Fraction(int(total), size)
        squares = _sum_of_squares(raised, maximum - minimum) - above * int(total)
    else:
        above = total / size
        raised -= above
        squares = float(np.square(raised, out=raised).sum())
    return BandStatistics(size, size, minimum, maximum, above, squares)


def _sum_of_squares(numbers: np.ndarray[Any, Any], largest: int) -> int:
    """Add up the squares of one piece of whole numbers, exactly."""
    if largest < 2**18:
        return int(np.square(numbers).sum())
    upper = np.floor(numbers / 65536)
    lower = numbers - upper * 65536
    sums = [int((a * b).sum()) for a, b in ((upper, upper), (upper, lower), (lower, lower))]
    return (sums[0] << 32) + (sums[1] << 17) + sums[2]
