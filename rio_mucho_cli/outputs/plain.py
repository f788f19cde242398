"""What writers have in common that append no encoded blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rasterio.windows import Window

from rio_mucho_cli.geotiff.block_table import EncodedBlocks
from rio_mucho_cli.geotiff.overview_plan import PendingOverviews


class WithoutBlocks:
    """No overviews of workers, and no journal of blocks."""

    def restrict(self, windows: int) -> Sequence[Mapping[str, Any]]:
        """Refuse: there is no journal."""
        raise NotImplementedError

    def note(self, number: int, state: Mapping[str, Any]) -> bool:
        """Do nothing: there is no journal."""
        return True

    def unmade_overviews(self) -> Sequence[PendingOverviews]:
        """Return nothing."""
        return ()

    def append_overview(self, level: int, window: Window, data: EncodedBlocks) -> None:
        """Refuse: nobody has been asked for it."""
        raise NotImplementedError
