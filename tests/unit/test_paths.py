import zipfile
from pathlib import Path

import pytest

from rio_mucho_cli.paths import absolute, is_in_memory, is_on_network, is_virtual, local_file


@pytest.mark.parametrize(
    ("path", "virtual", "network"),
    [
        ("a.tif", False, False),
        ("/data/a.tif", False, False),
        (r"C:\data\a.tif", False, False),
        ("file:///data/a.tif", False, False),
        ("/vsimem/a.tif", True, False),
        ("/vsizip/a.zip/a.tif", True, False),
        ("zip://a.zip!a.tif", True, False),
        ("zip+file:///data/a.zip!a.tif", True, False),
        ("/vsigzip/a.tif.gz", True, False),
        ("/vsisubfile/0_500,a.tif", True, False),
        ("vrt://a.tif?bands=1", True, False),
        ('NETCDF:"a.nc":band', False, False),
        ('HDF5:"a.h5"://band', False, False),
        ("GTIFF_DIR:1:a.tif", False, False),
        ("/data/vsis3/a.tif", False, False),
        ("https://example.org/a.tif", True, True),
        ("s3://bucket/a.tif", True, True),
        ("/vsicurl/https://example.org/a.tif", True, True),
        ("/vsicurl?max_retry=3&url=https://example.org/a.tif", True, True),
        ("/vsis3_streaming/bucket/a.tif", True, True),
        ("/vsiaz/container/a.tif", True, True),
        ("zip+https://example.org/a.zip!a.tif", True, True),
        ("zip+s3://bucket/a.zip!a.tif", True, True),
        ("/vsizip//vsicurl/https://example.org/a.zip/a.tif", True, True),
        ("/vsizip/vsis3/bucket/a.zip/a.tif", True, True),
        ("/vsitar/{/vsigs/bucket/a.tar}/a.tif", True, True),
        ("vrt:///vsicurl/https://example.org/a.tif?bands=1", True, True),
        ('NETCDF:"https://example.org/a.nc":band', False, True),
        ('ZARR:"/vsis3/bucket/a.zarr"', False, True),
    ],
)
def test_what_a_name_says(path, virtual, network):
    assert (is_virtual(path), is_on_network(path)) == (virtual, network)
    assert is_in_memory(path) == (path == "/vsimem/a.tif")


@pytest.fixture
def archives(tmp_path, make_raster, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_raster("a.tif")
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.write("a.tif", "folder/a.tif")
    with zipfile.ZipFile("b.zip", "w") as archive:
        archive.write("a.zip")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.tif", "a.tif"),
        ("file://a.tif", "a.tif"),
        ("/vsizip/a.zip/folder/a.tif", "a.zip"),
        ("/vsizip/{a.zip}/folder/a.tif", "a.zip"),
        ("/vsizip/vsizip/b.zip/a.zip/folder/a.tif", "b.zip"),
        ("/vsizip/{/vsizip/{b.zip}/a.zip}/folder/a.tif", "b.zip"),
        ("/vsizip/HERE/a.zip/folder/a.tif", "HERE/a.zip"),
        ("zip://HERE/a.zip!folder/a.tif", "HERE/a.zip"),
        ("zip+file://HERE/a.zip!folder/a.tif", "HERE/a.zip"),
        ("/vsisubfile/0_500,a.tif", "a.tif"),
        ("/vsicached?chunk_size=16KB&file=a.tif", "a.tif"),
        ("/vsizip/missing.zip/a.tif", None),
        ("/vsimem/a.tif", None),
        ("/vsicurl/https://example.org/a.tif", None),
        ("<VRTDataset/>" + "x" * 5000, None),
    ],
)
def test_the_file_in_which_a_dataset_lies(archives, path, expected):
    path = path.replace("HERE", str(archives))
    expected = None if expected is None else expected.replace("HERE", str(archives))
    assert local_file(path) == (None if expected is None else Path(expected))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.tif", "HERE/a.tif"),
        ("file://a.tif", "HERE/a.tif"),
        ("/vsizip/a.zip/folder/a.tif", "/vsizip/HERE/a.zip/folder/a.tif"),
        ("/vsizip/HERE/a.zip/folder/a.tif", "/vsizip/HERE/a.zip/folder/a.tif"),
        ("missing.tif", "missing.tif"),
        ("s3://bucket/a.tif", "s3://bucket/a.tif"),
    ],
)
def test_a_name_for_processes_with_another_folder(archives, path, expected):
    here = str(archives)
    assert absolute(path.replace("HERE", here)) == expected.replace("HERE", here)
