"""Names that may have been meant."""

import functools

import pytest
from hypothesis import given, strategies as st

from rio_mucho_cli.text import _distance, did_you_mean, did_you_mean_file, functions_in


@pytest.mark.parametrize(
    ("name", "others", "expected"),
    [
        ("rum", ["run", "other"], ": did you mean 'run'?"),
        ("COMPRES", ["COMPRESS"], ": did you mean 'COMPRESS'?"),
        ("tiff", ["GTiff", "PNG"], ": did you mean 'GTiff'?"),
        ("same", ["same"], ""),
        ("far", ["quite", "different"], ""),
        ("any", [], ""),
        ("nomodule", ["mdurl", "module"], ": did you mean 'module'?"),
        ("nomodule", ["mdurl", "node"], ""),
        ("--fnuc", ["--co", "--func"], ": did you mean '--func'?"),
        ("unit8", ["int8", "uint8", "uint16"], ": did you mean 'uint8'?"),
        ("GTif", ["GTI", "GTiff"], ": did you mean 'GTiff'?"),
        ("RUN", ["ran", "run"], ": did you mean 'run'?"),
        ("ab", ["ac", "b"], ""),
        ("xyz", ["abc", "xy", "x"], ": did you mean 'xy'?"),
        ("mask", ["masked", "skip_masked"], ": did you mean 'masked'?"),
        ("over", ["overlap", "overwrite"], ""),
        ("ma", ["masked"], ""),
    ],
)
def test_nearest(name, others, expected):
    assert did_you_mean(name, others) == expected


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_the_distance_is_that_of_the_plainest_way(one, other):
    def distance(i, j):
        """Return the distance of the first i and the first j letters."""
        if not i or not j:
            return i + j
        ways = [
            distance(i - 1, j) + 1,
            distance(i, j - 1) + 1,
            distance(i - 1, j - 1) + (one[i - 1] != other[j - 1]),
        ]
        if i > 1 and j > 1 and one[i - 2 : i] == other[j - 2 : j][::-1]:
            ways.append(distance(i - 2, j - 2) + 1)
        return min(ways)

    distance = functools.cache(distance)
    assert _distance(one, other) == distance(len(one), len(other))


def test_what_is_no_raster_is_not_meant(tmp_path):
    for name in ("index.py", "index.json", "indexx.txt"):
        (tmp_path / name).touch()
    assert did_you_mean_file(str(tmp_path / "index.tif")) == ""
    (tmp_path / "index.jp2").touch()
    assert "index.jp2" in did_you_mean_file(str(tmp_path / "index.tif"))


def test_nearest_file(tmp_path):
    (tmp_path / "b5.tif").touch()
    (tmp_path / "b5.tifs").mkdir()
    assert (
        did_you_mean_file(str(tmp_path / "b5.tiff"))
        == f": did you mean {str(tmp_path / 'b5.tif')!r}?"
    )
    (tmp_path / "scene_2017.tif").touch()
    assert "scene_2017.tif" in did_you_mean_file(str(tmp_path / "scene_2071.tif"))
    assert did_you_mean_file(str(tmp_path / "b9.tif")) == ""
    assert did_you_mean_file(str(tmp_path / "missing.tif")) == ""
    assert did_you_mean_file(str(tmp_path / "no" / "b5.tiff")) == ""
    assert did_you_mean_file("x\0y/b5.tiff") == ""


def test_functions_are_found_without_running_anything(tmp_path):
    file = tmp_path / "mod.py"
    file.write_text("raise SystemExit\ndef run(): ...\nclass Add: ...\ndef _mine(): ...\n")
    assert functions_in(file) == ["run", "Add"]
    file.write_text("def run(:")
    assert functions_in(file) == []
    assert functions_in(tmp_path / "none.py") == []
