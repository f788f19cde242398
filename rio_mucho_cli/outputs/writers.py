"""Where results go: begin, append, commit or discard.

    begin(profile) ──▶ append(window, array) ──▶ … ──▶ commit()
                                             └───────▶ discard()

A writer takes results in the order of the windows. What it has written shows
under the output's name after commit, and never after discard.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.errors import RasterioError

from rio_mucho_cli.errors import OutputError, one_line
from rio_mucho_cli.inputs.windows import describe

# rasterio logs under this name what GDAL only warns of.
_gdal_log = logging.getLogger("rasterio._env")

# What may lie beside a raster and speaks of its pixels.
_SIDECARS = (".aux.xml", ".ovr", ".msk")


class Writer(Protocol):
    """What the engine needs of an output."""

    def begin(self, profile: Mapping[str, Any]) -> None:
        """Make the output; called once, before the first window."""

    def append(self, window: Any, array: np.ndarray[Any, Any]) -> None:
        """Write the (count, rows, cols) array of a window."""

    def commit(self) -> None:
        """Make the output visible, whole."""

    def discard(self) -> None:
        """Leave nothing of it. Does nothing after commit."""


class FileWriter:
    """Writes a file, through GDAL, beside the target, and moves it into place.

    The file grows in a new folder next to the target, on the same file
    system, under the target's own name: formats that come as several files
    refer to each other by name.

    Parameters
    ----------
    path : str
        Symbolic links are followed: the link stays, and what it leads to is
        replaced.
    overwrite : bool
    inputs : sequence of str
        To say so if the output is one of them.
    options : Mapping
        The creation options that the user gave: if GDAL does not take them it
        is an error, while of others it is a warning.

    Raises
    ------
    OutputError
        If the output exists and may not be replaced, or its folder is missing
        or not writable.
    """

    def __init__(
        self, path: str, *, overwrite: bool, inputs: Sequence[str], options: Mapping[str, str]
    ) -> None:
        self._path = path
        self._options = options
        self._dst: Any = None
        self._target = Path(os.path.realpath(path))
        _check_target(path, self._target, overwrite, inputs)
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=".mucho-", dir=self._target.parent))
        except OSError as exc:
            if not self._target.parent.is_dir():
                raise OutputError(
                    f"the folder of {path} does not exist: make {self._target.parent} first"
                ) from None
            raise OutputError(
                f"{path} cannot be written: the folder {self._target.parent} takes no "
                f"new file ({exc.strerror})"
            ) from None

    def begin(self, profile: Mapping[str, Any]) -> None:
        """Make the output in its temporary folder."""
        self._dst = _create(
            str(self._folder / self._target.name), self._path, profile, self._options
        )

    def append(self, window: Any, array: np.ndarray[Any, Any]) -> None:
        """Write one window."""
        _write(self._dst, self._path, window, array)

    def commit(self) -> None:
        """Close the output, and move it and what lies beside it into place."""
        _close(self._dst, self._path)
        made = sorted(self._folder.iterdir(), key=lambda file: file.name == self._target.name)
        stale = [self._target.with_name(self._target.name + end) for end in _SIDECARS]
        try:
            if self._target.exists():
                shutil.copymode(self._target, self._folder / self._target.name)
            for file in made:
                file.replace(self._target.with_name(file.name))
            for file in stale:
                if file.name not in {new.name for new in made}:
                    file.unlink(missing_ok=True)
        except OSError as exc:
            raise OutputError(f"{self._path} cannot be put into place: {exc}") from None
        self._remove()

    def discard(self) -> None:
        """Close and remove what there is."""
        if self._dst is not None:
            with suppress(Exception), _gdal_messages():
                self._dst.close()
        self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class RemoteWriter:
    """Writes where there is no renaming: GDAL's virtual and remote files."""

    def __init__(self, path: str, *, overwrite: bool, options: Mapping[str, str]) -> None:
        self._path = path
        self._options = options
        self._dst: Any = None
        if not overwrite and rasterio.shutil.exists(path):
            raise _exists(path)

    def begin(self, profile: Mapping[str, Any]) -> None:
        """Make the output under its own name."""
        self._dst = _create(self._path, self._path, profile, self._options)

    def append(self, window: Any, array: np.ndarray[Any, Any]) -> None:
        """Write one window."""
        _write(self._dst, self._path, window, array)

    def commit(self) -> None:
        """Close the output."""
        _close(self._dst, self._path)
        self._dst = None

    def discard(self) -> None:
        """Close and delete what there is."""
        if self._dst is not None:
            with suppress(Exception), _gdal_messages():
                self._dst.close()
                rasterio.shutil.delete(self._path)


class DatasetWriter:
    """Writes to a dataset that the caller has opened, and closes it.

    What is in it after a failure is the caller's affair: its place and its
    making are not ours.
    """

    def __init__(self, dst: Any) -> None:
        self._dst = dst

    def begin(self, profile: Mapping[str, Any]) -> None:
        """Do nothing: the dataset is made."""

    def append(self, window: Any, array: np.ndarray[Any, Any]) -> None:
        """Write one window."""
        _write(self._dst, str(self._dst.name), window, array)

    def commit(self) -> None:
        """Close the dataset."""
        _close(self._dst, str(self._dst.name))

    def discard(self) -> None:
        """Close the dataset."""
        with suppress(Exception):
            self._dst.close()


@contextmanager
def open_writer(
    output: Any, *, overwrite: bool, inputs: Sequence[str], options: Mapping[str, str]
) -> Iterator[Writer]:
    """Choose the writer for an output; discard what is not committed."""
    writer: Writer
    if not isinstance(output, str | Path):
        writer = DatasetWriter(output)
    elif _is_remote(str(output)):
        writer = RemoteWriter(str(output), overwrite=overwrite, options=options)
    else:
        writer = FileWriter(str(output), overwrite=overwrite, inputs=inputs, options=options)
    try:
        yield writer
    except BaseException:
        writer.discard()
        raise


def _is_remote(path: str) -> bool:
    return path.startswith("/vsi") or "://" in path


def _exists(path: str) -> OutputError:
    return OutputError(f"the output {path} exists: pass --overwrite to replace it")


def _check_target(path: str, target: Path, overwrite: bool, inputs: Sequence[str]) -> None:
    if not target.exists():
        return
    if not target.is_file():
        kind = "a folder" if target.is_dir() else "no regular file"
        raise OutputError(f"{path} is {kind}: give the name of a file to write")
    if overwrite:
        return
    same = [source for source in inputs if _is_same_file(source, target)]
    if same:
        raise OutputError(
            f"the output {path} is the input {same[0]}: pass --overwrite to replace it "
            "when all is done, or give another output"
        )
    raise _exists(path)


def _is_same_file(source: str, target: Path) -> bool:
    try:
        return target.samefile(source)
    except OSError:
        return False  # an input that is no local file


def _create(path: str, name: str, profile: Mapping[str, Any], options: Mapping[str, str]) -> Any:
    with _gdal_messages() as messages:
        try:
            dst = rasterio.open(path, "w", **profile)
        except Exception as exc:
            raise OutputError(f"{name} cannot be made: {one_line(exc)}") from None
    for message in messages:
        if any(option.upper() in message.upper() for option in options):
            dst.close()
            raise OutputError(
                f"{name} cannot be made: {message}; GDAL's page on the driver "
                f"{profile.get('driver')} lists its creation options"
            )
        _gdal_log.warning("%s", message)
    return dst


def _write(dst: Any, name: str, window: Any, array: np.ndarray[Any, Any]) -> None:
    try:
        dst.write(array, window=window)
    except (RasterioError, OSError, ValueError) as exc:
        raise OutputError(
            f"{name} cannot be written at {describe(window)}: {one_line(exc)}"
        ) from None


def _close(dst: Any, name: str) -> None:
    """Close a dataset; GDAL's errors in doing so are only logged by rasterio."""
    with _gdal_messages(logging.ERROR) as errors:
        try:
            dst.close()
        except Exception as exc:
            raise OutputError(f"{name} cannot be finished: {one_line(exc)}") from None
    if errors:
        raise OutputError(f"{name} cannot be finished: {errors[0]}; is the disk full?")


@contextmanager
def _gdal_messages(level: int = logging.WARNING) -> Iterator[list[str]]:
    """Collect what GDAL says, instead of showing it."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # "CPLE_IllegalArg in COMPRESS=foo value not recognised, ignoring."
            text = record.getMessage().rstrip(".")
            messages.append(text.partition(" in ")[2] or text)

    collector = Collector(level)
    before = _gdal_log.level, _gdal_log.propagate
    _gdal_log.addHandler(collector)
    _gdal_log.setLevel(level)
    _gdal_log.propagate = False
    try:
        yield messages
    finally:
        _gdal_log.removeHandler(collector)
        _gdal_log.setLevel(before[0])
        _gdal_log.propagate = before[1]
