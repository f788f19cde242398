from hypothesis import given, strategies as st

from rio_mucho_cli.planning.windows import TARGET_PIXELS, default_size
from rio_mucho_cli.windows import Size, window_grid

LENGTHS = st.integers(1, 400)
SIZES = st.builds(Size, LENGTHS, LENGTHS)


@given(st.integers(1, 10**6), st.integers(1, 10**6), SIZES, st.booleans())
def test_default_size_is_whole_blocks_and_about_a_million_pixels(width, height, block, whole_rows):
    size = default_size(width, height, block, whole_rows=whole_rows)
    assert size.height % block.height == 0
    if whole_rows:
        assert size.width == width
        assert size.width * (size.height - block.height) <= TARGET_PIXELS
    else:
        assert size.width % block.width == 0
        assert size.width * size.height <= TARGET_PIXELS
        assert size.width * size.height >= TARGET_PIXELS / 4


@given(st.integers(1, 10**6), st.integers(1, 10**6), SIZES, st.booleans(), st.integers(0, 10**9))
def test_default_size_is_one_block_or_within_what_there_is_room_for(
    width, height, block, whole_rows, most
):
    size = default_size(width, height, block, whole_rows=whole_rows, most=most)
    assert size.width * size.height <= max(
        most, block.width * block.height, width * block.height * (block.width >= width)
    )
    assert size.width % block.width == 0 or size.width == width


@given(st.integers(1, 10**6), st.integers(1, 10**6), SIZES, st.integers(0, 10**9))
def test_low_windows_have_blocks_one_above_the_other_only_if_they_are_as_wide_as_the_raster(
    width, height, block, most
):
    size = default_size(width, height, block, low=True, most=most)
    assert size.height % block.height == size.width % block.width == 0
    assert size.height == block.height or size.width >= width
    pixels = max(block.width * block.height, min(most, TARGET_PIXELS))
    assert size.width * size.height <= pixels


def test_one_row_strips_do_not_make_a_window_for_each_row():
    size = default_size(8000, 8000, Size(256, 256), whole_rows=True)
    assert len(window_grid(8000, 8000, size)) == 32
