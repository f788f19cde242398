"""Names that may have been meant."""

import pytest

from rio_mucho_cli.nearest import functions_in, nearest, nearest_file


@pytest.mark.parametrize(
    ("name", "others", "expected"),
    [
        ("rum", ["run", "other"], ": did you mean 'run'?"),
        ("COMPRES", ["COMPRESS"], ": did you mean 'COMPRESS'?"),
        ("tiff", ["GTiff", "PNG"], ": did you mean 'GTiff'?"),
        ("same", ["same"], ""),
        ("far", ["quite", "different"], ""),
        ("any", [], ""),
    ],
)
def test_nearest(name, others, expected):
    assert nearest(name, others) == expected


def test_nearest_file(tmp_path):
    (tmp_path / "b5.tif").touch()
    (tmp_path / "b5.tifs").mkdir()
    assert (
        nearest_file(str(tmp_path / "b5.tiff")) == f": did you mean {str(tmp_path / 'b5.tif')!r}?"
    )
    (tmp_path / "scene_2017.tif").touch()
    assert "scene_2017.tif" in nearest_file(str(tmp_path / "scene_2071.tif"))
    assert nearest_file(str(tmp_path / "b9.tif")) == ""
    assert nearest_file(str(tmp_path / "missing.tif")) == ""
    assert nearest_file(str(tmp_path / "no" / "b5.tiff")) == ""
    assert nearest_file("x\0y/b5.tiff") == ""


def test_functions_are_found_without_running_anything(tmp_path):
    file = tmp_path / "mod.py"
    file.write_text("raise SystemExit\ndef run(): ...\nclass Add: ...\ndef _mine(): ...\n")
    assert functions_in(file) == ["run", "Add"]
    file.write_text("def run(:")
    assert functions_in(file) == []
    assert functions_in(tmp_path / "none.py") == []
