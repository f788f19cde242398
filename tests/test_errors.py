import pickle

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
