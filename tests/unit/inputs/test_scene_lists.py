"""Lists of scenes: lines, JSON, STAC items, and what stands there twice."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from stac_items import collection

from rio_mucho_cli import InputError, UsageError, read_scenes
from rio_mucho_cli.inputs.scene_lists import read_list
from rio_mucho_cli.paths import unsigned


def make_item(name, href="a.tif"):
    return {"id": name, "properties": {"datetime": None}, "assets": {"red": {"href": href}}}


ITEMS = [make_item("one"), make_item("two", "b.tif")]
AS_TEXT = {
    "a collection": json.dumps(collection(ITEMS)),
    "a list": json.dumps(ITEMS),
    "on lines": "\n\n".join(map(json.dumps, ITEMS)),
    "as RFC 8142": "".join(f"\x1e{json.dumps(item)}\n" for item in ITEMS),
    "with a byte order mark": "\ufeff" + json.dumps(ITEMS, indent=2),
    "collections on lines": "\r\n".join(json.dumps(collection([item])) for item in ITEMS),
}


@pytest.mark.parametrize("name", AS_TEXT)
def test_items_in_files(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    Path("sub/items.json").write_text(AS_TEXT[name], "utf-8")
    for scenes in (
        read_scenes(read_list("sub/items.json"), "red"),
        read_scenes("sub/items.json", ["red"]),
        read_scenes([Path("sub/items.json")], " red "),
    ):
        assert [(scene.name, scene.path) for scene in scenes] == [
            ("one", "sub/a.tif"),
            ("two", "sub/b.tif"),
        ]
    assert [s.path for s in read_scenes(read_list("-", AS_TEXT[name]), "red")] == ["a.tif", "b.tif"]


@pytest.mark.parametrize(
    "text", ["a.tif\nb c.tif\n", "\r\na.tif\r\n b c.tif", '["a.tif", "b c.tif"]']
)
def test_paths_in_files(text, tmp_path):
    (tmp_path / "list.txt").write_text(text, "utf-8")
    scenes = read_scenes(read_list(str(tmp_path / "list.txt")))
    assert [scene.path for scene in scenes] == ["a.tif", "b c.tif"]
    assert not any(scene.properties or scene.datetime for scene in scenes)


def test_objects_of_pystac_are_not_asked_for_links():
    asked = []

    def to_dict(transform_hrefs=True):
        asked.append(transform_hrefs)
        return copy.deepcopy(ITEMS[0])

    item = SimpleNamespace(to_dict=to_dict, assets={})
    assert read_scenes([item], "red")[0].name == "one"
    assert asked == [False]
    items = SimpleNamespace(to_dict=lambda: collection(ITEMS), items=[])
    assert [scene.name for scene in read_scenes(items, "red")] == ["one", "two"]


S3 = "https://b.s3.amazonaws.com/a.tif"
AZURE = "https://x.blob.core.windows.net/c/a.tif"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a.tif", "a.tif", True),
        ("a.tif", "b.tif", False),
        (f"{AZURE}?st=1&se=2&sp=r&sig=abc", f"{AZURE}?st=3&se=4&sp=r&sig=d%2Fe", True),
        (
            f"{S3}?X-Amz-Expires=9&X-Amz-Signature=1",
            f"{S3}?X-Amz-Expires=8&X-Amz-Signature=2",
            True,
        ),
        (f"{S3}?Expires=9&Signature=1", S3, True),
        (f"/vsicurl/{AZURE}?sig=abc", f"/vsicurl/{AZURE}?sig=def", True),
        ("https://x.org/get?file=a.tif", "https://x.org/get?file=b.tif", False),
        ("https://x.org/get?file=a.tif&token=1", "https://x.org/get?token=2&file=a.tif", True),
        ("https://x.org/a.tif?api_key=1", "https://x.org/a.tif", True),
        ("odd?sig=a.tif", "odd?sig=b.tif", False),
    ],
)
def test_what_is_listed_twice(one, other, same, caplog):
    assert (unsigned(one) == unsigned(other)) == same
    scenes = read_scenes([one, other, "z.tif"])
    assert [scene.path for scene in scenes] == [one, *([] if same else [other]), "z.tif"]
    assert caplog.messages == (["1 scene listed twice: used once"] if same else [])


def test_items_that_lack_an_asset(caplog):
    items = [*ITEMS, {**make_item("three"), "assets": {"nir": {"href": "c.tif"}}}]
    with pytest.raises(InputError, match="three has no asset 'red'"):
        read_scenes(items, "red")
    assert [s.name for s in read_scenes(items, "red", missing_assets="skip")] == ["one", "two"]
    assert caplog.messages == ["left out, 1 item: three has no asset 'red'"]
    with pytest.raises(UsageError, match="there are no scenes"):
        read_scenes(items, "swir", missing_assets="skip")
    with pytest.raises(UsageError, match="missing_assets is 'no': expected fail or skip"):
        read_scenes(items, "red", missing_assets="no")


BAD = {
    "empty": (b"", UsageError, "has no scenes: expected a path on each line"),
    "blank": (b" \r\n\xef\xbb\xbf\n", UsageError, "has no scenes"),
    "no items": (b'{"type": "FeatureCollection", "features": []}', UsageError, "has no scenes"),
    "binary": (b"II*\x00abc", InputError, "is not a list of scenes but a binary file"),
    "another encoding": (b"\xff\xfea", InputError, "is not a list of scenes but a binary file"),
    "half": (b'{"id"', InputError, "is not JSON: "),
    "a bad line": (b'{}\n{"id"', InputError, "is not JSON in line 2: "),
    "numbers": (b"[1, 2]", InputError, "1 is not a scene: expected a path or a STAC item"),
    "null": (b"[null]", InputError, "None is not a scene"),
    "no collection": (b'{"type": "FeatureCollection", "features": 5}', InputError, "5 is not a"),
    "deep": (b"[" * 100_000 + b"]" * 100_000, InputError, "it is nested too deeply"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_list(name, tmp_path):
    content, error, says = BAD[name]
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(error, match=says):
        read_list(str(tmp_path / "list.txt"))


def test_lists_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "missing.txt", tmp_path, "a\0b"):
        with pytest.raises(InputError, match="cannot be read as a list of scenes: "):
            read_list(str(path))
    # A list is not followed for ever.
    (tmp_path / "self.json").write_text(json.dumps([str(tmp_path / "self.json")]))
    assert [scene.path for scene in read_scenes(tmp_path / "self.json")] == [
        str(tmp_path / "self.json")
    ]


def test_paths_and_items_need_other_options():
    with pytest.raises(UsageError, match=r"assets is for STAC items, and a\.tif is a path"):
        read_scenes(["a.tif"], "red")
    with pytest.raises(UsageError, match="STAC items need assets: one has red"):
        read_scenes(ITEMS)


def test_scenes_that_were_read_before():
    scenes = read_scenes(ITEMS, "red")
    assert read_scenes(scenes) == read_scenes(scenes, "red") == scenes
    with pytest.raises(UsageError, match="one is a scene already: give assets to read_scenes"):
        read_scenes(scenes, "nir")
    other = {**make_item("three"), "assets": {key: {"href": f"{key}.tif"} for key in "ab"}}
    with pytest.raises(UsageError, match="three has 2 assets, and one 1: read all scenes with"):
        read_scenes([*scenes, *read_scenes([other], "a,b")])


def test_many_lines(tmp_path):
    (tmp_path / "list.txt").write_text("\n".join(f"s/{number}.tif" for number in range(100_000)))
    scenes = read_scenes(read_list(str(tmp_path / "list.txt")))
    assert len(scenes) == 100_000
    assert scenes[-1].path == "s/99999.tif"
