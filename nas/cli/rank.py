"""`nas rank`: whether an evaluator that trains nothing ranks as training does."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli._agreements import write_agreements
from nas.cli._progress import Live
from nas.cli._shared import command, data_root_option, format_option, name_argument, storage_option
from nas.cli._startup import load_for_stored
from nas.cli._types import Integer
from nas.cli.resume import changed_executor
from nas.cli.search import INTERRUPTED, executor_option, workers_option

if TYPE_CHECKING:
    from nas.supernet._agreement import Agreement


@command("rank", is_long=True)
@name_argument
@storage_option
@click.option(
    "--architectures",
    metavar="N",
    type=Integer(min=10),
    default=30,
    show_default=True,
    help="Drawn, and trained.",
)
@click.option(
    "--seeds",
    metavar="N",
    type=Integer(min=2),
    default=2,
    show_default=True,
    help="To train each with.",
)
@executor_option
@workers_option
@data_root_option
@format_option
@click.pass_context
def rank_command(
    ctx: click.Context,
    name: str,
    storage: str,
    architectures: int,
    seeds: int,
    executor: str | None,
    workers: int | None,
    data_root: Path,
    fmt: str,
) -> None:
    """Measure how well scores of untrained networks rank.

    The study NAME has the evaluator `zero_cost`. Architectures of its space are drawn and trained
    with several seeds: each seed is a study, NAME-alone-1 and so on, which goes on where it was
    stopped. Printed are Kendall's tau and Spearman's rho of each score, and of the number of
    parameters and of macs, with the mean over the seeds, and the ceiling: of one seed with another.
    A score whose interval reaches 0 does not rank here; one with a tau no larger than that of
    params says no more than how large a network is.

    \b
    Examples:
      nas rank cheap
      nas rank cheap --architectures 60 --workers 2 --format json
    """
    plugin = changed_executor(storage, name, executor, workers)
    try:
        with Live() as live:
            load_for_stored(storage, name)
            from nas.ranking import rank

            ranking = rank(
                name,
                storage=storage,
                data_root=data_root,
                architectures=architectures,
                seeds=seeds,
                executor=plugin,
                progress=live,
            )
    except KeyboardInterrupt:
        click.echo("interrupted; what is trained is recorded, the same command goes on", err=True)
        ctx.exit(INTERRUPTED)
    write_agreements(ranking, fmt, remark=_verdict)
    if fmt == "text":
        click.echo(
            f"\n{ranking.architectures} of {ranking.drawn} architectures, trained for "
            f"{ranking.epochs} epochs with {ranking.seeds} seeds; by {ranking.metric}"
        )


def _verdict(found: "Agreement") -> str:
    low, high = found.interval
    if high < 0:
        return "the wrong way round"
    return "ranks" if low > 0 else "does not rank"
