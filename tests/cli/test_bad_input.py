"""What bad input gets: an exit status, one clear line, and nothing left behind."""

import json
import re

import pytest
import rasterio

WRONG_USAGE = {
    "unknown module": (["--func", "modd:copy"], "no module named 'modd'.*did you mean 'mod'"),
    "unknown attribute": (["--func", "mod:copi"], "no attribute 'copi': did you mean 'copy'"),
    "not callable": (["--func", "mod:number"], "is a int and cannot be called"),
    "no colon": (["--func", "mod"], "is not MODULE:FUNCTION.*did you mean mod:"),
    "a file alone": (["--func", "mod.py"], r"is not MODULE:FUNCTION.*did you mean mod\.py:"),
    "a dot for a colon": (["--func", "numpy.mean"], "did you mean numpy:mean"),
    "no resampling": (
        ["--func", "mod:copy", "--like", "a.tif", "--resampling", "bilinar"],
        "expected one of nearest, .*: did you mean 'bilinear'",
    ),
    "no resampling of overviews": (
        ["--func", "mod:copy", "--overviews", "2", "--overview-resampling", "averge"],
        "expected one of nearest, .*: did you mean 'average'",
    ),
    "syntax error": (["--func", "broken.py:run"], r"SyntaxError: .*broken\.py, line 1\)"),
    "no JSON": (["--func", "mod:copy", "--global-args", "{a"], "--global-args is not JSON"),
    "a file without @": (["--func", "mod:copy", "--global-args", "mod.py"], "pass @mod.py to read"),
    "no object": (["--func", "mod:copy", "--global-args", "[1]"], "not a JSON object"),
    "no file of JSON": (["--func", "mod:copy", "--global-args", "@no.json"], "cannot be read"),
    "no jobs": (["--func", "mod:copy", "-j", "0"], "expected at least 1, or -1 for all CPUs"),
    "negative jobs": (["--func", "mod:copy", "-j", "-5"], "jobs is -5: expected at least 1"),
    "nodata": (["--func", "mod:copy", "--nodata", "-1"], "nodata -1 does not fit uint16"),
    "nodata and dtype": (
        ["--func", "mod:copy", "--nodata", "300", "-t", "uint8"],
        "nodata 300 does not fit uint8",
    ),
    "windows outside": (["--func", "mod:copy", "--windows", "outside.json"], "not inside"),
    "windows overlap": (["--func", "mod:copy", "--windows", "overlap.json"], "overlap"),
    "no windows": (["--func", "mod:copy", "--windows", "empty.json"], "list of windows is empty"),
    "empty file": (["--func", "mod:copy", "--windows", "nothing.json"], "list of windows is empty"),
    "no features": (["--func", "mod:copy", "--windows", "mod.py"], "is not GeoJSON"),
    "a line that is none": (
        ["--func", "mod:copy", "--windows", "half.json"],
        "is not GeoJSON .*Expecting",
    ),
    "no window": (["--func", "mod:copy", "--windows", "plain.json"], "feature 1 has no window"),
    "windows of nothing": (["--func", "mod:copy", "--windows", "0"], "no pixels"),
    "no such windows": (
        ["--func", "mod:copy", "--windows", "block"],
        "--windows block is not a file",
    ),
    "overviews of nothing": (
        ["--func", "mod:copy", "--overviews", "0"],
        "overviews are 0: expected",
    ),
    "overviews of the raster": (["--func", "mod:copy", "--overviews", "1"], "overviews are 1: exp"),
    "overviews that shrink": (
        ["--func", "mod:copy", "--overviews", "4,2"],
        "overviews are 4,2: exp",
    ),
    "overviews twice": (
        ["--func", "mod:copy", "--overviews", "2,2"],
        "overviews are 2,2: expected",
    ),
    "a COG with gaps": (
        ["--func", "mod:copy", "-f", "COG", "--overviews", "2,8"],
        "can only have the overviews 2, 4, 8",
    ),
    "no such resampling": (
        ["--func", "mod:copy", "--overviews", "2", "--overview-resampling", "foo"],
        "resampling of overviews is 'foo': expected one of nearest, ",
    ),
    "overviews of a PNG": (
        ["--func", "mod:copy", "-f", "PNG", "--overviews", "2"],
        "is PNG: use rio overview on it afterwards",
    ),
    "statistics of a PNG": (
        ["--func", "mod:copy", "-f", "PNG", "--stats"],
        "is PNG: use gdalinfo -stats on it afterwards",
    ),
    "plain datasets": (
        ["--func", "mod:copy", "--plain", "--mode", "manual_read"],
        "plain functions get arrays, but manual_read passes datasets",
    ),
    "two outputs of one name": (
        ["--func", "mod:copy", "--also", "x=b1.tif", "--also", "x=b2.tif"],
        "two outputs have the name 'x'",
    ),
    "two outputs in one place": (
        ["--func", "mod:copy", "--also", "x=./out.tif"],
        "two outputs have the path",
    ),
    "no dtype of an output": (
        ["--func", "mod:copy", "--also", "x=b1.tif,dtype=foo"],
        "dtype is 'foo': expected one such as uint8",
    ),
    "no dtype and nodata": (
        ["--func", "mod:copy", "--also", "x=b1.tif,dtype=foo,nodata=3"],
        "dtype is 'foo': expected one such as uint8",
    ),
    "nodata of an output": (
        ["--func", "mod:copy", "--also", "x=b1.tif,dtype=uint8,nodata=-1"],
        "nodata -1 does not fit uint8",
    ),
    "no bands of an output": (
        ["--func", "mod:copy", "--also", "x=b1.tif,count=0"],
        "count is 0: expected at least 1 band",
    ),
    "no option of an output": (
        ["--func", "mod:copy", "--also", "x=b1.tif,crs=EPSG:4326"],
        "crs is not a creation option",
    ),
    "statistics of another output": (
        ["--func", "mod:copy", "--also", "x=b1.png", "--stats"],
        "b1.png is PNG: use gdalinfo -stats on it",
    ),
    "option of ours": (["--func", "mod:copy", "--co", "nodata=1"], "use --nodata"),
}


WRONG_INFO = {
    "fifth": (
        "def run(data, window, ij, global_args, info): return data[0]",
        [],
        "run has a positional parameter info: make it keyword-only, with a star before it: "
        "(data, window, ij, global_args, *, info)",
    ),
    "after the arrays": (
        "def run(a, b, info): return a",
        ["--plain"],
        "run has a positional parameter info: make it keyword-only, with a star before it: "
        "(..., *, info)",
    ),
    "no CRS": (
        "def run(*data, info): return info.lonlat()[0]",
        [],
        "info.lonlat() needs a CRS, and the output has none: give the first input one with "
        "rio edit-info --crs, or use info.xy()",
    ),
}


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
@pytest.mark.parametrize("case", WRONG_INFO)
def test_wrong_use_of_info(mucho, make_raster, module, leftovers, case, dry_run):
    code, args, says = WRONG_INFO[case]
    module(code, "wrong.py")
    inputs = [make_raster(name, width=64, height=64, crs=None) for name in ("a.tif", "b.tif")]
    result = mucho("--func", "wrong:run", *args, *dry_run, inputs=inputs)
    one_error_line(result, 1, says)
    assert not leftovers()


def features(*windows):
    names = ("col_off", "row_off", "width", "height")
    found = [
        {
            "type": "Feature",
            "properties": {"window": dict(zip(names, window, strict=True))},
            "geometry": None,
        }
        for window in windows
    ]
    return json.dumps({"type": "FeatureCollection", "features": found})


@pytest.fixture
def files(tmp_path):
    (tmp_path / "broken.py").write_text("def run(:")
    (tmp_path / "outside.json").write_text(features((50, 50, 16, 14)))
    (tmp_path / "overlap.json").write_text(features((0, 0, 16, 16), (15, 15, 16, 16)))
    (tmp_path / "empty.json").write_text(features())
    (tmp_path / "nothing.json").write_text("")
    line = json.dumps(json.loads(features((0, 0, 16, 16)))["features"][0])
    (tmp_path / "half.json").write_text(f"{line}\n{{broken")
    (tmp_path / "plain.json").write_text('{"type": "Feature", "properties": {}}')
    (tmp_path / "text.tif").write_text("no raster")


def one_error_line(result, status, says, traceback=False):
    __tracebackhide__ = True
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[-1].startswith("Error: ")
    assert len(lines) == 1 or traceback, result.stderr
    assert says.search(lines[-1]) if hasattr(says, "search") else says in lines[-1], lines[-1]
    assert "rio_mucho_cli" not in result.stderr


@pytest.mark.parametrize("case", WRONG_USAGE)
def test_wrong_usage(mucho, files, tmp_path, leftovers, case):
    args, says = WRONG_USAGE[case]
    one_error_line(mucho(*args), 2, re.compile(says))
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "Missing option '--func'"),
        (["--func", "mod:copy", "--mode", "read"], "Invalid value for '--mode'"),
        (["--func", "mod:copy", "--mode", "aray_read"], "did you mean 'array_read'?"),
        (["--func", "mod:copy", "--executor", "thread"], "did you mean 'threads'?"),
        (["--func", "mod:copy", "-t", "unit8"], "did you mean 'uint8'?"),
        (["--func", "mod:copy", "--jobz", "2"], "--jobs"),
        (["--func", "mod:copy", "--arg", "k"], "'k' is not NAME=VALUE"),
        (
            ["--func", "mod:copy", "--global-args", "-", "--windows", "-"],
            "cannot both read",
        ),
        (["--func", "mod:copy", "-j", "many"], "'many' is not a valid integer"),
        (["--func", "mod:copy", "--also", "x"], "'x' is not NAME=PATH"),
        (["--func", "mod:copy", "--also", "=b1.tif"], "'=b1.tif' is not NAME=PATH"),
        (["--func", "mod:copy", "--also", "x="], "'x=' is not NAME=PATH"),
        (["--func", "mod:copy", "--also", "x=,dtype=uint8"], "is not NAME=PATH"),
        (["--func", "mod:copy", "--also", "x=b1.tif,"], "'', in 'x=b1.tif,', is not OPTION=VALUE"),
        (["--func", "mod:copy", "--also", "x=b1.tif,tiled"], "'tiled', in .* is not OPTION=VALUE"),
        (["--func", "mod:copy", "--also", "x=b1.tif,=3"], "'=3', in .* is not OPTION=VALUE"),
        (
            ["--func", "mod:copy", "--also", "x=b1.tif,nodata=abc"],
            "nodata=abc, in .* is not a",
        ),
        (
            ["--func", "mod:copy", "--also", "x=b1.tif,count=x"],
            "count=x, in .* is not a whole number",
        ),
        (["--func", "mod:copy", "--also", "x=b1.tif,count=1.5"], "count=1.5, in .* is not a whole"),
        (
            ["--func", "mod:copy", "--overviews", "abc"],
            "expected 2,4,8, 2^1..3 or auto",
        ),
        (["--func", "mod:copy", "--overviews", "2^0..3"], "'2^0..3' is not valid"),
        (["--func", "mod:copy", "--overviews", "2^3..1"], "'2^3..1' is not valid"),
        (["--func", "mod:copy", "--overviews", "2^3"], "'2^3' is not valid"),
        (["--func", "mod:copy", "--overviews", ""], "'' is not valid"),
        (["--func", "mod:copy", "--overviews", "2,,4"], "'2,,4' is not valid"),
    ],
)
def test_what_click_refuses(mucho, leftovers, args, says):
    result = mucho(*args)
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert [line.startswith("Error: ") for line in lines].count(True) == 1
    assert says in lines[-1] or re.search(says, lines[-1]), lines[-1]
    assert not leftovers()


def test_one_file_is_no_input(rio, mucho):
    one_error_line(rio("mucho", "a.tif", "--func", "mod:copy"), 2, "there is no input")


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (["missing.tif"], "missing.tif: No such file"),
        (["a.tiff"], "a.tiff: No such file or directory: did you mean 'a.tif'?"),
        (["."], ": it is a folder, expected a raster"),
        (["a.tif", "missing.tif"], "missing.tif: No such file"),
        (["text.tif"], "'text.tif' not recognized as being in a supported file format"),
        (["a.tif", "small.tif"], "small.tif is 64 x 63 pixels, a.tif is 64 x 64"),
        (["a.tif", "moved.tif"], "moved.tif has the transform (30, 0, 5, 0, -30, 0), a.tif has"),
        (["a.tif", "other.tif"], "other.tif is in EPSG:4326, a.tif is in EPSG:32633"),
        (["truncated.tif"], "truncated.tif cannot be read at window rows"),
    ],
)
def test_inputs_that_do_not_serve(mucho, files, make_raster, tmp_path, leftovers, inputs, says):
    size = {"width": 64, "height": 64}
    make_raster("small.tif", width=64, height=63)
    make_raster("moved.tif", **size, transform=rasterio.Affine(30, 0, 5, 0, -30, 0))
    make_raster("other.tif", **size, crs="EPSG:4326")
    truncated = make_raster("truncated.tif", **size)
    truncated.write_bytes(truncated.read_bytes()[:5000])
    for jobs in ("1", "2"):
        result = mucho("--func", "mod:copy", "-j", jobs, inputs=inputs)
        one_error_line(result, 1, says)
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("old.tif", "the output old.tif exists: pass --overwrite to replace it"),
        ("a.tif", "a.tif is the input a.tif: pass --overwrite"),
        ("./b.tif", "./b.tif is the input b.tif: pass --overwrite"),
        ("link.tif", "link.tif is the input a.tif: pass --overwrite"),
        ("nowhere/out.tif", "the folder of nowhere/out.tif does not exist"),
        ("/proc/out.tif", "takes no such file"),
        ("nowhere/out.vrt", "the folder of nowhere/out.vrt does not exist"),
        ("/proc/out.vrt", "takes no such file"),
    ],
)
def test_outputs_that_do_not_serve(mucho, tmp_path, output, says, leftovers):
    (tmp_path / "old.tif").write_text("old")
    (tmp_path / "link.tif").symlink_to("a.tif")
    contents = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    one_error_line(mucho("--func", "mod:copy", output=output), 1, says)
    assert {path: path.read_bytes() for path in contents} == contents
    assert not leftovers()


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (["-f", "NOPE"], 2, "this GDAL has no driver 'NOPE'"),
        (["-f", "vrt"], 2, "the driver vrt, whose files hold no pixels"),
        (["-f", "MEM"], 2, "the driver MEM, whose files hold no pixels"),
        (["--also", "x=b1.tif,driver=NOPE"], 2, "this GDAL has no driver 'NOPE'"),
        (["--also", "x=nowhere/b1.tif"], 1, "the folder of nowhere/b1.tif does not exist"),
        (["--also", "x=/vsimem/b1.tif"], 2, "would be lost when this command ends"),
        (["--also", "x=a.tif"], 1, "a.tif is the input a.tif: pass --overwrite"),
        (["--co", "compress=foo"], 2, "'foo' is an unexpected value for COMPRESS"),
        (["--co", "blockxsize=100", "--co", "blockysize=100"], 1, "multiples of 16"),
        (["--co", "colour=red"], 2, "COLOUR is not a creation option of the driver GTiff in GDAL"),
        (["--co", "blocksize=512"], 2, "use BLOCKXSIZE and BLOCKYSIZE"),
        (["--co", "overviews=auto"], 2, "--overviews"),
        (
            ["-f", "COG", "--co", "colormap=x"],
            2,
            "COLORMAP is not a creation option of the driver CO",
        ),
        (["-f", "COG", "--co", "colormap=x"], 2, "a colour table is copied from the first input"),
        (["-f", "COG", "--co", "foo=x"], 2, "expected one of BLOCKSIZE, COMPRESS, LEVEL,"),
        (["-f", "COG", "--co", "zlevel=9"], 2, "use LEVEL"),
        (["-f", "COG", "--co", "tiled=yes"], 2, "a COG is tiled"),
        (["--co", "compres=lzw"], 2, "did you mean 'COMPRESS'?"),
        (["-f", "COG", "--co", "compres=lzw"], 2, "did you mean 'COMPRESS'?"),
        (["-f", "GTif"], 2, "did you mean 'GTiff'?"),
    ],
)
def test_drivers_and_their_options(mucho, tmp_path, args, status, says, leftovers):
    one_error_line(mucho("--func", "mod:copy", *args), status, says)
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("out.xyzz", "GDAL writes no rasters that end in .xyzz: name the format with -f"),
        ("out.tif.gz", "that end in .gz"),
        ("out.tfi", "did you mean '.tif'?"),
        ("out.geojson", "did you mean '.geojsonl'?"),
    ],
)
def test_an_ending_that_is_no_formats(mucho, tmp_path, output, says, leftovers):
    one_error_line(mucho("--func", "mod:copy", output=output), 2, says)
    assert not (tmp_path / output).exists()
    assert not leftovers()
    assert mucho("--func", "mod:copy", "-f", "GTiff", output=output).exit_code == 0
    with rasterio.open(tmp_path / output) as src:
        assert src.driver == "GTiff"


def test_an_input_in_the_place_of_the_output(mucho, tmp_path):
    before = (tmp_path / "b.tif").read_bytes()
    last = mucho("--func", "mod:copy", inputs=("a.tif",), output="b.tif")
    hint = "or, if it is an input, name an output after it"
    one_error_line(last, 1, f"the output b.tif exists: pass --overwrite to replace it, {hint}")
    named = mucho("-o", "b.tif", "--func", "mod:copy", inputs=(), output="a.tif")
    one_error_line(named, 1, re.compile("exists: pass --overwrite to replace it$"))
    assert (tmp_path / "b.tif").read_bytes() == before


def test_options_of_further_outputs_are_named(mucho, module, leftovers):
    module("def two(data, *_):\n    return {'x': data[0], 'y': data[1]}\n", "both.py")
    result = mucho("--func", "both:two", "--also", "x=b1.tif,dtpe=uint8")
    one_error_line(result, 2, "did you mean 'dtype'?")
    assert not leftovers()


@pytest.mark.parametrize(
    ("args", "name"), [(["-v"], "-v"), (["-vv"], "-v"), (["--verbose"], "--verbose")]
)
def test_options_of_rio_stand_before_the_command(rio_program, args, name):
    result = rio_program("mucho", "a.tif", "out.tif", "--func", "mod:copy", *args)
    assert result.returncode == 2
    *_, line = result.stderr.splitlines()
    assert line == (
        f"Error: {name} is an option of rio, and must come before mucho: rio {name} mucho ..."
    )


@pytest.mark.parametrize(
    ("limit", "windows", "advice"),
    [("50", None, "the program itself: raise the limit$"), ("205", "8192", "use smaller windows$")],
)
def test_a_memory_limit_says_what_helps(mucho, make_raster, limit, windows, advice):
    make_raster("a.tif", width=8192, height=64)
    options = ["-j", "2", *(["--windows", windows] if windows else [])]
    result = mucho("--func", "mod:copy", "--mem-limit", limit, *options, inputs=("a.tif",))
    one_error_line(result, 2, re.compile(f"the memory limit is {limit} MB, and .*{advice}"))


def test_what_an_earlier_run_was_to_go_on_with_is_named(rio_program, make_raster, tmp_path):
    make_raster("a.tif", width=64, height=64)
    (tmp_path / "mod.py").write_text(
        "def copy(data, *_):\n    return data[0]\n"
        "def bad(data, window, ij, args):\n    return data[0] if ij == (0, 0) else 1 / 0\n"
    )
    command = ["mucho", "a.tif", "out.tif", "--windows", "32"]
    assert rio_program(*command, "--func", "mod:bad", "--resume").returncode == 1
    assert (tmp_path / "out.tif.mucho-partial").is_dir()
    done = rio_program(*command, "--func", "mod:copy")
    assert done.returncode == 0
    assert "out.tif.mucho-partial holds the partial result of an earlier run of " in done.stderr
    assert "remove it" in done.stderr


WAYS = [["-j", "1"], ["-j", "2", "--executor", "threads"], ["-j", "2"]]
FUNCTIONS_THAT_FAIL = {
    "bad": "rows 16:32, columns 16:32 (ij (1, 1)): the function raised ZeroDivisionError: by zero; "
    "5 windows were done",
    "leave": "(ij (0, 0)): the function raised SystemExit: 0; 0 windows were done",
    "odd": "the function raised OddError: odd",
}
RESULTS_THAT_DO_NOT_FIT = {
    "nothing": "returned None, expected a numpy array",
    "listed": "returned a list, expected a numpy array",
    "short": "returned an array of shape (1, 15, 16), expected (1, 16, 16)",
    "twice": "returned an array of shape (2, 16, 16), expected (1, 16, 16)",
    "wavering": "returned 1 bands of float32, but 1 of float64 for the first window",
}


@pytest.mark.sweep(1)
@pytest.mark.parametrize("way", WAYS, ids="".join)
@pytest.mark.parametrize("name", FUNCTIONS_THAT_FAIL)
def test_functions_that_raise(mucho, tmp_path, name, way, leftovers):
    (tmp_path / "out.tif").write_text("old")
    result = mucho("--func", f"mod:{name}", "--overwrite", *way)
    one_error_line(result, 1, FUNCTIONS_THAT_FAIL[name], traceback=True)
    *_, place, _source, _exception, _error = [
        line for line in result.stderr.splitlines() if set(line) - set(" ^~")
    ]
    assert 'mod.py", line' in place
    assert place.endswith(f"in {name}")
    assert (tmp_path / "out.tif").read_text() == "old"
    assert not leftovers()


@pytest.mark.sweep(1)
@pytest.mark.parametrize("way", WAYS, ids="".join)
@pytest.mark.parametrize("name", RESULTS_THAT_DO_NOT_FIT)
def test_results_that_do_not_fit(mucho, tmp_path, name, way, leftovers):
    count = [] if name == "wavering" else ["--count", "1"]
    result = mucho("--func", f"mod:{name}", *count, *way)
    one_error_line(result, 1, RESULTS_THAT_DO_NOT_FIT[name])
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_args_that_the_function_does_not_take(mucho, module, jobs, leftovers):
    module(
        "def scaled(a, b, factor=1):\n    return a * factor\n"
        "class Scale:\n"
        "    def __init__(self, factor): self.factor = factor\n"
        "    def __call__(self, data, *args): return data[0]\n",
        "scales.py",
    )
    for args in (["scales:scaled", "--plain"], ["scales:Scale"]):
        result = mucho("--func", *args, "--arg", "facter=2", "-j", jobs)
        says = "takes no 'facter', which is one of the global args: did you mean 'factor'?"
        one_error_line(result, 1, says)
    assert not leftovers()


DICTS = {
    "one": "expected a dict with results for x and for the first output",
    "others": "the function returned a dict without 'x', for which there is an output",
    "many": "('y', 'z') for the first output: give the others outputs",
    "bad": "for 'x' the function returned None, expected a numpy array",
}


@pytest.mark.sweep(1)
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("name", DICTS)
def test_dicts_that_do_not_fit(mucho, module, tmp_path, name, jobs, leftovers):
    module(
        "one = lambda data, *args: data[0]\n"
        "others = lambda data, *args: {'y': data[0], 'z': data[0]}\n"
        "many = lambda data, *args: {'x': data[0], 'y': data[0], 'z': data[0]}\n"
        "bad = lambda data, *args: {'x': None, 'y': data[0]}\n",
        "dicts.py",
    )
    result = mucho("--func", f"dicts:{name}", "--also", "x=b1.tif", "-j", jobs)
    one_error_line(result, 1, DICTS[name])
    assert not {"out.tif", "b1.tif"} & {path.name for path in tmp_path.iterdir()}
    assert not leftovers()


def test_a_dict_without_outputs_for_it(mucho, module, leftovers):
    module("def run(data, *args):\n    return {'x': data[0], 'y': data[0]}\n", "dicts.py")
    result = mucho("--func", "dicts:run", "-j", "1")
    one_error_line(result, 1, "('x', 'y') for the first output: give the others outputs")
    assert not leftovers()


def test_a_worker_that_dies(mucho, tmp_path, leftovers):
    result = mucho("--func", "mod:die", "-j", "2")
    one_error_line(
        result, 1, re.compile(r"process was killed by SIGKILL.* while it worked on window rows")
    )
    assert ", 3 times, the last time with no other window running: the usual cause" in result.stderr
    assert "smaller windows, fewer jobs or a memory limit" in result.stderr
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


def test_masks_that_no_output_can_hold(mucho, module, tmp_path, leftovers):
    module(
        "import numpy as np\n"
        "def run(data, *args):\n"
        "    return np.ma.masked_greater(np.concatenate([data[0], data[0] + 9]), 100)\n",
        "masks.py",
    )
    for jobs in ("1", "2"):
        result = mucho("--func", "masks:run", "-j", jobs, inputs=["b.tif"])
        one_error_line(result, 1, "masked other pixels in one band than in another")
        assert not (tmp_path / "out.tif").exists()
        assert not leftovers()
    result = mucho("--func", "masks:run", "-j", "2", "--nodata", "0", "-q", inputs=["b.tif"])
    assert (result.exit_code, result.output) == (0, "")


def test_an_output_that_would_be_gone(mucho):
    result = mucho("--func", "mod:copy", output="/vsimem/out.tif")
    one_error_line(result, 2, "would be lost when this command ends")


def test_an_output_in_an_archive(mucho, tmp_path):
    result = mucho("--func", "mod:copy", output="zip://z.zip!out.tif")
    one_error_line(result, 1, "nothing can be written to zip://z.zip!out.tif")
    assert not [path for path in tmp_path.iterdir() if "zip" in path.name]


def test_a_name_that_is_too_long(mucho, leftovers):
    result = mucho("--func", "mod:copy", output="x" * 300 + ".tif")
    one_error_line(result, 1, "File name too long")
    assert len(result.stderr) < 300
    assert not leftovers()


def test_lossy_compression_of_the_input_is_mentioned(mucho, make_raster, caplog):
    make_raster("jpeg.tif", dtype="uint8", width=64, height=64, compress="jpeg")
    assert mucho("--func", "mod:copy", inputs=["jpeg.tif"]).exit_code == 0
    assert "with jpeg, which changes values: pass --co compress=deflate" in caplog.text


def test_a_folder_that_takes_no_file(mucho, rio_program, bound_by_modes, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    done = rio_program(
        "mucho", "a.tif", "closed/out.tif", "--func", "mod:copy", before=bound_by_modes
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: closed/out.tif cannot be written: the folder ")
    assert done.stderr.endswith("closed takes no such file (Permission denied)\n")
    assert list((tmp_path / "closed").iterdir()) == []


@pytest.mark.parametrize(
    ("declared", "args", "says"),
    [
        ({"nodatta": 1}, [], "typo.py:run.output has an unknown entry 'nodatta': did you mean"),
        ({"dtype": "flaot32"}, [], "['dtype'] is 'flaot32': expected a dtype such as uint8"),
        ({"nodata": -1}, ["-t", "uint8"], "['nodata'] is -1, which uint8 cannot hold: give another "
         "with --nodata"),
        ({"colormap": {0: "red"}}, ["--dry-run"], "['colormap'] is {0: 'red'}: expected a dict of"),
    ],
)  # fmt: skip
def test_a_declaration_that_is_wrong(mucho, module, tmp_path, leftovers, declared, args, says):
    module(f"def run(data, *_):\n    return data[0]\n\nrun.output = {declared!r}\n", "typo.py")
    result = mucho("--func", "typo.py:run", *args)
    assert result.exit_code in {1, 2}
    (line,) = result.stderr.splitlines()
    assert says in line
    assert not (tmp_path / "out.tif").exists()
    assert not leftovers()


def test_options_come_before_what_is_declared(mucho, module, tmp_path):
    module(
        "def run(data, window, *_):\n"
        "    assert data[0].shape[1:] == (window.height, window.width)\n"
        "    assert type(data[0]).__name__ == 'ndarray'\n"
        "    return data[0]\n\n"
        "run.output = {'overlap': 3, 'masked': True, 'dtype': 'int16', 'nodata': -1}\n",
        "declared.py",
    )
    options = ["--overlap", "0", "--no-masked", "-t", "int32", "--nodata", "none"]
    result = mucho("--func", "declared:run", *options)
    assert result.exit_code == 0, result.output
    with rasterio.open(tmp_path / "out.tif") as dst:
        assert (dst.dtypes, dst.nodata) == (("int32",), None)
