import pickle
from pathlib import Path

import pytest

from rio_mucho_cli import errors

FAMILY = [
    cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, errors.MuchoError)
]


@pytest.mark.parametrize("cls", FAMILY)
def test_each_error_survives_pickling(cls):
    error = cls("what happened").at("window", (1, 2))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert str(copy) == str(error)
    assert "what happened" in str(copy)
    assert (copy.window, copy.ij) == ("window", (1, 2))


def test_child_error_wraps_what_is_being_handled():
    try:
        raise KeyError("k")
    except KeyError:
        error = errors.MuchoChildError()
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy.exception, KeyError)
    assert copy.formatted == error.formatted
    assert 'raise KeyError("k")' in copy.formatted
    assert copy.formatted in str(copy)


def test_child_error_made_of_nothing():
    error = errors.MuchoChildError("what")
    assert error.exception is None
    assert error.formatted == ""


def test_one_line_prefers_gdals_own_words():
    error = OSError("Read failed. See previous exception for details.")
    error.__cause__ = RuntimeError("IReadBlock\nfailed")
    assert errors.one_line(error) == "IReadBlock failed"
    assert errors.one_line(OSError("plain")) == "plain"
    assert errors.one_line(OSError()) == "OSError"


def raised(text, kind=ValueError):
    try:
        raise kind(text)
    except kind as exc:
        return errors.MuchoChildError("the function raised", exc)


def test_what_nobody_would_read_is_cut():
    long = raised("x" * 50_000_000)
    assert len(long.formatted) < 3000
    assert "50000012 characters" in long.formatted
    assert "in raised" in long.formatted
    line = errors.one_line(long.exception)
    assert len(line) < 700
    assert "50000000 characters" in line


def test_what_would_move_the_cursor_is_written_out():
    error = raised("\x1b[31mred\x07 \x9b2J \u202eback\r\n\ttab \ud800")
    for text in (error.formatted, errors.one_line(error.exception)):
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\r", "\ud800"} & set(text)
        assert "\\x1b[31mred\\x07 \\x9b2J \\u202eback" in text
        text.encode()
    assert "\n\ttab" in error.formatted


def test_a_class_whose_text_cannot_be_had():
    class OddError(ValueError):
        def __str__(self):
            raise TypeError("no text")

    assert "in raised" in raised("", OddError).formatted


def test_a_package_whose_name_begins_like_this_one_keeps_its_traceback():
    name = f"{Path(errors.__file__).parent}_xyz/functions.py"
    code = compile("def fail():\n    raise ValueError('here')", name, "exec")
    there = {}
    exec(code, there)
    with pytest.raises(ValueError) as info:
        there["fail"]()
    error = info.value.with_traceback(info.value.__traceback__.tb_next)
    assert name in errors.format_user_traceback(error)
