"""Interpret dataset names: local file, GDAL virtual file, or remote."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from rasterio._path import _parse_path, _vsi_path

SERVERS = r"vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)(?:_streaming)?[/?]"
"""Pattern of GDAL's virtual file systems on servers, from GDAL's page."""

_SCHEMES = r"(?:https?|ftp|s3|gs|az|adls|oss|swift|hdfs)://"
# A remote name within the name of a subdataset or a VRT.
_REMOTE_NAME = re.compile(rf"""(?:^|["'{{:=,/+]){_SCHEMES}|(?:["'{{:=,]|://)/?{SERVERS}""")
# Virtual file systems that read part of a file or decode it, before the file's name.
_FILE_PREFIX = re.compile(
    r"[/{]*vsi(?:(?:zip|tar|gzip|7z|rar|sparse|crypt)/|subfile/[0-9_]+,|cached\?(?:[^&]*&)*?file=)\{*"
)
# In queries of signed addresses: of S3, GCS, Azure and CloudFront, then of other servers.
_SIGNED = re.compile(r"(?i)[?&](?:x-\w+-signature|signature|sig)=")
_TOKEN = re.compile(r"(?i)(?:access_?|auth_?)?(?:token|api_?key)=")


def is_virtual(path: str) -> bool:
    """Return whether a path belongs to GDAL or rasterio, not to the file system."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", path)
    return path.startswith("/vsi") or (scheme is not None and scheme[1].lower() != "file")


def is_in_memory(path: str) -> bool:
    """Return whether a path is a GDAL file in the memory of this process."""
    return path.startswith("/vsimem/")


def is_on_network(path: str | os.PathLike[str]) -> bool:
    """Return whether a dataset is on a server, possibly within an archive."""
    name = vsi_path(path)
    is_served = name.startswith("/vsi") and re.match(rf"[/{{]*{SERVERS}", _without_prefixes(name))
    return bool(is_served or _REMOTE_NAME.search(name))


def vsi_path(path: str | os.PathLike[str]) -> str:
    """Return GDAL's name of a dataset that rasterio may name as ``zip://``."""
    name: str = _vsi_path(_parse_path(path))
    return name


def local_file(path: str) -> Path | None:
    """Return the local file or folder of a dataset, or of its archive.

    None if the dataset is on a server, in memory, or missing.
    """
    name = vsi_path(path)
    if is_on_network(name):
        return None
    if not name.startswith("/vsi"):
        return Path(name) if _exists(name) else None
    parts = _without_prefixes(name).replace("}", "").split("/")
    for number in range(1, len(parts) + 1):
        start = "/".join(parts[:number])
        if _exists(start) and Path(start).is_file():
            return Path(start)
    return None


def absolute(path: str) -> str:
    """Return a dataset name that does not depend on the working directory.

    Names without a local file are unchanged.
    """
    file = local_file(path)
    if file is None or file.is_absolute():
        return path
    whole, name = Path.cwd() / file, vsi_path(path)
    return name.replace(str(file), str(whole), 1) if name.startswith("/vsi") else str(whole)


def _without_prefixes(name: str) -> str:
    """Return a name without the prefixes of file systems that read within files."""
    while match := _FILE_PREFIX.match(name):
        name = name[match.end() :]
    return name


def _exists(name: str) -> bool:
    try:
        return bool(name) and Path(name).exists()
    except (OSError, ValueError):  # too long for a path, such as XML
        return False


_VECTOR_ENDINGS = (
    ".geojson", ".geojsonl", ".geojsons", ".fgb", ".shp", ".shp.zip", ".parquet", ".geoparquet",
)  # fmt: skip
_GEOJSON = re.compile(
    r'"type"\s*:\s*"(?:FeatureCollection|Feature|(?:Multi)?(?:Point|LineString|Polygon)'
    r'|GeometryCollection)"'
)


def is_vector(source: object) -> bool:
    """Return whether an input has features instead of pixels.

    Parameters
    ----------
    source : object
        A path, by its ending and, for .json and .gpkg, by its content; anything
        else is a vector input. GeoPackages on servers need ``,layer=NAME``.
    """
    if not isinstance(source, str):
        return True
    path, _, layer = source.partition(",layer=")
    name = path.lower()
    if name.endswith(_VECTOR_ENDINGS) or (layer and name.endswith(".gpkg")):
        return True
    if name.endswith(".json") and Path(path).is_file():
        with open(path, "rb") as file:  # noqa: PTH123
            start = file.read(65536).decode("utf-8", "replace")
        return bool(_GEOJSON.search(start)) and '"stac_version"' not in start
    return name.endswith(".gpkg") and not is_virtual(path) and not _has_tiles(path)


def _has_tiles(path: str) -> bool:
    """Return whether a GeoPackage has rasters."""
    if not Path(path).is_file():
        return False
    import sqlite3
    from contextlib import closing

    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as db:
            query = (
                "SELECT 1 FROM gpkg_contents WHERE data_type IN ('tiles', '2d-gridded-coverage')"
            )
            return db.execute(query).fetchone() is not None
    except sqlite3.Error:
        return True


def unsigned(path: str) -> str:
    """Return an address without its signature, which expires; a query may also name the file."""
    address, mark, query = path.partition("?")
    if not mark or "://" not in address:
        return path
    if _SIGNED.search(path):
        return address
    kept = "&".join(field for field in query.split("&") if not _TOKEN.match(field))
    return f"{address}?{kept}" if kept else address


def input_name(source: object) -> str:
    """Return the path of an input, or the name of a scene or of an object with features."""
    return source if isinstance(source, str) else str(getattr(source, "name", "features"))


class HasGeoInterface(Protocol):
    """An object with features: a GeoDataFrame, a geometry of shapely."""

    @property
    def __geo_interface__(self) -> Mapping[str, Any]: ...


FeaturesLike: TypeAlias = Mapping[str, Any] | HasGeoInterface
"""Features that are not in a file; GeoJSON-like."""


def has_features(value: object) -> bool:
    """Return whether a value is features itself, not a path to them."""
    return isinstance(value, Mapping) or hasattr(value, "__geo_interface__")


def is_stac(value: object) -> bool:
    """Return whether a value is a STAC item or ItemCollection: a dict, or an object of pystac."""
    if not isinstance(value, Mapping):
        parts = getattr(value, "assets", None), getattr(value, "items", None)
        is_like = isinstance(parts[0], Mapping) or isinstance(parts[1], list)
        return is_like and hasattr(value, "to_dict")
    if value.get("type") == "FeatureCollection":
        features = value.get("features")
        return isinstance(features, list) and bool(features) and is_stac(features[0])
    return isinstance(value.get("assets"), Mapping)
