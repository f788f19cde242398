"""The file that an output becomes: made aside, put into place at the end."""

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
    locks_of,
    new_folder,
    os_errors_explained,
    partial_folder,
)
from rio_mucho_cli.signals import check, deferred
from rio_mucho_cli.text import option

# What may lie beside a raster and speaks of its pixels, under its whole name ...
SIDECARS = (".aux.xml", ".ovr", ".msk")
# ... and what may do so with another extension: headers, places, tables and overviews.
_OTHER_EXTENSIONS = {
    ".hdr", ".prj", ".wld", ".clr", ".stx", ".sta", ".rrd", ".ige", ".rdc", ".sgrd", ".mgrd",
    ".gri", ".aux",
}  # fmt: skip
# Makes the file of a target from an intermediate GeoTIFF, which it gets first.
Finish: TypeAlias = Callable[[Path, "Target"], None]
# The folder of what is replaced, while it may have to be put back.
_BEFORE = "before"


class Target:
    """A place on a file system, and a folder beside it in which its file grows.

    The file has the target's own name there: formats that come as several
    files refer to each other by name. The folder is locked; one that nobody
    has locked was left by a run that was killed, and is removed by the next.

    Parameters
    ----------
    path : str
        Symbolic links are followed: the link stays, and what it leads to is
        replaced.
    overwrite : bool
    inputs : sequence of str
        To say so if the output is one of them.
    resume : bool
        The folder has a name of its own, outlasts a run that does not come to
        its end, and is taken up by the next.

    Raises
    ------
    OutputError
        If the output exists and may not be replaced, its folder is missing or
        not writable, or another run resumes it.
    """

    is_remote = False

    def __init__(
        self, path: str, *, overwrite: bool, inputs: Sequence[str], resume: bool = False
    ) -> None:
        self.path = path
        self.resumes = resume
        self._overwrite = overwrite
        self._place = Path(os.path.realpath(path))
        with os_errors_explained(path, self._place):
            check_file(path, self._place, overwrite, inputs)
            if resume:
                self._folder = partial_folder(path)
                folder_exists(self._folder, "a run")
                self._folder.mkdir(exist_ok=True)
                try:
                    self._locks = locks_of(self._folder)
                except BlockingIOError:
                    raise OutputError(
                        f"{self._folder} is in use: another run writes the same output"
                    ) from None
            else:
                self._folder, self._locks = new_folder(self._place.parent, self._place.name)
        unfinished.add(self)

    @property
    def intermediate(self) -> Path:
        """Path of the GeoTIFF from which the file is made, if it is written as one first."""
        return self._folder / "mucho-intermediate.tif"

    @property
    def journal(self) -> Path:
        """Where it is written down what has been done."""
        return journal_of(self.path)

    @property
    def temporary(self) -> Path:
        """Where the file grows."""
        return self._folder / self._place.name

    def remove_all_but(self, *paths: Path) -> None:
        """Remove what is no part of the output from the folder in which it grows."""
        for path in self._folder.iterdir():
            if path not in paths and path != self.journal:
                _remove(path)

    def remove_all(self) -> None:
        """Remove everything from the folder in which it grows."""
        for path in self._folder.iterdir():
            _remove(path)

    def places(self) -> list[Path]:
        """Return where what has been made comes to lie; the file itself is the last."""
        files = [file for file in self._folder.iterdir() if file != self.journal]
        made = sorted(files, key=lambda file: file == self.temporary)
        return [self._place.with_name(file.name) for file in made]

    def check_others(self, files: Iterable[Path]) -> None:
        """Raise OutputError if a file beside the output would replace one that exists.

        Parameters
        ----------
        files : iterable of Path
            What belongs to the output, while it grows. What has its whole name
            and an ending can belong to nothing else.
        """
        for name in sorted(file.name for file in files):
            is_ours = name.startswith(self._place.name)
            if not self._overwrite and not is_ours and self._is_taken(name):
                raise OutputError(
                    f"{self.path} comes with a file {name}, and there is one: "
                    f"pass {option('overwrite')} to replace it, or give another name"
                )

    def _is_taken(self, name: str) -> bool:
        return os.path.exists(self._place.with_name(name))  # noqa: PTH110 (a name too long is none)

    def send(self) -> None:
        """Do what takes long of putting it into place, before anybody sees anything of it."""

    def put_into_place(self, undo: ExitStack, kept: Container[Path] = ()) -> None:
        """Move the file, and what lies beside it, into place.

        Parameters
        ----------
        undo : ExitStack
            Gets what takes it back.
        kept : container of Path
            Files that are not to be removed, although they could speak of the
            old file: those of other outputs.
        """
        made = [self._folder / place.name for place in self.places()]
        if self.temporary not in made:
            raise OutputError(f"{self.path} cannot be put into place: somebody has removed it")
        self.check_others(made)
        names = {file.name for file in made}
        stale = [name for name in self._stale() if self._place.with_name(name) not in kept]
        if self._place.exists():
            shutil.copymode(self._place, self.temporary)
        before = self._folder / _BEFORE
        for name in sorted({*names, *stale}):
            old = self._place.with_name(name)
            if os.path.isfile(old) or os.path.islink(old):  # noqa: PTH113, PTH114 (likewise)
                if not before.exists():
                    before.mkdir()
                    undo.callback(shutil.rmtree, before, ignore_errors=True)
                _set_aside(old, before / name)
                undo.callback(_put_back, before / name, old)
                if name not in names:
                    old.unlink()
        for file in made:
            new = self._place.with_name(file.name)
            file.replace(new)
            undo.callback(new.replace, file)

    def _stale(self) -> set[str]:
        """Return the names of files that speak of what is replaced."""
        name, stem, extension = self._place.name, self._place.stem, self._place.suffix
        found = {name + end for end in SIDECARS}
        worlds = {f"{extension}w", f"{extension[:2]}{extension[-1:]}w"}
        others = {stem + end for end in _OTHER_EXTENSIONS | worlds} - {name}
        if any(map(self._is_taken, others)):
            # Whether they do, or belong to another raster, the driver knows.
            with suppress(Exception), captured_messages(), rasterio.open(self._place) as src:
                if src.driver != "VRT":
                    found |= others & {Path(file).name for file in src.files}
        return found

    def discard(self) -> None:
        """Remove what there is beside the target, unless a later run is to go on with it."""
        if not self.resumes:
            self.remove()
        else:
            with suppress(OSError):
                self._folder.rmdir()  # if it is empty
            self._release()

    def settle(self) -> None:
        """Remove what there is beside the target, which is in its place."""
        self.remove()

    def remove(self) -> None:
        """Remove what there is beside the target, even if there are no descriptors left."""
        while len(self._locks) > 1:
            os.close(self._locks.pop())
        shutil.rmtree(self._folder, ignore_errors=True)
        self._release()

    def _release(self) -> None:
        unfinished.discard(self)
        while self._locks:
            os.close(self._locks.pop())


unfinished: set[Target] = set()
"""What this process would leave if it ended now, and has to discard before."""


def publish(targets: Sequence[Target], then: Callable[[], None] | None = None) -> None:
    """Move outputs into place: all of them, or none.

    Files are moved first: that can be undone. A signal waits until all is done.

    Parameters
    ----------
    targets : sequence of Target
    then : callable, optional
        It is called as soon as they are in place.

    Raises
    ------
    OutputError
        If that fails; what was there before is there again.
    """
    targets = sorted(targets, key=lambda target: target.is_remote)
    for target in targets:
        target.send()
    check()
    with deferred():
        owners: dict[Path, Target] = {}
        for target in targets:
            for place in target.places():
                other = owners.setdefault(place, target)
                if other is not target:
                    raise OutputError(
                        f"{other.path} and {target.path} both come with a file {place.name}: "
                        "give one of them another name"
                    )
        with ExitStack() as undo:
            for target in targets:
                try:
                    target.put_into_place(undo, owners)
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
            # All is in its place; what cannot be removed stays.
            with suppress(OSError):
                target.settle()


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if is_real_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink()


def _set_aside(old: Path, aside: Path) -> None:
    """Keep an old file under another name, while its own still leads to it where possible."""
    try:
        os.link(old, aside)
    except OSError:  # there are file systems without links
        old.replace(aside)


def _put_back(aside: Path, old: Path) -> None:
    """Undo `_set_aside`, unless the old file is still where it was: Windows may have it open."""
    if not (old.exists() and old.samefile(aside)):
        aside.replace(old)
