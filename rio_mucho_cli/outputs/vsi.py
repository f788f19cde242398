"""GDAL's functions for objects in cloud storage, called through ctypes.

rasterio does not wrap them. They are called in the GDAL that rasterio is linked
with, reached through one of its extension modules: a second GDAL would not have
rasterio's options and credentials. Other clients, such as obstore, miss some
credentials that GDAL finds: profiles without boto3, GDAL's configuration file
and Google's HMAC keys.

Uploads need GDAL 3.10 or later, which rasterio's wheels have since 1.4.4. Every
function here raises OutputError with an older GDAL, and on Windows, where
modules do not expose the libraries they are linked with. The rest of the
package works without them.

Names are GDAL's (``/vsis3/bucket/key``). Options and credentials are those of
the current rasterio.Env.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Sequence
from ctypes import c_char_p, c_int, c_size_t, c_uint64, c_void_p
from functools import cache
from typing import Any, NoReturn

import rasterio

from rio_mucho_cli.env import GDAL_LIBRARY, captured_messages
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
    """A call of GDAL failed; the message is GDAL's reason, on one line."""


@cache
def _gdal() -> ctypes.CDLL:
    """Return rasterio's GDAL; raise OutputError if it lacks a function."""
    if os.name == "nt":
        raise OutputError("outputs in object storage cannot be made on Windows: give a local file")
    library = ctypes.CDLL(GDAL_LIBRARY)
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
    """Return whether an object exists; raise VSIError if that is unknown."""
    # GDAL's cached answer may be out of date.
    _gdal().VSICurlPartialClearCache(name.encode())
    # Request the object only, without listing its folder.
    options = (c_char_p * 2)(b"DISABLE_READDIR_ON_OPEN=EMPTY_DIR", None)
    with captured_messages():
        file = _call("VSIFOpenEx2L", name.encode(), b"rb", 1, options)
    if file:
        _gdal().VSIFCloseL(file)
        return True
    # GDAL interprets Amazon's answers; for other stores it reports the HTTP status.
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

    For Azure this sends no request: `add_part` is the first that can be refused.
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
        Id of the upload.
    number : int
        Number of the part, from 1.
    data : mmap or bytearray
        Buffer, writable only because ctypes requires it.
    begin, size : int
        Offset and size of the part in `data`, in bytes.
    """
    part = (ctypes.c_char * size).from_buffer(data, begin)
    tag = _take_string(
        _call("VSIMultipartUploadAddPart", name.encode(), upload, number, begin, part, size, None)
    )
    if tag is None:
        _raise_refused(name)
    return tag


def end_upload(name: str, upload: bytes, tags: Sequence[bytes], size: int) -> None:
    """Complete an upload from the ETags of its parts; raise VSIError if that fails."""
    listed = (c_char_p * (len(tags) + 1))(*tags, None)
    done = _call("VSIMultipartUploadEnd", name.encode(), upload, len(tags), listed, size, None)
    _gdal().VSICurlPartialClearCache(name.encode())
    if not done:
        raise VSIError(_last_error())


def abort_upload(name: str, upload: bytes) -> None:
    """Discard the parts of an upload; Azure cannot, but drops them after a week."""
    with captured_messages():
        _call("VSIMultipartUploadAbort", name.encode(), upload, None)


def _call(function: str, *arguments: Any) -> Any:
    """Return the result of a GDAL function, with errors of earlier calls cleared."""
    _gdal().VSIErrorReset()
    _gdal().CPLErrorReset()
    return getattr(_gdal(), function)(*arguments)


def _raise_refused(name: str) -> NoReturn:
    """Raise VSIError for a refused upload, preferably with the read error."""
    reason = _last_error()
    exists(name)
    raise VSIError(reason)


def _last_error() -> str:
    text = _gdal().VSIGetLastErrorMsg() or _gdal().CPLGetLastErrorMsg()
    return " ".join(text.decode(errors="replace").split()) or "GDAL does not say why"


def _take_string(pointer: int | None) -> bytes | None:
    """Return a string allocated by GDAL, and free it."""
    if not pointer:
        return None
    value = ctypes.cast(pointer, c_char_p).value
    _gdal().VSIFree(pointer)
    return value
