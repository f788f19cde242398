"""Formats that come as several files: all of them, or none, and none of an older raster."""

import numpy as np
import pytest
import rasterio

from rio_mucho_cli import MuchoChildError, OutputError, run

FORMATS = {
    "out.png": ("PNG", ["out.png", "out.png.aux.xml"]),
    "out.jpg": ("JPEG", ["out.jpg", "out.jpg.aux.xml"]),
    "out.jp2": ("JP2OpenJPEG", ["out.jp2"]),
    "out.img": ("HFA", ["out.img", "out.img.aux.xml"]),
    "out.bin": ("ENVI", ["out.bin", "out.bin.aux.xml", "out.hdr"]),
    "out.nc": ("netCDF", ["out.nc"]),
    "out.gif": ("GIF", ["out.gif", "out.gif.aux.xml"]),
    "out.bmp": ("BMP", ["out.bmp", "out.bmp.aux.xml"]),
    "out.asc": ("AAIGrid", ["out.asc", "out.asc.aux.xml", "out.prj"]),
    "out.xyz": ("XYZ", ["out.xyz"]),
    "out.sdat": ("SAGA", ["out.prj", "out.sdat", "out.sgrd"]),
    "out.grd": ("RRASTER", ["out.grd", "out.gri"]),
    "out": ("Zarr", ["out"]),
}
LOSSY = {"JPEG", "JP2OpenJPEG"}


def late(data, window, ij, global_args):
    if ij == (1, 1):
        raise ArithmeticError("late")
    return data[0]


@pytest.fixture
def job(make_raster, job_on, tmp_path):
    source = make_raster("deep/in.tif", width=90, height=70, dtype="uint8")

    def make(name, function=lambda data, *args: data[0], **given):
        given = {"overwrite": False, **given}
        return job_on([source], function, output=str(tmp_path / name), **given)

    return make


@pytest.fixture
def files(tmp_path):
    """Return a function that gives the names of what is beside the output."""
    return lambda: sorted(path.name for path in tmp_path.iterdir() if path.name != "deep")


def driver_of(name):
    driver = FORMATS[name][0]
    with rasterio.Env() as env:
        if driver not in env.drivers():
            pytest.skip(f"this GDAL has no driver {driver}")
    return driver


@pytest.mark.parametrize("name", FORMATS)
def test_all_files_arrive(job, files, read, name):
    driver = driver_of(name)
    made = job(name, driver=driver)
    run(made)
    assert files() == FORMATS[name][1]
    if driver in LOSSY:
        assert np.abs(read(made.output).astype(int) - read(made.inputs[0])).mean() < 5
    else:
        np.testing.assert_array_equal(read(made.output)[:1], read(made.inputs[0]))
    with rasterio.open(made.output) as dst, rasterio.open(made.inputs[0]) as src:
        assert dst.transform.almost_equals(src.transform, 1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_a_failure_leaves_none_of_them(job, files, name, monkeypatch):
    made = job(name, late, driver=driver_of(name))
    with pytest.raises(MuchoChildError):
        run(made)
    assert files() == []

    def stops(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", stops)
    with pytest.raises(OutputError, match="No space left on device"):
        run(job(name, driver=driver_of(name)))
    assert files() == []


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.bin", "out.asc"])
@pytest.mark.parametrize("new", ["GTiff", "PNG"])
def test_what_speaks_of_the_old_raster_goes_with_it(job, tmp_path, files, name, new):
    """The next one is of another format, without those files."""
    options = {"worldfile": "yes"} if name in {"out.png", "out.jpg"} else {}
    run(job(name, driver=driver_of(name), creation_options=options))
    (tmp_path / f"{name}.ovr").write_text("overviews of the old one")
    others = {"out.txt", "other.hdr", "out.tif", f"out{name[-1]}.hdr"}
    for other in others:
        (tmp_path / other).write_text("somebody else's")
    run(job(name, driver=new, overwrite=True))
    expected = {name, f"{name}.aux.xml"} if new == "PNG" else {name}
    assert set(files()) == expected | others


def test_a_header_of_another_raster_stays(job, tmp_path, files, read):
    """It has the stem of the output, and belongs to a raster beside it."""
    run(job("out.dat", driver="ENVI"))
    run(job("out.tif"))
    run(job("out.tif", overwrite=True))
    assert {"out.dat", "out.hdr", "out.tif"} <= set(files())
    np.testing.assert_array_equal(read(tmp_path / "out.dat"), read(tmp_path / "out.tif"))


def test_a_raster_that_refers_to_others_does_not_take_them_along(job, tmp_path, files, read):
    """A VRT has a file list as well: its sources."""
    run(job("out.gri", driver="GTiff"))
    rasterio.shutil.copy(tmp_path / "out.gri", tmp_path / "out.tif", driver="VRT")
    run(job("out.tif", driver="GTiff", overwrite=True))
    assert files() == ["out.gri", "out.tif"]


def test_a_header_is_not_replaced_without_being_asked(job, tmp_path, files, leftovers):
    run(job("out.dat", driver="ENVI"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    done = []

    def count(data, window, ij, global_args):
        done.append(ij)
        return data[0]

    with pytest.raises(OutputError, match=r"comes with a file out\.hdr, and there is one: pass"):
        run(job("out.bin", count, driver="ENVI"))
    assert len(done) == 1  # it is known after the first window
    assert {path: path.read_bytes() for path in before} == before
    assert "out.bin" not in files()
    assert not leftovers()
    run(job("out.bin", driver="ENVI", overwrite=True))
    assert "out.bin" in files()


def test_a_sidecar_that_was_left_behind_is_in_nobodys_way(job, tmp_path, files):
    (tmp_path / "out.png.aux.xml").write_text("of a file that is gone")
    run(job("out.png"))
    with rasterio.open(tmp_path / "out.png") as dst:
        assert dst.crs == "EPSG:32633"


def test_an_old_file_that_is_no_raster_has_no_sidecars(job, tmp_path, files):
    (tmp_path / "out.tif").write_text("text")
    (tmp_path / "out.prj").write_text("of something else")
    run(job("out.tif", overwrite=True))
    assert files() == ["out.prj", "out.tif"]


@pytest.mark.parametrize("driver", ["VRT", "MEM"])
def test_drivers_that_hold_no_pixels(job, files, driver):
    with pytest.raises(OutputError, match="whose files hold no pixels"):
        run(job("out.tif", driver=driver))
    assert files() == []
