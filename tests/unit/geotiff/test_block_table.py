import io
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given, strategies as st
from rasterio.io import MemoryFile

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.geotiff import block_table, ifd
from rio_mucho_cli.geotiff.ifd import IFD, Tag
from rio_mucho_cli.windows import Size, pairs_of, window_grid

SIDES = st.integers(1, 6).map(lambda n: 16 * n)


def made(**profile):
    """Return a TIFF of GDAL's, and the array in it."""
    count, height, width = profile["count"], profile["height"], profile["width"]
    array = np.arange(count * height * width).reshape(count, height, width) % 251
    with MemoryFile(ext=".tif") as memory:
        with memory.open(driver="GTiff", **{"dtype": "uint8", **profile}) as dst:
            dst.write(array.astype(profile.get("dtype", "uint8")))
        return memory.read(), array


@st.composite
def profiles(draw):
    profile = {
        "width": draw(st.integers(1, 150)),
        "height": draw(st.integers(1, 150)),
        "count": draw(st.integers(1, 3)),
        "interleave": draw(st.sampled_from(["pixel", "band"])),
        "bigtiff": draw(st.sampled_from(["YES", "NO"])),
        "endianness": draw(st.sampled_from(["LITTLE", "BIG"])),
        "compress": draw(st.sampled_from(["none", "deflate"])),
        "tiled": draw(st.booleans()),
        "blockysize": draw(SIDES),
    }
    return {**profile, "blockxsize": draw(SIDES)} if profile["tiled"] else profile


@given(profiles())
def test_blocks_are_where_tifffile_finds_them(profile):
    data, _ = made(**profile)
    with tifffile.TiffFile(io.BytesIO(data)) as reader:
        page = reader.pages[0]
        expected = [
            data[offset : offset + count]
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
    content, sizes = block_table.split_blocks(data, IFD.read(data))
    assert content.tobytes() == b"".join(expected)
    assert sizes.tolist() == [len(block) for block in expected]


@given(profiles())
def test_tables_that_are_read_are_written_the_same(profile):
    data, _ = made(**profile)
    directory = IFD.read(data)
    for tag in directory.table_tags:
        values = directory.values(data, tag).astype(np.int64)
        packed = directory.table_bytes(tag, values)
        assert packed == data[tag.offset : tag.offset + tag.size]


@given(profiles())
def test_decoding_tags_are_all_that_tifffile_sees_of_them(profile):
    data, _ = made(**profile)
    with tifffile.TiffFile(io.BytesIO(data)) as reader:
        numbers = {tag.code for tag in reader.pages[0].tags}
    found = IFD.read(data).decoding(data)
    left_out = {262, 338}  # of colour: they matter to JPEG and WebP only
    if profile["count"] == 1:
        left_out.add(284)  # a single band lies together and apart
    assert len(found) == len(numbers & ifd._DECODING_TAGS.keys() - left_out)
    assert {"Compression", "SampleFormat"} <= found.keys()
    assert ("PlanarConfiguration" in found) == (profile["count"] > 1)


@given(st.integers(1, 300), st.integers(1, 300), SIDES, SIDES, st.integers(1, 3), SIDES, SIDES)
def test_windows_share_out_all_blocks(width, height, across, down, planes, wide, high):
    block = Size(across, down)
    windows = window_grid(width, height, Size(across * wide // 16, down * high // 16))
    indexes = [
        block_table.block_indexes(w, block, width, height, planes) for w, _ in pairs_of(windows)
    ]
    total = planes * -(-width // across) * -(-height // down)
    assert sorted(np.concatenate(indexes).tolist()) == list(range(total))


@given(profiles(), st.data())
def test_a_file_that_is_cut_off_is_not_whole(profile, data):
    whole, _ = made(**profile)
    assert block_table.is_whole(whole)
    directory = IFD.read(whole)
    offsets, counts = (directory.values(whole, tag) for tag in directory.table_tags)
    last = int((offsets + counts).max())
    assert not block_table.is_whole(whole[: data.draw(st.integers(0, last - 1))])


@pytest.mark.parametrize("data", [b"PNG no tiff at all", b"II\x00\x00aaaaaaaa", b""])
def test_what_is_no_tiff(data):
    with pytest.raises(ValueError, match="no TIFF"):
        IFD.read(data)


@pytest.mark.parametrize(("kind", "limit"), [(3, 2**16 - 1), (4, 2**32 - 1)])
def test_a_table_that_is_too_narrow_is_an_error(kind, limit):
    directory = IFD("<", {})
    tag = Tag(kind, 1, 0)
    assert struct.unpack(
        "<" + {3: "H", 4: "I"}[kind], directory.table_bytes(tag, np.array([limit]))
    )
    with pytest.raises(OutputError, match=r"BIGTIFF.: .YES"):
        directory.table_bytes(tag, np.array([limit + 1]))
