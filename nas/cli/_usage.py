"""A command line that cannot be used: said in one line, as all other errors are."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import click

# A group that is called with nothing shows its help; older releases of click do so by themselves.
_HELP: type[Exception] | tuple[()] = getattr(click.exceptions, "NoArgsIsHelpError", ())


class WrongUsage(click.ClickException):
    """In place of click's own, which begins with three lines that say nothing of what is wrong."""

    exit_code = 2

    def show(self, file: object = None) -> None:  # noqa: ARG002  (of click; errors go to stderr)
        click.echo(f"error: {self.message}", err=True)


@contextmanager
def in_one_line(command: str | None, parent: click.Context | None = None) -> Iterator[None]:
    """Make errors of a command's line errors of one line, with where its help is."""
    try:
        yield
    except _HELP:
        raise
    except click.UsageError as error:
        path = f"{parent.command_path} {command}" if parent else command
        said, path = _said(error), error.ctx.command_path if error.ctx else path
        joined = f"{said} See" if said.endswith("?") else f"{said}; see"
        raise WrongUsage(f"{joined}: {path} --help") from error


def refuse_both(given: Mapping[str, str], sets: Sequence[str]) -> None:
    """Raise where an option and a `--set` are of one key: one would be ignored.

    Args:
        given: {option: key} of the options that are there.
        sets: "table.key=value", as they were given.
    """
    keys = {text.partition("=")[0].strip() for text in sets}
    for option, key in given.items():
        if key in keys:
            raise click.UsageError(f"{option} and --set {key} are of one key; leave one out")


def _said(error: click.UsageError) -> str:
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return f"{_name(error.param)}: missing{_help_of(error.param)}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        return f"{_name(error.param)}: {error.message}"
    if isinstance(error, click.NoSuchOption):
        from search_spaces.errors import did_you_mean

        options = error.ctx.command.params if error.ctx else []
        known = [name for option in options for name in option.opts if name.startswith("--")]
        return f"there is no option {error.option_name}; {did_you_mean(error.option_name, known)}"
    return error.message[:1].lower() + error.message[1:].removesuffix(".")


def _name(param: click.Parameter) -> str:
    if isinstance(param, click.Option):
        return param.opts[0]
    return (param.metavar or (param.name or "").upper()).strip("[]")


def _help_of(param: click.Parameter) -> str:
    text = param.help if isinstance(param, click.Option) else None
    return f"; {text[0].lower()}{text[1:].removesuffix('.')}" if text else ""
