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
    scale_window,
    side_of_tiles,
)
from rio_mucho_cli.windows import Size, WindowList, aligned_to_blocks, pairs_of, window_grid

SIDE = st.integers(1, 3000)
BLOCK = st.sampled_from([64, 128, 256])


def powers(count):
    return [2**level for level in range(1, count + 1)]


@st.composite
def plans(draw):
    """Draw a plan of overviews, the windows it is made for, and the raster's size."""
    scale = draw(st.sampled_from([1, 2, 8, 64, 256]))
    width, height = draw(st.integers(1, 40)) * scale, draw(st.integers(1, 40)) * scale
    block = draw(BLOCK)
    sides = st.integers(1, 8).map(lambda times: times * block)
    windows = window_grid(width, height, Size(draw(sides), draw(sides)))
    factors = powers(draw(st.integers(1, 6)))
    resampling = draw(st.sampled_from(LOCAL_RESAMPLINGS))
    plan = plan_overviews(factors, resampling, block, windows, width, height)
    return plan, windows, width, height


@given(plans())
def test_levels_are_encoded_in_windows_while_their_blocks_lie_in_one(drawn):
    plan, windows, width, height = drawn
    for level in range(1, plan.encoded + 1):
        side = plan.block * 2**level
        assert aligned_to_blocks(windows, Size(side, side), width, height)
        assert width % 2**level == height % 2**level == 0


@given(plans())
def test_blocks_of_encoded_levels_come_once(drawn):
    plan, windows, width, height = drawn
    for level in range(1, plan.encoded + 1):
        size = plan.size(level, width, height)
        parts = [scale_window(window, 2**level, size) for window, _ in pairs_of(windows)]
        assert sum(part.width * part.height for part in parts) == size.width * size.height
        for part in parts:
            assert part.col_off % plan.block == part.row_off % plan.block == 0


@given(plans())
def test_the_source_level_is_the_first_that_is_not_encoded_or_the_last_that_is(drawn):
    plan, windows, width, height = drawn
    assert plan.in_windows <= len(plan.factors)
    if plan.source_level:
        assert plan.is_local
        assert plan.source_level in (plan.encoded, plan.encoded + 1)
        side = 2**plan.source_level
        assert width % side == height % side == 0
        assert aligned_to_blocks(windows, Size(side, side), width, height)


@given(plans(), st.booleans())
def test_every_level_is_made_once(drawn, cascades):
    plan, _, width, height = drawn
    if not plan.is_local:
        return
    pending = pending_overviews(plan, width, height, "out.tif", "level.tif", cascades=cascades)
    made = [level for source in pending for level, _ in source.levels]
    assert sorted(made) == list(range(plan.encoded + 1, len(plan.factors) + 1))
    for source in pending:
        for level, number in source.levels:
            first = source.levels[0][0] - source.levels[0][1]
            if source.path == "level.tif":
                assert number == level - plan.source_level
            if not source.beside:
                assert number == level - first
            if number:
                assert number <= len(source.factors)


@given(plans(), st.booleans())
def test_files_are_made_before_others_are_made_of_them(drawn, cascades):
    plan, _, width, height = drawn
    if not plan.is_local:
        return
    made = {"out.tif", "level.tif"}
    for source in pending_overviews(plan, width, height, "out.tif", "level.tif", cascades=cascades):
        assert source.path in made
        if source.beside:
            made.add(f"{source.path}.ovr")


@given(plans())
def test_what_is_made_of_the_source_level_does_not_drift_away_from_it(drawn):
    plan, _, width, height = drawn
    for level in from_source_level(plan, width, height, cascades=False):
        assert level >= plan.source_level
        if plan.resampling == "nearest":
            assert width % 2**level == height % 2**level == 0


WINDOWS = window_grid(1024, 1024, Size(256, 256))


@pytest.mark.parametrize(
    ("given", "encoded", "source_level"),
    [
        ({}, 2, 3),  # 64 pixels of level 2 are 256 of the raster
        ({"block": 256}, 0, 1),
        ({"factors": [2, 4]}, 2, 0),
        ({"windows": window_grid(1024, 1024, Size(64, 64))}, 0, 1),
        ({"windows": window_grid(1024, 1024, Size(1024, 1024))}, 3, 0),
        ({"width": 1022, "windows": window_grid(1022, 1024, Size(256, 256))}, 1, 1),
        ({"width": 1023, "windows": window_grid(1023, 1024, Size(256, 256))}, 0, 0),
        (
            {"windows": WindowList.of([(Window(256, 512, 256, 256), (0, 0))], Size(1024, 1024))},
            2,
            3,
        ),
        ({"by_windows": False}, 0, 0),
    ],
    ids=str,
)
def test_plans(given, encoded, source_level):
    plan = {
        "factors": [2, 4, 8], "resampling": "average", "block": 64, "windows": WINDOWS,
        "width": 1024, "height": 1024, **given,
    }  # fmt: skip
    overviews = plan_overviews(**plan)
    assert (overviews.encoded, overviews.source_level, overviews.is_local) == (
        encoded,
        source_level,
        True,
    )


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
    plan = plan_overviews(factors, resampling, 64, windows, width, 1024)
    assert not plan.is_local
    assert plan.in_windows == 0


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
    window = scale_window(Window(left, top, width - left, height - top), factor, size)
    assert window == Window(col, row, across, down)
    assert (window.col_off + window.width, window.row_off + window.height) == size


def test_sizes_of_levels_are_rounded_up():
    plan = OverviewPlan((2, 4, 8))
    sizes = [plan.size(level, 101, 7) for level in range(4)]
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
