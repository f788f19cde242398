"""Features on the command line: files, standard input, and one line for what is wrong."""

import json

import pytest
import rasterio

FIELD = {
    "type": "Feature",
    "properties": {"crop": 7, "name": "ä"},
    "geometry": {"type": "Polygon", "coordinates": [[(0, 0), (9, 0), (9, 9), (0, 9), (0, 0)]]},
}
FIELD["geometry"]["coordinates"] = [
    [(4e5 + 30 * x, 5e6 - 30 * y) for x, y in FIELD["geometry"]["coordinates"][0]]
]
FIELDS = {
    "type": "FeatureCollection",
    "crs": {"type": "name", "properties": {"name": "EPSG:32633"}},
    "features": [FIELD],
}


@pytest.fixture
def fields(mucho, tmp_path):
    (tmp_path / "fields.geojson").write_text(json.dumps(FIELDS))
    far = {"type": "Point", "coordinates": [170, -40]}
    (tmp_path / "far.geojson").write_text(json.dumps(far))
    (tmp_path / "last.py").write_text("def run(data, *args):\n    return data[-1]\n")


def test_a_file_and_standard_input(fields, mucho, read):
    first = mucho("--func", "last.py:run", inputs=("a.tif", "fields.geojson"))
    assert first.exit_code == 0, first.output
    assert read("out.tif").sum() == 81
    second = mucho(
        "--func", "last.py:run", "--burn", "crop", "--overwrite",
        inputs=("a.tif", "-"), input=json.dumps(FIELDS),
    )  # fmt: skip
    assert second.exit_code == 0, second.output
    with rasterio.open("out.tif") as src:
        assert (src.dtypes, src.read().sum()) == (("int32",), 7 * 81)


def test_the_dry_run_names_what_is_burned(fields, mucho):
    inputs = ("a.tif", "fields.geojson")
    options = ("--func", "last.py:run", "--burn", "2=crop,all_touched", "--dry-run", "--no-probe")
    shown = " ".join(mucho(*options, inputs=inputs).stdout.split())
    expected = "input 2 fields.geojson: GeoJSON, 1 feature, burns crop as int32, all touched"
    assert expected in shown


def test_an_area_of_interest(fields, mucho, read):
    by_file = mucho("--func", "last.py:run", "--aoi", "fields.geojson", inputs=("b.tif",))
    assert by_file.exit_code == 0, by_file.output
    assert read("out.tif").shape == (1, 9, 9)
    options = ("--func", "last.py:run", "--aoi", "-", "--overwrite")
    by_stdin = mucho(*options, inputs=("b.tif",), input=json.dumps(FIELDS))
    assert by_stdin.exit_code == 0, by_stdin.output
    assert read("out.tif").shape == (1, 9, 9)
    options = (*options[:3], "fields.geojson", "--overwrite", "--dry-run")
    shown = mucho(*options, inputs=("b.tif",)).stdout
    assert "area       fields.geojson: GeoJSON, 1 feature" in shown


@pytest.mark.parametrize(
    ("inputs", "options", "status", "message"),
    [
        ("a.tif fields.geojson", "--burn crops", 1, "no attribute 'crops', but crop, name: did"),
        (
            "a.tif fields.geojson",
            "--burn name",
            1,
            "attribute 'name' of feature 1 of fields.geojson",
        ),
        ("a.tif b.tif", "--burn crop", 2, "--burn is for vector inputs, and there is none"),
        (
            "fields.geojson",
            "",
            2,
            "there is no raster: give one as an input, or its grid with --like",
        ),
        ("a.tif field.geojson", "", 1, "field.geojson: No such file or directory"),
        (
            "a.tif fields.geojson",
            "--burn 1=crop",
            2,
            "--burn is given for input 1, a.tif, a raster",
        ),
        ("a.tif fields.geojson", "--bidx 2=1", 2, "--bidx is given for input 2, fields.geojson"),
        ("a.tif fields.geojson", "--mode manual_read", 2, "manual_read cannot pass"),
        ("a.tif - -", "", 2, "an input and another cannot both read standard input"),
        ("a.tif -", "--windows -", 2, "--windows and an input cannot both read standard input"),
        ("a.tif -", "--aoi -", 2, "--aoi and an input cannot both read standard input"),
        ("a.tif", "--aoi far.geojson", 1, "far.geojson is at"),
        ("a.tif", "--aoi none.geojson", 1, "none.geojson: No such file"),
        ("a.tif -", "", 1, "- is not GeoJSON (it is empty)"),
    ],
)
def test_what_is_wrong_is_one_line(inputs, options, status, message, fields, mucho):
    result = mucho("--func", "last.py:run", *options.split(), inputs=inputs.split(), input="")
    assert result.exit_code == status, result.output
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == (4 if "Usage" in result.stderr else 1)
