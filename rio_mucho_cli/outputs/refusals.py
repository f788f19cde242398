"""Say why an output cannot be made in its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rio_mucho_cli.errors import OutputError, OutputExistsError
from rio_mucho_cli.paths import local_file
from rio_mucho_cli.text import option, truncate


def exists_error(path: str) -> OutputError:
    """Say that an output exists."""
    return OutputExistsError(f"the output {path} exists: pass {option('overwrite')} to replace it")


@contextmanager
def refused(path: str, place: Path) -> Iterator[None]:
    """Say why the file system does not take an output."""
    try:
        yield
    except OutputError:
        raise
    except OSError as exc:
        if not place.parent.is_dir():
            raise OutputError(
                f"the folder of {path} does not exist: make {place.parent} first"
            ) from None
        raise OutputError(
            f"{truncate(path, 100)} cannot be written: the folder {place.parent} takes "
            f"no such file ({exc.strerror})"
        ) from None


def check_file(path: str, place: Path, overwrite: bool, inputs: Sequence[str]) -> None:
    """Raise OutputError if there is something that may not be replaced."""
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
            f"the output {path} is the input {same[0]}: pass {option('overwrite')} to replace it "
            "when all is done, or give another output"
        )
    raise exists_error(path)


def _is_same_file(source: str, place: Path) -> bool:
    file = local_file(source)
    return file is not None and place.samefile(file)
