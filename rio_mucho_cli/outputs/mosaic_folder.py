"""The folder of a mosaic's parts, with one subfolder for each run.

    out.vrt                        the mosaic, which names the files of one run
    out.vrt.parts/
      3f0c52b91d/                  the parts of that run
        0_0.tif  0_1.tif  …
      a81b77e4c0/                  an unfinished run
        run.json                   marks it as unfinished; fingerprint if it can be resumed
        0_0.tif  0_0.tif.json  …   record of a part, if the run can be resumed

Runs of the same output never touch each other's files, and an old mosaic stays
complete until the new one is in place. Then the old parts are removed, and
``run.json`` last. A folder with ``run.json`` that is not locked and cannot be
resumed belongs to a killed run. A folder without it belongs to a finished
mosaic. Only the run that replaces that mosaic removes it, because its VRT may
have been renamed.
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
    folder_exists,
    is_real_folder,
    lock_folder,
    open_to_read,
    path_beside,
    write_private,
)
from rio_mucho_cli.outputs.vrt import folders_used

RECORD = ".json"
"""Suffix added to a part's name for the file with its record."""

_MARKER = "run.json"
_TEMPORARY = ".mucho-"
_NEW_MARKER = f"{_TEMPORARY}{_MARKER}"
_MOST = 64 * 1024 * 1024
_RUN_NAME = re.compile("[0-9a-f]{10}")


def parts_folder(path: str) -> Path:
    """Return the folder of a mosaic's parts."""
    return path_beside(path, ".parts")


@dataclass
class RunFolder:
    """The folder of one run's parts, locked during the run.

    Attributes
    ----------
    path : Path
    lock : int or None
        Descriptor that holds the lock, None once closed.
    run : Mapping or None
        Fingerprint of the run, if it can be resumed.
    replaces : list of str
        Names of folders to remove once the new mosaic is in place.
    """

    path: Path
    lock: int | None
    run: Mapping[str, Any] | None = None
    replaces: list[str] = field(default_factory=list)

    @classmethod
    def create(cls, mosaic: str, run: Mapping[str, Any] | None = None) -> RunFolder:
        """Create and lock a new folder.

        Parameters
        ----------
        mosaic : str
            Path of the VRT.
        run : Mapping or None
            Fingerprint of a run that can be resumed.

        Raises
        ------
        OutputError
            If the path of the parts is a file or a link.
        OSError
            If the folder cannot be created.
        """
        parent = parts_folder(mosaic)
        folder_exists(parent, "parts")
        while True:
            folder = parent / uuid.uuid4().hex[:10]
            # Before it is locked, another run may remove it as abandoned.
            with suppress(FileNotFoundError, FileExistsError, BlockingIOError):
                parent.mkdir(exist_ok=True)
                folder.mkdir()
                lock = lock_folder(folder)
                if folder.is_dir():
                    run_folder = cls(folder, lock, run)
                    run_folder.write_marker()
                    return run_folder
                os.close(lock)

    @property
    def name(self) -> str:
        """Path of the folder relative to the mosaic."""
        return f"{self.path.parent.name}/{self.path.name}"

    def part_path(self, part: str) -> str:
        """Return the path of a part."""
        return str(self.path / part)

    def record_replaced(self, mosaic: str) -> None:
        """Record the folders that the old mosaic uses, before it is replaced."""
        self.replaces = sorted(folders_used(Path(mosaic)))
        self.write_marker()

    def write_marker(self) -> None:
        """Write ``run.json``, which marks the run as unfinished."""
        text = json.dumps({"run": self.run, "replaces": self.replaces})
        new = self.path / _NEW_MARKER
        # Arguments and paths may be confidential.
        write_private(new, text)
        new.replace(self.path / _MARKER)

    def finish(self) -> None:
        """Remove all but the parts, once the mosaic is in place."""
        for name in self.replaces:
            if name != self.path.name:
                _remove(self.path.with_name(name))
        for path in self.path.iterdir():
            if path.name.endswith(f".tif{RECORD}") or path.name.startswith(_TEMPORARY):
                remove_any(path)
        (self.path / _MARKER).unlink(missing_ok=True)
        self.close()

    def remove(self) -> None:
        """Remove the folder and its contents."""
        _remove(self.path)
        self.close()
        with suppress(OSError):
            self.path.parent.rmdir()  # if it is empty

    def keep(self) -> None:
        """Keep the folder for a later run if it has finished parts, else remove it."""
        if not any(self.path.glob(f"*.tif{RECORD}")):
            self.remove()
            return
        for path in self.path.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(path, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Release the lock."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None


def open_unfinished(mosaic: str) -> RunFolder | None:
    """Return the locked folder of a run that can be resumed, if there is one.

    Raises
    ------
    BlockingIOError
        If another run has locked it.
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
    """Remove the folders of killed runs that cannot be resumed."""
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
        # The run was killed after its mosaic was moved into place.
        replaced = [name for name in replaces if name not in used]
        RunFolder(folder, os.dup(lock), run, replaced).finish()
    elif has_marker and run is None:
        _remove(folder)
    elif not has_marker:
        # Either the run was killed before it wrote run.json, and the folder is
        # empty; or it belongs to a finished mosaic, and stays.
        with suppress(OSError):
            (folder / _NEW_MARKER).unlink(missing_ok=True)
            folder.rmdir()


def _folders(mosaic: str) -> list[Path]:
    """Return the folders of runs, without links and other names."""
    parent = parts_folder(mosaic)
    if not is_real_folder(parent):
        return []
    with suppress(OSError):
        return sorted(
            path
            for path in parent.iterdir()
            if _RUN_NAME.fullmatch(path.name) and is_real_folder(path)
        )
    return []


def _read_marker(folder: Path) -> tuple[Mapping[str, Any] | None, list[str]]:
    """Return a resumable run's fingerprint, else None, and folders it replaces."""
    with suppress(OSError, ValueError, RecursionError):
        with open_to_read(folder / _MARKER) as file:
            marker = json.loads(file.read(_MOST))
        match marker:
            case {"run": dict(run), "replaces": list(names)}:
                return run, _names(names)
            case {"run": None, "replaces": list(names)}:
                return None, _names(names)
    return None, []


def _names(values: list[Any]) -> list[str]:
    return [name for name in values if isinstance(name, str) and _RUN_NAME.fullmatch(name)]


def _remove(folder: Path) -> None:
    """Remove a run's folder, its ``run.json`` last."""
    if not is_real_folder(folder):
        return
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name != _MARKER:
                remove_any(path)
        (folder / _MARKER).unlink(missing_ok=True)
        folder.rmdir()


def remove_any(path: Path) -> None:
    """Remove a file, folder or link, if it exists."""
    if is_real_folder(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
