"""`nas serve`: a bundle behind HTTP."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from nas.cli._output import write_json, write_rows
from nas.cli._shared import command, format_option, listening_options
from nas.cli._types import Integer, Number
from nas.cli._usage import WrongUsage


@command("serve")
@click.argument("bundle", metavar="DIR", type=click.Path(path_type=Path))
@listening_options(8000)
@click.option(
    "--threads",
    metavar="N",
    type=Integer(min=1),
    default=1,
    show_default=True,
    help="Of torch, for one forward.",
)
@click.option(
    "--max-batch",
    metavar="N",
    type=Integer(min=1),
    default=256,
    show_default=True,
    help="Graphs of a graph task in one forward.",
)
@click.option(
    "--wait-ms",
    metavar="MS",
    type=Number(min=0, max=10_000),
    default=0.0,
    show_default=True,
    help="How long a graph waits for others; 0 joins those that came during the last forward.",
)
@click.option(
    "--max-request-bytes",
    metavar="N",
    type=Integer(min=1),
    default=256 * 2**20,
    show_default=True,
    help="Of a body.",
)
@click.option(
    "--max-json-bytes",
    metavar="N",
    type=Integer(min=1),
    default=8 * 2**20,
    show_default=True,
    help="Of a body of JSON.",
)
@click.option("--max-nodes", metavar="N", type=Integer(min=1), help="Of one graph.")
@click.option("--max-edges", metavar="N", type=Integer(min=1), help="Of one graph.")
@click.option(
    "--timeout",
    metavar="S",
    type=Number(min=1, max=86_400),
    default=60.0,
    show_default=True,
    help="Seconds to send a request, to take an answer, and between two requests.",
)
@click.option(
    "--forward-timeout",
    metavar="S",
    type=Number(min=1, max=86_400),
    default=120.0,
    show_default=True,
    help="Seconds for one forward; a program that takes longer is ended and started again.",
)
@click.option(
    "--exporter",
    metavar="NAME",
    help="The module that wrote the program, where it did not come with nas.",
)
@click.option("--quiet", is_flag=True, help="No line on stderr for each request.")
@format_option
def serve_command(
    bundle: Path,
    port: int,
    host: str,
    allowed_hosts: tuple[str, ...],
    threads: int,
    max_batch: int,
    wait_ms: float,
    max_request_bytes: int,
    max_json_bytes: int,
    max_nodes: int | None,
    max_edges: int | None,
    timeout: float,
    forward_timeout: float,
    exporter: str | None,
    quiet: bool,
    fmt: str,
) -> None:
    """Answer over HTTP with a bundle.

    What POST /predict takes is in docs/serving.md and, of this bundle, at /docs. The URL is printed
    once it answers. Ctrl-C or SIGTERM ends it, with status 0, when what was asked is answered.

    \b
    Examples:
      nas serve bundle
      nas serve bundle --port 0 --format json
      nas serve bundle --host 0.0.0.0 --max-nodes 100000 --threads 4
    """
    try:
        from nas.serving.limits import Limits
        from nas.serving.running import Place, serve
    except ModuleNotFoundError as error:
        raise WrongUsage(
            f"nas serve needs {error.name}, which is not installed: pip install 'gnn-nas[serve]'"
        ) from error
    except KeyboardInterrupt:  # nothing has been asked yet
        return

    def ready(row: Mapping[str, Any]) -> None:
        if fmt == "text":
            click.echo(row["url"])
        elif fmt == "json":
            write_json(row)
        else:
            write_rows([row], fmt)

    def say(line: str) -> None:
        click.echo(line, err=True)

    serve(
        bundle,
        Place(host, port, threads, max_batch, wait_ms / 1e3, allowed_hosts),
        Limits(
            max_request_bytes,
            min(max_json_bytes, max_request_bytes),
            max_nodes,
            max_edges,
            timeout,
            forward_timeout,
        ),
        exporter=exporter,
        ready=ready,
        log=None if quiet else say,
        say=say,
    )
