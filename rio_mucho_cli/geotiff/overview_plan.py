"""Plan which overviews an output has, and how each level is made.

    level 0   windows ──────▶ workers encode blocks
    level 1      the same windows with half the rows and columns: workers encode
    level 2      their blocks too, while each block lies within one window
    level 3      first level not encoded (source level): workers return its
    level 4, …   pixels, and it and all further levels are made from them at the end

Notes
-----
If a raster has an odd number of rows or columns, a pixel of GDAL's overview
covers slightly less than two of them. Such pixels drift along the raster and
cross the edges of windows. From the first such level, GDAL makes all levels at
the end.
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
"""Resamplings that read only 2 x 2 pixels, which lie in one window."""

_SMALLEST = 256
_SIDES = {2**power for power in range(6, 13)}


@dataclass(frozen=True, slots=True)
class OverviewPlan:
    """The overviews of an output.

    Attributes
    ----------
    factors : tuple of int
        Decimation factor of each level.
    resampling : str
        rasterio's name of the resampling.
    block : int
        Side of the tiles, in pixels.
    encoded : int
        Number of levels, from the first, that workers encode: each of their
        blocks lies within one window.
    source_level : int
        Level whose pixels workers return, from 1; 0 if none.
    is_local : bool
        Whether this package makes overviews; otherwise GDAL builds them in
        the finished file.
    """

    factors: tuple[int, ...]
    resampling: str = "nearest"
    block: int = _SMALLEST
    encoded: int = 0
    source_level: int = 0
    is_local: bool = True

    @property
    def in_windows(self) -> int:
        """Number of levels that workers make from each window."""
        return max(self.encoded, self.source_level)

    def size(self, level: int, width: int, height: int) -> Size:
        """Return the size of a level of a raster; level 0 is the raster itself."""
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
    """Return the plan of an output's overviews.

    Parameters
    ----------
    factors : sequence of int
    resampling : str
    block : int
        Side of the tiles, in pixels.
    windows : sequence of PlannedWindow
        Windows of whole blocks of the raster.
    width, height : int
        Size of the raster, in pixels.
    by_windows : bool
        Whether pixels of overviews depend on those of the raster alone. With
        a colour table they do not: it determines their average.
    """
    powers = tuple(2**level for level in range(1, len(factors) + 1))
    # A level may be as wide or as high as the one before, if that has a single
    # column or row. GDAL's source for it then depends on the interleaving.
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

    encoded = source_level = 0
    if by_windows:
        while encoded < len(powers) and halves(encoded + 1) and in_blocks(encoded + 1):
            encoded += 1
        if encoded < len(powers):
            source_level = encoded + 1 if halves(encoded + 1) else encoded
    return OverviewPlan(powers, resampling, block, encoded, source_level)


def side_of_tiles(block: Size | None) -> int:
    """Return the side of an overview's tiles: the raster's, if GDAL allows it.

    Parameters
    ----------
    block : Size or None
        Size of the raster's tiles; None if it has strips.

    Notes
    -----
    GDAL's page on the GTiff driver, GDAL_TIFF_OVR_BLOCKSIZE: powers of two
    from 64 to 4096.
    """
    if block is not None and block.width == block.height and block.width in _SIDES:
        return block.width
    return _SMALLEST


def default_factors(width: int, height: int, smallest: int = _SMALLEST) -> tuple[int, ...]:
    """Return factors 2, 4, 8, ... until neither side exceeds `smallest` pixels."""
    factors: list[int] = []
    factor = 1
    while max(-(-width // factor), -(-height // factor)) > smallest:
        factor *= 2
        factors.append(factor)
    return tuple(factors)


def scale_window(window: Window, factor: int, size: Size) -> Window:
    """Return the window of an overview that a window of the raster covers.

    Parameters
    ----------
    window : Window
        Window that begins at a multiple of the factor.
    factor : int
    size : Size
        Size of the overview, in pixels.
    """
    left, top = window.col_off // factor, window.row_off // factor
    right = min(-(-(window.col_off + window.width) // factor), size.width)
    bottom = min(-(-(window.row_off + window.height) // factor), size.height)
    return Window(left, top, right - left, bottom - top)


def check_factors(factors: Sequence[int]) -> None:
    """Raise UsageError unless these are valid factors of overviews (or none)."""
    are_whole = isinstance(factors, Sequence) and all(isinstance(f, int) for f in factors)
    if not are_whole or list(factors) != sorted(set(factors)) or any(f < 2 for f in factors):
        text = ",".join(map(str, factors)) if are_whole else repr(factors)
        raise UsageError(f"overviews are {text}: expected ascending factors such as 2,4,8")


def check_resampling(name: str) -> None:
    """Raise UsageError unless GDAL can make overviews with this resampling."""
    names = [method.name for method in OverviewResampling]
    if name not in names:
        raise UsageError(
            f"the resampling of overviews is {name!r}: expected one of {', '.join(names)}"
            f"{did_you_mean(name, names)}"
        )


@dataclass(frozen=True, slots=True)
class PendingOverviews:
    """Overviews that GDAL makes from a file, after the last window.

    Attributes
    ----------
    path : str
    factors : tuple of int
        Factors of the overviews that GDAL makes.
    beside : bool
        Whether GDAL writes them to an ``.ovr`` file instead of the file itself.
    levels : tuple of (int, int)
        Pairs of a level of the output and the same level in the file, where
        0 is the file's raster.
    """

    path: str
    factors: tuple[int, ...]
    beside: bool
    levels: tuple[tuple[int, int], ...]


def from_source_level(plan: OverviewPlan, width: int, height: int, *, cascades: bool) -> list[int]:
    """Return the levels that are made from the source level.

    Parameters
    ----------
    plan : OverviewPlan
    width, height : int
        Size of the raster, in pixels.
    cascades : bool
        Whether GDAL makes each overview from the previous one even with
        nearest resampling: if the file is pixel-interleaved, or a band is
        alpha.
    """
    levels = range(plan.encoded + 1, len(plan.factors) + 1)
    if not plan.source_level:
        return []
    if plan.resampling == "nearest" and not cascades:
        # As long as pixels do not drift, the source makes no difference.
        return [level for level in levels if not (width % 2**level or height % 2**level)]
    return list(levels)


def pending_overviews(
    plan: OverviewPlan, width: int, height: int, path: str, source_path: str, *, cascades: bool
) -> list[PendingOverviews]:
    """Return the overviews to make after the last window.

    Parameters
    ----------
    plan : OverviewPlan
    width, height : int
        Size of the output, in pixels.
    path : str
        Path of the output, with all its pixels.
    source_path : str
        Path of the file with the source level.
    cascades : bool
        See `from_source_level`.
    """
    pending = []
    levels = from_source_level(plan, width, height, cascades=cascades)
    if levels:
        pending.append(_from_level(source_path, levels, plan.source_level))
    rest = [
        level for level in range(plan.encoded + 1, len(plan.factors) + 1) if level not in levels
    ]
    if rest and cascades and plan.resampling == "nearest":
        # In an .ovr file, GDAL makes every overview from the raster. So it makes
        # only the first there, and the others as overviews of that file.
        first = tuple((level, level) for level in rest if level == 1)
        pending.append(PendingOverviews(path, (2,), True, first))
        if rest != [1]:
            pending.append(_from_level(f"{path}.ovr", [level for level in rest if level > 1], 1))
    elif rest:
        # All levels from the first, or the others would not be made from it.
        factors = tuple(2**level for level in range(1, len(plan.factors) + 1))
        pending.append(
            PendingOverviews(path, factors, True, tuple((level, level) for level in rest))
        )
    return pending


def _from_level(path: str, levels: Sequence[int], first: int) -> PendingOverviews:
    """Return the levels to make in a file whose raster is one of the levels."""
    factors = tuple(2 ** (level - first) for level in levels if level > first)
    return PendingOverviews(path, factors, False, tuple((level, level - first) for level in levels))
