"""Options and arguments that several commands have, and what they stand for."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import click

from nas.cli._output import FORMATS
from nas.cli._types import Folder, Formats, FormatsType, Integer, OneOf
from nas.cli._usage import in_one_line

F = TypeVar("F", bound=Callable[..., Any])
Trial: TypeAlias = int | Literal["best"]
_NEGATIVE = re.compile(r"-\d.*")
DEBUG, QUIET = "nas.debug", "nas.quiet"
STORAGE = "sqlite:///nas.db"


def _remember_debug(ctx: click.Context, _option: click.Parameter, value: bool) -> None:
    # Also given before the name of a command in a group.
    ctx.meta[DEBUG] = value or ctx.meta.get(DEBUG, False)


debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_remember_debug,
    help="Show the traceback of an error.",
)


def _remember_quiet(ctx: click.Context, _option: click.Parameter, value: bool) -> None:
    ctx.meta[QUIET] = value


def is_quiet() -> bool:
    """Whether the command that is running was told to say nothing on stderr but errors."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(QUIET))


# Of every command that can take longer than two seconds.
quiet_option = click.option(
    "--quiet",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_remember_quiet,
    help="Nothing on stderr but errors: no progress, notes or warnings.",
)
storage_option = click.option(
    "--storage",
    metavar="URL",
    envvar="NAS_STORAGE",
    default=STORAGE,
    show_default=True,
    show_envvar=True,
    help="Database of the studies: sqlite:///FILE or postgresql://USER@HOST/NAME.",
)
data_root_option = click.option(
    "--data-root",
    metavar="DIR",
    envvar="NAS_DATA_ROOT",
    type=Folder(),
    default=Path("data"),
    show_default=True,
    show_envvar=True,
    help="Folder of raw datasets; what is missing is downloaded.",
)
format_option = click.option(
    "--format",
    "fmt",
    type=OneOf(FORMATS),
    default="text",
    show_default=True,
    help="Of the rows on stdout.",
)


def _together(_ctx: click.Context, _option: click.Parameter, given: tuple[Formats, ...]) -> Formats:
    """Of an option that was given more than once: all programs, and what was last said of print."""
    programs = dict.fromkeys(name for each in given for name in each.programs)
    printed = [each.printed for each in given if each.printed is not None]
    return Formats(tuple(programs), printed[-1] if printed else "text")


bundle_format_option = click.option(
    "--format",
    "formats",
    metavar="LIST",
    type=FormatsType(),
    multiple=True,
    callback=_together,
    help="Programs to write, with commas: pt2 (always), aoti, onnx, ... (see nas plugins "
    "exporter), and state, to train on; without any, what [export] of the study file says. And "
    "text, json or csv, of what is printed.",
)
name_argument = click.argument("name")


def listening_options(port: int) -> Callable[[F], F]:
    """Where a server listens, and to which names it answers.

    Args:
        port: by default.
    """
    options = (
        click.option(
            "--port",
            metavar="P",
            type=Integer(min=0, max=65535),
            default=port,
            show_default=True,
            help="Where to listen; 0 for a port that is free.",
        ),
        click.option(
            "--host",
            metavar="ADDRESS",
            default="127.0.0.1",
            show_default=True,
            help="Of this machine; 0.0.0.0 for all. There is no authentication.",
        ),
        click.option(
            "--allowed-host",
            "allowed_hosts",
            metavar="NAME",
            multiple=True,
            help="Answer requests for this host too, as behind a proxy; may be repeated.",
        ),
    )

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def _trial(ctx: click.Context, option: click.Parameter, value: str) -> Trial:
    if value == "best":
        return "best"
    if not value.isdecimal():
        raise click.BadParameter(
            f'expected a trial\'s number, from 0, or "best", got "{value}"', ctx, option
        )
    return int(value)


trial_option = click.option(
    "--trial",
    metavar="N|best",
    callback=_trial,
    default="best",
    show_default=True,
    help="Which; best is the first of what is confirmed, else of the front.",
)


class Command(click.Command):
    """Says in one line what is wrong with its options."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **rest: Any,
    ) -> click.Context:
        with in_one_line(info_name, parent):
            return super().make_context(info_name, args, parent, **rest)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = [*args]
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            # What begins with a minus is an option to click, a number too.
            for argument in self.params:
                if isinstance(argument, click.Argument) and isinstance(argument.type, Integer):
                    for number in filter(_NEGATIVE.fullmatch, given):
                        if number.startswith(error.option_name):
                            argument.type.convert(number, argument, ctx)
            raise


def command(name: str, *, is_long: bool = False) -> Callable[[F], click.Command]:
    """A command of `nas`, with the options that all of them have.

    Args:
        is_long: whether it can take more than two seconds: it shows its progress by `Live`, and has
            `--quiet`.
    """

    def decorate(function: F) -> click.Command:
        options = quiet_option(debug_option(function)) if is_long else debug_option(function)
        return click.command(name, cls=Command)(options)

    return decorate
