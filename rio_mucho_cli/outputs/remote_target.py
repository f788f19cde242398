"""The parts of a mosaic in object storage: workers upload them to places under one name.

There is nothing to lock and nothing to list there: a run knows what it has
begun, and what the mosaic is made of that it replaces. What a run leaves that
was killed stays.
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
from rio_mucho_cli.outputs.target import SIDECARS, Target, unfinished
from rio_mucho_cli.text import option


class RemoteFolder:
    """Where the parts of one run lie.

    Parameters
    ----------
    mosaic : str
        The path of the VRT.

    Attributes
    ----------
    name : str
        From the mosaic.
    """

    def __init__(self, mosaic: str) -> None:
        self._beside, slash, name = mosaic.rpartition("/")
        self._beside += slash
        self._parts = f"{name}.parts"
        self.name = f"{self._parts}/{uuid.uuid4().hex[:10]}"
        self._begun: set[str] = set()
        self._old: list[str] = []

    def place(self, part: str) -> str:
        """Return the path of a part that is about to be made."""
        path = f"{self._beside}{self.name}/{part}"
        self._begun.add(path)
        return path

    def note_old(self, mosaic: str) -> None:
        """Remember, before the new mosaic takes its place, what the old one is made of."""
        for name in _sources(mosaic):
            found = re.search(
                rf"(?:^|/){re.escape(self._parts)}/([0-9a-f]{{10}}/\d+_\d+\.tif)$", name
            )
            if found:
                self._old.append(f"{self._beside}{self._parts}/{found[1]}")

    def finish(self) -> None:
        """Remove what the old mosaic was made of."""
        _remove_objects(self._old)

    def remove(self) -> None:
        """Remove all parts that have been begun."""
        _remove_objects(self._begun)

    def leave(self) -> None:
        """Remove them: there is no going on with them."""
        self.remove()


def _remove_objects(paths: set[str] | list[str]) -> None:
    for path in paths:
        with suppress(OutputError):
            object_storage.remove(path)


def _sources(mosaic: str) -> set[str]:
    """Return what a VRT is made of; of anything else, nothing."""
    found: set[str] = set()
    with suppress(Exception), captured_messages():
        if not object_storage.exists(mosaic):
            return found
        with rasterio.open(mosaic, sharing=False) as src, MemoryFile(ext=".vrt") as copied:
            if src.driver == "VRT":
                rasterio.shutil.copy(src, copied.name, driver="VRT")
                root = ElementTree.fromstring(bytes(copied.getbuffer()))
                found = {each.text for each in root.iter("SourceFilename") if each.text}
    return found


log = logging.getLogger(__name__)


class RemoteTarget(Target):
    """A place in object storage, and a local folder in which its file grows.

    Whether it can be written is found out at once. What is sent shows when all
    of all outputs has been; files that lie beside the raster show before it.

    Parameters
    ----------
    path : str
    overwrite : bool
    inputs : sequence of str
        To say so if the output is one of them.

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
        # A path on no file system: it names the files that come to lie there.
        self._place = Path(path)
        _check_address(path)
        object_storage.check(path)  # whether it can be written comes first
        check_object(path, overwrite, inputs)
        parent = Path(tempfile.gettempdir())
        try:
            self._folder, self._locks = new_folder(parent, self._place.name)
        except OSError as exc:
            raise OutputError(
                f"{path} is made in the temporary folder {parent} first, which takes no files "
                f"({exc.strerror}): set TMPDIR to one that does"
            ) from None
        unfinished.add(self)

    def check_others(self, files: Iterable[Path]) -> None:
        """Raise OutputError if what belongs to the output cannot be uploaded beside it."""
        files = list(files)
        for file in files:
            if file.is_dir():
                raise OutputError(
                    f"{self.path} would be a folder of files: expected a format of single files "
                    "for an output in object storage"
                )
        super().check_others(files)

    def send(self) -> None:
        """Send all files to the store, which does not show them yet."""
        places = self.places()
        if not places or places[-1] != self._place:
            raise OutputError(f"{self.path} cannot be uploaded: somebody has removed it")
        files = [self._folder / place.name for place in places]
        self.check_others(files)
        for file in files:
            log.info("uploading %s, %d bytes", self._url(file.name), file.stat().st_size)
            upload = object_storage.Upload(self._url(file.name))
            self._uploads.append(upload)
            upload.send(file)

    def put_into_place(self, undo: ExitStack, kept: Container[Path] = ()) -> None:
        """Have the store show what has been sent, the raster last.

        Parameters
        ----------
        undo : ExitStack
            Gets what takes it back, as far as there was nothing before.
        kept : container of Path
            Objects that are not to be removed, although they could speak of
            the old one: those of other outputs.
        """
        for upload in self._uploads:
            if not self._overwrite or _is_missing(upload.path):
                undo.callback(_remove, upload.path)
            upload.complete()
        made = {place.name for place in self.places()}
        for name in {self._place.name + end for end in SIDECARS} - made:
            if self._place.with_name(name) not in kept:
                # They speak of what has been replaced.
                _remove(self._url(name))

    def remove(self) -> None:
        """Remove the local folder, and what has been sent in vain."""
        for upload in self._uploads:
            upload.abort()
        super().remove()

    def _is_taken(self, name: str) -> bool:
        return object_storage.exists(self._url(name))

    def _url(self, name: str) -> str:
        return self.path.removesuffix(self._place.name) + name


def _check_address(path: str) -> None:
    """Raise OutputError if a path is not that of an object."""
    if not object_storage.is_object(path):
        raise OutputError(
            f"nothing can be written to {path}: expected a local file, or an object in "
            "s3://BUCKET/, gs://BUCKET/, az://CONTAINER/ or oss://BUCKET/"
        )


def check_object(path: str, overwrite: bool, inputs: Sequence[str]) -> None:
    """Raise OutputError if an object is there that may not be replaced; it is only looked for."""
    _check_address(path)
    if overwrite:
        return
    try:
        found = object_storage.exists(path)
    except OutputError as exc:
        raise OutputError(
            f"{exc}; pass {option('overwrite')} to write it without looking"
        ) from None
    if found and path in inputs:
        raise OutputError(
            f"the output {path} is the input: pass {option('overwrite')} to replace it when all is "
            "done, or give another output"
        )
    if found:
        raise exists_error(path)


def _is_missing(path: str) -> bool:
    try:
        return not object_storage.exists(path)
    except OutputError:
        return False  # nobody knows


def _remove(path: str) -> None:
    """Remove an object if that can be done."""
    with suppress(OutputError):
        object_storage.remove(path)
