"""Series of scenes on the command line: what is typed, and what one gets for wrong input."""

import json
import subprocess
import sys

import numpy as np
import pytest
from affine import Affine
from stac_items import collection, earth_search_v1

from rio_mucho_cli.reports.page import _MOST_INPUTS

FUNCTION = """
import numpy as np

def median(data, window, ij, global_args):
    return np.ma.median(np.ma.stack(data), axis=0)
"""
PLACE = Affine(30, 0, 400000, 0, -30, 5000000)


@pytest.fixture
def items(make_raster, module, tmp_path):
    """Return four items of 64 x 64 pixels, each 10 columns from the one before."""
    module(FUNCTION, "mod.py")
    made = []
    for number in range(4):
        paths = {
            kind: make_raster(
                f"s{number}/{kind}.tif", width=64, height=64, dtype=dtype, seed=number,
                transform=PLACE @ Affine.translation(10 * number, 0),
            )
            for kind, dtype in (("red", "uint16"), ("nir", "uint16"), ("qa", "uint8"))
        }  # fmt: skip
        made.append(earth_search_v1(f"S{number}", paths, "2024-06-01T10:00:00Z"))
    return made


@pytest.fixture
def lists(items, make_raster, tmp_path):
    """Write lists of the items and of others; return the items."""

    def change(number, key, **values):
        changed = json.loads(json.dumps(items))
        changed[number]["assets"][key].update(values)
        return collection(changed)

    lacking = json.loads(json.dumps(items))
    for number in (1, 2):
        del lacking[number]["assets"]["nir"]
    two = str(make_raster("two.tif", count=2, width=64, height=64))
    make_raster("other.tif", crs="EPSG:32634", width=64, height=64)
    shifted = json.loads(json.dumps(items))
    for asset in shifted[1]["assets"].values():
        if "proj:transform" in asset:
            asset["proj:transform"][2] += 600
    for name, content in {
        "items.json": collection(items),
        "lacking.json": lacking,
        "gone.json": change(2, "nir", href=str(tmp_path / "s2/nirr.tif")),
        "mixed.json": change(2, "nir", href=two),
        "wrong.json": shifted,
        "self.json": ["self.json"],
        "none.json": collection([]),
        "numbers.json": [1, 2],
        "features.json": {"type": "FeatureCollection", "features": [{"type": "Feature"}]},
    }.items():
        (tmp_path / name).write_text(json.dumps(content))
    for name, text in {
        "paths.txt": "".join(f"s{number}/red.tif\n" for number in range(4)),
        "mixed.txt": "s0/red.tif\ntwo.tif\n",
        "zones.txt": "s0/red.tif\nother.tif\n",
        "gone.txt": "s0/red.tif\ns1/reed.tif\n",
        "many.txt": "".join(f"s/{number}.tif\n" for number in range(100_000)),
        "empty.txt": "",
        "half.ndjson": json.dumps(items[0]) + '\n{"id',
        "deep.json": "[" * 100_000,
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "binary.txt").write_bytes((tmp_path / "two.tif").read_bytes())
    return items


LIKE = ["--like", "s0/red.tif"]
ASSETS = ["--assets", "red,nir,scl", "--masked"]
BAD = {
    "an asset that no item has": (["items.json", "--assets", "red,nier"], 1,
                                  "S0 has no asset 'nier': did you mean 'nir'? (it has red-jp2"),
    "an asset that an item lacks": (["lacking.json", *ASSETS], 1, "S1 has no asset 'nir'"),
    "an asset that all lack": (["items.json", "--assets", "x", "--missing-assets", "skip"], 2,
                               "there are no scenes"),
    "no assets": (["items.json"], 2, "STAC items need --assets: S0 has red-jp2, red"),
    "assets of paths": (["paths.txt", *ASSETS], 2, "--assets is for STAC items, and s0/red.tif"),
    "an empty list": (["empty.txt"], 2, "empty.txt has no scenes: expected a path on each line"),
    "no items": (["none.json", *ASSETS], 2, "none.json has no scenes"),
    "no list": (["lost.txt"], 1, "lost.txt cannot be read as a list of scenes: No such file"),
    "a folder": (["s0"], 1, "s0 cannot be read as a list of scenes: Is a directory"),
    "a binary file": (["binary.txt"], 1, "binary.txt is not a list of scenes but a binary file"),
    "a list of itself": (["self.json"], 1, "'self.json' not recognized as being in a supported"),
    "numbers": (["numbers.json"], 1, "1 is not a scene: expected a path or a STAC item"),
    "GeoJSON": (["features.json", *ASSETS], 1, "an item without an id is not a STAC item"),
    "half an item": (["half.ndjson", *ASSETS], 1, "half.ndjson is not JSON in line 2"),
    "a deep list": (["deep.json"], 1, "deep.json is not a list of scenes: it is nested too"),
    "100,000 lines": (["many.txt"], 1, "s/0.tif: No such file or directory"),
    "a raster that is missing": (["gone.txt"], 1, "did you mean 's1/red.tif'?"),
    "a claimed one": (["gone.json", *ASSETS], 1, "s2/nirr.tif: No such file or directory"),
    "mixed bands": (["mixed.txt"], 1, "two.tif has 2 bands, and s0/red.tif 1: scenes need the"),
    "mixed bands of items": (["mixed.json", *ASSETS], 1, "two.tif has 2 bands, and the first"),
    "another place": (["wrong.json", *ASSETS], 1, "is not where the item S1 says"),
    "open datasets": (["paths.txt", "--mode", "manual_read"], 2, "cannot be passed as open"),
    "no such asset in an option": (["items.json", *ASSETS, "--resampling", "x=cubic"], 2,
                                   "an input, from 1, or one of the assets red, nir, scl"),
    "a name for paths": (["paths.txt", "--bidx", "red=1"], 2,
                          "'red': expected the number of an input, from 1"),
}  # fmt: skip


def check_failed(result, status, says, tmp_path):
    __tracebackhide__ = True
    lines = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (status, ""), result.stderr
    assert lines[-1].startswith("Error: ")
    assert says in lines[-1], lines[-1]
    assert all(line.startswith("Warning: ") for line in lines[:-1]), result.stderr
    assert not list(tmp_path.glob("out.*"))
    assert not list(tmp_path.rglob(".mucho*"))


@pytest.mark.sweep(1)
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("case", BAD)
def test_bad_lists(rio_program, lists, tmp_path, case, jobs):
    args, status, says = BAD[case]
    given = ["--func", "mod.py:median", *LIKE, "-j", jobs, "--windows", "16"]
    check_failed(rio_program("mucho", "--inputs", *args, "out.tif", *given), status, says, tmp_path)


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (["--inputs", "zones.txt", "out.tif"], 1, "other.tif is in EPSG:32634, s0/red.tif is in"),
        (
            ["--inputs", "paths.txt", "out.tif"],
            1,
            "pass --like s0/red.tif to read all on that grid",
        ),
        (["--inputs", "paths.txt", "s0/red.tif", "out.tif", *LIKE], 2, "use one of them"),
        (["s0/red.tif", "out.tif", "--assets", "red"], 2, "give their list with --inputs"),
        (["s0/red.tif", "out.tif", "--missing-assets", "skip"], 2, "give their list with --inputs"),
    ],
)
def test_bad_options(rio_program, lists, tmp_path, args, status, says):
    check_failed(rio_program("mucho", *args, "--func", "mod.py:median"), status, says, tmp_path)


def test_what_a_run_reads_is_not_replaced(rio, lists, tmp_path):
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    given = ["--inputs", "items.json", *ASSETS, *LIKE, "--func", "mod.py:median", "-j", "1"]
    for output, more in (("s2/nir.tif", []), ("out.tif", ["--report", "items.json"])):
        result = rio("mucho", output, *given, *more)
        assert result.exit_code in {1, 2}, result.output
    result = rio("mucho", "out.tif", *given, "--windows", "-", "--inputs", "-")
    assert (result.exit_code, "cannot both read standard input" in result.stderr) == (2, True)
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.parametrize(
    "name", ["items.json", "-", pytest.param("lines", id="NDJSON on standard input")]
)
def test_lists_from_everywhere(rio, lists, tmp_path, read, name):
    given = [*ASSETS, *LIKE, "--func", "mod.py:median", "-j", "1", "--dtype", "float32"]
    stdin = json.dumps(collection(lists)) if name == "-" else "\n".join(map(json.dumps, lists))
    listed = "-" if name == "lines" else name
    result = rio("mucho", "--inputs", listed, "out.tif", *given, input=stdin)
    assert result.exit_code == 0, result.output
    scenes = [
        np.concatenate([read(f"s{n}/{kind}.tif") for kind in ("red", "nir", "qa")])
        for n in range(4)
    ]
    stack = np.ma.masked_all((4, 3, 64, 64), "uint16")
    for number, scene in enumerate(scenes):
        stack[number, :, :, 10 * number :] = scene[:, :, : 64 - 10 * number]
    np.testing.assert_array_equal(read("out.tif"), np.ma.median(stack, axis=0))


def test_items_that_are_left_out(rio_program, lists, tmp_path, read):
    given = [*ASSETS, *LIKE, "--func", "mod.py:median", "-j", "1", "--missing-assets", "skip"]
    done = rio_program("mucho", "--inputs", "lacking.json", "out.tif", *given)
    assert done.returncode == 0, done.stderr
    assert "left out, 2 items: S1 has no asset 'nir'" in done.stderr


def test_a_dry_run_and_a_page_of_many_scenes(rio, lists, tmp_path):
    many = [{**lists[number % 4], "id": f"N{number}"} for number in range(100)]
    for number, item in enumerate(many):
        item["assets"] = {"red": {**item["assets"]["red"], "href": f"links/{number}.tif"}}
        link = tmp_path / f"links/{number}.tif"
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(tmp_path / f"s{number % 4}/red.tif")
    (tmp_path / "many.json").write_text(json.dumps(many))
    given = [
        "--inputs",
        "many.json",
        "--assets",
        "red",
        *LIKE,
        "--func",
        "mod.py:median",
        "-j",
        "1",
    ]
    result = rio("mucho", "out.tif", *given, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "100 scenes, at most 100 in a window" in " ".join(result.stdout.split())
    assert len(result.stdout.splitlines()) < 20
    assert not (tmp_path / "out.tif").exists()
    result = rio("mucho", "out.tif", *given, "--report", "report.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "report.html").read_text()
    assert f"N{_MOST_INPUTS - 1} and {100 - _MOST_INPUTS} more" in page
    assert "N99" not in page


EXPIRED = """
import http.server

class Expired(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_HEAD = do_GET
    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Expired)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def expired():
    """Return the address of a server that refuses everything, as after a signature's end."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", EXPIRED], text=True, **pipes) as process:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()


@pytest.mark.service
@pytest.mark.parametrize("number", [0, 2], ids=["in planning", "in a window"])
def test_a_signed_address_that_has_expired(
    rio_program, items, tmp_path, expired, monkeypatch, number
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    address = f"{expired}/c/red.tif"
    items[number]["assets"]["red"]["href"] = f"{address}?se=2024-06-01&sig=S3cr3t%2F"
    (tmp_path / "items.json").write_text(json.dumps(collection(items)))
    given = [*ASSETS, *LIKE, "--func", "mod.py:median", "-j", "2", "--windows", "16"]
    done = rio_program("mucho", "--inputs", "items.json", "out.tif", *given)
    check_failed(done, 1, f"{address}?***", tmp_path)
    assert "403" in done.stderr
    assert "S3cr3t" not in done.stderr
    assert "a signed address expires, so get a new one" in done.stderr
