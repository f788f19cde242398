"""Kinds of options: choices that suggest, rasterio's options, and options with details."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click


class OneOf(click.Choice):  # type: ignore[type-arg]
    """A choice that suggests the most similar value in its error message."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a valid value; otherwise fail and suggest the most similar one."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as exc:
            from rio_mucho_cli.text import did_you_mean

            hint = did_you_mean(str(value), map(str, self.choices))
            self.fail(f"{exc.message.rstrip('.')}{hint}", param, ctx)


def rasterio_option(
    decorate: Callable[..., Any],
    complete: Callable[[click.Context, str], Any] | None = None,
    **texts: str,
) -> click.Option:
    """Return the option of one of rasterio's decorators, with other texts.

    `complete` returns the shell completions of an incomplete value.
    """
    (option,) = click.command()(decorate(lambda: None)).params
    assert isinstance(option, click.Option)
    if isinstance(option.type, click.Choice):
        option.type = OneOf(option.type.choices)
    changes = texts if complete is None else {**texts, "shell_complete": complete}
    for name, value in changes.items():
        setattr(option, name, value)
    return option


def parse_with(parse: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a click callback that parses a value; ValueError becomes BadParameter."""

    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        try:
            return parse(value)
        except ValueError as exc:
            raise click.BadParameter(str(exc)) from None

    return callback


class Option(click.Option):
    """An option with `details` for its documentation."""

    def __init__(self, names: Sequence[str], *, details: str, **settings: Any) -> None:
        super().__init__(names, **settings)
        self.details = details
