"""Mosaics: a task is a part, and what comes of it lies in its place already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias, cast

from rio_mucho_cli.delivery import Delivery
from rio_mucho_cli.ordered import Task
from rio_mucho_cli.outputs.mosaic import MosaicWriter
from rio_mucho_cli.outputs.mosaic_folder import RECORD, RunFolder, remove_any
from rio_mucho_cli.outputs.remote_target import RemoteFolder
from rio_mucho_cli.part_work import PartResult, Record, work_part
from rio_mucho_cli.planning.mosaic import MosaicPart

Folder: TypeAlias = RunFolder | RemoteFolder


def folders_of(deliveries: Sequence[Delivery]) -> list[Folder]:
    """Return the folders in which this run's parts lie: one for each output."""
    return [cast("MosaicWriter", delivery.writer).folder for delivery in deliveries]


def kept_parts(
    parts: Sequence[MosaicPart], folders: Sequence[Folder]
) -> dict[tuple[int, int], PartResult]:
    """Return what came of those parts that an earlier run has completed, by their ij.

    What there is of others is removed: a link in its place would be followed.
    """
    kept = {}
    for part in parts:
        places = [Path(folder.place(part.name)) for folder in folders]
        records = [Record.read(place) for place in places]
        known = [record for record in records if record is not None]
        if len(known) == len(folders) and len({record.first for record in known}) == 1:
            kept[part.ij] = PartResult.of_records(known)
        else:
            for place in places:
                remove_any(place)
                remove_any(place.with_name(place.name + RECORD))
    return kept


def tasks_of(
    key: str, parts: Sequence[MosaicPart], folders: Sequence[Folder]
) -> Iterator[Task[MosaicPart]]:
    """Yield a task for each part, with the paths of its files.

    Parameters
    ----------
    key : str
        The name of the run.
    parts : sequence of MosaicPart
    folders : sequence of Folder
        For each output, the folder of its parts.
    """
    for part in parts:
        yield Task(
            part, work_part, (key, part.placed([folder.place(part.name) for folder in folders]))
        )
