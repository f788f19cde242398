"""What the program shows on a terminal, and in a log."""

import subprocess
import sys
from pathlib import Path

import pytest
from terminals import lines_shown, on_a_terminal

DIVIDE = """
import warnings

def divide(data, window, ij, global_args):
    warnings.warn("divided by zero")
    return data[0] * -1000.0
"""
RIO = str(Path(sys.executable).with_name("rio"))
ARGS = ["mucho", "in.tif", "out.tif", "--func", "mod:divide", "--windows", "16", "--dtype", "uint8"]


@pytest.fixture
def project(module, make_raster, tmp_path):
    """Make a raster of 16 windows, and a function that warns and whose values do not fit."""
    module(DIVIDE, "mod.py")
    make_raster("in.tif", width=64, height=64, dtype="uint8")
    return tmp_path


@pytest.mark.parametrize("executor", ["processes", "threads"])
def test_messages_and_warnings_have_lines_of_their_own(project, executor):
    text = on_a_terminal([RIO, *ARGS, "-j", "2", "--executor", executor], project)
    lines = lines_shown(text)
    assert all("mod.py:5" not in line or line.startswith("/") for line in lines), text
    assert any("mod.py:5: UserWarning" in line for line in lines)
    assert any(line.startswith("Warning: out.tif: ") for line in lines)
    assert "rio_mucho_cli" not in text
    bars = [line for line in lines if "[" in line]
    assert bars[-1].startswith(f"windows  [{24 * '#'}]  16/16")


@pytest.mark.parametrize(("columns", "variables"), [(30, {}), (80, {"NO_COLOR": "1"})])
def test_a_line_is_redrawn_without_colours(project, columns, variables):
    text = on_a_terminal([RIO, *ARGS, "-j", "2"], project, columns, **variables)
    assert "16/16" in text
    assert "\033" not in text.replace("\033[K", "")


def test_a_dumb_terminal_gets_no_codes_and_no_line(project):
    text = on_a_terminal([RIO, *ARGS, "-j", "2"], project, TERM="dumb")
    assert "16/16" not in text
    assert not {"\033", "\r"} & set(text)


def test_a_log_has_plain_lines(project):
    done = subprocess.run(
        [RIO, "-v", *ARGS, "-j", "1"], cwd=project, capture_output=True, text=True, check=True
    )
    assert "\r" not in done.stderr
    lines = done.stderr.splitlines()
    assert "windows of 16 x 16 pixels: of the size asked for" in lines
    assert sum(line.startswith("Warning: out.tif: ") for line in lines) >= 1
    assert lines[-1].startswith("out.tif: 16 windows in ")
