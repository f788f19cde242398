"""Write a mosaic: a VRT over parts that workers have written.

    worker ──▶ out.vrt.parts/3f0c52b91d/0_0.tif
    worker ──▶ out.vrt.parts/3f0c52b91d/0_1.tif     main process ──▶ out.vrt
    …

No pixels reach the main process, only the name, result type and statistics of
each part. The VRT is moved into place last, like any other output.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from rasterio.windows import Window

from rio_mucho_cli.errors import OutputError
from rio_mucho_cli.geotiff.metadata import Metadata
from rio_mucho_cli.outputs.gdal_writer import WithoutBlocks
from rio_mucho_cli.outputs.mosaic_folder import RunFolder, open_unfinished, remove_abandoned
from rio_mucho_cli.outputs.remote_target import RemoteFolder, RemoteTarget
from rio_mucho_cli.outputs.run_diff import describe_changes, different_run_error
from rio_mucho_cli.outputs.target import Target
from rio_mucho_cli.outputs.vrt import (
    PartFile,
    PlacedPart,
    add_parts,
    add_statistics,
    to_bytes,
    vrt_without_parts,
)
from rio_mucho_cli.paths import is_virtual
from rio_mucho_cli.windows import PlannedWindow

log = logging.getLogger(__name__)


class _WithParts:
    """Mixin for the target of a VRT, which adds the folder of its parts."""

    parts: RunFolder | RemoteFolder | None = None
    resumes_parts = False

    def clean_up(self) -> None:
        """Remove what the published VRT does not need."""
        # From here on, the parts must not be discarded, whatever happens.
        parts, self.parts = self.parts, None
        try:
            if parts is not None:
                parts.finish()
        finally:
            super().clean_up()  # type: ignore[misc]

    def discard(self) -> None:
        """Remove the partial output, unless a later run can resume it."""
        if self.parts is not None and self.resumes_parts:
            self.parts.keep()
        elif self.parts is not None:
            self.parts.remove()
        super().discard()  # type: ignore[misc]


class MosaicTarget(_WithParts, Target):
    """Target of a VRT on a file system, with the folder of its parts.

    Parameters
    ----------
    path : str
    overwrite : bool
    inputs : sequence of str
    resume : bool
        Let `MosaicWriter.open_log` create or reopen the folder of parts, once
        the run's fingerprint is known.
    """

    def __init__(
        self, path: str, *, overwrite: bool, inputs: Sequence[str], resume: bool = False
    ) -> None:
        super().__init__(path, overwrite=overwrite, inputs=inputs)
        self.resumes_parts = resume
        try:
            remove_abandoned(path)
            if not resume:
                self.parts = RunFolder.create(path)
        except BaseException as exc:
            super().discard()
            if isinstance(exc, OSError) and not isinstance(exc, OutputError):
                raise OutputError(
                    f"{path} cannot be written: there is no folder for its parts ({exc.strerror})"
                ) from None
            raise


class RemoteMosaicTarget(_WithParts, RemoteTarget):
    """Target of a VRT in object storage, with the folder of its parts."""

    def __init__(self, path: str, *, overwrite: bool, inputs: Sequence[str]) -> None:
        super().__init__(path, overwrite=overwrite, inputs=inputs)
        self.parts = RemoteFolder(path)


def open_mosaic(
    path: str, *, overwrite: bool, inputs: Sequence[str], resume: bool
) -> MosaicTarget | RemoteMosaicTarget:
    """Return the target of a mosaic; see `Target`."""
    if is_virtual(path):
        return RemoteMosaicTarget(path, overwrite=overwrite, inputs=inputs)
    return MosaicTarget(path, overwrite=overwrite, inputs=inputs, resume=resume)


class MosaicWriter(WithoutBlocks):
    """Collects parts and writes the VRT over them.

    Parameters
    ----------
    target : MosaicTarget or RemoteMosaicTarget
    resampling : str
        Resampling of the parts' overviews.
    """

    def __init__(self, target: MosaicTarget | RemoteMosaicTarget, resampling: str) -> None:
        self.target = target
        self._resampling = resampling
        self._parts: list[PlacedPart] = []
        self._root: ElementTree.Element | None = None
        self._statistics: Sequence[Mapping[str, str]] = ()

    @property
    def folder(self) -> RunFolder | RemoteFolder:
        """Folder of this run's parts."""
        assert self.target.parts is not None
        return self.target.parts

    def open_log(
        self,
        fingerprint: Mapping[str, Any],
        windows: Sequence[PlannedWindow],
        *,
        overwrite: bool,
    ) -> int:
        """Open or create the run's folder; return 0: parts have own records.

        Raises
        ------
        UsageError
            If the earlier run was a different one.
        OutputError
            If another process has locked the folder.
        """
        path = self.target.path
        try:
            self.target.parts = earlier = open_unfinished(path)
        except BlockingIOError:
            raise OutputError(
                f"the parts of {path} are in use: another run writes the same output"
            ) from None
        changes = "" if earlier is None else describe_changes(earlier.run or {}, fingerprint)
        if earlier is not None and changes:
            if not overwrite:
                raise different_run_error(earlier.path, changes)
            log.warning("the run starts over: %s", changes)
            earlier.remove()
        if earlier is None or changes:
            self.target.parts = RunFolder.create(path, fingerprint)
        return 0

    def begin(
        self,
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        metadata: Metadata | None = None,
    ) -> None:
        """Create the XML of the VRT, still without parts."""
        self._root = vrt_without_parts(profile, metadata, self.target.path, masked=masked)

    def append(self, window: Window, data: PartFile) -> None:
        """Add a part that has been written."""
        self._parts.append(PlacedPart(f"{self.folder.name}/{data.name}", data, window))

    def set_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Store the statistics of all bands, as tags."""
        if not tags:
            log.warning("%s has no statistics: its compression changes values", self.target.path)
        self._statistics = tags

    def finish(self) -> None:
        """Write the VRT under its temporary name."""
        assert self._root is not None
        if self._statistics:
            add_statistics(self._root, self._statistics)
        add_parts(self._root, self._parts, self._resampling)
        self.folder.record_replaced(self.target.path)
        self.target.temporary.write_bytes(to_bytes(self._root))

    def discard(self) -> None:
        """Remove the partial output, unless a later run can resume it."""
        self.target.discard()
