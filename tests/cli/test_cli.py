"""`rio mucho` through rasterio's own command group."""

import json
import re

import numpy as np
import pytest
import rasterio
from rasterio.rio.main import main_group

ONE_LINE = r"out\.tif: 16 windows in [\d.]+ m?s, [\d.]+ [kM]px/s, [\d.]+ kB\n"


def succeeded(result):
    assert result.exit_code == 0, result.output
    return result


def test_index_of_two_bands(mucho, read):
    result = succeeded(mucho("--func", "mod:index", "-j", "2"))
    assert result.stdout == ""
    assert re.fullmatch(ONE_LINE, result.stderr)
    a, b = read("a.tif").astype("float32"), read("b.tif").astype("float32")
    out = read("out.tif")
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, (a - b) / (a + b + 1))


def test_output_option_leaves_all_files_as_inputs(rio, mucho, read):
    succeeded(rio("mucho", "-o", "out.tif", "a.tif", "b.tif", "--func", "mod:index"))
    assert read("out.tif").shape == (1, 64, 64)


def test_class_is_made_with_the_args(mucho, read):
    succeeded(mucho("--func", "mod.py:Add", "--arg", "k=7", "-j", "2", "--executor", "threads"))
    np.testing.assert_array_equal(read("out.tif"), read("a.tif") + 7)


@pytest.mark.parametrize("how", ["text", "file", "stdin"])
def test_global_args(mucho, tmp_path, how):
    text = json.dumps({"a": 1, "b": "other", "c": [1, 2]})
    (tmp_path / "args.json").write_text(text)
    value = {"text": text, "file": "@args.json", "stdin": "-"}[how]
    args = ["--global-args", value, "--arg", "b=text", "--arg", "d=null"]
    succeeded(mucho("--func", "mod:args", *args, input=text))


def test_profile_options(mucho, profile_of):
    args = ["-t", "float64", "--nodata", "-1", "--co", "compress=zstd", "--co", "blockxsize=32"]
    succeeded(mucho("--func", "mod:copy", "--count", "1", *args))
    profile = profile_of("out.tif")
    names = ("dtype", "nodata", "compress", "blockxsize", "blockysize", "tiled")
    assert [profile[name] for name in names] == ["float64", -1, "zstd", 32, 16, True]


def test_format_is_asked_for_or_the_extensions(mucho, profile_of):
    succeeded(mucho("--func", "mod:copy", "-t", "uint8", output="out.png"))
    assert profile_of("out.png")["driver"] == "PNG"
    succeeded(mucho("--func", "mod:copy", "-f", "ENVI", output="out.bin"))
    assert profile_of("out.bin")["driver"] == "ENVI"


@pytest.mark.filterwarnings("ignore")  # rio blocks uses names that click will drop
def test_windows_of_rio_blocks(rio, mucho, read):
    rio("blocks", "a.tif", "-o", "collection.json")
    sequence = rio("blocks", "--sequence", "a.tif").stdout
    lines = sequence.splitlines()
    for windows, stdin in [("collection.json", None), ("-", sequence), ("-", lines[0])]:
        succeeded(mucho("--func", "mod:copy", "--overwrite", "--windows", windows, input=stdin))
        rows = 64 if stdin != lines[0] else json.loads(lines[0])["properties"]["window"]["height"]
        expected = read("a.tif")
        expected[:, rows:] = 0
        np.testing.assert_array_equal(read("out.tif"), expected)


def test_in_place(mucho, read, leftovers):
    before = read("a.tif")
    succeeded(mucho("--func", "mod:Add", "--overwrite", "-j", "2", output="a.tif"))
    np.testing.assert_array_equal(read("a.tif"), before + 1)
    assert not leftovers()


def test_a_failure_in_place_leaves_the_input(mucho, tmp_path, leftovers):
    before = (tmp_path / "a.tif").read_bytes()
    assert mucho("--func", "mod:bad", "--overwrite", output="a.tif").exit_code == 1
    assert (tmp_path / "a.tif").read_bytes() == before
    assert not leftovers()


def test_options_of_the_group_reach_the_workers(mucho, module, tmp_path):
    module(
        "import rasterio.env\n"
        "def run(data, *args):\n"
        "    assert rasterio.env.getenv()['MY_OPTION'] == 'yes'\n"
        "    return data[0]",
        "env.py",
    )
    result = mucho("--func", "env:run", "-j", "2", obj={})
    assert "MY_OPTION" in result.stderr  # it is missing where nobody sets it
    command = main_group.get_command(None, "mucho")
    args = ["a.tif", "out.tif", "--windows", "16", "--func", "env:run", "-j", "2"]
    with rasterio.Env():
        command.main(args, obj={"env": rasterio.Env(MY_OPTION="yes")}, standalone_mode=False)


def test_verbose_tells_the_plan(mucho, caplog):
    caplog.set_level("INFO", "rio_mucho_cli")
    succeeded(mucho("--func", "mod:copy", "-j", "1"))
    assert "16 windows, 1 job (serial)" in caplog.text
