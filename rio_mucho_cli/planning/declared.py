"""Fill in a job with what its function declares; what the user gave takes precedence."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rio_mucho_cli.dtypes import nodata_fits
from rio_mucho_cli.errors import NodataError
from rio_mucho_cli.geotiff.described import Described
from rio_mucho_cli.geotiff.metadata import Metadata
from rio_mucho_cli.job import Job, Output
from rio_mucho_cli.workers.declared import Declared
from rio_mucho_cli.workers.declared_values import DeclaredOutput

log = logging.getLogger(__name__)

# Creation options that say what bands are.
_COLOUR_OPTIONS = {"alpha", "photometric"}


@dataclass(frozen=True, slots=True)
class FilledJob:
    """A job with what its function declares.

    Attributes
    ----------
    job : Job
    declared : tuple of str
        What the job takes from the function, about the run.
    outputs : sequence of (tuple of str, Described or None)
        The same about each raster, with its names, colours and tags.
    """

    job: Job
    declared: tuple[str, ...]
    outputs: Sequence[tuple[tuple[str, ...], Described | None]]

    def metadata(self, metadata: Metadata | None) -> list[Metadata | None]:
        """Return the metadata of each raster; see `Metadata.resolved`."""
        return [
            metadata if described is None else replace(metadata or Metadata(), described=described)
            for _, described in self.outputs
        ]


def declared_by(job: Job) -> Declared | None:
    """Return what the function of a job declares; None if nothing, or it does not count."""
    return None if job.drop_in else Declared.by(job.function)


def fill_job(job: Job) -> FilledJob:
    """Return a job with what its function declares, and with defaults for the rest.

    Raises
    ------
    UsageError
        If what the function declares is invalid, or contradicts the job.
    NodataError
        If its nodata does not fit the dtype that the user chose.
    """
    declared = declared_by(job) or Declared()
    overlap, masked, taken = job.overlap, job.masked, []
    if job.mode != "manual_read":
        if overlap is None and declared.overlap is not None:
            overlap = declared.overlap
            taken.append("overlap")
        if masked is None and job.fill is None and declared.masked is not None:
            masked = declared.masked
            taken.append("masked")
    first, *also = job.outputs
    of_outputs = declared.for_outputs([None, *(output.name for output in also)])
    filled = [
        _fill(output, declared_output)
        if output.value_format is None
        else (output, (), None)  # values have neither bands nor tags
        for output, declared_output in zip((first, *also), of_outputs, strict=True)
    ]
    first = filled[0][0]
    job = replace(
        job,
        overlap=overlap or 0,
        masked=bool(masked),
        dtype=first.dtype,
        count=first.count,
        nodata=first.nodata,
        keep_nodata=first.keep_nodata,
        also=[output for output, *_ in filled[1:]],
    )
    rasters = [
        (names, described) for output, names, described in filled if output.value_format is None
    ]
    return FilledJob(job, tuple(taken), rasters)


def _fill(
    output: Output, declared: DeclaredOutput
) -> tuple[Output, tuple[str, ...], Described | None]:
    """Return an output with what is declared, the names that count, and its metadata."""
    names = set(declared.names)
    changes: dict[str, Any] = {}
    has_profile = output.profile is not None or output.local_path is None
    if has_profile or not output.keep_nodata:
        names.discard("nodata")
    if has_profile or output.dtype is not None:
        names.discard("dtype")
    if has_profile or output.count is not None:
        names.discard("count")
    for name in names & {"dtype", "count", "nodata"}:
        changes[name] = getattr(declared, name)
    dtype, described = changes.get("dtype", output.dtype), declared.described
    if "nodata" in changes:
        changes["keep_nodata"] = False
        nodata = declared.nodata
        if nodata is not None and dtype is not None and not nodata_fits(nodata, dtype):
            raise NodataError.of(nodata, dtype, declared.where)
        described = replace(described or Described(declared.where), sets_nodata=True)
    if described is not None:
        described = _without_overridden(described, output)
        names -= {name for name in ("colorinterp", "colormap") if getattr(described, name) is None}
    in_order = tuple(name for name in declared.names if name in names)
    return replace(output, **changes), in_order, described


def _without_overridden(described: Described, output: Output) -> Described:
    """Return what is described without what the options of an output rule out."""
    if _COLOUR_OPTIONS & {*output.creation_options, *(output.profile or {})}:
        described = replace(described, colorinterp=None)
    if described.colormap is not None and output.dtype not in {None, "uint8", "uint16"}:
        log.warning(
            "%s has no colour table: that of the function does not fit %s",
            *(output.shown_path, output.dtype),
        )
        described = replace(described, colormap=None)
    return described
