"""The parts of a mosaic in object storage: workers upload them to places under one name.

There is nothing to lock and nothing to list there: a run knows what it has
begun, and what the mosaic is made of that it replaces. What a run leaves that
was killed stays.
"""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from xml.etree import ElementTree

import rasterio
import rasterio.shutil
from rasterio.io import MemoryFile

from rio_mucho_cli.env import captured_messages
from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs import objects


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
        _remove(self._old)

    def remove(self) -> None:
        """Remove all parts that have been begun."""
        _remove(self._begun)

    def leave(self) -> None:
        """Remove them: there is no going on with them."""
        self.remove()


def _remove(paths: set[str] | list[str]) -> None:
    for path in paths:
        with suppress(OutputError):
            objects.remove(path)


def _sources(mosaic: str) -> set[str]:
    """Return what a VRT is made of; of anything else, nothing."""
    found: set[str] = set()
    with suppress(Exception), captured_messages():
        if not objects.exists(mosaic):
            return found
        with rasterio.open(mosaic, sharing=False) as src, MemoryFile(ext=".vrt") as copied:
            if src.driver == "VRT":
                rasterio.shutil.copy(src, copied.name, driver="VRT")
                root = ElementTree.fromstring(bytes(copied.getbuffer()))
                found = {each.text for each in root.iter("SourceFilename") if each.text}
    return found
