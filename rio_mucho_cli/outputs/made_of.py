"""Outputs that are made of a GeoTIFF, which another writer makes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rio_mucho_cli.inputs.windows import PlannedWindow
from rio_mucho_cli.outputs.encoding import Encoded
from rio_mucho_cli.outputs.metadata import Metadata
from rio_mucho_cli.outputs.pyramid import Unmade
from rio_mucho_cli.outputs.target import Inner, Target


class MadeOfGeotiff:
    """A writer that has another one make a GeoTIFF, and something else of it at the end.

    Parameters
    ----------
    target : Target
        Of the output.
    inner : Inner
        The place of the GeoTIFF, in the target's folder.
    writer : Writer
        Of the GeoTIFF.
    """

    def __init__(self, target: Target, inner: Inner, writer: Any) -> None:
        self.target: Target = target
        self._place = inner.temporary
        self._writer = writer

    def begin(
        self,
        profile: Mapping[str, Any],
        *,
        masked: bool = False,
        metadata: Metadata | None = None,
    ) -> None:
        """Begin the GeoTIFF."""
        self._writer.begin(profile, masked=masked, metadata=metadata)

    def append(self, window: Any, data: Any) -> None:
        """Append the encoded blocks of a window, and of its overviews."""
        self._writer.append(window, data)

    def open_log(
        self,
        fingerprint: Mapping[str, Any],
        windows: Sequence[PlannedWindow],
        *,
        overwrite: bool,
    ) -> int:
        """Open the journal of the GeoTIFF."""
        done: int = self._writer.open_log(fingerprint, windows, overwrite=overwrite)
        return done

    def restrict(self, windows: int) -> Sequence[Mapping[str, Any]]:
        """Take up so many windows of an earlier run."""
        states: Sequence[Mapping[str, Any]] = self._writer.restrict(windows)
        return states

    def note(self, number: int, state: Mapping[str, Any]) -> bool:
        """Write down that all windows up to a number are written."""
        noted: bool = self._writer.note(number, state)
        return noted

    def unmade_overviews(self) -> Sequence[Unmade]:
        """Say what overviews are to be made, and of what."""
        found: Sequence[Unmade] = self._writer.unmade_overviews()
        return found

    def append_overview(self, level: int, window: Any, data: Encoded) -> None:
        """Append the encoded blocks of a window of a level."""
        self._writer.append_overview(level, window, data)

    def set_statistics(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Take the statistics of all bands, as tags."""
        self._writer.set_statistics(tags)

    def discard(self) -> None:
        """Remove what there is."""
        self._writer.discard()
        self.target.discard()
