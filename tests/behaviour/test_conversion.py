"""Outputs that are no GeoTIFF: whole, with what lies beside them, or not there at all."""

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from rio_mucho_cli import OutputError, RioMucho, run
from rio_mucho_cli.windows import Size


@pytest.fixture
def job(make_raster, job_on, tmp_path):
    source = make_raster(width=150, height=90, count=3, dtype="uint8", interleave="pixel")

    def make(output, **given):
        given = {"windows": Size(64, 64), "overwrite": False, **given}
        return job_on([source], output=str(tmp_path / output), **given)

    return make


@pytest.fixture
def folder(tmp_path):
    before = set(tmp_path.iterdir())
    return lambda: sorted(path.name for path in tmp_path.iterdir() if path not in before)


@pytest.mark.parametrize(
    ("output", "driver", "options", "names"),
    [
        ("out.png", "PNG", {"zlevel": "9"}, ["out.png", "out.png.aux.xml"]),
        ("out.img", "HFA", {"compressed": "yes"}, ["out.img", "out.img.aux.xml"]),
        ("out.bin", "ENVI", {"interleave": "bip"}, ["out.bin", "out.bin.aux.xml", "out.hdr"]),
        ("out.tif", "COG", {"blocksize": "128", "overviews": "none"}, ["out.tif"]),
    ],
)
@pytest.mark.parametrize("windows", [None, Size(64, 64), Size(37, 20)], ids=str)
def test_pixels_and_place_are_the_first_inputs(
    job, read, folder, profile_of, windows, output, driver, options, names
):
    made = job(output, driver=driver, creation_options=options, windows=windows, jobs=2,
               executor="threads")  # fmt: skip
    run(made)
    assert [name for name in folder() if name.startswith("out")] == names
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]))
    ours, first = profile_of(made.output), profile_of(made.inputs[0])
    assert [ours[name] for name in ("crs", "transform", "dtype")] == [
        first[name] for name in ("crs", "transform", "dtype")
    ]


def test_a_lossy_format_is_encoded_once(job, read, tmp_path):
    made = job("out.jpg", creation_options={"quality": "60"})
    run(made)
    rasterio.shutil.copy(made.inputs[0], tmp_path / "gdal.jpg", driver="JPEG", quality="60")
    np.testing.assert_array_equal(read(made.output), read(tmp_path / "gdal.jpg"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"dtype": "float32"}, "out.png cannot be made: .*PNG driver doesn't support data type"),
        ({"creation_options": {"colour": "red"}}, "COLOUR.*GDAL's page on the driver PNG"),
        ({"creation_options": {"zlevel": "99"}}, "ZLEVEL"),
    ],
)
def test_what_the_format_cannot_hold_is_known_after_the_first_window(
    job, folder, leftovers, given, says
):
    seen = []

    def count(data, window, ij, global_args):
        seen.append(ij)
        return data[0]

    with pytest.raises(OutputError, match=says):
        run(job("out.png", function=count, **given))
    assert len(seen) == 1
    assert "out.png" not in folder()
    assert not leftovers()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_conversion_that_is_cut_short_leaves_the_old_output(
    job, monkeypatch, tmp_path, leftovers, error
):
    (tmp_path / "out.png").write_text("old")
    convert = rasterio.shutil.copy

    def cut_short(source, path, **options):
        if "sample" in str(path):
            return convert(source, path, **options)
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(rasterio.shutil, "copy", cut_short)
    with pytest.raises((KeyboardInterrupt, OutputError)):
        run(job("out.png", overwrite=True))
    assert (tmp_path / "out.png").read_text() == "old"
    assert not leftovers()


def test_an_empty_file_is_not_taken_for_an_output(job, monkeypatch, folder):
    monkeypatch.setattr(rasterio.shutil, "copy", lambda source, path, **options: path.touch())
    with pytest.raises(OutputError, match=r"out.png is empty: is the disk full\?"):
        run(job("out.png"))
    assert "out.png" not in folder()


def test_a_profile_by_hand(make_raster, tmp_path, read):
    source = make_raster(width=50, height=40, dtype="uint8")
    options = {"driver": "PNG", "width": 50, "height": 40, "count": 1, "dtype": "uint8"}
    with RioMucho([source], tmp_path / "out.png", lambda data, *_: data[0], options=options) as rm:
        rm.run(1)
    np.testing.assert_array_equal(read(tmp_path / "out.png"), read(source))


@pytest.mark.parametrize("resampling", ["nearest", "cubic"])
@pytest.mark.parametrize("name", ["intermediate.tif", "unordered.tif"])
def test_an_output_may_be_called_like_an_intermediate_file(job, read, name, resampling):
    made = job(name, driver="COG", overview_resampling=resampling)
    run(made)
    np.testing.assert_array_equal(read(made.output), read(made.inputs[0]))


def test_sidecars_that_are_stale_go(job, tmp_path, folder):
    (tmp_path / "out.bin.ovr").write_text("old overviews")
    run(job("out.bin", driver="ENVI"))
    assert [name for name in folder() if name.startswith("out")] == [
        "out.bin",
        "out.bin.aux.xml",
        "out.hdr",
    ]


@pytest.mark.sweep(1)
@pytest.mark.parametrize("windows", [None, Size(37, 20)], ids=str)
@pytest.mark.parametrize("resampling", ["average", "cubic"])
@pytest.mark.parametrize(
    ("overviews", "options", "factors"),
    [
        (None, {}, []),
        ((2, 4), {}, [2, 4]),
        ((2, 4), {"overviews": "none"}, [2, 4]),
        ((2, 4), {"overview_count": "1"}, [2, 4]),
        (None, {"overview_count": "1"}, [2]),
        (None, {"overview_count": "1", "overviews": "none"}, []),
    ],
)
def test_overviews_of_a_cog_are_those_asked_for(
    job, windows, resampling, overviews, options, factors
):
    """GDAL's driver makes it where windows do not fit, or for such a resampling."""
    made = job("out.tif", driver="COG", windows=windows, overviews=overviews,
               overview_resampling=resampling, creation_options=options)  # fmt: skip
    run(made)
    with rasterio.open(made.output) as dst:
        assert dst.overviews(1) == factors


@pytest.mark.sweep(1)
@pytest.mark.parametrize("options", [(), ("--co", "FORMAT=NC4")], ids=["classic", "netCDF-4"])
@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_netcdf_is_written_and_read_without_a_word_of_hdf5s(
    rio_program, make_raster, module, read, tmp_path, options, executor
):
    module("def run(data, *_):\n    return data[0]\n", "copying.py")
    path = make_raster("in.tif")
    command = "--func", "copying:run", "-j", "2", "--executor", executor, "--windows", "32"
    for inputs, output in ((path, "out.nc"), ("out.nc", "out.tif"), ("out.nc", "out.nc")):
        done = rio_program("mucho", inputs, output, *command, *options, "--overwrite", "-q")
        options = ()
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        np.testing.assert_array_equal(read(tmp_path / output), read(path))
    failed = rio_program("mucho", path, "out.nc", *command, "--overwrite", "--co", "FORMAT=NC9")
    assert failed.returncode == 2
    assert "FORMAT" in failed.stderr
    with rasterio.open(tmp_path / "out.nc") as dst:
        assert dst.count == 1
