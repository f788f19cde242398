"""The folder beside a mosaic in which its parts lie, each run's in a folder of its own.

    out.vrt                        the mosaic: it names the files of one run
    out.vrt.parts/
      3f0c52b91d/                  the parts of that run
        0_0.tif  0_1.tif  …
      a81b77e4c0/                  a run that has not come to its end (yet)
        run.json                   says so, and which run it is if it can be resumed
        0_0.tif  0_0.tif.json  …   what is known of a part, if it can be resumed

Of two runs of one output none touches what the other one writes, and an old
mosaic stays whole until the new one is in its place. Then the parts of the old
one are removed, and ``run.json`` last: what has it, is locked by nobody and
cannot be resumed was left by a run that was killed. What has none is a
finished mosaic's, and is removed only by the run that replaces that: its VRT
may have been moved to another name.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rio_mucho_cli.outputs.files import (
    beside,
    folder_exists,
    is_real_folder,
    lock_folder,
    open_to_read,
    write_private,
)
from rio_mucho_cli.outputs.vrt import folders_used

RECORD = ".json"
"""The ending, after a part's name, of the file in which it is said what it is."""

_MARKER = "run.json"
_TEMPORARY = ".mucho-"
_NEW_MARKER = f"{_TEMPORARY}{_MARKER}"
_MOST = 64 * 1024 * 1024


def parts_folder(path: str) -> Path:
    """Return the folder of a mosaic's parts."""
    return beside(path, ".parts")


@dataclass
class RunFolder:
    """The folder of one run's parts, locked while the run has it.

    Attributes
    ----------
    path : Path
    run : Mapping or None
        Its fingerprint, if it can be resumed.
    replaces : list of str
        Folders that are to be removed when the new mosaic is in its place.
    """

    path: Path
    lock: int | None
    run: Mapping[str, Any] | None = None
    replaces: list[str] = field(default_factory=list)

    @classmethod
    def create(cls, mosaic: str, run: Mapping[str, Any] | None = None) -> RunFolder:
        """Make one.

        Parameters
        ----------
        mosaic : str
            The path of the VRT.
        run : Mapping or None
            The fingerprint of a run that can be resumed.

        Raises
        ------
        OutputError
            If the folder of parts is something else.
        OSError
            If it cannot be made.
        """
        parent = parts_folder(mosaic)
        folder_exists(parent, "parts")
        while True:
            folder = parent / uuid.uuid4().hex[:10]
            # Another run may take it for one that was left, until it is locked.
            with suppress(FileNotFoundError, FileExistsError, BlockingIOError):
                parent.mkdir(exist_ok=True)
                folder.mkdir()
                lock = lock_folder(folder)
                if folder.is_dir():
                    made = cls(folder, lock, run)
                    made.write_marker()
                    return made
                os.close(lock)

    @property
    def name(self) -> str:
        """Of it, from the mosaic."""
        return f"{self.path.parent.name}/{self.path.name}"

    def place(self, part: str) -> str:
        """Return the path of a part."""
        return str(self.path / part)

    def note_old(self, mosaic: str) -> None:
        """Write down, before the new mosaic takes its place, what the old one is made of."""
        self.replaces = sorted(folders_used(Path(mosaic)))
        self.write_marker()

    def write_marker(self) -> None:
        """Say that the run has not come to its end, and what is to be known of it."""
        text = json.dumps({"run": self.run, "replaces": self.replaces})
        new = self.path / _NEW_MARKER
        # Arguments and paths may hold what is nobody else's business.
        write_private(new, text)
        new.replace(self.path / _MARKER)

    def finish(self) -> None:
        """Leave nothing but the parts, when the mosaic is in its place."""
        for name in self.replaces:
            if name != self.path.name:
                _remove(self.path.with_name(name))
        for path in self.path.iterdir():
            if path.name.endswith(f".tif{RECORD}") or path.name.startswith(_TEMPORARY):
                remove_any(path)
        (self.path / _MARKER).unlink(missing_ok=True)
        self.close()

    def remove(self) -> None:
        """Remove it with all that is in it."""
        _remove(self.path)
        self.close()
        with suppress(OSError):
            self.path.parent.rmdir()  # if it is empty

    def leave(self) -> None:
        """Leave it for a later run, if there is a part that it could keep."""
        if not any(self.path.glob(f"*.tif{RECORD}")):
            self.remove()
            return
        for path in self.path.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(path, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Let others have it."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None


def open_unfinished(mosaic: str) -> RunFolder | None:
    """Take what a run has left that can be resumed, if there is any.

    Raises
    ------
    BlockingIOError
        If another run has it.
    """
    for folder, run in _unfinished(mosaic):
        with suppress(FileNotFoundError):
            return RunFolder(folder, lock_folder(folder), run)
    return None


def unfinished_run(mosaic: str) -> Mapping[str, Any] | None:
    """Return the fingerprint of a run that can be resumed, if there is one."""
    return next((run for _, run in _unfinished(mosaic)), None)


def _unfinished(mosaic: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    used = folders_used(Path(mosaic))
    for folder in _folders(mosaic):
        run, _ = _read_marker(folder)
        if run is not None and folder.name not in used:
            yield folder, run


def remove_abandoned(mosaic: str) -> None:
    """Remove what runs have left that were killed and cannot be resumed."""
    used = folders_used(Path(mosaic))
    for folder in _folders(mosaic):
        with suppress(OSError):
            lock = lock_folder(folder, must=True)
            try:
                _remove_abandoned(folder, lock, used)
            finally:
                os.close(lock)
    with suppress(OSError):
        parts_folder(mosaic).rmdir()


def _remove_abandoned(folder: Path, lock: int, used: set[str]) -> None:
    has_marker = (folder / _MARKER).is_file()
    run, replaces = _read_marker(folder)
    if has_marker and folder.name in used:
        # It was killed after it had put its mosaic into place.
        RunFolder(
            folder, os.dup(lock), run, [each for each in replaces if each not in used]
        ).finish()
    elif has_marker and run is None:
        _remove(folder)
    elif not has_marker:
        # It was killed before it could say anything; or it is a mosaic's, and stays.
        with suppress(OSError):
            (folder / _NEW_MARKER).unlink(missing_ok=True)
            folder.rmdir()


def _folders(mosaic: str) -> list[Path]:
    """Return the folders of runs: no links, and nothing that is called otherwise."""
    parent = parts_folder(mosaic)
    if not is_real_folder(parent):
        return []
    with suppress(OSError):
        return sorted(
            path
            for path in parent.iterdir()
            if re.fullmatch("[0-9a-f]{10}", path.name) and is_real_folder(path)
        )
    return []


def _read_marker(folder: Path) -> tuple[Mapping[str, Any] | None, list[str]]:
    """Return the fingerprint of a run, if it can be resumed, and what it replaces."""
    with suppress(OSError, ValueError, RecursionError):
        with open_to_read(folder / _MARKER) as file:
            found = json.loads(file.read(_MOST))
        match found:
            case {"run": dict(run), "replaces": list(names)}:
                return run, _names(names)
            case {"run": None, "replaces": list(names)}:
                return None, _names(names)
    return None, []


def _names(values: list[Any]) -> list[str]:
    return [each for each in values if isinstance(each, str) and re.fullmatch("[0-9a-f]{10}", each)]


def _remove(folder: Path) -> None:
    """Remove a folder; what says that it may be removed goes last."""
    if not is_real_folder(folder):
        return
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name != _MARKER:
                remove_any(path)
        (folder / _MARKER).unlink(missing_ok=True)
        folder.rmdir()


def remove_any(path: Path) -> None:
    """Remove a file, a folder, or a link, if there is one."""
    if is_real_folder(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
