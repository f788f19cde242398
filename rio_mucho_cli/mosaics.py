"""Mosaics: a task is a part, and what comes of it lies in its place already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeAlias, cast

from rio_mucho_cli.delivery import Delivery
from rio_mucho_cli.errors import MuchoError
from rio_mucho_cli.executors import room_in
from rio_mucho_cli.ordered import Recover, Task, Watch, in_order
from rio_mucho_cli.outputs.mosaic import MosaicWriter
from rio_mucho_cli.outputs.parts_folder import RECORD, RunFolder, remove_any
from rio_mucho_cli.outputs.remote_parts import RemoteFolder
from rio_mucho_cli.part_records import Record
from rio_mucho_cli.part_work import PartResult, work_part
from rio_mucho_cli.parts import Part

Folder: TypeAlias = RunFolder | RemoteFolder


def folders_of(deliveries: Sequence[Delivery]) -> list[Folder]:
    """Return the folders in which this run's parts lie: one for each output."""
    return [cast("MosaicWriter", delivery.writer).folder for delivery in deliveries]


def kept_parts(
    parts: Sequence[Part], folders: Sequence[Folder]
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


def work_on_parts(
    executor: Executor,
    key: str,
    parts: Sequence[Part],
    folders: Sequence[Folder],
    kept: Mapping[tuple[int, int], PartResult],
    in_flight: int,
    recover: Recover,
    watch: Watch,
) -> Iterator[tuple[Part, PartResult | MuchoError]]:
    """Hand out parts, some at once, and yield what came of all of them in order.

    Parameters
    ----------
    executor : Executor
    key : str
        The name of the run.
    parts : sequence of Part
    folders : sequence of Path
        For each output, the folder in which its parts lie.
    kept : Mapping
        What came of parts, by their ij, that need not be worked on.
    in_flight : int
        How many are handed out at once, unless the executor says so itself.
    recover : callable
    watch : Watch
        See `in_order`.
    """

    def tasks() -> Iterator[Task[Part]]:
        for part in parts:
            if part.ij not in kept:
                placed = part.placed([folder.place(part.name) for folder in folders])
                yield Task(part, work_part, (key, placed))

    made = in_order(executor, tasks(), room_in(executor, in_flight), recover, watch)
    for part in parts:
        yield (part, kept[part.ij]) if part.ij in kept else next(made)
