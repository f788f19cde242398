"""What the name of a dataset says: whether the file system has it, GDAL, or a server."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rasterio._path import _parse_path, _vsi_path

SERVERS = r"vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)(?:_streaming)?[/?]"
"""A pattern of the virtual file systems of GDAL's that are on servers, as its page lists them."""

_SCHEMES = r"(?:https?|ftp|s3|gs|az|adls|oss|swift|hdfs)://"
# Such a name within that of a subdataset, or of a VRT.
_NAMED = re.compile(rf"""(?:^|["'{{:=,/+]){_SCHEMES}|(?:["'{{:=,]|://)/?{SERVERS}""")
# What reads a part of a file, or decodes it, with the name of the file behind it.
_WITHIN = re.compile(
    r"[/{]*vsi(?:(?:zip|tar|gzip|7z|rar|sparse|crypt)/|subfile/[0-9_]+,|cached\?(?:[^&]*&)*?file=)\{*"
)


def is_virtual(path: str) -> bool:
    """Whether a path is GDAL's or rasterio's, and not the file system's."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", path)
    return path.startswith("/vsi") or (scheme is not None and scheme[1].lower() != "file")


def is_in_memory(path: str) -> bool:
    """Whether a path is that of a virtual file of GDAL's, in the memory of this process."""
    return path.startswith("/vsimem/")


def is_on_network(path: str | os.PathLike[str]) -> bool:
    """Whether GDAL gets a dataset from a server, be it out of an archive there."""
    name = vsi_path(path)
    is_served = name.startswith("/vsi") and re.match(rf"[/{{]*{SERVERS}", _behind(name))
    return bool(is_served or _NAMED.search(name))


def vsi_path(path: str | os.PathLike[str]) -> str:
    """Return GDAL's name of what rasterio may have another name for, such as ``zip://``."""
    name: str = _vsi_path(_parse_path(path))
    return name


def local_file(path: str) -> Path | None:
    """Return the file, or folder, on this machine that is a dataset, or the archive that has it.

    None if there is none: the dataset is on a server, in memory, or missing.
    """
    name = vsi_path(path)
    if is_on_network(name):
        return None
    if not name.startswith("/vsi"):
        return Path(name) if _exists(name) else None
    parts = _behind(name).replace("}", "").split("/")
    for number in range(1, len(parts) + 1):
        start = "/".join(parts[:number])
        if _exists(start) and Path(start).is_file():
            return Path(start)
    return None


def absolute(path: str) -> str:
    """Return the name of a dataset whatever the current folder; unchanged where it has no file."""
    file = local_file(path)
    if file is None or file.is_absolute():
        return path
    here, name = Path.cwd() / file, vsi_path(path)
    return name.replace(str(file), str(here), 1) if name.startswith("/vsi") else str(here)


def _behind(name: str) -> str:
    """Return a name without the file systems that read within files."""
    while match := _WITHIN.match(name):
        name = name[match.end() :]
    return name


def _exists(name: str) -> bool:
    try:
        return bool(name) and Path(name).exists()
    except (OSError, ValueError):  # too long for a file, as XML is
        return False
