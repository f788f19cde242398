import os

import pytest

from rio_mucho_cli.outputs.files import journal_of, partial_folder
from rio_mucho_cli.outputs.mosaic_folder import parts_folder

FILES = {"mod.py", "a.tif", "b.tif"}


def name_of(length, ending, letter="n"):
    """Return a name of so many bytes."""
    size = len(letter.encode())
    stem, rest = divmod(length - len(ending), size)
    return "n" * rest + letter * stem + ending


@pytest.mark.parametrize("letter", ["n", "é", "字", "🛰"])
@pytest.mark.parametrize("length", [100, 200, 226, 227, 241, 242, 255])
def test_what_lies_beside_an_output_has_a_name_that_is_allowed(tmp_path, length, letter):
    path = str(tmp_path / name_of(length, ".tif", letter))
    for beside in (partial_folder(path), parts_folder(path), journal_of(path)):
        assert len(os.fsencode(beside.name)) <= 241
    assert partial_folder(path).name.endswith(".mucho-partial")
    other = str(tmp_path / name_of(length - 1, ".tif", letter)) + "x"
    assert partial_folder(other) != partial_folder(path)


@pytest.mark.parametrize(("length", "letter"), [(242, "n"), (250, "n"), (255, "n"), (255, "🛰")])
@pytest.mark.parametrize("more", [[], ["--resume"], ["-f", "COG", "--resume"]], ids=str)
def test_a_long_name_is_as_good_as_another(mucho, read, tmp_path, length, letter, more):
    name = name_of(length, ".tif", letter)
    for again in ([], ["--overwrite"]):
        result = mucho("--func", "mod:copy", "-j", "1", *more, *again, output=name)
        assert (result.exit_code, "Traceback" in result.stderr) == (0, False), result.stderr
        assert (read(tmp_path / name) == read(tmp_path / "a.tif")).all()
    assert {path.name for path in tmp_path.glob("*")} - {"__pycache__"} == {*FILES, name}


def test_what_was_done_is_kept_under_a_long_name(mucho, tmp_path):
    name = name_of(255, ".tif")
    result = mucho("--func", "mod:bad", "-q", "-j", "1", "--resume", output=name)
    assert result.exit_code == 1, result.stderr
    assert "Finished windows are kept in n" in result.stderr
    assert partial_folder(str(tmp_path / name)).is_dir()


@pytest.mark.parametrize("length", [240, 255])
def test_a_mosaic_with_a_long_name(mucho, read, tmp_path, length):
    name = name_of(length, ".vrt")
    for again in (["--resume"], ["--overwrite"]):
        result = mucho("--func", "mod:copy", "-q", "-j", "1", *again, output=name)
        assert result.exit_code == 0, result.stderr
        assert (read(tmp_path / name) == read(tmp_path / "a.tif")).all()


@pytest.mark.parametrize("ending", [".tif", ".vrt", ".png"])
@pytest.mark.parametrize("more", [[], ["--resume"], ["--dry-run"]], ids=str)
def test_a_name_that_no_file_can_have(mucho, tmp_path, ending, more):
    name = name_of(256, ending)
    result = mucho("--func", "mod:copy", "-t", "uint8", "-j", "1", *more, output=name)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "File name too long" in line
    assert {path.name for path in tmp_path.glob("*")} - {"__pycache__"} == FILES
