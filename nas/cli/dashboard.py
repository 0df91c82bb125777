"""`nas dashboard`: studies in a browser, while they run."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import click

from nas.cli._output import write_json, write_rows
from nas.cli._progress import Live
from nas.cli._shared import (
    command,
    format_option,
    listening_options,
    storage_option,
)
from nas.cli._usage import WrongUsage


@command("dashboard", is_long=True)
@click.argument("name", required=False)
@listening_options(8080)
@storage_option
@format_option
def dashboard_command(
    name: str | None,
    port: int,
    host: str,
    allowed_hosts: tuple[str, ...],
    storage: str,
    fmt: str,
) -> None:
    """Watch studies in a browser.

    Optuna's dashboard over the studies of a database, as they stand while searches run, and beside
    it their reports. The URL is printed, of the study NAME or of the list of all. Nothing can be
    changed on the pages. Ctrl-C or SIGTERM ends it, with status 0. Needs
    pip install 'gnn-nas[dashboard]'.

    \b
    Examples:
      nas dashboard
      nas dashboard quickstart --port 0
      nas dashboard --storage postgresql://me@host/nas --format json
    """
    with ExitStack() as starting:
        live = starting.enter_context(Live("starting"))
        try:
            from nas.dashboard.running import Place, serve
        except ModuleNotFoundError as error:
            raise WrongUsage(
                f"nas dashboard needs {error.name}, which is not installed: "
                "pip install 'gnn-nas[dashboard]'"
            ) from error

        def ready(row: Mapping[str, Any]) -> None:
            starting.close()
            _tell(row, fmt)

        serve(storage, name, Place(host, port, allowed_hosts), ready=ready, say=live.say)


def _tell(row: Mapping[str, Any], fmt: str) -> None:
    """Where it is."""
    if fmt == "text":
        click.echo(row["url"])
    elif fmt == "json":
        write_json(row)
    else:
        write_rows([row], fmt)
