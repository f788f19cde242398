"""A command whose help shows its options in groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click


class GroupedCommand(click.Command):
    """A command with groups of options, each under its own title.

    Parameters
    ----------
    arguments : sequence of Argument
        Of the command line, before its options.
    groups : Mapping of str to sequence of Option
        The options by the title of their group. The last group has --help.
    **settings
        As click.Command has them.
    """

    def __init__(
        self,
        *,
        arguments: Sequence[click.Argument],
        groups: Mapping[str, Sequence[click.Option]],
        **settings: Any,
    ) -> None:
        self.groups = groups
        options = [option for group in groups.values() for option in group]
        super().__init__(**{**settings, "params": [*arguments, *options]})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the command line apart; an option of `rio` itself stands elsewhere in it."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as exc:
            name, parent = exc.option_name, ctx.parent
            if parent is not None and any(name in each.opts for each in parent.command.params):
                raise click.UsageError(
                    f"{name} is an option of {parent.command_path} itself, and stands before "
                    f"{ctx.info_name}: {parent.command_path} {name} {ctx.info_name} ...",
                    ctx,
                ) from None
            from rio_mucho_cli.text import closest

            names = [name for param in self.params for name in param.opts if name[:1] == "-"]
            meant = closest(exc.option_name, names, lambda name: name.lstrip("-"))
            near = None if meant is None else [meant]
            raise click.NoSuchOption(exc.option_name, possibilities=near, ctx=ctx) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each group as a section of its own."""
        *_, last = self.groups
        for title, options in self.groups.items():
            shown = [*options, self.get_help_option(ctx)] if title == last else options
            records = [option.get_help_record(ctx) for option in shown if option is not None]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])


class OneOf(click.Choice):  # type: ignore[type-arg]
    """A choice that says which one may have been meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value if it is one of them, else say the nearest."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as exc:
            from rio_mucho_cli.text import did_you_mean

            hint = did_you_mean(str(value), map(str, self.choices))
            self.fail(f"{exc.message.rstrip('.')}{hint}", param, ctx)


def of_rasterio(
    decorate: Callable[..., Any],
    find: Callable[[click.Context, str], Any] | None = None,
    **texts: str,
) -> click.Option:
    """Return the option that one of rasterio's decorators adds, with texts of our own.

    `find` returns what a shell offers for a value that begins so.
    """
    (option,) = click.command()(decorate(lambda: None)).params
    assert isinstance(option, click.Option)
    if isinstance(option.type, click.Choice):
        option.type = OneOf(option.type.choices)
    changes = texts if find is None else {**texts, "shell_complete": find}
    for name, value in changes.items():
        setattr(option, name, value)
    return option


def parsed(parse: Callable[[Any], Any]) -> Callable[..., Any]:
    """Make a callback of a function that raises ValueError."""

    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        try:
            return parse(value)
        except ValueError as exc:
            raise click.BadParameter(str(exc)) from None

    return callback
