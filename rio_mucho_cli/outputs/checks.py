"""Check whether an output can be written, without writing anything."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import rasterio.shutil

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.outputs import object_storage
from rio_mucho_cli.outputs.files import (
    check_file,
    exists_error,
    folder_exists,
    journal_of,
    lock_folder,
    open_to_read,
    os_errors_explained,
    partial_folder,
)
from rio_mucho_cli.outputs.journal import read_records
from rio_mucho_cli.outputs.mosaic_folder import parts_folder, unfinished_run
from rio_mucho_cli.outputs.remote_target import check_object
from rio_mucho_cli.outputs.run_diff import describe_changes, different_run_error
from rio_mucho_cli.paths import is_in_memory, is_virtual


def check_output(
    path: str, *, overwrite: bool, inputs: Sequence[str], resume: bool, is_mosaic: bool
) -> bool:
    """Return whether an output exists already.

    Parameters
    ----------
    path : str
    overwrite : bool
    inputs : sequence of str
    resume : bool
        The output is written in a folder that can be resumed.
    is_mosaic : bool

    Raises
    ------
    OutputError
        If a run would refuse the output. Write access to a bucket is not
        checked: that would take a write.
    """
    if is_in_memory(path):
        exists = bool(rasterio.shutil.exists(path))
        if exists and not overwrite:
            raise exists_error(path)
        return exists
    if is_virtual(path):
        check_object(path, overwrite, inputs)
        with suppress(OutputError):
            return object_storage.exists(path)
        return False
    real_path = Path(os.path.realpath(path))
    with os_errors_explained(path, real_path):
        check_file(path, real_path, overwrite, inputs)
        folders = [real_path.parent]
        if is_mosaic and folder_exists(parts_folder(path), "parts"):
            folders.append(parts_folder(path))
        elif resume and not is_mosaic and folder_exists(partial_folder(path), "a run"):
            folders.append(partial_folder(path))
            _check_free(partial_folder(path))
        for folder in folders:
            if not os.access(folder, os.W_OK | os.X_OK):
                code = errno.EACCES if folder.is_dir() else errno.ENOENT
                raise OSError(code, os.strerror(code))
        has_limit = hasattr(os, "pathconf")  # not on Windows
        longest = os.pathconf(real_path.parent, "PC_NAME_MAX") if has_limit else 255
        if len(os.fsencode(real_path.name)) > longest:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    return real_path.exists()


def _check_free(folder: Path) -> None:
    """Raise OutputError if another run has locked a folder."""
    try:
        os.close(lock_folder(folder))
    except BlockingIOError:
        raise OutputError(f"{folder} is in use: another run writes the same output") from None


def windows_done(path: str, run: Mapping[str, Any], *, overwrite: bool) -> int:
    """Return how many windows of an output an earlier run has recorded.

    Checksums are not verified: the run does that.

    Raises
    ------
    UsageError
        If the earlier run was a different one.
    OutputError
        If its journal cannot be read.
    """
    journal = journal_of(path)
    if not os.path.lexists(journal) or set(journal.parent.iterdir()) == {journal}:
        return 0
    try:
        with open_to_read(journal) as file:
            header, records, _, _ = read_records(file)
    except (ValueError, OSError) as exc:
        if overwrite:
            return 0
        raise OutputError(
            f"{journal} is damaged or not a journal ({exc}): remove it to start over"
        ) from None
    if _differs(str(journal.parent), header, run, overwrite=overwrite):
        return 0
    return records[-1].window + 1 if records else 0


def check_parts(path: str, run: Mapping[str, Any], *, overwrite: bool) -> bool:
    """Return whether an earlier run left parts of a mosaic that this run can keep.

    Raises
    ------
    UsageError
        If the earlier run was a different one.
    """
    earlier = unfinished_run(path)
    if earlier is None:
        return False
    return not _differs(str(parts_folder(path)), earlier, run, overwrite=overwrite)


def _differs(
    folder: str, earlier: Mapping[str, Any], run: Mapping[str, Any], *, overwrite: bool
) -> bool:
    changes = describe_changes(earlier, run)
    if changes and not overwrite:
        raise different_run_error(folder, changes)
    return bool(changes)
