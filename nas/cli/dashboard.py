"""`nas dashboard`: studies in a browser, while they run."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import click

from nas.cli._output import write_json, write_rows
from nas.cli._progress import Live
from nas.cli._shared import (
    allowed_host_option,
    command,
    format_option,
    storage_option,
)
from nas.cli._types import Integer
from nas.cli._usage import WrongUsage


@command("dashboard", is_long=True)
@click.argument("name", required=False)
@click.option(
    "--port",
    metavar="P",
    type=Integer(min=0, max=65535),
    default=8080,
    show_default=True,
    help="Where to listen; 0 for a port that is free.",
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Of this machine; 0.0.0.0 for all. There is no authentication.",
)
@allowed_host_option
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
