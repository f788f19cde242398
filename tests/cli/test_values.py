"""`rio mucho` with outputs that take values."""

import json

import pytest

FUNCTIONS = """
import numpy as np

def extremes(data, window, ij, global_args):
    print("a print of the function's")
    return {"least": data[0].min(), "most": data[0].max()}

def both(data, *args):
    return {"pixels": data[0], "counts": np.bincount(data[0].ravel(), minlength=256)}

def nan(*args):
    return float("nan")

def fails(*args):
    raise ValueError("no")

class Total:
    def __call__(self, data, *args):
        return data[0].sum()
    def merge(self, total, value):
        return total + value
"""


@pytest.fixture
def values(mucho, module):
    module(FUNCTIONS, "values.py")
    return mucho


@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.campaign)])
def test_a_value_is_printed_alone(values, leftovers, jobs):
    result = values("--func", "values:extremes", "--merge", "min", "-j", jobs, output="-")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout).keys() == {"least", "most"}
    assert "values: 16 windows in" in result.stderr
    assert not leftovers()


def test_a_value_beside_a_raster(values, tmp_path):
    result = values("--func", "values:both", "--also", "counts=counts.json,merge=sum")
    assert result.exit_code == 0, result.output
    assert sum(json.loads((tmp_path / "counts.json").read_text())) == 64 * 64
    assert "out.tif, counts.json: 16 windows" in result.stderr


def test_numbers_that_are_not_finite_are_told(values, tmp_path, caplog):
    result = values("--func", "values:nan", output="out.json")
    assert result.exit_code == 0
    assert json.loads((tmp_path / "out.json").read_text()) == [None] * 16
    assert "out.json: NaN and infinite numbers are null in JSON: 16" in caplog.text


def test_a_dry_run_shows_the_value(values, tmp_path):
    result = values("--func", "values:extremes", "--merge", "min", "--dry-run", output="out.json")
    assert result.exit_code == 0, result.output
    assert "value      out.json: json, merged by min" in result.stdout
    assert '{"least": ' in result.stdout
    assert not (tmp_path / "out.json").exists()
    result = values("--func", "values:Total", "--dry-run", output="out.json")
    assert "value      out.json: json, merged by the function's own merge" in result.stdout
    result = values("--func", "values:extremes", "--dry-run", output="out.csv")
    assert "value      out.csv: csv, written line by line" in result.stdout
    assert "1 line, the first: " in result.stdout


@pytest.mark.parametrize("path", ["report.json", "report.html"])
def test_a_report_of_values(values, tmp_path, path):
    result = values("--func", "values:extremes", "--report", path, output="out.json")
    assert result.exit_code == 0, result.output
    text = (tmp_path / path).read_text()
    if path.endswith(".json"):
        (entry,) = json.loads(text)["plan"]["values"]
        assert entry == {
            "path": "out.json", "name": None, "format": "json", "merge": "list", "streamed": False,
        }  # fmt: skip
    else:
        assert "<dt>value</dt><dd>out.json: json, collected in a list</dd>" in text


BAD = {
    "a report on the same stream": (["--report", "-"], "-", 2, "both go to standard output"),
    "a merge of a raster": (["--merge", "sum"], "out.tif", 2, "--merge is for values"),
    "an unknown merge": (["--merge", "som"], "out.json", 2, "did you mean 'sum'"),
    "a merge that is nowhere": (["--merge", "values:nowhere"], "out.json", 2, "no attribute"),
    "a dtype": (["-t", "uint8"], "out.json", 2, "takes values, which have no dtype"),
    "an option": (["--co", "compress=lzw"], "out.csv", 2, "have no option compress"),
    "resumed nowhere": (["--resume"], "-", 2, "can only be resumed if its outputs are local"),
    "a merge that fails": (["--merge", "values:fails"], "out.json", 1, "(ij (0, 1)): merge raised"),
    "no sum": (["--merge", "values:extremes"], "out.json", 1, "merge raised TypeError"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(values, tmp_path, leftovers, case):
    args, output, status, says = BAD[case]
    result = values("--func", "values:extremes", *args, output=output)
    assert result.exit_code == status
    assert says in result.stderr.splitlines()[-1]
    assert "rio_mucho_cli" not in result.stderr
    assert not (tmp_path / output).exists()
    assert not leftovers()


def test_windows_that_fail_have_no_value(values, tmp_path):
    result = values("--func", "values:fails", "--on-error", "nodata", output="out.json")
    assert result.exit_code == 3
    assert "16 of 16 windows failed, and have no value:" in result.stderr
    assert (tmp_path / "out.json").read_text() == "[]\n"
