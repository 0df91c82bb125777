"""`nas plugins`: what can be named in a study file."""

import inspect
from collections.abc import Mapping
from typing import Any

import click

from nas.cli._output import write_rows, write_table
from nas.cli._progress import Live
from nas.cli._shared import command, format_option


@command("plugins", is_long=True)
@click.argument("kind", required=False)
@format_option
def plugins_command(kind: str | None, fmt: str) -> None:
    """List what a study file can name.

    One line each, with options; of one KIND, or of all. JSON and CSV also say what each dataset is
    under. Kinds: space, operator, extension, dataset, evaluator, preparation, inheritance,
    executor, strategy, exporter.

    \b
    Examples:
      nas plugins
      nas plugins dataset
      nas plugins strategy --format json
    """
    with Live("reading plug-ins"):
        from search_spaces.errors import PluginError, did_you_mean
        from search_spaces.plugins import PACKAGES, names

        if kind is not None and kind not in PACKAGES:
            meant = did_you_mean(kind, PACKAGES)
            raise PluginError(f'no kind of plug-in is called "{kind}"; {meant}')
        kinds = PACKAGES if kind is None else (kind,)
        rows = [_row(one, name) for one in kinds for name in names(one)]
    if fmt != "text":
        write_rows(rows, fmt)
        return
    lines = [row | {"options": _in_words(row["options"])} for row in rows]
    columns = ("kind", "name", "summary", "options")
    write_table(columns, [[line[name] for name in columns] for line in lines], clip=False)
    if "dataset" in kinds:
        click.echo(f"\nEvery dataset also takes: {_in_words(_common())}")


def _row(kind: str, name: str) -> dict[str, Any]:
    from search_spaces.plugins import load, options, summary

    row = {
        "kind": kind,
        "name": name,
        "summary": summary(kind, name),
        "options": _described(options(kind, name)),
    }
    if kind == "dataset":
        row["license"] = getattr(load(kind, name), "LICENSE", "")
    return row


def _common() -> dict[str, Any]:
    from evaluators.datasets._load import COMMON

    return _described(COMMON)


def _described(parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """{option: {type, default}}, without a default where one must be given."""
    from nas._options import describe, thaw

    return {
        name: {"type": describe(parameter.annotation)}
        | (
            {}
            if parameter.default is inspect.Parameter.empty
            else {"default": thaw(parameter.default)}
        )
        for name, parameter in parameters.items()
    }


def _in_words(options: Mapping[str, Any]) -> str:
    from nas._options import shown

    def default(option: Mapping[str, Any]) -> str:
        if "default" not in option:
            return ", required"
        return "" if option["default"] is None else f" = {shown(option['default'])}"

    return "; ".join(f"{name}: {o['type']}{default(o)}" for name, o in options.items())
