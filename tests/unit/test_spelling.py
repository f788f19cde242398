"""Options are named as whoever reads the message writes them."""

import threading

import pytest

from rio_mucho_cli.text import for_command_line, is_for_command_line, option

BOTH = [
    (("nodata",), "--nodata", "nodata"),
    (("nodata", 0), "--nodata 0", "nodata=0"),
    (("nodata", float("nan")), "--nodata nan", 'nodata=float("nan")'),
    (("like", "in1.tif"), "--like in1.tif", "like='in1.tif'"),
    (("mem_limit",), "--mem-limit", "mem_limit"),
    (("overwrite",), "--overwrite", "overwrite=True"),
    (("metadata",), "--no-metadata", "metadata=False"),
    (("creation_options",), "--co", "creation_options"),
    (
        ("creation_options", ("BIGTIFF", "YES")),
        "--co BIGTIFF=YES",
        "creation_options={'BIGTIFF': 'YES'}",
    ),
    (("function",), "--func", "function"),
]


@pytest.mark.parametrize(("asked", "typed", "written"), BOTH)
def test_option_is_named_for_its_reader(asked, typed, written):
    assert option(*asked) == written
    with for_command_line():
        assert option(*asked) == typed
    assert option(*asked) == written


def test_other_threads_are_told_by_their_run_alone():
    seen = []
    with for_command_line():
        thread = threading.Thread(target=lambda: seen.append(is_for_command_line()))
        thread.start()
        thread.join()
        assert is_for_command_line()
    assert seen == [False]
