"""The file that an output becomes: made aside, put into place at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.interrupts import held

# What may lie beside a raster and speaks of its pixels.
_SIDECARS = (".aux.xml", ".ovr", ".msk")
# The folder of what is replaced, while it may have to be put back.
_BEFORE = "before"


class Target:
    """A place on a file system, and a folder beside it in which its file grows.

    The file has the target's own name there: formats that come as several
    files refer to each other by name.

    Parameters
    ----------
    path : str
        Symbolic links are followed: the link stays, and what it leads to is
        replaced.
    overwrite : bool
    inputs : sequence of str
        To say so if the output is one of them.

    Raises
    ------
    OutputError
        If the output exists and may not be replaced, or its folder is missing
        or not writable.
    """

    def __init__(self, path: str, *, overwrite: bool, inputs: Sequence[str]) -> None:
        self.path = path
        try:
            self._place = Path(os.path.realpath(path))
            _check(path, self._place, overwrite, inputs)
            self._folder = Path(tempfile.mkdtemp(prefix=".mucho-", dir=self._place.parent))
        except OutputError:
            raise
        except OSError as exc:
            if not self._place.parent.is_dir():
                raise OutputError(
                    f"the folder of {path} does not exist: make {self._place.parent} first"
                ) from None
            raise OutputError(
                f"{_shortened(path)} cannot be written: the folder {self._place.parent} takes "
                f"no such file ({exc.strerror})"
            ) from None

    @property
    def temporary(self) -> Path:
        """Where the file grows."""
        return self._folder / self._place.name

    def remove_all_but(self, *paths: Path) -> None:
        """Remove what is no part of the output from the folder in which it grows."""
        for path in self._folder.iterdir():
            if path in paths:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def put_into_place(self, undo: ExitStack) -> None:
        """Move the file, and what lies beside it, into place.

        Parameters
        ----------
        undo : ExitStack
            Gets what takes it back.
        """
        made = sorted(self._folder.iterdir(), key=lambda file: file == self.temporary)
        names = {file.name for file in made}
        stale = [self._place.name + end for end in _SIDECARS]
        if self._place.exists():
            shutil.copymode(self._place, self.temporary)
        before = self._folder / _BEFORE
        for name in sorted({*names, *stale}):
            old = self._place.with_name(name)
            if old.is_file() or old.is_symlink():
                before.mkdir(exist_ok=True)
                _set_aside(old, before / name)
                undo.callback((before / name).replace, old)
                if name not in names:
                    old.unlink()
        for file in made:
            new = self._place.with_name(file.name)
            file.replace(new)
            if not (before / file.name).exists():
                undo.callback(new.unlink)

    def discard(self) -> None:
        """Remove what there is beside the target."""
        shutil.rmtree(self._folder, ignore_errors=True)


def publish(targets: Sequence[Target]) -> None:
    """Move outputs into place: all of them, or none.

    Raises
    ------
    OutputError
        If that fails; what was there before is there again.
    """
    with held():
        with ExitStack() as undo:
            for target in targets:
                try:
                    target.put_into_place(undo)
                except OSError as exc:
                    raise OutputError(f"{target.path} cannot be put into place: {exc}") from None
            undo.pop_all()
        for target in targets:
            target.discard()


def _set_aside(old: Path, aside: Path) -> None:
    """Keep an old file under another name, while its own still leads to it where possible."""
    try:
        os.link(old, aside)
    except OSError:  # there are file systems without links
        old.replace(aside)


def _shortened(path: str) -> str:
    return path if len(path) <= 100 else f"{path[:97]}..."


def is_remote(path: str) -> bool:
    """Whether a path is GDAL's or rasterio's, and not the file system's."""
    return path.startswith("/vsi") or "://" in path


def exists_error(path: str) -> OutputError:
    """Say that an output exists."""
    return OutputError(f"the output {path} exists: pass --overwrite to replace it")


def _check(path: str, place: Path, overwrite: bool, inputs: Sequence[str]) -> None:
    if not place.exists():
        return
    if not place.is_file():
        kind = "a folder" if place.is_dir() else "no regular file"
        raise OutputError(f"{path} is {kind}: give the name of a file to write")
    if overwrite:
        return
    same = [source for source in inputs if _is_same_file(source, place)]
    if same:
        raise OutputError(
            f"the output {path} is the input {same[0]}: pass --overwrite to replace it "
            "when all is done, or give another output"
        )
    raise exists_error(path)


def _is_same_file(source: str, place: Path) -> bool:
    try:
        return place.samefile(source)
    except OSError:
        return False  # an input that is no local file
