"""What a shell offers after `rio mucho`."""

import pytest
from click.shell_completion import ShellComplete
from rasterio.rio.main import main_group


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "index.py").write_text("raise SystemExit\ndef run(): ...\nclass Add: ...\n")
    (tmp_path / "broken.py").write_text("def run(:")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "more.py").write_text("def inner(): ...\ndef _hidden(): ...\n")


def offered(*words):
    *before, incomplete = words
    shell = ShellComplete(main_group, {}, "rio", "_RIO_COMPLETE")
    return [
        item.value if item.type == "plain" else item.type
        for item in shell.get_completions(["mucho", *before], incomplete)
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a.tif", "--exec"], ["--executor"]),
        (["--executor", "th"], ["threads"]),
        (["--mode", "m"], ["manual_read"]),
        (["--resampling", "bil"], ["bilinear"]),
        (["--resampling", "2=bil"], ["2=bilinear"]),
        (["--overview-resampling", "ga"], ["gauss"]),
        (["-f", "cog"], ["COG"]),
        (["--co", "compr"], ["COMPRESS="]),
        (["--windows", "bl"], ["file", "blocks"]),
        (["--like", "a"], ["file"]),
        (["a.tif", "b"], ["file"]),
        (["-o", "b"], ["file"]),
        (["--func", "ind"], ["dir", "index.py:run", "index.py:Add"]),
        (["--func", "index:"], ["index:run", "index:Add"]),
        (["--func", "index.py:r"], ["index.py:run"]),
        (["--func", "sub/"], ["dir", "sub/more.py:inner"]),
        (["--func", "broken"], ["dir"]),
    ],
    ids=str,
)
def test_what_is_offered(folder, words, expected):
    assert offered(*words) == expected


def test_dtypes_are_those_of_rasterio(folder):
    found = set(offered("--dtype", "ui"))
    assert {"uint8", "uint16", "uint32"} <= found <= {"uint8", "uint16", "uint32", "uint64"}


def test_the_program_completes(rio_program, monkeypatch):
    monkeypatch.setenv("_RIO_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "rio mucho --executor pro")
    monkeypatch.setenv("COMP_CWORD", "3")
    done = rio_program()
    assert (done.returncode, done.stdout) == (0, "plain,processes\n")
