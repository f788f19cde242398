"""Files may claim any size: nothing is allocated because one does."""

import numpy as np
import pytest
import rasterio

from rio_mucho_cli import Job, MuchoError, run
from rio_mucho_cli.windows import Size


def copy(data, window, ij, global_args):
    return data[0]


def vrt(path, width, height, bands=1, block=""):
    band = '<VRTRasterBand dataType="Float64" band="{}"{}/>'
    bands = "".join(band.format(number, block) for number in range(1, bands + 1))
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{bands}</VRTDataset>'
    )
    return str(path)


@pytest.mark.parametrize(
    ("size", "bands", "windows", "says"),
    [
        ((2147483647, 2147483647), 1, None, "and 16777216 are the most there can be: give larger"),
        ((20000, 20000), 200, Size(20000, 20000), "MB of memory: give smaller windows"),
    ],
)
def test_a_raster_that_claims_an_absurd_size(tmp_path, leftovers, size, bands, windows, says):
    source = vrt(tmp_path / "absurd.vrt", *size, bands)
    with pytest.raises(MuchoError, match=says):
        output = str(tmp_path / "out.tif")
        run(Job(inputs=[source], output=output, function=copy, windows=windows))
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


def test_a_raster_that_claims_absurd_blocks(tmp_path, leftovers):
    source = tmp_path / "absurd.tif"
    profile = {"driver": "GTiff", "count": 1, "dtype": "float64", "sparse_ok": True}
    block = {"tiled": True, "blockxsize": 131072, "blockysize": 131072}
    with rasterio.open(source, "w", width=300000, height=300000, **profile, **block):
        pass
    with pytest.raises(MuchoError, match=r"has blocks of 137438 MB, more than the \d+ MB"):
        run(Job(inputs=[str(source)], output=str(tmp_path / "out.tif"), function=copy))
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


def test_a_sparse_raster_of_many_pixels_is_no_burden(tmp_path):
    """It is read in windows, however large it is."""
    source = tmp_path / "sparse.tif"
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "sparse_ok": True, "nodata": 0}
    with rasterio.open(source, "w", width=40000, height=2000, tiled=True, **profile):
        pass
    output = tmp_path / "out.tif"
    options = {"sparse_ok": "yes"}
    run(Job(inputs=[str(source)], output=str(output), function=copy, creation_options=options))
    assert output.stat().st_size < 200_000
    with rasterio.open(output) as src:
        assert not np.any(src.read(1, window=((0, 100), (0, 40000))))
