"""Check, upload and remove objects in cloud storage.

    Upload(path) ──▶ send(file), in parts ──▶ complete(): the object appears
                          └─────────────────▶ abort(): nothing changes

Credentials are found the same way as rasterio finds them for reading.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from rasterio.env import ensure_env_with_credentials

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs import vsi
from rio_mucho_cli.outputs.vsi import VSIError
from rio_mucho_cli.paths import vsi_path

P = ParamSpec("P")
T = TypeVar("T")

PART = 16 * 1024 * 1024
"""Bytes sent in one request. Signals are handled between requests."""

_AZURE = "/vsiaz/"
_STORES = ("/vsis3/", "/vsigs/", _AZURE, "/vsioss/")
_MOST_PARTS = 10_000
# A block number that no upload uses.
_PROBE = 50_000


def is_object(path: str) -> bool:
    """Return whether a path names an object in a store that supports uploads."""
    name = vsi_path(path)
    store = next((store for store in _STORES if name.startswith(store)), "")
    bucket, _, key = name[len(store) :].partition("/")
    return bool(store and bucket and key) and not key.endswith("/")


def exists(path: str) -> bool:
    """Return whether an object exists; raise OutputError if that is unknown."""
    with _vsi_errors_explained("looked for", path):
        return _with_credentials(path, vsi.exists)


def remove(path: str) -> None:
    """Remove an object if it exists; raise OutputError if it cannot be removed."""
    with _vsi_errors_explained("removed", path):
        _with_credentials(path, vsi.unlink)


def upload(file: Path, path: str) -> None:
    """Upload a file atomically.

    Raises
    ------
    OutputError
        If that fails. An existing object is untouched.
    """
    upload = Upload(path)
    try:
        upload.send(file)
        upload.complete()
    except BaseException:
        upload.abort()
        raise


def check(path: str) -> None:
    """Raise OutputError if an object cannot be uploaded."""
    upload = Upload(path)
    if vsi_path(path).startswith(_AZURE):
        # So far no request has been sent to Azure. A block that is never
        # committed stays invisible, and no upload uses this block number.
        with _vsi_errors_explained("written", path, _expected(path)):
            _with_credentials(path, vsi.add_part, b"", _PROBE, bytearray(1), 0, 1)
    upload.abort()


class Upload:
    """A multipart upload of one object, invisible until it is complete.

    Parameters
    ----------
    path : str

    Raises
    ------
    OutputError
        If it cannot be started.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with _vsi_errors_explained("written", path, _expected(path)):
            self._id: bytes | None = _with_credentials(path, vsi.start_upload)
        self._tags: list[bytes] = []
        self._size = 0

    def send(self, file: Path) -> None:
        """Send a file; raise OutputError if that fails."""
        self._size = file.stat().st_size
        if not self._size:
            raise OutputError(f"{self.path} would be empty: is the disk full?")
        assert self._id is not None
        with file.open("rb") as source, _vsi_errors_explained("written", self.path):
            self._tags = _with_credentials(
                self.path, _send_parts, self._id, source.fileno(), self._size
            )

    def complete(self) -> None:
        """Make the object visible; raise OutputError if that fails."""
        assert self._id is not None
        with _vsi_errors_explained("written", self.path):
            _with_credentials(self.path, vsi.end_upload, self._id, self._tags, self._size)
        self._id = None

    def abort(self) -> None:
        """Discard the sent parts, unless the upload is complete."""
        if self._id is not None:
            with suppress(Exception):
                _with_credentials(self.path, vsi.abort_upload, self._id)
            self._id = None


def _send_parts(name: str, upload: bytes, descriptor: int, size: int) -> list[bytes]:
    """Send a file in parts and return their ETags."""
    step = max(PART, -(-size // _MOST_PARTS))
    # ctypes needs a writable buffer: a private mapping. After a signal, an
    # exception's traceback may still refer to it; it is then closed later.
    data = mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
    try:
        return [
            vsi.add_part(name, upload, number, data, begin, min(step, size - begin))
            for number, begin in enumerate(range(0, size, step), 1)
        ]
    finally:
        with suppress(BufferError):
            data.close()


def _with_credentials(
    path: str, function: Callable[Concatenate[str, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Return a function's result for a path, with rasterio's credentials."""
    call = ensure_env_with_credentials(lambda path: function(vsi_path(path), *args, **kwargs))
    result: T = call(path)
    return result


@contextmanager
def _vsi_errors_explained(action: str, path: str, expected: str = "") -> Iterator[None]:
    """Turn a VSIError into an OutputError that names the object and the reason."""
    try:
        yield
    except VSIError as exc:
        reason = f"{str(exc).rstrip('.')}; {expected}" if expected else str(exc)
        raise OutputError(f"{path} cannot be {action}: {reason}") from None


def _expected(path: str) -> str:
    kind = "container" if vsi_path(path).startswith(_AZURE) else "bucket"
    return f"expected a {kind} that is there and may be written to with these credentials"
