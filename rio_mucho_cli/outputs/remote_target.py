"""Targets and mosaic parts in object storage.

Object storage has no locks, and its objects are not listed: a run knows the
objects it has started and the parts of the mosaic that it replaces. Objects of
a killed run stay.
"""

from __future__ import annotations

import logging
import re
import tempfile
import uuid
from collections.abc import Container, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from xml.etree import ElementTree

import rasterio
import rasterio.shutil
from rasterio.io import MemoryFile

from rio_mucho_cli.env import captured_messages
from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs import object_storage
from rio_mucho_cli.outputs.files import exists_error, new_folder
from rio_mucho_cli.outputs.target import SIDECARS, Target, unfinished_targets
from rio_mucho_cli.text import format_bytes, option

log = logging.getLogger(__name__)


class RemoteFolder:
    """The folder of one run's parts in object storage.

    Parameters
    ----------
    mosaic : str
        Path of the VRT.

    Attributes
    ----------
    name : str
        Path of the folder relative to the mosaic.
    """

    def __init__(self, mosaic: str) -> None:
        self._prefix, slash, name = mosaic.rpartition("/")
        self._prefix += slash
        self._parts = f"{name}.parts"
        self.name = f"{self._parts}/{uuid.uuid4().hex[:10]}"
        self._started: set[str] = set()
        self._replaced: list[str] = []

    def part_path(self, part: str) -> str:
        """Return the path of a part, and record the part as started."""
        path = f"{self._prefix}{self.name}/{part}"
        self._started.add(path)
        return path

    def record_replaced(self, mosaic: str) -> None:
        """Record the parts of the old mosaic, before it is replaced."""
        for name in _source_names(mosaic):
            match = re.search(
                rf"(?:^|/){re.escape(self._parts)}/([0-9a-f]{{10}}/\d+_\d+\.tif)$", name
            )
            if match:
                self._replaced.append(f"{self._prefix}{self._parts}/{match[1]}")

    def finish(self) -> None:
        """Remove the parts of the old mosaic."""
        _remove_objects(self._replaced)

    def remove(self) -> None:
        """Remove all parts that have been started."""
        _remove_objects(self._started)

    def keep(self) -> None:
        """Remove all parts: runs in object storage cannot be resumed."""
        self.remove()


def _remove_objects(paths: set[str] | list[str]) -> None:
    for path in paths:
        with suppress(OutputError):
            object_storage.remove(path)


def _source_names(mosaic: str) -> set[str]:
    """Return the names of a VRT's sources, an empty set for other files."""
    names: set[str] = set()
    with suppress(Exception), captured_messages():
        if not object_storage.exists(mosaic):
            return names
        with rasterio.open(mosaic, sharing=False) as src, MemoryFile(ext=".vrt") as copied:
            if src.driver == "VRT":
                rasterio.shutil.copy(src, copied.name, driver="VRT")
                root = ElementTree.fromstring(bytes(copied.getbuffer()))
                names = {source.text for source in root.iter("SourceFilename") if source.text}
    return names


class RemoteTarget(Target):
    """A target in object storage, with a local folder for its temporary file.

    Write access is checked at once. Objects become visible only when the files
    of all outputs have been sent, sidecar files before the raster.

    Parameters
    ----------
    path : str
    overwrite : bool
    inputs : sequence of str
        Paths of the inputs, for the message if the output is one of them.

    Raises
    ------
    OutputError
        If the output exists and may not be replaced, or cannot be written.
    """

    is_remote = True

    def __init__(self, path: str, *, overwrite: bool, inputs: Sequence[str]) -> None:
        self.path = path
        self.resumes = False
        self._overwrite = overwrite
        self._uploads: list[object_storage.Upload] = []
        # Not a path on a file system: it only names the output's files.
        self._output = Path(path)
        _check_address(path)
        object_storage.check(path)  # write access first
        check_object(path, overwrite, inputs)
        parent = Path(tempfile.gettempdir())
        try:
            self._folder, self._locks = new_folder(parent, self._output.name)
        except OSError as exc:
            raise OutputError(
                f"{path} is made in the temporary folder {parent} first, which takes no files "
                f"({exc.strerror}): set TMPDIR to one that does"
            ) from None
        unfinished_targets.add(self)

    def check_others(self, files: Iterable[Path]) -> None:
        """Raise OutputError if one of the output's files cannot be uploaded."""
        files = list(files)
        for file in files:
            if file.is_dir():
                raise OutputError(
                    f"{self.path} would be a folder of files: expected a format of single files "
                    "for an output in object storage"
                )
        super().check_others(files)

    def send(self) -> None:
        """Upload all files, without making them visible yet."""
        paths = self.final_paths()
        if not paths or paths[-1] != self._output:
            raise OutputError(f"{self.path} cannot be uploaded: it was removed during the run")
        files = [self._folder / path.name for path in paths]
        self.check_others(files)
        for file in files:
            size = format_bytes(file.stat().st_size)
            log.info("uploading %s, %s", self._url(file.name), size)
            upload = object_storage.Upload(self._url(file.name))
            self._uploads.append(upload)
            upload.send(file)

    def move_into_place(self, undo: ExitStack, output_files: Container[Path] = ()) -> None:
        """Make the uploaded objects visible, the raster last.

        Parameters
        ----------
        undo : ExitStack
            Receives callbacks that remove new objects. Replaced objects cannot
            be restored.
        output_files : container of Path
            Files of all outputs, which are not removed as stale sidecars.
        """
        for upload in self._uploads:
            if not self._overwrite or _is_missing(upload.path):
                undo.callback(_remove, upload.path)
            upload.complete()
        names = {path.name for path in self.final_paths()}
        for name in {self._output.name + end for end in SIDECARS} - names:
            if self._output.with_name(name) not in output_files:
                # They describe the raster that has been replaced.
                _remove(self._url(name))

    def remove(self) -> None:
        """Remove the local folder, and abort incomplete uploads."""
        for upload in self._uploads:
            upload.abort()
        super().remove()

    def _is_taken(self, name: str) -> bool:
        return object_storage.exists(self._url(name))

    def _url(self, name: str) -> str:
        return self.path.removesuffix(self._output.name) + name


def _check_address(path: str) -> None:
    """Raise OutputError if a path does not name an object."""
    if not object_storage.is_object(path):
        raise OutputError(
            f"nothing can be written to {path}: expected a local file, or an object in "
            "s3://BUCKET/, gs://BUCKET/, az://CONTAINER/ or oss://BUCKET/"
        )


def check_object(path: str, overwrite: bool, inputs: Sequence[str]) -> None:
    """Raise OutputError if an object exists and may not be replaced; write nothing."""
    _check_address(path)
    if overwrite:
        return
    try:
        exists = object_storage.exists(path)
    except OutputError as exc:
        raise OutputError(
            f"{exc}; pass {option('overwrite')} to write it without looking"
        ) from None
    if exists and path in inputs:
        raise OutputError(
            f"the output {path} is the input: pass {option('overwrite')} to replace it when all is "
            "done, or give another output"
        )
    if exists:
        raise exists_error(path)


def _is_missing(path: str) -> bool:
    try:
        return not object_storage.exists(path)
    except OutputError:
        return False  # unknown


def _remove(path: str) -> None:
    """Remove an object, ignoring failures."""
    with suppress(OutputError):
        object_storage.remove(path)
