"""Objects in a cloud's storage: whether there is one, making it of a file, removing it.

    Upload(path) ──▶ send(file), in parts ──▶ complete(): it shows
                          └─────────────────▶ abort(): nothing does

rasterio writes rasters there, and nothing else, so GDAL's own functions are
called, in the library that rasterio has loaded, with the credentials of the
current rasterio.Env.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from ctypes import c_char_p, c_int, c_size_t, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import rasterio._env
from rasterio._path import _parse_path, _vsi_path
from rasterio.env import ensure_env_with_credentials

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.heard import messages

P = ParamSpec("P")
T = TypeVar("T")

PART = 16 * 1024 * 1024
"""Bytes that are sent in one request. A signal is acted on between two of them."""

_STORES = ("/vsis3/", "/vsigs/", "/vsiaz/", "/vsioss/")
_MOST_PARTS = 10_000
# Of GDAL's cpl_vsi_error.h.
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


def _credentialed(function: Callable[P, T]) -> Callable[P, T]:
    """Have a function find the credentials for its first argument, a path, as rasterio does."""
    found: Callable[P, T] = ensure_env_with_credentials(function)
    return found


@cache
def _gdal() -> Any:
    """Return GDAL's library: what rasterio's modules are linked to is found through them.

    Raises
    ------
    OutputError
        If it is too old to have all of these functions.
    """
    if os.name == "nt":  # modules do not show there what they are linked to
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


def is_object(path: str) -> bool:
    """Whether a path is that of an object in a storage that it can be uploaded to."""
    store = next((store for store in _STORES if _name(path).startswith(store.encode())), "")
    bucket, _, key = _name(path)[len(store) :].partition(b"/")
    return bool(store and bucket and key) and not key.endswith(b"/")


@_credentialed
def exists(path: str) -> bool:
    """Whether there is such an object.

    Raises
    ------
    OutputError
        If that cannot be found out.
    """
    reason = _missing(path)
    if reason:
        raise OutputError(f"{path} cannot be looked for: {reason}")
    return reason is None


@_credentialed
def remove(path: str) -> None:
    """Remove an object, if there is one.

    Raises
    ------
    OutputError
        If it cannot be removed.
    """
    gdal, name = _gdal(), _name(path)
    gdal.VSICurlPartialClearCache(name)
    _forget_errors()
    with messages():
        failed = gdal.VSIUnlink(name)
    if failed:
        said = _said()
        reason = _missing(path)
        if reason is None or reason:
            raise OutputError(f"{path} cannot be removed: {reason or said}")


def upload(file: Path, path: str) -> None:
    """Make an object of a file: it appears whole, or not at all.

    Raises
    ------
    OutputError
        If that fails; an object that was there is as it was.
    """
    made = Upload(path)
    try:
        made.send(file)
        made.complete()
    except BaseException:
        made.abort()
        raise


def check(path: str) -> None:
    """Raise OutputError if an object could not be uploaded now."""
    Upload(path).abort()


class Upload:
    """An object on its way, of which nobody sees anything before it is complete.

    Parameters
    ----------
    path : str

    Raises
    ------
    OutputError
        If it cannot be begun.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._id: bytes | None = _start(path)
        self._tags: list[bytes] = []
        self._size = 0

    def send(self, file: Path) -> None:
        """Send a file's contents, all of it.

        Raises
        ------
        OutputError
            If that fails.
        """
        self._size = file.stat().st_size
        if not self._size:
            raise OutputError(f"{self.path} would be empty: is the disk full?")
        with file.open("rb") as opened:
            _send(self.path, self._id, opened.fileno(), self._size, self._tags)

    def complete(self) -> None:
        """Let it show, in place of what was there.

        Raises
        ------
        OutputError
            If it does not.
        """
        _complete(self.path, self._id, self._tags, self._size)
        self._id = None

    def abort(self) -> None:
        """Have the store forget what it has got, unless it is complete."""
        if self._id is not None:
            _abort(self.path, self._id)
            self._id = None


@_credentialed
def _start(path: str) -> bytes:
    _forget_errors()
    found = _text(_gdal().VSIMultipartUploadStart(_name(path), None))
    if found is None:
        said = _said()
        # GDAL keeps to itself why it was refused; it says why reading is.
        reason = _missing(path)
        raise OutputError(
            f"{path} cannot be written: {(reason or said).rstrip('.')}; expected a bucket that is "
            "there and may be written to with these credentials"
        )
    return found


@_credentialed
def _send(path: str, upload: bytes | None, descriptor: int, size: int, tags: list[bytes]) -> None:
    """Send a file in parts, and note the tag that the store gives to each."""
    part = max(PART, -(-size // _MOST_PARTS))
    # A private mapping is one that ctypes may point into; nothing is written. After
    # a signal something may still do so: then it goes with that, and is not closed.
    data = mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
    try:
        for number, begin in enumerate(range(0, size, part), 1):
            length = min(part, size - begin)
            piece = (ctypes.c_char * length).from_buffer(data, begin)
            _forget_errors()
            tag = _text(
                _gdal().VSIMultipartUploadAddPart(
                    _name(path), upload, number, begin, piece, length, None
                )
            )
            del piece
            if tag is None:
                raise OutputError(f"{path} cannot be written: {_said()}")
            tags.append(tag)
    finally:
        with suppress(BufferError):
            data.close()


@_credentialed
def _complete(path: str, upload: bytes | None, tags: list[bytes], size: int) -> None:
    listed = (c_char_p * (len(tags) + 1))(*tags, None)
    _forget_errors()
    done = _gdal().VSIMultipartUploadEnd(_name(path), upload, len(tags), listed, size, None)
    _gdal().VSICurlPartialClearCache(_name(path))
    if not done:
        raise OutputError(f"{path} cannot be written: {_said()}")


@_credentialed
def _abort(path: str, upload: bytes) -> None:
    with suppress(Exception):
        _gdal().VSIMultipartUploadAbort(_name(path), upload, None)


def _missing(path: str) -> str | None:
    """Return None if an object is there, "" if it is not, and else why nobody knows."""
    gdal, name = _gdal(), _name(path)
    # It may have come since GDAL has looked last.
    gdal.VSICurlPartialClearCache(name)
    _forget_errors()
    # Opening it asks for the object alone; its folder need not be listed.
    options = (c_char_p * 2)(b"DISABLE_READDIR_ON_OPEN=EMPTY_DIR", None)
    with messages():
        file = gdal.VSIFOpenEx2L(name, b"rb", 1, options)
    if file:
        gdal.VSIFCloseL(file)
        return None
    # Of Amazon's answers GDAL knows what they mean, of others their numbers.
    is_known = gdal.VSIGetLastErrorNo() in (_NO_ERROR, _NO_OBJECT)
    return "" if is_known or _said() == "HTTP response code: 404" else _said()


def _forget_errors() -> None:
    _gdal().VSIErrorReset()
    _gdal().CPLErrorReset()


def _said() -> str:
    """Return what GDAL has said last, on one line."""
    said = _gdal().VSIGetLastErrorMsg() or _gdal().CPLGetLastErrorMsg()
    return " ".join(said.decode(errors="replace").split()) or "GDAL does not say why"


def _text(pointer: int | None) -> bytes | None:
    """Return a string of GDAL's, and free it."""
    if not pointer:
        return None
    found = ctypes.cast(pointer, c_char_p).value
    _gdal().VSIFree(pointer)
    return found


def _name(path: str) -> bytes:
    """Return GDAL's name of a path."""
    name: str = _vsi_path(_parse_path(path))
    return name.encode()
