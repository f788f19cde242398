"""Targets: files written in a temporary folder and moved into place at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeAlias

import rasterio

from rio_mucho_cli.env import captured_messages
from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs.files import (
    check_file,
    folder_exists,
    is_real_folder,
    journal_of,
    lock_with_spares,
    new_folder,
    os_errors_explained,
    partial_folder,
)
from rio_mucho_cli.signals import check, deferred
from rio_mucho_cli.text import option

# Endings of sidecar files that follow the raster's full name ...
SIDECARS = (".aux.xml", ".ovr", ".msk")
# ... and extensions of those that replace its own: headers, georeferences, tables, overviews.
_OTHER_EXTENSIONS = {
    ".hdr", ".prj", ".wld", ".clr", ".stx", ".sta", ".rrd", ".ige", ".rdc", ".sgrd", ".mgrd",
    ".gri", ".aux",
}  # fmt: skip
# Function that makes a target's file from an intermediate GeoTIFF, its first argument.
Finish: TypeAlias = Callable[[Path, "Target"], None]
# Folder of the replaced files while they may have to be restored.
_BEFORE = "before"


class Target:
    """The path of an output, with a folder beside it for the temporary file.

    The temporary file has the output's name, because the files of multi-file
    formats refer to each other by name. The folder is locked. An unlocked one
    was left by a killed run, and the next run removes it.

    Parameters
    ----------
    path : str
        Path of the output. Symbolic links are followed: the link stays, and
        the file it points to is replaced.
    overwrite : bool
    inputs : sequence of str
        Paths of the inputs, for the message if the output is one of them.
    resume : bool
        Use a folder with a fixed name, which is kept if the run is interrupted
        and reopened by the next run.

    Raises
    ------
    OutputError
        If the output exists and may not be replaced, its folder is missing or
        not writable, or another run is resuming it.
    """

    is_remote = False

    def __init__(
        self, path: str, *, overwrite: bool, inputs: Sequence[str], resume: bool = False
    ) -> None:
        self.path = path
        self.resumes = resume
        self._overwrite = overwrite
        self._output = Path(os.path.realpath(path))
        with os_errors_explained(path, self._output):
            check_file(path, self._output, overwrite, inputs)
            if resume:
                self._folder = partial_folder(path)
                folder_exists(self._folder, "a run")
                self._folder.mkdir(exist_ok=True)
                try:
                    self._locks = lock_with_spares(self._folder)
                except BlockingIOError:
                    raise OutputError(
                        f"{self._folder} is in use: another run writes the same output"
                    ) from None
            else:
                self._folder, self._locks = new_folder(self._output.parent, self._output.name)
        unfinished_targets.add(self)

    @property
    def intermediate(self) -> Path:
        """Path of the intermediate GeoTIFF, for outputs that are made from one."""
        return self._folder / "mucho-intermediate.tif"

    @property
    def journal(self) -> Path:
        """Path of the journal."""
        return journal_of(self.path)

    @property
    def temporary(self) -> Path:
        """Path of the temporary file."""
        return self._folder / self._output.name

    def remove_all_but(self, *paths: Path) -> None:
        """Remove everything but these paths and the journal from the temporary folder."""
        for path in self._folder.iterdir():
            if path not in paths and path != self.journal:
                _remove(path)

    def remove_all(self) -> None:
        """Remove everything from the temporary folder."""
        for path in self._folder.iterdir():
            _remove(path)

    def final_paths(self) -> list[Path]:
        """Return the final paths of all files of the output, the raster itself last."""
        files = [file for file in self._folder.iterdir() if file != self.journal]
        files.sort(key=lambda file: file == self.temporary)
        return [self._output.with_name(file.name) for file in files]

    def check_others(self, files: Iterable[Path]) -> None:
        """Raise OutputError if a sidecar file would replace an existing file.

        Parameters
        ----------
        files : iterable of Path
            Temporary files of the output. Names that start with the output's
            full name are not checked: they cannot belong to another raster.
        """
        for name in sorted(file.name for file in files):
            is_ours = name.startswith(self._output.name)
            if not self._overwrite and not is_ours and self._is_taken(name):
                raise OutputError(
                    f"{self.path} comes with a file {name}, and there is one: "
                    f"pass {option('overwrite')} to replace it, or give another name"
                )

    def _is_taken(self, name: str) -> bool:
        return os.path.exists(self._output.with_name(name))  # noqa: PTH110 (False for a name too long)

    def send(self) -> None:
        """Do the slow part of publishing, before anything is visible."""

    def move_into_place(self, undo: ExitStack, output_files: Container[Path] = ()) -> None:
        """Move the file and its sidecar files into place.

        Parameters
        ----------
        undo : ExitStack
            Receives callbacks that restore the old files.
        output_files : container of Path
            Files of all outputs, which are not removed as stale sidecars.
        """
        files = [self._folder / path.name for path in self.final_paths()]
        if self.temporary not in files:
            raise OutputError(
                f"{self.path} cannot be put into place: it was removed during the run"
            )
        self.check_others(files)
        names = {file.name for file in files}
        stale = [name for name in self._stale() if self._output.with_name(name) not in output_files]
        if self._output.exists():
            shutil.copymode(self._output, self.temporary)
        before = self._folder / _BEFORE
        for name in sorted({*names, *stale}):
            old = self._output.with_name(name)
            if os.path.isfile(old) or os.path.islink(old):  # noqa: PTH113, PTH114 (likewise)
                if not before.exists():
                    before.mkdir()
                    undo.callback(shutil.rmtree, before, ignore_errors=True)
                _set_aside(old, before / name)
                undo.callback(_put_back, before / name, old)
                if name not in names:
                    old.unlink()
        for file in files:
            new = self._output.with_name(file.name)
            file.replace(new)
            undo.callback(new.replace, file)

    def _stale(self) -> set[str]:
        """Return the names of sidecar files that describe the replaced file."""
        name, stem, extension = self._output.name, self._output.stem, self._output.suffix
        stale = {name + end for end in SIDECARS}
        worlds = {f"{extension}w", f"{extension[:2]}{extension[-1:]}w"}
        others = {stem + end for end in _OTHER_EXTENSIONS | worlds} - {name}
        if any(map(self._is_taken, others)):
            # The driver knows whether they belong to this raster or to another.
            with suppress(Exception), captured_messages(), rasterio.open(self._output) as src:
                if src.driver != "VRT":
                    stale |= others & {Path(file).name for file in src.files}
        return stale

    def discard(self) -> None:
        """Remove the temporary folder, unless a later run can resume it."""
        if not self.resumes:
            self.remove()
        else:
            with suppress(OSError):
                self._folder.rmdir()  # if it is empty
            self._release()

    def clean_up(self) -> None:
        """Clean up after the file has been moved into place."""
        self.remove()

    def remove(self) -> None:
        """Remove the temporary folder, using the spare descriptors if none are left."""
        while len(self._locks) > 1:
            os.close(self._locks.pop())
        shutil.rmtree(self._folder, ignore_errors=True)
        self._release()

    def _release(self) -> None:
        unfinished_targets.discard(self)
        while self._locks:
            os.close(self._locks.pop())


unfinished_targets: set[Target] = set()
"""Targets of this process that are not published yet, to be discarded before it exits."""


def publish(targets: Sequence[Target], then: Callable[[], None] | None = None) -> None:
    """Move all outputs into place, or none of them.

    Local files come before objects, because moving them can be undone. Signals
    are deferred until publishing is done.

    Parameters
    ----------
    targets : sequence of Target
    then : callable, optional
        Function called as soon as all outputs are in place.

    Raises
    ------
    OutputError
        If that fails. Files that were replaced are restored.
    """
    targets = sorted(targets, key=lambda target: target.is_remote)
    for target in targets:
        target.send()
    check()
    with deferred():
        owners: dict[Path, Target] = {}
        for target in targets:
            for path in target.final_paths():
                other = owners.setdefault(path, target)
                if other is not target:
                    raise OutputError(
                        f"{other.path} and {target.path} both come with a file {path.name}: "
                        "give one of them another name"
                    )
        with ExitStack() as undo:
            for target in targets:
                try:
                    target.move_into_place(undo, owners)
                except OutputError:
                    raise
                except PermissionError as exc:
                    raise OutputError(
                        f"{target.path} cannot be put into place ({exc}): if a program has the "
                        "old file open, close it there, or give another name"
                    ) from None
                except OSError as exc:
                    raise OutputError(f"{target.path} cannot be put into place: {exc}") from None
            undo.pop_all()
        if then is not None:
            then()
        for target in targets:
            # The outputs are in place: temporary files that cannot be removed stay.
            with suppress(OSError):
                target.clean_up()


def _remove(path: Path) -> None:
    """Remove a file, or a folder and its contents."""
    if is_real_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink()


def _set_aside(old: Path, aside: Path) -> None:
    """Link an old file to another name, or rename it if linking fails."""
    try:
        os.link(old, aside)
    except OSError:
        old.replace(aside)


def _put_back(aside: Path, old: Path) -> None:
    """Undo `_set_aside`, unless the old file is still in place."""
    if not (old.exists() and old.samefile(aside)):  # on Windows, an open file is not replaced
        aside.replace(old)
