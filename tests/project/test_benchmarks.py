"""The benchmarks run, compare pixels, and name what is missing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("all_packages")


def benchmarks(*args):
    command = [sys.executable, "-m", "benchmarks", "--size", "300", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_competition():
    done = benchmarks("--rounds", "1", "--workloads", "index", "--only", "mucho", "rio-calc", "otb")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Limit: [0-9.]+ s of CPU time / 2 jobs", done.stdout, re.MULTILINE)
    for name in ("`rio mucho`", "`rio calc`"):
        assert re.search(rf"^\| {name} \|.*\| identical \|$", done.stdout, re.MULTILINE), (
            done.stdout
        )
    assert "`otbcli_BandMath`" in done.stdout


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("--memory", "| 300 x 300 |"),
        ("--parent", "| 300 x 300 |"),
        pytest.param("--overlap", "| 300 x 300 |", marks=pytest.mark.campaign),
        pytest.param("--values", "| 300 x 300 |", marks=pytest.mark.campaign),
        pytest.param("--series", "A median of 60 scenes, 300 x 300", marks=pytest.mark.campaign),
        pytest.param("--zonal", "fields, 300 x 300", marks=pytest.mark.campaign),
        pytest.param(
            "--finished", "at 300 x 300, 2 jobs\n\n|  | seconds |", marks=pytest.mark.campaign
        ),
    ],
)
def test_questions_beside_it(mode, says):
    done = benchmarks(mode, "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
