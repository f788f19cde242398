"""Overviews: which there are, and who makes which of them. Arithmetic only.

    level 0   windows ──────▶ workers encode blocks
    level 1      the same windows, with half as many rows and columns: encoded
    level 2      in the same go, while each of its blocks lies within one window
    level 3      the first one that is not encoded: workers give its pixels back,
    level 4, …   and it and all further ones are made of these at the end

Notes
-----
Where a raster has an odd number of rows or columns, GDAL's overview of half
the size does not have two of them for each of its own, but a little less: its
pixels drift along the raster, and take in what lies in two windows. From the
first such level on, GDAL makes all levels at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rasterio.enums import OverviewResampling
from rasterio.windows import Window

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.text import did_you_mean
from rio_mucho_cli.windows import PlannedWindow, Size, aligned_to_blocks

LOCAL_RESAMPLINGS = ("nearest", "average", "mode")
"""Resamplings that look at 2 x 2 pixels, which lie in one window."""

_SMALLEST = 256
_SIDES = {2**power for power in range(6, 13)}


@dataclass(frozen=True, slots=True)
class OverviewPlan:
    """The overviews of an output.

    Attributes
    ----------
    factors : tuple of int
        By how much each is smaller than the raster.
    resampling : str
        rasterio's name of it.
    block : int
        The side of their tiles, in pixels.
    encoded : int
        So many of them, from the first on, lie in windows block by block:
        workers encode them.
    kept : int
        The level whose pixels workers give back, from 1; 0 if none.
    is_local : bool
        Whether workers and this package make them; else GDAL does, in the
        finished file.
    """

    factors: tuple[int, ...]
    resampling: str = "nearest"
    block: int = _SMALLEST
    encoded: int = 0
    kept: int = 0
    is_local: bool = True

    @property
    def in_windows(self) -> int:
        """How many levels workers make of each window."""
        return max(self.encoded, self.kept)

    def size(self, level: int, width: int, height: int) -> Size:
        """Return the size of a level; 0 is the raster, whose size is given."""
        factor = 1 if level == 0 else self.factors[level - 1]
        return Size(-(-width // factor), -(-height // factor))


def plan_overviews(
    factors: Sequence[int],
    resampling: str,
    block: int,
    windows: Sequence[PlannedWindow],
    width: int,
    height: int,
    *,
    by_windows: bool = True,
) -> OverviewPlan:
    """Say who makes which overview.

    Parameters
    ----------
    factors : sequence of int
    resampling : str
    block : int
        The side of their tiles.
    windows : sequence of (Window, ij)
        Whole blocks of the raster.
    width, height : int
        Of the raster.
    by_windows : bool
        Whether pixels of overviews depend on those of the raster alone. They
        do not where a colour table says what their average is.
    """
    powers = tuple(2**level for level in range(1, len(factors) + 1))
    # Where a level is as wide or as high as the one before, which has a single
    # column or row, it depends on how bands lie of what GDAL makes it.
    is_thin = min(width, height) <= 2 ** (len(powers) - 1)
    if tuple(factors) != powers or resampling not in LOCAL_RESAMPLINGS or is_thin:
        return OverviewPlan(tuple(factors), resampling, block, is_local=False)

    def halves(level: int) -> bool:
        side = 2**level
        exact = width % side == 0 and height % side == 0
        return exact and aligned_to_blocks(windows, Size(side, side), width, height)

    def in_blocks(level: int) -> bool:
        side = block * 2**level
        return aligned_to_blocks(windows, Size(side, side), width, height)

    encoded = kept = 0
    if by_windows:
        while encoded < len(powers) and halves(encoded + 1) and in_blocks(encoded + 1):
            encoded += 1
        if encoded < len(powers):
            kept = encoded + 1 if halves(encoded + 1) else encoded
    return OverviewPlan(powers, resampling, block, encoded, kept)


def side_of_tiles(block: Size | None) -> int:
    """Return the side of an overview's tiles: the raster's own, where GDAL can make such.

    Parameters
    ----------
    block : Size or None
        The raster's tiles, if it has tiles.

    Notes
    -----
    GDAL's page on the GTiff driver, GDAL_TIFF_OVR_BLOCKSIZE: powers of two
    from 64 to 4096.
    """
    if block is not None and block.width == block.height and block.width in _SIDES:
        return block.width
    return _SMALLEST


def default_factors(width: int, height: int, smallest: int = _SMALLEST) -> tuple[int, ...]:
    """Return 2, 4, 8, ... until neither side has more pixels than `smallest`."""
    factors: list[int] = []
    factor = 1
    while max(-(-width // factor), -(-height // factor)) > smallest:
        factor *= 2
        factors.append(factor)
    return tuple(factors)


def scaled(window: Window, factor: int, size: Size) -> Window:
    """Return the window of an overview that a window of the raster covers.

    Parameters
    ----------
    window : Window
        It begins at a multiple of the factor.
    factor : int
    size : Size
        Of the overview.
    """
    left, top = window.col_off // factor, window.row_off // factor
    right = min(-(-(window.col_off + window.width) // factor), size.width)
    bottom = min(-(-(window.row_off + window.height) // factor), size.height)
    return Window(left, top, right - left, bottom - top)


def check_factors(factors: Sequence[int]) -> None:
    """Raise UsageError unless these can be the factors of overviews; there may be none."""
    are_whole = isinstance(factors, Sequence) and all(isinstance(each, int) for each in factors)
    if not are_whole or list(factors) != sorted(set(factors)) or any(each < 2 for each in factors):
        text = ",".join(map(str, factors)) if are_whole else repr(factors)
        raise UsageError(f"overviews are {text}: expected ascending factors such as 2,4,8")


def check_resampling(name: str) -> None:
    """Raise UsageError unless GDAL can make overviews with a resampling of that name."""
    names = [method.name for method in OverviewResampling]
    if name not in names:
        raise UsageError(
            f"the resampling of overviews is {name!r}: expected one of {', '.join(names)}"
            f"{did_you_mean(name, names)}"
        )


@dataclass(frozen=True, slots=True)
class PendingOverviews:
    """Overviews that are made after the last window, out of a file.

    Attributes
    ----------
    path : str
    factors : tuple of int
        What GDAL has to make in that file, or beside it.
    beside : bool
    levels : tuple of (int, int)
        Which levels of the output these are, and of the file; there, 0 is
        the raster itself.
    """

    path: str
    factors: tuple[int, ...]
    beside: bool
    levels: tuple[tuple[int, int], ...]


def from_source_level(
    pyramid: OverviewPlan, width: int, height: int, *, cascades: bool
) -> list[int]:
    """Return which levels that windows do not have are made of the one that is kept.

    Parameters
    ----------
    pyramid : OverviewPlan
    width, height : int
        Of the raster.
    cascades : bool
        Whether GDAL makes each overview of the one before with the resampling
        nearest as well: it does where bands lie together, or one is alpha.
    """
    levels = range(pyramid.encoded + 1, len(pyramid.factors) + 1)
    if not pyramid.kept:
        return []
    if pyramid.resampling == "nearest" and not cascades:
        # While pixels do not drift, it makes no difference.
        return [level for level in levels if not (width % 2**level or height % 2**level)]
    return list(levels)


def pending_overviews(
    pyramid: OverviewPlan, width: int, height: int, path: str, kept: str, *, cascades: bool
) -> list[PendingOverviews]:
    """Say what overviews are made after the last window.

    Parameters
    ----------
    pyramid : OverviewPlan
    width, height : int
        Of the output.
    path : str
        Of the output, which has its pixels by now.
    kept : str
        Of the file with the level that was kept.
    cascades : bool
        As for `of_kept`.
    """
    found = []
    levels = from_source_level(pyramid, width, height, cascades=cascades)
    if levels:
        found.append(_made_of(kept, levels, pyramid.kept))
    rest = [
        level
        for level in range(pyramid.encoded + 1, len(pyramid.factors) + 1)
        if level not in levels
    ]
    if rest and cascades and pyramid.resampling == "nearest":
        # Beside a file, GDAL makes each of the raster. Of what it has made
        # there, it makes the others as it should.
        first = tuple((level, level) for level in rest if level == 1)
        found.append(PendingOverviews(path, (2,), True, first))
        if rest != [1]:
            found.append(_made_of(f"{path}.ovr", [level for level in rest if level > 1], 1))
    elif rest:
        # From the first one on, or the others would not be made of it.
        factors = tuple(2**level for level in range(1, len(pyramid.factors) + 1))
        found.append(PendingOverviews(path, factors, True, tuple((level, level) for level in rest)))
    return found


def _made_of(path: str, levels: Sequence[int], first: int) -> PendingOverviews:
    """Describe levels that are made in a file whose own pixels are a level's."""
    factors = tuple(2 ** (level - first) for level in levels if level > first)
    return PendingOverviews(path, factors, False, tuple((level, level - first) for level in levels))
