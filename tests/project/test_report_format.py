"""The page of the JSON report names every entry that a report has."""

import json
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "report-format.md"
# What these hold is named by the user's variables, the stages, or packages.
OPEN = {"thread_variables", "gdal_options", "creation_options", "versions", "stages"}


def keys_of(value):
    if isinstance(value, list):
        return {key for item in value for key in keys_of(item)}
    if not isinstance(value, dict):
        return set()
    inner = [keys_of(item) for key, item in value.items() if key not in OPEN]
    return set(value).union(*inner)


@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_the_page_names_every_entry(make_raster, module, rio, tmp_path, options):
    make_raster()
    module("def copy(data, *_):\n    return data[0]\n", "mod.py")
    command = ["mucho", "in.tif", "out.tif", "--func", "mod:copy", "-j", "1", *options]
    result = rio(*command, "--report", "report.json")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "report.json").read_text())
    text = re.sub("```.*?```", "", PAGE.read_text("utf-8"), flags=re.DOTALL)
    words = set(re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`]+)`", text))))
    assert keys_of(report) - words == set()
