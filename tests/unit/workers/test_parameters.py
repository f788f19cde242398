"""Which functions take `info`, and what those hear that ask for it in another way."""

import functools

import numpy as np
import pytest

from rio_mucho_cli.errors import ResultError
from rio_mucho_cli.workers.functions import make_callable
from rio_mucho_cli.workers.parameters import hint_of_arguments, takes_info


def asks(data, window, ij, global_args, *, info):
    return info


def asks_softly(data, window, ij, global_args, *, info=None):
    return info


def rest(*arrays, info):
    return info


def old(data, window, ij, global_args, **others):
    return others


def fifth(data, window, ij, global_args, info):
    return info


def fifth_or_none(data, window, ij, global_args, info=None):
    return info.res


def third(data, window, info, global_args):
    return info


def second(a, info):
    return info


class Asks:
    def __init__(self, k=1):
        self.k = k

    def __call__(self, data, window, ij, global_args, *, info):
        return info

    def method(self, data, window, ij, global_args, *, info):
        return info


class Old:
    info = 3

    def __call__(self, data, window, ij, global_args):
        return self.info


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


ASKING = [
    asks, asks_softly, rest, Asks(), Asks().method, decorated(asks), functools.partial(asks),
    lambda *_, info: info,
]  # fmt: skip
OTHERS = [old, third, Old(), functools.partial(asks, info=5), np.hypot, max, fifth_or_none]


@pytest.mark.parametrize("function", ASKING)
def test_functions_that_ask_for_info_get_it(function):
    call = make_callable(function, {})
    assert takes_info(call)
    assert call([], None, None, {}, info="it") == "it"


@pytest.mark.parametrize("function", OTHERS)
def test_others_do_not(function):
    assert not takes_info(make_callable(function, {}))


def test_classes_ask_by_their_instances():
    assert takes_info(make_callable(Asks, {"k": 2}))
    assert not takes_info(make_callable(Old, {}))


def test_plain_functions_ask_likewise():
    data = [np.zeros((1, 2, 3))]
    call = make_callable(lambda a, *, k, info: (a.shape, k, info), {"k": 2}, plain=True)
    assert takes_info(call)
    assert call(data, None, None, None, info="it") == ((2, 3), 2, "it")
    assert not takes_info(make_callable(np.negative, {}, plain=True))


def test_a_global_arg_of_that_name_is_the_users():
    call = make_callable(lambda a, *, info=None: info, {"info": 5}, plain=True)
    assert not takes_info(call)
    assert call([np.zeros((1, 2, 3))], None, None, None) == 5


def test_a_positional_parameter_is_told_what_is_wanted():
    with pytest.raises(ResultError) as caught:
        make_callable(fifth, {})
    assert str(caught.value) == (
        "fifth has a positional parameter info: make it keyword-only, with a star before it: "
        "(data, window, ij, global_args, *, info)"
    )
    with pytest.raises(ResultError, match=r"star before it: \(..., \*, info\)"):
        make_callable(second, {}, plain=True, arrays=1)
    make_callable(second, {}, plain=True, arrays=2)
    make_callable(second, {"info": 1}, plain=True, arrays=1)


@pytest.mark.parametrize(("function", "speaks"), [(fifth_or_none, True), (old, False)])
def test_a_default_of_none_is_explained_when_it_is_used(function, speaks):
    error = AttributeError("'NoneType' object has no attribute 'res'")
    hint = hint_of_arguments(function, error, 1, plain=False)
    assert ("info is None, because the parameter is positional" in hint) == speaks


@pytest.mark.parametrize(
    ("function", "plain", "says"),
    [(lambda a, *, info: a, False, "pass plain=True"), (asks, True, "called with 1 array alone")],
)
def test_hints_at_plain_functions_count_without_info(function, plain, says):
    assert says in hint_of_arguments(function, TypeError("arguments"), 1, plain=plain)
