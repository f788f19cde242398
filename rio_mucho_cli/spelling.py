"""How messages name options: as the command line does, or as Python does.

The same message reaches someone who typed ``--nodata 0`` and someone who wrote
``nodata=0``. Messages ask `option` for the name; whoever starts the run says
which of the two its user reads, and workers are told with the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_for_command_line: ContextVar[bool] = ContextVar("for_command_line", default=False)

# Options that take no value, and the value that switches them on in Python.
_FLAGS = {
    "masked": True, "metadata": False, "overwrite": True, "plain": True, "resume": True,
    "skip_masked": True, "stats": True,
}  # fmt: skip
# What the command line calls otherwise.
_COMMAND_LINE = {"function": "func", "metadata": "no-metadata", "creation_options": "co"}


def option(name: str, value: object = None) -> str:
    """Return an option as the user of the run writes it.

    Parameters
    ----------
    name : str
        Its name in Python, as `Job` has it.
    value : object
        A value to give it; None if only the option is named. A creation
        option is a pair (name, value).

    Returns
    -------
    str
        ``--nodata 0`` on the command line, ``nodata=0`` in Python; without a
        value ``--nodata`` and ``nodata``; of what is on or off ``--overwrite``
        and ``overwrite=True``.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if _for_command_line.get():
        dashed = "--" + _COMMAND_LINE.get(name, name).replace("_", "-")
        if isinstance(value, tuple):
            value = "=".join(map(str, value))
        return dashed if value is None else f"{dashed} {value}"
    if isinstance(value, tuple):
        value = {value[0]: value[1]}
    elif value is None:
        value = _FLAGS.get(name)
    elif isinstance(value, float) and value != value:
        return f'{name}=float("nan")'
    return name if value is None else f"{name}={value!r}"


@contextmanager
def for_command_line(yes: bool = True) -> Iterator[None]:
    """Name options as the command line does, or not, in this thread and context."""
    token = _for_command_line.set(yes)
    try:
        yield
    finally:
        _for_command_line.reset(token)


def is_for_command_line() -> bool:
    """Return whether options are named as the command line does."""
    return _for_command_line.get()
