"""Bytes and texts that nobody has made on purpose."""

import contextlib
import json
import struct
import tempfile
import tracemalloc

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings, strategies as st
from rasterio.io import MemoryFile
from rasterio.rio.main import main_group
from rasterio.windows import Window

from rio_mucho_cli.cli.windows import read_windows, windows_from_features
from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.geotiff import block_table
from rio_mucho_cli.geotiff.ifd import IFD
from rio_mucho_cli.planning.windows import check_windows
from rio_mucho_cli.windows import Size, WindowList, parse_size

SAMPLE, CAMPAIGN = 40, settings.get_profile("faults").max_examples


def fuzzed(strategy, *examples):
    """Return a decorator: try a check with some examples, and with many in the campaign."""

    def decorate(check):
        @pytest.mark.parametrize(
            "number", [SAMPLE, pytest.param(CAMPAIGN, marks=pytest.mark.campaign)]
        )
        def test(number):
            trial = given(strategy)(check)
            for each in examples:
                trial = example(each)(trial)
            settings(max_examples=number)(trial)()

        return test

    return decorate


def made(**profile):
    pixels = np.arange(40 * 70).reshape(1, 40, 70).astype("uint8")
    with MemoryFile(ext=".tif") as memory:
        with memory.open(
            driver="GTiff", count=1, width=70, height=40, dtype="uint8", **profile
        ) as dst:
            dst.write(pixels)
        return memory.read()


TILES = {"tiled": True, "blockxsize": 16, "blockysize": 16}
WHOLE = [
    made(compress="deflate"),
    made(bigtiff="YES", **TILES),
    made(endianness="BIG", compress="lzw", **TILES),
]
# Numbers that parsers stumble over.
EXTREMES = [0, 1, 2**8 - 1, 2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]


@st.composite
def damaged(draw):
    """Return a TIFF of GDAL's in which some numbers are others."""
    data = bytearray(draw(st.sampled_from(WHOLE)))
    near = st.one_of(st.integers(0, 400), st.integers(0, len(data) - 1))
    number = st.one_of(st.sampled_from(EXTREMES), st.integers(0, len(data) + 10))
    for _ in range(draw(st.integers(1, 5))):
        place, kind = draw(near), draw(st.sampled_from("BHIQ"))
        order = draw(st.sampled_from("<>"))
        size = struct.calcsize(kind)
        packed = struct.pack(order + kind, draw(number) % 2 ** (8 * size))
        data[place : place + size] = packed
    return bytes(data[: draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))])


heads = st.sampled_from([b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0", b""])
any_bytes = st.builds(lambda head, rest: head + rest, heads, st.binary(max_size=400))


@fuzzed(
    st.one_of(damaged(), any_bytes),
    b"II*\0\x08\0\0\0" + b"\0\0" + b"\x08\0\0\0",  # a directory that comes after itself
    b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**64 - 1),
    b"II*\0\0\0\0\0",
)
def test_a_tiff_of_any_bytes_is_read_or_a_value_error(data):
    is_whole = block_table.is_whole(data)
    assert is_whole in (True, False)
    try:
        directories = IFD.read_all(data)
    except ValueError:
        assert not is_whole
        return
    assert 1 <= len(directories) <= 64
    for directory in directories:
        with contextlib.suppress(ValueError):
            content, sizes = block_table.split_blocks(data, directory)
            assert len(content) == sizes.sum() <= len(data)
        for tag in directory.tags.values():
            with contextlib.suppress(ValueError):
                assert directory.values(data, tag).nbytes <= len(data)


def test_no_claim_takes_memory():
    """A table that says it has 2^64 numbers, and blocks that share all of a large file."""
    data = bytearray(made(bigtiff="YES", **TILES))
    directory = IFD.read(bytes(data))
    for tag in directory.table_tags:
        data[tag.entry_offset + 4 : tag.entry_offset + 12] = struct.pack("<Q", 2**61)
    tracemalloc.start()
    try:
        assert not block_table.is_whole(bytes(data))
        with pytest.raises(ValueError, match="beyond"):
            block_table.split_blocks(bytes(data), IFD.read(bytes(data)))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_blocks_that_share_bytes_are_not_copied():
    data = bytearray(made(**TILES))
    directory = IFD.read(bytes(data))
    offsets, counts = directory.table_tags
    for tag, value in ((offsets, 0), (counts, len(data))):
        values = np.full(tag.count, value)
        data[tag.offset : tag.offset + tag.size] = directory.table_bytes(tag, values)
    with pytest.raises(ValueError, match="over each other"):
        block_table.split_blocks(bytes(data), IFD.read(bytes(data)))


@fuzzed(
    st.one_of(st.text(), st.from_regex(r"\d{1,30}[xX]?\d{0,30}", fullmatch=True)),
    "9" * 5000,
    "1x" + "9" * 5000,
    "٣x٣",
)
def test_any_text_is_a_size_or_none_or_a_windows_error(text):
    try:
        size = parse_size(text)
    except WindowsError:
        return
    assert size is None or (isinstance(size, Size) and min(size) > 0)


numbers = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=5))
json_values = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["col_off", "row_off", "width", "height", "window", "block", "a"]),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)
window_like = st.fixed_dictionaries(
    {name: st.one_of(st.integers(-5, 100), numbers) for name in
     ("col_off", "row_off", "width", "height")}
)  # fmt: skip
features = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {
            "type": st.just("Feature"),
            "properties": st.fixed_dictionaries({
                "window": st.one_of(window_like, window_like.map(json.dumps), json_values),
                "block": st.one_of(st.lists(st.integers(0, 9), max_size=3), json_values),
            }),
        }
    ),
)  # fmt: skip


@fuzzed(
    st.lists(features, max_size=6),
    [{"properties": {"window": "[" * 100_000}}],
    [{"properties": {"window": {"col_off": 0, "row_off": 0, "width": 0, "height": -1}}}],
)
def test_any_features_are_windows_or_a_windows_error(found):
    try:
        windows = windows_from_features(found)
        check_windows(WindowList.of(windows, Size(60, 50)), 60, 50)
    except WindowsError:
        return
    assert all(isinstance(window, Window) for window, _ in windows)


@fuzzed(
    st.one_of(
        st.binary(max_size=200),
        st.lists(features, max_size=4).map(
            lambda each: "\n".join(map(json.dumps, each)).encode("utf-8", "replace")
        ),
        st.lists(features, max_size=4).map(
            lambda each: json.dumps({"type": "FeatureCollection", "features": each}).encode()
        ),
    ),
    b"[" * 100_000,
    b'{"a":' * 100_000 + b"\n{}",
)
def test_any_file_of_windows_is_read_or_a_windows_error(data):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(data)
        file.flush()
        try:
            windows = read_windows(file.name)
        except WindowsError:
            return
    assert all(isinstance(window, Window) for window, _ in windows)


@pytest.mark.parametrize("text", ["9" * 5000, "a" * 5000, "a\0b", "1x" + "9" * 50, "[" * 3000])
def test_windows_that_make_no_sense_are_one_line(tmp_path, monkeypatch, make_raster, text):
    monkeypatch.chdir(tmp_path)
    make_raster("in.tif")
    (tmp_path / "hindered.py").write_text(
        "def run(data, window, ij, global_args):\n    return data[0]\n"
    )
    command = ["mucho", "in.tif", "out.tif", "--func", "hindered:run", "-j", "1", "--windows", text]
    done = CliRunner().invoke(main_group, command)
    assert done.exit_code in (0, 2), done.output
    assert "Traceback" not in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
