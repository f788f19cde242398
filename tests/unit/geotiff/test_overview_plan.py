"""Who makes which overview: arithmetic only."""

import math

import pytest
from hypothesis import given, strategies as st
from rasterio.windows import Window

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.geotiff.overview_plan import (
    LOCAL_RESAMPLINGS,
    OverviewPlan,
    check_factors,
    check_resampling,
    default_factors,
    from_source_level,
    pending_overviews,
    plan_overviews,
    scaled,
    side_of_tiles,
)
from rio_mucho_cli.windows import Size, aligned_to_blocks, window_grid

SIDE = st.integers(1, 3000)
BLOCK = st.sampled_from([64, 128, 256])


def powers(count):
    return [2**level for level in range(1, count + 1)]


@st.composite
def pyramids(draw):
    """Draw a plan: the pyramid, the windows that it is made for, and the raster's size."""
    scale = draw(st.sampled_from([1, 2, 8, 64, 256]))
    width, height = draw(st.integers(1, 40)) * scale, draw(st.integers(1, 40)) * scale
    block = draw(BLOCK)
    sides = st.integers(1, 8).map(lambda times: times * block)
    windows = window_grid(width, height, Size(draw(sides), draw(sides)))
    factors = powers(draw(st.integers(1, 6)))
    resampling = draw(st.sampled_from(LOCAL_RESAMPLINGS))
    pyramid = plan_overviews(factors, resampling, block, windows, width, height)
    return pyramid, windows, width, height


@given(pyramids())
def test_levels_are_encoded_in_windows_while_their_blocks_lie_in_one(plan):
    pyramid, windows, width, height = plan
    for level in range(1, pyramid.encoded + 1):
        side = pyramid.block * 2**level
        assert aligned_to_blocks(windows, Size(side, side), width, height)
        assert width % 2**level == height % 2**level == 0


@given(pyramids())
def test_blocks_of_encoded_levels_come_once(plan):
    pyramid, windows, width, height = plan
    for level in range(1, pyramid.encoded + 1):
        size = pyramid.size(level, width, height)
        parts = [scaled(window, 2**level, size) for window, _ in windows]
        assert sum(part.width * part.height for part in parts) == size.width * size.height
        for part in parts:
            assert part.col_off % pyramid.block == part.row_off % pyramid.block == 0


@given(pyramids())
def test_the_level_that_is_kept_is_the_first_that_is_not_encoded_or_the_last_that_is(plan):
    pyramid, windows, width, height = plan
    assert pyramid.in_windows <= len(pyramid.factors)
    if pyramid.kept:
        assert pyramid.is_local
        assert pyramid.kept in (pyramid.encoded, pyramid.encoded + 1)
        side = 2**pyramid.kept
        assert width % side == height % side == 0
        assert aligned_to_blocks(windows, Size(side, side), width, height)


@given(pyramids(), st.booleans())
def test_every_level_is_made_once(plan, cascades):
    pyramid, _, width, height = plan
    if not pyramid.is_local:
        return
    found = pending_overviews(pyramid, width, height, "out.tif", "kept.tif", cascades=cascades)
    made = [level for each in found for level, _ in each.levels]
    assert sorted(made) == list(range(pyramid.encoded + 1, len(pyramid.factors) + 1))
    for each in found:
        for level, number in each.levels:
            first = each.levels[0][0] - each.levels[0][1]
            if each.path == "kept.tif":
                assert number == level - pyramid.kept
            if not each.beside:
                assert number == level - first
            if number:
                assert number <= len(each.factors)


@given(pyramids(), st.booleans())
def test_files_are_made_before_others_are_made_of_them(plan, cascades):
    pyramid, _, width, height = plan
    if not pyramid.is_local:
        return
    made = {"out.tif", "kept.tif"}
    for each in pending_overviews(pyramid, width, height, "out.tif", "kept.tif", cascades=cascades):
        assert each.path in made
        if each.beside:
            made.add(f"{each.path}.ovr")


@given(pyramids())
def test_what_is_made_of_the_kept_level_does_not_drift_away_from_it(plan):
    pyramid, _, width, height = plan
    for level in from_source_level(pyramid, width, height, cascades=False):
        assert level >= pyramid.kept
        if pyramid.resampling == "nearest":
            assert width % 2**level == height % 2**level == 0


WINDOWS = window_grid(1024, 1024, Size(256, 256))


@pytest.mark.parametrize(
    ("given", "encoded", "kept"),
    [
        ({}, 2, 3),  # 64 pixels of level 2 are 256 of the raster
        ({"block": 256}, 0, 1),
        ({"factors": [2, 4]}, 2, 0),
        ({"windows": window_grid(1024, 1024, Size(64, 64))}, 0, 1),
        ({"windows": window_grid(1024, 1024, Size(1024, 1024))}, 3, 0),
        ({"width": 1022, "windows": window_grid(1022, 1024, Size(256, 256))}, 1, 1),
        ({"width": 1023, "windows": window_grid(1023, 1024, Size(256, 256))}, 0, 0),
        ({"windows": [(Window(256, 512, 256, 256), (0, 0))]}, 2, 3),
        ({"by_windows": False}, 0, 0),
    ],
    ids=str,
)
def test_plans(given, encoded, kept):
    plan = {
        "factors": [2, 4, 8], "resampling": "average", "block": 64, "windows": WINDOWS,
        "width": 1024, "height": 1024, **given,
    }  # fmt: skip
    pyramid = plan_overviews(**plan)
    assert (pyramid.encoded, pyramid.kept, pyramid.is_local) == (encoded, kept, True)


@pytest.mark.parametrize(
    ("factors", "resampling", "width"),
    [
        ([3], "average", 1024),
        ([4], "average", 1024),
        ([2, 4, 16], "nearest", 1024),
        ([2], "cubic", 1024),
        ([2, 4, 8], "average", 4),  # 4, 2, 1 and 1 columns
        ([2], "nearest", 1),
    ],
    ids=str,
)
def test_gdal_makes_what_cannot_be_made_window_by_window(factors, resampling, width):
    windows = window_grid(width, 1024, Size(256, 256))
    pyramid = plan_overviews(factors, resampling, 64, windows, width, 1024)
    assert not pyramid.is_local
    assert pyramid.in_windows == 0


@given(width=SIDE, height=SIDE, smallest=st.integers(1, 512))
def test_default_factors_end_when_both_sides_are_small(width, height, smallest):
    factors = default_factors(width, height, smallest)
    assert list(factors) == powers(len(factors))
    sides = [math.ceil(max(width, height) / factor) for factor in (1, *factors)]
    assert sides[-1] <= smallest
    assert all(side > smallest for side in sides[:-1])


@given(
    st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9),
    st.sampled_from([2, 4, 8]), st.data(),
)  # fmt: skip
def test_scaled_windows_cover_what_the_window_covers(col, row, across, down, factor, data):
    width = (col + across) * factor - data.draw(st.integers(0, factor - 1))
    height = (row + down) * factor - data.draw(st.integers(0, factor - 1))
    size = Size(math.ceil(width / factor), math.ceil(height / factor))
    left, top = col * factor, row * factor
    window = scaled(Window(left, top, width - left, height - top), factor, size)
    assert window == Window(col, row, across, down)
    assert (window.col_off + window.width, window.row_off + window.height) == size


def test_sizes_of_levels_are_rounded_up():
    pyramid = OverviewPlan((2, 4, 8))
    sizes = [pyramid.size(level, 101, 7) for level in range(4)]
    assert sizes == [(101, 7), (51, 4), (26, 2), (13, 1)]


@pytest.mark.parametrize(
    ("block", "side"),
    [
        (Size(64, 64), 64), (Size(512, 512), 512), (Size(4096, 4096), 4096), (None, 256),
        (Size(32, 32), 256), (Size(96, 96), 256), (Size(8192, 8192), 256), (Size(128, 64), 256),
    ],
    ids=str,
)  # fmt: skip
def test_tiles_of_overviews_are_those_of_the_raster_if_gdal_makes_such(block, side):
    assert side_of_tiles(block) == side


@pytest.mark.parametrize("factors", [[4, 2], [2, 2], [1], [0, 2], [-2]], ids=str)
def test_factors_that_are_none(factors):
    with pytest.raises(UsageError, match="expected ascending factors such as 2,4,8"):
        check_factors(factors)
    check_factors([2, 3, 7])


def test_resamplings_that_are_none():
    with pytest.raises(UsageError, match=r"is 'sum': expected one of nearest, .*mode"):
        check_resampling("sum")
    for name in (*LOCAL_RESAMPLINGS, "cubic", "gauss", "rms"):
        check_resampling(name)
