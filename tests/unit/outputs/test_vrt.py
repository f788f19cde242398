"""The XML of a mosaic, without any part being there."""

from xml.etree import ElementTree

import pytest
import rasterio
from rasterio.windows import Window

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs import vrt
from rio_mucho_cli.outputs.vrt import PartFile, PlacedPart
from rio_mucho_cli.windows import Size

PROFILE = {
    "driver": "GTiff",
    "width": 300_000,
    "height": 200_000,
    "count": 2,
    "dtype": "float32",
    "nodata": -1.5,
    "crs": "EPSG:32633",
    "transform": rasterio.Affine(10, 0, 4e5, 0, -10, 5e6),
    "tiled": True,
    "blockxsize": 256,
    "blockysize": 256,
    "compress": "deflate",
}


def placed(row, col, width, height, overviews=()):
    file = PartFile(f"{row}_{col}.tif", Size(512, 256), overviews, 1000)
    return PlacedPart(f"x.parts/a/{file.name}", file, Window(col, row, width, height))


def written(root, tmp_path):
    (tmp_path / "x.vrt").write_bytes(vrt.to_bytes(root))
    return tmp_path / "x.vrt"


def test_a_whole_of_any_size_is_described_by_a_small_file(tmp_path, profile_of):
    root = vrt.vrt_without_parts(PROFILE, None, "x.vrt", masked=False)
    vrt.add_parts(root, [placed(0, 0, 100, 100)], "nearest")
    found = profile_of(written(root, tmp_path))
    kept = ("width", "height", "count", "dtype", "nodata", "transform", "compress")
    assert {name: found[name] for name in kept} == {name: PROFILE[name] for name in kept}
    assert found["crs"].to_epsg() == 32633
    assert (found["blockxsize"], found["blockysize"]) == (512, 256)


@pytest.mark.parametrize("masked", [False, True])
def test_each_band_has_a_source_for_each_part(masked):
    root = vrt.vrt_without_parts(PROFILE, None, "x.vrt", masked=masked)
    parts = [placed(0, 0, 100, 80, (2, 4)), placed(0, 100, 7, 80, (2,))]
    vrt.add_parts(root, parts, "cubic_spline")
    bands = list(root.iter("VRTRasterBand"))
    assert len(bands) == 2 + masked
    for number, band in enumerate(bands, 1):
        sources = band.findall("SimpleSource")
        assert [each.findtext("SourceFilename") for each in sources] == [
            "x.parts/a/0_0.tif", "x.parts/a/0_100.tif",
        ]  # fmt: skip
        name = "mask,1" if number == 3 else str(number)
        assert {each.findtext("SourceBand") for each in sources} == {name}
        kinds = {each.find("SourceProperties").get("DataType") for each in sources}
        assert kinds == {"Byte" if number == 3 else "Float32"}
        assert sources[1].find("DstRect").attrib == {
            "xOff": "100", "yOff": "0", "xSize": "7", "ySize": "80",
        }  # fmt: skip
        assert sources[1].find("SrcRect").attrib == {
            "xOff": "0", "yOff": "0", "xSize": "7", "ySize": "80",
        }  # fmt: skip
    overviews = root.find("OverviewList")
    assert (overviews.get("resampling"), overviews.text) == ("CUBICSPLINE", "2 4")


def test_without_parts_all_is_nodata(tmp_path):
    root = vrt.vrt_without_parts(PROFILE, None, "x.vrt", masked=False)
    vrt.add_parts(root, [], "nearest")
    with rasterio.open(written(root, tmp_path)) as src:
        assert (src.read(window=Window(9, 9, 5, 5)) == -1.5).all()
        assert src.overviews(1) == []


def test_statistics_are_added_to_what_bands_have():
    root = vrt.vrt_without_parts(PROFILE, None, "x.vrt", masked=True)
    vrt.add_statistics(root, [{"A": "1"}, {"A": "2"}])
    found = [band.findtext("Metadata/MDI[@key='A']") for band in root.findall("VRTRasterBand")]
    assert found == ["1", "2"]


def test_what_gdal_does_not_make(tmp_path):
    with pytest.raises(OutputError, match=r"x\.vrt cannot be made"):
        vrt.vrt_without_parts({**PROFILE, "dtype": "nothing"}, None, "x.vrt", masked=False)


def test_folders_that_a_text_speaks_of(tmp_path):
    path = tmp_path / "x.vrt"
    assert vrt.folders_used(path) == set()
    path.write_text("<a>x.vrt.parts/0123456789/0_0.tif</a> /y.parts/abcdef0123/z x.parts/short/1")
    assert vrt.folders_used(path) == {"0123456789", "abcdef0123"}


def test_the_files_of_a_vrt(tmp_path):
    root = vrt.vrt_without_parts(PROFILE, None, "x.vrt", masked=False)
    vrt.add_parts(root, [placed(0, 0, 100, 80), placed(0, 100, 7, 80)], "nearest")
    path = written(root, tmp_path)
    folder = tmp_path / "x.parts" / "a"
    assert vrt.parts_of(str(path)) == [folder / "0_0.tif", folder / "0_100.tif"]
    assert vrt.parts_of(str(tmp_path / "x.tif")) == []
    assert ElementTree.parse(path).getroot().tag == "VRTDataset"


@pytest.mark.parametrize("content", [b"", b"II*\0", b"<a", b"\xff\xfe", None])
def test_another_raster_that_is_called_like_a_vrt_has_no_parts(tmp_path, content):
    path = tmp_path / "x.vrt"
    if content is not None:
        path.write_bytes(content)
    assert vrt.parts_of(str(path)) == []
