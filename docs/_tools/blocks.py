"""Read the code blocks of a page, and run them.

Blocks of one page are run one after another, in a folder that is empty at first:

- a block whose first line is ``# NAME`` is written to that file;
- any other block of Python is a script; a block of ``sh``, or one that is only
  indented, is a bash script that ends at the first command that fails;
- a block of ``text`` is the output of the block before it; ``...`` stands for
  anything.

A page starts from the example data, which its first command makes:
``python -m rio_mucho_cli.examples .``

Comments, which readers of the page do not see, have instructions:

- ``<!-- not run: REASON -->`` before a block;
- ``<!-- exits N -->`` before a block that fails, with that exit status.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = ("sh", "")

_COMMENT = re.compile(r"<!-- (not run|exits)\b:?(.*?)-->", re.DOTALL)
_FILE_NAME = re.compile(r"# (\w+\.\w+|Makefile)\n")


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes
    ----------
    where : str
        Page and line.
    language : str
        Language after the fence; empty if the block is only indented.
    text : str
    not_run : str or None
        Reason why it is not run.
    exits : int
        Expected exit status.
    """

    where: str
    language: str
    text: str
    not_run: str | None = None
    exits: int = 0

    @property
    def file_name(self) -> str | None:
        """Name of the file to write, if the block is one."""
        match = _FILE_NAME.match(self.text)
        return match[1] if match else None


class BlockError(AssertionError):
    """A block does something else than its page says."""


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page."""
    marks: dict[str, str] = {}
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        where = f"{page.name}:{token.map[0] + 1 if token.map else 0}"
        if token.type == "html_block":
            marks |= {kind: text.strip() for kind, text in _COMMENT.findall(token.content)}
        elif token.type in ("fence", "code_block"):
            if not token.info.startswith("{"):  # not a directive of Sphinx
                exits = int(marks.get("exits", 0))
                yield Block(where, token.info, token.content, marks.get("not run"), exits)
            marks = {}


def run_page(page: Path, folder: Path) -> None:
    """Run the blocks of a page in a folder.

    Raises
    ------
    BlockError
        If a block does something else than the page says, or has a language
        that cannot be run.
    """
    printed: str | None = None
    for block in blocks_of(page):
        if block.not_run is not None:
            printed = None
        elif block.file_name is not None:
            (folder / block.file_name).write_text(block.text, encoding="utf-8")
        elif block.language == "text" and printed is not None:
            _compare(block, printed)
        elif block.language == "python":
            printed = _run(block, [sys.executable, "-c", block.text], folder)
        elif block.language in SHELL:
            printed = _run(block, ["bash", "-ec", block.text], folder)
        else:
            raise BlockError(
                f"{block.where}: a block of {block.language!r} cannot be run: mark it as not run"
            )


def _run(block: Block, command: list[str], folder: Path) -> str:
    """Run a block, and return what it printed."""
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join([programs, os.environ.get("PATH", "")])
    completed = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if completed.returncode != block.exits:
        raise BlockError(
            f"{block.where}: ended with {completed.returncode} instead of {block.exits}\n\n"
            f"{block.text}\n{completed.stdout}"
        )
    return completed.stdout


def _compare(block: Block, printed: str) -> None:
    """Raise BlockError if a page shows another output than was printed."""
    rules = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    if not doctest.OutputChecker().check_output(block.text, printed, rules):
        raise BlockError(f"{block.where} has\n\n{block.text}\nbut this was printed:\n\n{printed}")
