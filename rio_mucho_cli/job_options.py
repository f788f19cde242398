"""Make a Job from the arguments that scripts and notebooks give."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, cast

import numpy as np

from rio_mucho_cli.errors import UsageError
from rio_mucho_cli.inputs.bands import GivenNodata
from rio_mucho_cli.inputs.grid import Bounds, Extent
from rio_mucho_cli.inputs.scene_lists import MissingAssets, read_scenes
from rio_mucho_cli.inputs.scenes import Scene, number_by_asset
from rio_mucho_cli.inputs.window_data import Mode
from rio_mucho_cli.job import Bidx, Job, Output, Windows
from rio_mucho_cli.outputs.values import Merge
from rio_mucho_cli.paths import FeaturesLike, has_features, is_stac
from rio_mucho_cli.system import usable_cpus
from rio_mucho_cli.text import did_you_mean
from rio_mucho_cli.validation import OnError, path_text, windows_error
from rio_mucho_cli.windows import WindowPair, parse_size
from rio_mucho_cli.workers.executor import ExecutorName
from rio_mucho_cli.workers.functions import FunctionRef, UserFunction

AnyPath: TypeAlias = str | os.PathLike[str]
Inputs: TypeAlias = AnyPath | FeaturesLike | Sequence[AnyPath | FeaturesLike | Scene]
Function: TypeAlias = UserFunction | FunctionRef | str


class ReadingOptions(TypedDict, total=False):
    """Options for reading inputs and calling the function."""

    like: AnyPath | None
    extent: Extent | None
    bounds: Bounds | None
    resampling: str | Mapping[int, str]
    bidx: Bidx | Mapping[int, Bidx] | None
    src_nodata: GivenNodata | Mapping[int, GivenNodata] | None
    burn: str | Mapping[int, str] | None
    overlap: int | None
    boundary: str | None
    masked: bool | None
    fill: float | None
    skip_masked: bool
    plain: bool


class FunctionOptions(ReadingOptions, total=False):
    """Options of the function, its arguments and its results."""

    mode: Mode
    global_args: Any
    dtype: Any
    count: int | None
    nodata: float | None


class FinishingOptions(TypedDict, total=False):
    """Options for metadata, more outputs, overviews, statistics and workers."""

    metadata: bool
    also: Sequence[Output]
    overviews: Sequence[int] | Literal["auto"] | None
    overview_resampling: str | None
    stats: bool
    executor: ExecutorName | Executor
    scheduler: AnyPath | None
    mem_limit: int | None


class ClassOptions(ReadingOptions, FinishingOptions, total=False):
    """Options that `RioMucho` has and rio-mucho lacks."""


class JobOptions(FunctionOptions, FinishingOptions, total=False):
    """Options of a `Job` besides inputs, output and function, and of `read_scenes`."""

    assets: str | Sequence[str]
    missing_assets: MissingAssets
    aoi: AnyPath | FeaturesLike | None
    windows: str | int | tuple[int, int] | Sequence[WindowPair] | None
    driver: str | None
    keep_nodata: bool
    creation_options: Mapping[str, str]
    profile: Mapping[str, Any] | None
    overwrite: bool
    strict: bool
    jobs: int | None
    retries: int
    timeout: float | None
    resume: bool
    on_error: OnError
    drop_in: bool
    part_size: int | None
    merge: Merge | str | None


def make_job(inputs: Inputs, output: Any, function: Function, **options: Any) -> Job:
    """Return a Job made from the arguments of `run`.

    Raises
    ------
    UsageError
        If arguments are invalid or contradict each other.
    FunctionNotFoundError
        If the function does not exist.
    """
    check_names(options, JobOptions, "Job")
    if "nodata" in options:
        options.setdefault("keep_nodata", False)
    if options.get("jobs") in (None, -1):
        options["jobs"] = usable_cpus()
    if options.get("scheduler") is not None:
        options.setdefault("executor", "dask")
    for name in ("like", "scheduler", "aoi"):
        if options.get(name) is not None and not has_features(options[name]):
            options[name] = path_text(options[name], name)
    if options.get("dtype") is not None:
        with suppress(TypeError):  # Job raises the error
            options["dtype"] = np.dtype(options["dtype"]).name
    sources = _scenes_or_paths(inputs, options)
    for name in ("bidx", "resampling", "src_nodata"):
        if name in options:
            options[name] = number_by_asset(options[name], sources, name)
    if options.get("overviews") == "auto":
        options["overviews"] = ()
    if "windows" in options:
        options["windows"] = _parse_windows(options["windows"])
    return Job(
        inputs=sources,
        output=os.fspath(output) if isinstance(output, os.PathLike) else output,
        function=find_function(function),
        **options,
    )


def _scenes_or_paths(inputs: Any, options: dict[str, Any]) -> list[Any]:
    """Return inputs as a Job has them, without options that only scenes have."""
    chosen = {name: options.pop(name) for name in ("assets", "missing_assets") if name in options}
    is_many = isinstance(inputs, Iterable) and not (isinstance(inputs, str) or has_features(inputs))
    entries = list(inputs) if is_many else [inputs]
    if chosen or any(isinstance(entry, Scene) or is_stac(entry) for entry in (inputs, *entries)):
        return list(read_scenes(inputs if not is_many or is_stac(inputs) else entries, **chosen))
    return paths_of(entries if is_many else inputs)


def check_names(names: Iterable[str], options: Any, owner: str) -> None:
    """Raise UsageError for a name that a TypedDict of options lacks."""
    unknown = sorted(set(names) - set(options.__annotations__))
    if unknown:
        hint = did_you_mean(unknown[0], options.__annotations__) or f": see help({owner})"
        raise UsageError(f"a {owner} has no {unknown[0]!r}{hint}")


def paths_of(inputs: Inputs) -> list[Any]:
    """Return the paths of one or more inputs as text; features as they are."""
    is_one = isinstance(inputs, str | os.PathLike) or has_features(inputs)
    try:
        paths: Any = [inputs] if is_one else inputs
        return [path if has_features(path) else os.fspath(path) for path in paths]
    except TypeError:
        expected = "expected a path or a sequence of paths; for an open dataset, pass its .name"
        raise UsageError(f"inputs are {inputs!r}: {expected}") from None


def find_function(function: Function) -> UserFunction | FunctionRef:
    """Return a callable unchanged; for a name, a FunctionRef that was loaded once."""
    if not isinstance(function, str):
        return function
    reference = FunctionRef(function, str(Path.cwd()))
    reference.load()
    return reference


def _parse_windows(windows: Any) -> Windows:
    match windows:
        case int(side) if not isinstance(side, bool):
            size = parse_size(str(side))
        case (int(width), int(height)):
            size = parse_size(f"{width}x{height}")
        case str(text) if text != "blocks":
            size = parse_size(text)
        case _:
            return cast("Windows", windows)
    if size is None:
        raise windows_error(windows)
    return size


def full_signature(
    function: Callable[..., Any], options: Any, **defaults: Any
) -> inspect.Signature:
    """Return a function's signature with its options, for notebooks and `help`.

    Parameters
    ----------
    function : callable
        Function with a parameter of the kind ``**options``.
    options : TypedDict
    **defaults
        Defaults that differ from those of `Job`.
    """
    own = inspect.signature(function)
    parameters = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters += [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(read_scenes).parameters.items()
        if name in options.__annotations__
    ]
    for field in fields(Job):
        if field.name in options.__annotations__:
            factory = field.default_factory
            default = field.default if factory is MISSING else factory()
            annotation = options.__annotations__[field.name]
            parameters.append(
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=defaults.get(field.name, default),
                    annotation=getattr(annotation, "__forward_arg__", annotation),
                )
            )
    return own.replace(parameters=parameters)
