"""Directories that are laid out are read back as they were."""

import io
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given, strategies as st

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.geotiff.ifd import (
    IFD,
    Entry,
    entries_of,
    fits_classic,
    serialize,
    with_block_table,
)
from rio_mucho_cli.windows import Size

ORDERS = st.sampled_from(["<", ">"])
# Types as TIFF numbers them, and numpy's for them.
NUMBERS = {1: "u1", 3: "u2", 4: "u4", 12: "f8"}


def head(order, big, first):
    """Return what stands before the first directory: the header, and room for pixels."""
    mark = b"II" if order == "<" else b"MM"
    number = struct.pack(f"{order}HHHQ", 43, 8, 0, first) if big else None
    data = mark + (number or struct.pack(f"{order}HI", 42, first))
    return data.ljust(first, b"\0")


def numbers(order, tag, kind, values):
    array = np.asarray(values).astype(f"{order}{NUMBERS[kind]}")
    return Entry(tag, kind, len(array), array.tobytes())


@st.composite
def entries(draw, order):
    """Draw entries of private tags, in any order."""
    found = []
    for tag in draw(st.sets(st.integers(41000, 42000), max_size=8)):
        kind = draw(st.sampled_from([2, *NUMBERS]))
        if kind == 2:
            text = draw(st.text("abc<>", max_size=40)).encode() + b"\0"
            found.append(Entry(tag, 2, len(text), text))
        else:
            values = draw(st.lists(st.integers(0, 255), min_size=1, max_size=20))
            found.append(numbers(order, tag, kind, values))
    return found


@given(st.data(), ORDERS, st.booleans(), st.integers(8, 200).map(lambda n: 2 * n))
def test_a_chain_is_read_back_entry_by_entry(data, order, big, start):
    chain = [data.draw(entries(order)) for _ in range(data.draw(st.integers(1, 5)))]
    content = head(order, big, start) + serialize(chain, start, order, big=big)
    found = IFD.read_all(content)
    assert [entries_of(content, each) for each in found] == [
        sorted(each, key=lambda entry: entry.tag) for each in chain
    ]
    for directory in found:
        for tag in directory.tags.values():
            assert tag.offset + tag.size <= len(content)
            if tag.size > (8 if big else 4):
                assert tag.offset % 2 == 0


def image(order, size, count, private=()):
    """Return the entries of an image of one band, in tiles of 16 pixels."""
    return [
        numbers(order, 256, 3, [size.width]),
        numbers(order, 257, 3, [size.height]),
        numbers(order, 258, 3, [8]),
        numbers(order, 259, 3, [1]),
        numbers(order, 262, 3, [1]),
        numbers(order, 277, 3, [1]),
        numbers(order, 322, 3, [16]),
        numbers(order, 323, 3, [16]),
        numbers(order, 324, 4, [0] * count),
        numbers(order, 325, 4, [0] * count),
        *private,
    ]


@given(st.data(), ORDERS, st.booleans())
def test_tifffile_reads_images_that_were_resized(data, order, big):
    size = Size(40, 30)
    private = data.draw(entries(order))
    chain, pixels = [], []
    start, tiles = 16, bytearray()
    for level in range(data.draw(st.integers(1, 4))):
        width, height = -(-size.width // 2**level), -(-size.height // 2**level)
        across, down = -(-width // 16), -(-height // 16)
        values = np.arange(across * down * 256).reshape(across * down, 16, 16).astype("u1")
        offsets = start + len(tiles) + 256 * np.arange(across * down)
        counts = np.full(across * down, 256)
        tiles += values.tobytes()
        chain.append(
            with_block_table(
                image(order, size, 6, private), order, Size(width, height), offsets, counts, big=big
            )
        )
        rows = values.reshape(down, across, 16, 16).swapaxes(1, 2).reshape(down * 16, across * 16)
        pixels.append(rows[:height, :width])
    at = start + len(tiles)
    content = head(order, big, at)[:start] + tiles + serialize(chain, at, order, big=big)
    with tifffile.TiffFile(io.BytesIO(content)) as reader:
        assert (reader.byteorder, reader.is_bigtiff) == (order, big)
        assert len(reader.pages) == len(pixels)
        for page, expected in zip(reader.pages, pixels, strict=True):
            np.testing.assert_array_equal(page.asarray(), expected)
            assert {entry.tag for entry in private} <= {tag.code for tag in page.tags}
    for directory in IFD.read_all(content):
        offsets, counts = directory.table_tags
        assert offsets.type == (16 if big else 4)
        assert counts.type == 4


def test_strips_keep_their_tables():
    strips = [numbers("<", 273, 4, [8, 9]), numbers("<", 279, 4, [1, 1])]
    found = with_block_table(
        strips, "<", Size(10, 4), np.array([100, 200]), np.array([3, 5]), big=False
    )
    by_tag = {entry.tag: np.frombuffer(entry.data, "<u4").tolist() for entry in found}
    assert by_tag == {256: [10], 257: [4], 273: [100, 200], 279: [3, 5]}


LIMIT = 2**32


def test_a_classic_tiff_ends_at_4_gb():
    chain = [[numbers("<", 256, 3, [1]), numbers("<", 257, 4, [1, 2, 3])]] * 2
    length = len(serialize(chain, 8, "<", big=False))
    assert len(serialize(chain, LIMIT - length, "<", big=False)) == length
    for start in (LIMIT - length + 2, LIMIT, LIMIT * 2):
        with pytest.raises(OutputError, match=r"larger than 4294967295 bytes.*BIGTIFF.: .YES"):
            serialize(chain, start, "<", big=False)
        assert serialize(chain, start, "<", big=True)


def test_files_that_fit_a_classic_tiff():
    assert fits_classic(LIMIT - 1)
    assert not fits_classic(LIMIT)
