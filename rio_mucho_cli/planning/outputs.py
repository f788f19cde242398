"""Plan one output of a job: blocks, profile, and how overviews are made."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rio_mucho_cli.dtypes import number_text
from rio_mucho_cli.errors import WindowsError
from rio_mucho_cli.geotiff.metadata import Metadata
from rio_mucho_cli.geotiff.overview_plan import OverviewPlan, plan_overviews, side_of_tiles
from rio_mucho_cli.inputs.datasets import DatasetInfo
from rio_mucho_cli.inputs.window_data import ReadSpec
from rio_mucho_cli.job import Output
from rio_mucho_cli.outputs.layout import BlockLayout, choose_layout, layout_of
from rio_mucho_cli.outputs.profile import ProfileTemplate
from rio_mucho_cli.paths import is_in_memory
from rio_mucho_cli.planning.formats import OutputFormat, OutputOptions
from rio_mucho_cli.planning.memory import dtype_name
from rio_mucho_cli.planning.windows import check_windows
from rio_mucho_cli.text import option, redact
from rio_mucho_cli.windows import PlannedWindow, Size, aligned_to_blocks
from rio_mucho_cli.workers.context import OutputSpec, ResultType

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
    template : ProfileTemplate
        Template for the profile of the output, or of its intermediate GeoTIFF.
    size : Size
        Size in pixels.
    blocks : BlockLayout or None
        Block layout, if workers encode blocks.
    overviews : OverviewPlan or None
        Plan of the overviews.
    metadata : Metadata or None
        Metadata to copy from the first input.
    spec : OutputSpec
        Description of the output for workers.
    is_part : bool
        Whether the output is a part of a mosaic.
    by_gdal : str
        Reason why GDAL writes the output in the main process; empty if
        workers encode blocks.
    mask_of : str
        Path of the first input, if it has a mask that the function does not
        get; else empty.
    declared : tuple of str
        What is as the function declares.
    """

    output: Output
    format: OutputFormat
    template: ProfileTemplate
    size: Size
    blocks: BlockLayout | None
    overviews: OverviewPlan | None
    metadata: Metadata | None
    spec: OutputSpec
    is_part: bool = False
    by_gdal: str = ""
    mask_of: str = ""
    declared: tuple[str, ...] = ()

    def warn(self, result_type: ResultType) -> None:
        """Log warnings about lossy compression, lost nodata and lost masks."""
        count, dtype, masked = result_type
        lossy = self.template.inherited_lossy_codec(count, dtype)
        if lossy:
            log.warning(
                "the output is compressed like the first input, with %s, which changes values: "
                "pass %s to keep them",
                lossy,
                option("creation_options", ("compress", "deflate")),
            )
        dropped = self.template.dropped_nodata(dtype)
        if dropped is not None and not masked:
            log.warning(
                "nodata %s of the first input does not fit %s, and the output has none: choose one "
                "with %s",
                number_text(dropped),
                dtype,
                option("nodata"),
            )
        self._warn_of_masks(result_type)

    def _warn_of_masks(self, result_type: ResultType) -> None:
        """Log warnings about masks and nodata of the first input that the output lacks."""
        first, count = self.template.first, result_type.count
        if first is None:
            return
        keeps_alpha = self.template.inherited_alpha(count) > 0
        has_mask = result_type.masked or (keeps_alpha and first.masked_by != "a mask")
        if self.mask_of and not has_mask:
            log.warning(
                "%s has %s, and the output does not: pass %s to keep masked what it hides",
                self.mask_of,
                first.masked_by,
                option("masked"),
            )
        if self.template.complete is not None or not self.template.keep_nodata:
            return
        nodata = self.template.profile(count, result_type.dtype)["nodata"]
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

    def default_result_type(self, bands: int) -> ResultType:
        """Return the result type of an output whose windows all lack a result.

        Parameters
        ----------
        bands : int
            Bands read from the first input; 0 for all.
        """
        first = self.template.first
        described = None if self.metadata is None else self.metadata.described
        count = self.output.count or (described and described.count) or bands
        if not count:
            count = int(first.profile["count"]) if first is not None else 1
        dtype = dtype_name(self.output.dtype)
        if dtype is None and first is not None:
            dtype = first.dtype.name
        return ResultType(count, dtype or "uint8")


def plan_output(
    output: Output,
    chosen: OutputFormat,
    options: OutputOptions,
    first: DatasetInfo | None,
    windows: Sequence[PlannedWindow],
    metadata: Metadata | None,
) -> OutputPlan:
    """Return the plan of an output; see OutputPlan for the parameters."""
    template = _template(output, chosen, first, windows, metadata)
    size = _size(output, template)
    blocks, by_gdal = _choose_blocks(output, chosen, template, windows, size)
    if chosen.cog and blocks is None and chosen.suits_gdal:
        why = "windows are not whole blocks of it, or overlap"
        chosen = chosen.left_to_gdal(why, stats=options.stats)
        template = _template(output, chosen, first, windows, metadata)
        blocks, by_gdal = _choose_blocks(output, chosen, template, windows, size)
    if output.local_path is None:
        # The user's own: nothing is copied from the first input.
        described = None if metadata is None else metadata.described
        metadata = None if described is None else Metadata(described=described)
    if metadata is not None and _has_another_grid(template):
        metadata = metadata.without_grid()
    overviews = None
    if chosen.factors and chosen.is_geotiff:
        overviews = _overviews(chosen, template, blocks, windows, size, metadata)
        if options.resume:
            # An intermediate file beside the output would not survive an interruption.
            overviews = replace(overviews, source_level=0)
        metadata = (metadata or Metadata()).with_overviews(chosen.resampling)
    spec = _spec(output, options, template, blocks, overviews)
    return OutputPlan(
        output,
        chosen,
        template,
        size,
        blocks,
        overviews,
        metadata,
        spec,
        by_gdal=by_gdal,
    )


def plan_whole(
    output: Output,
    chosen: OutputFormat,
    options: OutputOptions,
    first: DatasetInfo,
    metadata: Metadata | None,
) -> OutputPlan:
    """Return the plan of a mosaic itself; its parts have separate plans."""
    template = _template(output, chosen, first, (), metadata)
    size = Size(first.grid.width, first.grid.height)
    spec = _spec(output, options, template, None, None)
    return OutputPlan(output, chosen, template, size, None, None, metadata, spec)


def unread_mask(
    output: Output,
    first: DatasetInfo | None,
    reading: ReadSpec,
    metadata: Metadata | None,
    *,
    plain: bool,
) -> str:
    """Return the path of the first input if the function does not get its mask, else ""."""
    # These are calls by RioMucho, and rio-mucho does not warn.
    is_bare = output.local_path is None or (output.profile is not None and metadata is None)
    if first is None or is_bare:
        return ""
    # Hidden pixels in a plain function have a warning of their own.
    is_read = reading.masked or reading.fill is not None or reading.mode == "manual_read"
    return redact(first.path) if first.masked_by and not (is_read or plain) else ""


def _are_same(nodata: float | None, other: float | None) -> bool:
    """Return whether two nodata values are the same, or both NaN."""
    return nodata == other or (nodata != nodata and other != other)


def _template(
    output: Output,
    chosen: OutputFormat,
    first: DatasetInfo | None,
    windows: Sequence[PlannedWindow],
    metadata: Metadata | None,
) -> ProfileTemplate:
    layout = None
    if first is not None and chosen.is_geotiff and chosen.profile is None:
        whole = aligned_to_blocks(windows, Size(1, 1), first.grid.width, first.grid.height)
        layout = choose_layout(first, chosen.layout_options, windows if whole else None)
    return ProfileTemplate(
        first=first,
        driver=chosen.driver,
        layout=layout,
        nodata=output.nodata,
        keep_nodata=output.keep_nodata,
        options=chosen.options,
        complete=chosen.profile,
        cog=chosen.cog,
        copies_band_metadata=metadata is not None and bool(metadata.bands),
        described=None if metadata is None else metadata.described,
    )


def _size(output: Output, template: ProfileTemplate) -> Size:
    if template.complete is not None:
        return Size(int(template.complete["width"]), int(template.complete["height"]))
    if template.first is not None:
        return Size(template.first.grid.width, template.first.grid.height)
    return Size(output.path.width, output.path.height)


def _has_another_grid(template: ProfileTemplate) -> bool:
    """Return whether a complete profile differs from the first input in size or transform."""
    profile, first = template.complete, template.first
    if profile is None or first is None:
        return False
    grid = first.grid
    if (int(profile["width"]), int(profile["height"])) != (grid.width, grid.height):
        return True
    transform = profile.get("transform")
    return transform is not None and transform != grid.transform


def _choose_blocks(
    output: Output,
    chosen: OutputFormat,
    template: ProfileTemplate,
    windows: Sequence[PlannedWindow],
    size: Size,
) -> tuple[BlockLayout | None, str]:
    """Return the block layout if workers can encode blocks, else None and the reason."""
    profile = template.complete if template.complete is not None else {"driver": template.driver}
    layout = template.layout if template.complete is None else layout_of(template.complete)
    whole_file = _WHOLE_FILE_ONLY.intersection((*template.options, *profile))
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
        reason = "the profile has no block size"
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
    if not aligned_to_blocks(windows, block, width, height):
        return False
    try:
        check_windows(windows, width, height)
    except WindowsError:
        return False
    return True


def _overviews(
    chosen: OutputFormat,
    template: ProfileTemplate,
    blocks: BlockLayout | None,
    windows: Sequence[PlannedWindow],
    size: Size,
    metadata: Metadata | None,
) -> OverviewPlan:
    """Return the plan of an output's overviews."""
    layout = template.layout if template.complete is None else layout_of(template.complete)
    block = side_of_tiles(layout.block if layout is not None and layout.tiled else None)
    if blocks is None:
        return OverviewPlan(chosen.factors, chosen.resampling, block, is_local=False)
    has_colormap = metadata is not None and metadata.has_colormap
    # A worker's blocks know no alpha where no creation option puts one.
    described = None if metadata is None else metadata.described
    has_odd_alpha = described is not None and described.has_odd_alpha
    by_windows = not ((has_colormap or has_odd_alpha) and chosen.resampling == "average")
    overviews = plan_overviews(
        chosen.factors, chosen.resampling, block, windows, *size, by_windows=by_windows
    )
    if not overviews.is_local:
        log.info("GDAL makes the overviews in the main process, at the end")
    return overviews


def _spec(
    output: Output,
    options: OutputOptions,
    template: ProfileTemplate,
    blocks: BlockLayout | None,
    overviews: OverviewPlan | None,
) -> OutputSpec:
    count, dtype, masks_nan = output.count, output.dtype, options.masks_nan
    # Without nodata to mark masked pixels, NaN is kept.
    if template.complete is not None:
        count, dtype = template.complete.get("count"), template.complete.get("dtype")
        masks_nan = masks_nan and template.complete.get("nodata") is not None
    elif output.local_path is None:
        count, dtype = output.path.count, output.path.dtypes[0]
        masks_nan = masks_nan and output.path.nodata is not None
    return OutputSpec(
        name=output.name,
        count=None if count is None else int(count),
        dtype=dtype_name(dtype),
        template=template if output.local_path is not None else None,
        encodes=blocks is not None,
        overviews=overviews,
        statistics=options.stats,
        masks_nan=masks_nan,
    )
