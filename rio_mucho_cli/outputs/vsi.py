"""GDAL's functions for objects in cloud storage, called through ctypes.

rasterio wraps none of them. A second GDAL would know nothing of rasterio's
options and credentials, so they are called in the library that rasterio is
linked with: its extension modules give access to it. Other clients, such as
obstore, do not find credentials everywhere that GDAL does: not in profiles
without boto3, GDAL's configuration file, or Google's HMAC keys.

Uploads take GDAL 3.10 or later, which rasterio's wheels have since 1.4.4. With
an older GDAL, and on Windows, where modules do not show what they are linked
with, every function here raises OutputError; the rest of the package does
without them.

Names are GDAL's (``/vsis3/bucket/key``). The options and credentials are those
of the current rasterio.Env.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Sequence
from ctypes import c_char_p, c_int, c_size_t, c_uint64, c_void_p
from functools import cache
from typing import Any, NoReturn

import rasterio._env

from rio_mucho_cli.env import captured_messages
from rio_mucho_cli.errors import OutputError

# From GDAL's cpl_vsi_error.h.
_NO_ERROR, _NO_OBJECT = 0, 8

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "VSIErrorReset": (None, []),
    "VSIGetLastErrorNo": (c_int, []),
    "VSIGetLastErrorMsg": (c_char_p, []),
    "CPLErrorReset": (None, []),
    "CPLGetLastErrorMsg": (c_char_p, []),
    "VSIFree": (None, [c_void_p]),
    "VSIFOpenEx2L": (c_void_p, [c_char_p, c_char_p, c_int, c_void_p]),
    "VSIFCloseL": (c_int, [c_void_p]),
    "VSIUnlink": (c_int, [c_char_p]),
    "VSICurlPartialClearCache": (None, [c_char_p]),
    "VSIMultipartUploadStart": (c_void_p, [c_char_p, c_void_p]),
    "VSIMultipartUploadAddPart": (
        c_void_p,
        [c_char_p, c_char_p, c_int, c_uint64, c_void_p, c_size_t, c_void_p],
    ),
    "VSIMultipartUploadEnd": (c_int, [c_char_p, c_char_p, c_size_t, c_void_p, c_uint64, c_void_p]),
    "VSIMultipartUploadAbort": (c_int, [c_char_p, c_char_p, c_void_p]),
}


class VSIError(Exception):
    """GDAL's reason for a failed call, on one line."""


@cache
def _gdal() -> ctypes.CDLL:
    """Return the GDAL that rasterio is linked with; raise OutputError if it lacks a function."""
    if os.name == "nt":
        raise OutputError("outputs in object storage cannot be made on Windows: give a local file")
    library = ctypes.CDLL(rasterio._env.__file__)
    for name, (result, arguments) in _SIGNATURES.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise OutputError(
                "outputs in object storage take GDAL 3.10, and rasterio has "
                f"{rasterio.__gdal_version__} here: give a local file, or update rasterio"
            ) from None
        function.restype, function.argtypes = result, arguments
    return library


def exists(name: str) -> bool:
    """Return whether there is such an object; raise VSIError if that cannot be found out."""
    # It may have been made since GDAL last looked.
    _gdal().VSICurlPartialClearCache(name.encode())
    # Opening it asks for the object alone; its folder need not be listed.
    options = (c_char_p * 2)(b"DISABLE_READDIR_ON_OPEN=EMPTY_DIR", None)
    with captured_messages():
        file = _call("VSIFOpenEx2L", name.encode(), b"rb", 1, options)
    if file:
        _gdal().VSIFCloseL(file)
        return True
    # GDAL understands Amazon's answers; of others it reports the HTTP status.
    is_known = _gdal().VSIGetLastErrorNo() in (_NO_ERROR, _NO_OBJECT)
    if is_known or _last_error() == "HTTP response code: 404":
        return False
    raise VSIError(_last_error())


def unlink(name: str) -> None:
    """Remove an object if it exists; raise VSIError if it cannot be removed."""
    _gdal().VSICurlPartialClearCache(name.encode())
    with captured_messages():
        failed = _call("VSIUnlink", name.encode())
    if failed:
        reason = _last_error()
        if exists(name):
            raise VSIError(reason)


def start_upload(name: str) -> bytes:
    """Start a multipart upload and return its id; raise VSIError if it is refused.

    Azure is not asked anything by this: only `add_part` shows whether it refuses.
    """
    upload = _take_string(_call("VSIMultipartUploadStart", name.encode(), None))
    if upload is None:
        _raise_refused(name)
    return upload


def add_part(
    name: str, upload: bytes, number: int, data: mmap.mmap | bytearray, begin: int, size: int
) -> bytes:
    """Send one part of an upload and return its ETag; raise VSIError if that fails.

    Parameters
    ----------
    name : str
    upload : bytes
        The id of the upload.
    number : int
        The part's number, from 1.
    data : mmap or bytearray
        Writable, as ctypes wants it; nothing is written.
    begin, size : int
        The part's bytes within `data`.
    """
    part = (ctypes.c_char * size).from_buffer(data, begin)
    tag = _take_string(
        _call("VSIMultipartUploadAddPart", name.encode(), upload, number, begin, part, size, None)
    )
    if tag is None:
        _raise_refused(name)
    return tag


def end_upload(name: str, upload: bytes, tags: Sequence[bytes], size: int) -> None:
    """Make an object of the parts with these ETags; raise VSIError if that fails."""
    listed = (c_char_p * (len(tags) + 1))(*tags, None)
    done = _call("VSIMultipartUploadEnd", name.encode(), upload, len(tags), listed, size, None)
    _gdal().VSICurlPartialClearCache(name.encode())
    if not done:
        raise VSIError(_last_error())


def abort_upload(name: str, upload: bytes) -> None:
    """Discard the parts of an upload, where the store can: Azure does so after a week."""
    with captured_messages():
        _call("VSIMultipartUploadAbort", name.encode(), upload, None)


def _call(function: str, *arguments: Any) -> Any:
    """Call a function of GDAL's; afterwards `_last_error` is about this call."""
    _gdal().VSIErrorReset()
    _gdal().CPLErrorReset()
    return getattr(_gdal(), function)(*arguments)


def _raise_refused(name: str) -> NoReturn:
    """Raise VSIError with why an object cannot be read, which GDAL says best, or else written."""
    reason = _last_error()
    exists(name)
    raise VSIError(reason)


def _last_error() -> str:
    text = _gdal().VSIGetLastErrorMsg() or _gdal().CPLGetLastErrorMsg()
    return " ".join(text.decode(errors="replace").split()) or "GDAL does not say why"


def _take_string(pointer: int | None) -> bytes | None:
    """Return a string that GDAL has allocated, and free it."""
    if not pointer:
        return None
    value = ctypes.cast(pointer, c_char_p).value
    _gdal().VSIFree(pointer)
    return value
