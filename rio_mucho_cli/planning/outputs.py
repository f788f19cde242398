"""Plan one output of a job: blocks, profile, and how overviews are made."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rio_mucho_cli import windows as windowing
from rio_mucho_cli.dtypes import fills_with_nan, number_text
from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.geotiff.metadata import Metadata
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan, plan_overviews, side_of_tiles
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.job import Job, Output
from rio_mucho_cli.outputs.layout import BlockLayout, choose_layout, layout_of
from rio_mucho_cli.outputs.profile import ProfileTemplate
from rio_mucho_cli.paths import is_in_memory
from rio_mucho_cli.planning.formats import OutputFormat
from rio_mucho_cli.planning.memory import dtype_name
from rio_mucho_cli.text import option, redact
from rio_mucho_cli.windows import PlannedWindow, Size, aligned_to_blocks
from rio_mucho_cli.workers.context import OutputSpec

log = logging.getLogger(__name__)

# Creation options that impose an order of blocks on the file.
_WHOLE_FILE_ONLY = {"streamable_output", "copy_src_overviews", "append_subdataset"}


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """Plan of an output, made before the first window is read.

    Attributes
    ----------
    output : Output
    format : OutputFormat
    recipe : ProfileTemplate
        Template for the profile of the output, or of its intermediate GeoTIFF.
    size : Size
        Size in pixels.
    blocks : BlockLayout or None
        Block layout, if workers encode blocks.
    pyramid : OverviewPlan or None
        Plan of the overviews.
    metadata : Metadata or None
        Metadata to copy from the first input.
    wanted : OutputSpec
        Description of the output for workers.
    is_part : bool
        Whether the output is a part of a mosaic.
    by_gdal : str
        Reason why GDAL writes the output in the main process; empty if
        workers encode blocks.
    mask_of : str
        Path of the first input, if it has a mask that the function does not
        get; else empty.
    """

    output: Output
    format: OutputFormat
    recipe: ProfileTemplate
    size: Size
    blocks: BlockLayout | None
    pyramid: OverviewPlan | None
    metadata: Metadata | None
    wanted: OutputSpec
    is_part: bool = False
    by_gdal: str = ""
    mask_of: str = ""

    def warn(self, count: int, dtype: str, masked: bool) -> None:
        """Log warnings about lossy compression, lost nodata and lost masks."""
        lossy = self.recipe.inherited_lossy_codec(count, dtype)
        if lossy:
            log.warning(
                "the output is compressed like the first input, with %s, which changes values: "
                "pass %s to keep them",
                lossy,
                option("creation_options", ("compress", "deflate")),
            )
        dropped = self.recipe.dropped_nodata(dtype)
        if dropped is not None and not masked:
            log.warning(
                "nodata %s of the first input does not fit %s, and the output has none: choose one "
                "with %s",
                number_text(dropped),
                dtype,
                option("nodata"),
            )
        self._warn_of_masks(count, dtype, masked)

    def _warn_of_masks(self, count: int, dtype: str, masked: bool) -> None:
        """Log warnings about masks and nodata of the first input that the output lacks."""
        first = self.recipe.first
        if first is None:
            return
        keeps_alpha = self.recipe.inherited_alpha(count) > 0
        if self.mask_of and not masked and not (keeps_alpha and first.masked_by != "a mask"):
            log.warning(
                "%s has %s, and the output does not: pass %s to keep masked what it hides",
                self.mask_of,
                first.masked_by,
                option("masked"),
            )
        if self.recipe.complete is not None or not self.recipe.keep_nodata:
            return
        nodata = self.recipe.profile(count, dtype)["nodata"]
        others = [
            (value, band)
            for band, value in enumerate(first.nodatavals, start=1)
            if value is not None and not _are_same(value, first.nodatavals[0])
        ]
        if others and count == len(first.nodatavals):
            log.warning(
                "nodata %s of band %d is lost, because all bands of the output have %s: choose "
                "one for all with %s",
                number_text(others[0][0]),
                others[0][1],
                "none" if nodata is None else f"nodata {number_text(nodata)}",
                option("nodata"),
            )

    def form_of_nothing(self, bands: int) -> tuple[int, str, bool]:
        """Return (count, dtype, masked) of an output whose windows all lack a result.

        Parameters
        ----------
        bands : int
            Bands read from the first input; 0 for all.
        """
        first = self.recipe.first
        count = self.output.count or bands
        if not count:
            count = int(first.profile["count"]) if first is not None else 1
        dtype = dtype_name(self.output.dtype)
        if dtype is None and first is not None:
            dtype = first.dtype.name
        return count, dtype or "uint8", False


def plan_output(
    output: Output,
    chosen: OutputFormat,
    job: Job,
    first: DatasetInfo | None,
    windows: Sequence[PlannedWindow],
    metadata: Metadata | None,
) -> OutputPlan:
    """Return the plan of an output."""
    recipe = _recipe(output, chosen, first, windows, metadata)
    size = _size(output, recipe)
    blocks, by_gdal = _encodable(output, chosen, recipe, windows, size)
    if chosen.cog and blocks is None and chosen.suits_gdal:
        why = "windows are not whole blocks of it, or overlap"
        chosen = chosen.left_to_gdal(why, stats=job.stats)
        return plan_output(output, chosen, job, first, windows, metadata)
    if output.local_path is None:
        metadata = None
    if metadata is not None and _has_another_grid(recipe):
        metadata = metadata.without_grid()
    mask_of = _mask_of(output, job, first, metadata)
    pyramid = None
    if chosen.factors and chosen.is_geotiff:
        pyramid = _pyramid(chosen, recipe, blocks, windows, size, metadata)
        if job.resume:
            # An intermediate file beside the output would not survive an interruption.
            pyramid = replace(pyramid, source_level=0)
        metadata = (metadata or Metadata()).with_overviews(chosen.resampling)
    wanted = _wanted(output, job, recipe, blocks, pyramid)
    return OutputPlan(
        output,
        chosen,
        recipe,
        size,
        blocks,
        pyramid,
        metadata,
        wanted,
        by_gdal=by_gdal,
        mask_of=mask_of,
    )


def plan_whole(
    output: Output, chosen: OutputFormat, job: Job, first: DatasetInfo, metadata: Metadata | None
) -> OutputPlan:
    """Return the plan of a mosaic itself; its parts have separate plans."""
    recipe = _recipe(output, chosen, first, (), metadata)
    size = Size(first.grid.width, first.grid.height)
    wanted = _wanted(output, job, recipe, None, None)
    mask_of = _mask_of(output, job, first, metadata)
    return OutputPlan(output, chosen, recipe, size, None, None, metadata, wanted, mask_of=mask_of)


def _mask_of(output: Output, job: Job, first: DatasetInfo | None, metadata: Metadata | None) -> str:
    """Return the first input if the function does not get its mask or alpha band."""
    # These are calls by RioMucho, and rio-mucho does not warn.
    is_given = output.profile is not None or output.local_path is None
    is_bare = metadata is None and is_given
    if first is None or is_bare or output != job.outputs[0]:
        return ""
    # Hidden pixels in a plain function have a warning of their own.
    is_read = job.masked or job.fill is not None or job.plain or job.mode == "manual_read"
    return redact(first.path) if first.masked_by and not is_read else ""


def _are_same(nodata: float | None, other: float | None) -> bool:
    """Return whether two nodata values are the same, or both NaN."""
    return nodata == other or (nodata != nodata and other != other)


def _recipe(
    output: Output,
    chosen: OutputFormat,
    first: DatasetInfo | None,
    windows: Sequence[PlannedWindow],
    metadata: Metadata | None,
) -> ProfileTemplate:
    layout = None
    if first is not None and chosen.is_geotiff and chosen.given is None:
        whole = aligned_to_blocks(windows, Size(1, 1), first.grid.width, first.grid.height)
        layout = choose_layout(first, chosen.layout_options, windows if whole else None)
    return ProfileTemplate(
        first=first,
        driver=chosen.driver,
        layout=layout,
        nodata=output.nodata,
        keep_nodata=output.keep_nodata,
        options=chosen.options,
        complete=chosen.given,
        cog=chosen.cog,
        copies_band_metadata=metadata is not None and bool(metadata.bands),
    )


def _size(output: Output, recipe: ProfileTemplate) -> Size:
    if recipe.complete is not None:
        return Size(int(recipe.complete["width"]), int(recipe.complete["height"]))
    if recipe.first is not None:
        return Size(recipe.first.grid.width, recipe.first.grid.height)
    return Size(output.path.width, output.path.height)


def _has_another_grid(recipe: ProfileTemplate) -> bool:
    """Return whether a complete profile differs from the first input in size or transform."""
    given, first = recipe.complete, recipe.first
    if given is None or first is None:
        return False
    grid = first.grid
    if (int(given["width"]), int(given["height"])) != (grid.width, grid.height):
        return True
    transform = given.get("transform")
    return transform is not None and transform != grid.transform


def _encodable(
    output: Output,
    chosen: OutputFormat,
    recipe: ProfileTemplate,
    windows: Sequence[PlannedWindow],
    size: Size,
) -> tuple[BlockLayout | None, str]:
    """Return the block layout if workers can encode blocks, else None and the reason."""
    profile = recipe.complete if recipe.complete is not None else {"driver": recipe.driver}
    layout = recipe.layout if recipe.complete is None else layout_of(recipe.complete)
    whole_file = _WHOLE_FILE_ONLY.intersection((*recipe.options, *profile))
    reason = ""
    if output.local_path is None:
        reason = "the output is an open dataset"
    elif is_in_memory(output.local_path):
        reason = "the output is not a local file"
    elif str(profile.get("driver", "GTiff")).upper() != "GTIFF":
        reason = f"the driver is {profile.get('driver')}"
    elif dtype_name(profile.get("dtype", "uint8")) is None:
        reason = f"numpy has no {profile['dtype']}"
    elif layout is None:
        reason = "the profile does not say how large the blocks are"
    elif whole_file:
        reason = f"of {min(whole_file).upper()}"
    elif not _fit(windows, layout.block, *size):
        reason = "windows are not whole blocks of the output, or overlap"
    if reason:
        if not chosen.cog:
            log.info("GDAL writes in the main process, because %s", reason)
        return None, reason
    return layout, ""


def _fit(windows: Sequence[PlannedWindow], block: Size, width: int, height: int) -> bool:
    if not windowing.aligned_to_blocks(windows, block, width, height):
        return False
    try:
        windowing.check_windows(windows, width, height)
    except WindowsError:
        return False
    return True


def _pyramid(
    chosen: OutputFormat,
    recipe: ProfileTemplate,
    blocks: BlockLayout | None,
    windows: Sequence[PlannedWindow],
    size: Size,
    metadata: Metadata | None,
) -> OverviewPlan:
    """Return the plan of an output's overviews."""
    layout = recipe.layout if recipe.complete is None else layout_of(recipe.complete)
    block = side_of_tiles(layout.block if layout is not None and layout.tiled else None)
    if blocks is None:
        return OverviewPlan(chosen.factors, chosen.resampling, block, is_local=False)
    has_colormap = metadata is not None and any(band.colormap for band in metadata.bands)
    by_windows = not (has_colormap and chosen.resampling == "average")
    pyramid = plan_overviews(
        chosen.factors, chosen.resampling, block, windows, *size, by_windows=by_windows
    )
    if not pyramid.is_local:
        log.info("GDAL makes the overviews in the main process, at the end")
    return pyramid


def _wanted(
    output: Output,
    job: Job,
    recipe: ProfileTemplate,
    blocks: BlockLayout | None,
    pyramid: OverviewPlan | None,
) -> OutputSpec:
    count, dtype, masks_nan = output.count, output.dtype, fills_with_nan(job.fill)
    # Without nodata to mark masked pixels, NaN is kept.
    if recipe.complete is not None:
        count, dtype = recipe.complete.get("count"), recipe.complete.get("dtype")
        masks_nan = masks_nan and recipe.complete.get("nodata") is not None
    elif output.local_path is None:
        count, dtype = output.path.count, output.path.dtypes[0]
        masks_nan = masks_nan and output.path.nodata is not None
    return OutputSpec(
        name=output.name,
        count=None if count is None else int(count),
        dtype=dtype_name(dtype),
        recipe=recipe if output.local_path is not None else None,
        encodes=blocks is not None,
        pyramid=pyramid,
        statistics=job.stats,
        masks_nan=masks_nan,
    )
