"""Lists of scenes: paths, STAC items, and files with either."""

from __future__ import annotations

import gc
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from rio_mucho_cli.errors import InputError, UsageError
from rio_mucho_cli.inputs.scenes import Asset, Scene
from rio_mucho_cli.inputs.stac import MissingAssetError, absolute_href, scene_of_item
from rio_mucho_cli.paths import is_stac, unsigned
from rio_mucho_cli.text import format_count, option, redact, truncate

log = logging.getLogger(__name__)

MissingAssets: TypeAlias = Literal["fail", "skip"]

_BINARY = "\0"
_ITEM_FILES = (".json", ".geojson", ".ndjson", ".jsonl")


@contextmanager
def _gc_paused() -> Iterator[None]:
    """Collect no garbage: with thousands of items, that takes most of the time to read them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_gc_paused()
def read_scenes(
    items: Any, assets: str | Sequence[str] = (), missing_assets: MissingAssets = "fail"
) -> list[Scene]:
    """Return the scenes of a series, for `run`.

    A function gets only those scenes that touch its window.

    Parameters
    ----------
    items : str, Path, Mapping, object, or iterable of these
        Paths of rasters; STAC items and ItemCollections, as dicts, as objects of
        pystac, or as paths of files that end in .json, .geojson, .ndjson or .jsonl.
    assets : str or sequence of str
        Assets whose bands a scene has, in this order: by key, or by the name or
        common name of a band. Text has commas between them. Required for items.
    missing_assets : {"fail", "skip"}
        Action if an item lacks one of them: raise an error, or leave it out.

    Returns
    -------
    list of Scene
        In the order of the items. Duplicates are left out.

    Raises
    ------
    UsageError
        If there are no scenes, assets are given for paths or not for items, or
        scenes that were read before have other assets.
    InputError
        If something is not an item, cannot be read, or lacks an asset.

    Examples
    --------
    >>> from glob import glob
    >>> from rio_mucho_cli import read_scenes, run
    >>> scenes = read_scenes(sorted(glob("scenes/*.tif")))
    >>> run(scenes, "median.tif", "composite.py:median", masked=True)
    """
    names = [name.strip() for name in assets.split(",")] if isinstance(assets, str) else assets
    if missing_assets not in get_args(MissingAssets):
        raise UsageError(f"missing_assets is {missing_assets!r}: expected fail or skip")
    scenes, without = [], []
    for entry in _entries(items):
        try:
            scenes.append(_scene(entry, names))
        except MissingAssetError as exc:
            if missing_assets == "fail":
                raise
            without.append(str(exc).partition(" (it has")[0])
    if without:
        log.warning("left out, %s: %s", format_count(len(without), "item"), without[0])
    if not scenes:
        raise UsageError("there are no scenes: expected paths of rasters, or STAC items")
    _check_same_assets(scenes)
    return _without_duplicates(scenes)


def _scene(entry: Any, names: Sequence[str]) -> Scene:
    if isinstance(entry, Scene):
        if names and [asset.name for asset in entry.assets] != list(names):
            raise UsageError(f"{entry.name} is a scene already: give assets to read_scenes")
        return entry
    if isinstance(entry, Mapping):
        return scene_of_item(entry, names)
    if names:
        raise UsageError(
            f"{option('assets')} is for STAC items, and {redact(entry)} is a path: leave it out"
        )
    return Scene(redact(entry), (Asset(entry),))


def _check_same_assets(scenes: Sequence[Scene]) -> None:
    """Raise UsageError unless all scenes have as many assets; they may be read one by one."""
    first = scenes[0]
    for scene in scenes:
        if len(scene.assets) != len(first.assets):
            raise UsageError(
                f"{redact(scene.name)} has {format_count(len(scene.assets), 'asset')}, and "
                f"{redact(first.name)} {len(first.assets)}: read all scenes with the same assets"
            )


def _entries(items: Any) -> Iterator[Any]:
    """Yield paths and items, also those in files and collections."""
    for entry in _flat(items):
        path = entry if isinstance(entry, str) else ""
        if path.lower().endswith(_ITEM_FILES):
            yield from read_list(path)
        else:
            yield entry


def _flat(items: Any) -> Iterator[Any]:
    """Yield paths and items, also those in lists and collections."""
    if isinstance(items, str | Scene):
        yield items
    elif isinstance(items, os.PathLike):
        yield os.fspath(items)
    elif isinstance(items, Mapping):
        features = items.get("features") if items.get("type") == "FeatureCollection" else None
        yield from [items] if features is None else _flat(features)
    elif hasattr(items, "to_dict"):
        yield from _flat(_as_dict(items))
    elif isinstance(items, Iterable):
        for entry in items:
            yield from _flat(entry)
    else:
        raise InputError(
            f"{truncate(repr(items), 60)} is not a scene: expected a path or a STAC item"
        )


def _as_dict(item: Any) -> Any:
    """Return an item of pystac as a dict, without requests for what it links to."""
    try:
        return item.to_dict(transform_hrefs=False)
    except TypeError:
        return item.to_dict()


@_gc_paused()
def read_list(path: str, text: str | None = None) -> list[Any]:
    """Return the paths and items of a list; hrefs become relative to the current folder.

    Parameters
    ----------
    path : str
    text : str or None
        Its content, if it was read already.

    Raises
    ------
    InputError
        If it cannot be read.
    UsageError
        If it is empty.
    """
    if text is None:
        try:
            text = Path(path).read_text("utf-8")
        except UnicodeDecodeError:
            text = _BINARY
        except (OSError, ValueError) as exc:
            why = getattr(exc, "strerror", None) or exc
            raise InputError(f"{path} cannot be read as a list of scenes: {why}") from None
    if _BINARY in text:
        raise InputError(
            f"{path} is not a list of scenes but a binary file: expected text with a path on each "
            "line, or STAC items"
        )
    folder = os.path.dirname(path)  # noqa: PTH120 (empty for the current one)
    try:
        parsed = _flat(parse_list(text, path))
        entries = [_moved(entry, folder) if is_stac(entry) else entry for entry in parsed]
    except RecursionError:
        raise InputError(f"{path} is not a list of scenes: it is nested too deeply") from None
    if not entries:
        raise UsageError(f"{path} has no scenes: expected a path on each line, or STAC items")
    return entries


def parse_list(text: str, name: str) -> list[Any]:
    """Return what a list has: lines, or values of JSON.

    Parameters
    ----------
    text : str
    name : str
        Name of the list in messages.

    Raises
    ------
    InputError
        If it begins like JSON, and is not.
    """
    # RFC 8142 begins each value with a record separator.
    lines = [line.strip(" \t\r\x1e\ufeff") for line in text.split("\n")]
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line]
    if not numbered or numbered[0][1][0] not in "{[":
        return [line for _, line in numbered]
    try:
        return [json.loads(text.lstrip("\x1e\ufeff"))]
    except ValueError as exc:
        error = exc
    try:
        json.loads(numbered[0][1])
    except ValueError:
        raise InputError(f"{name} is not JSON: {error}") from None
    values = []
    for number, line in numbered:
        try:
            values.append(json.loads(line))
        except ValueError as exc:
            raise InputError(f"{name} is not JSON in line {number}: {exc}") from None
    return values


def _moved(item: Mapping[str, Any], folder: str) -> Mapping[str, Any]:
    """Return an item whose hrefs do not depend on the folder in which it was found."""
    assets = {
        key: {**asset, "href": absolute_href(item, asset["href"], folder)}
        if isinstance(asset, Mapping) and isinstance(asset.get("href"), str)
        else asset
        for key, asset in item["assets"].items()
    }
    return {**item, "assets": assets, "links": []}


def _without_duplicates(scenes: Sequence[Scene]) -> list[Scene]:
    """Return the scenes, each set of files once; signatures of addresses do not count."""
    found: dict[Any, Scene] = {}
    for scene in scenes:
        found.setdefault(tuple((unsigned(a.path), a.band) for a in scene.assets), scene)
    if len(found) < len(scenes):
        log.warning("%s listed twice: used once", format_count(len(scenes) - len(found), "scene"))
    return list(found.values())
