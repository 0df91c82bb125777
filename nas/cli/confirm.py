"""`nas confirm`: the only command that measures test."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli._output import choices, measured, write_rows, write_table
from nas.cli._progress import Live
from nas.cli._shared import command, data_root_option, format_option, name_argument, storage_option
from nas.cli._types import Integer, TrialNumber
from nas.cli.resume import changed_executor
from nas.cli.search import (
    INTERRUPTED,
    executor_option,
    storage_argument,
    workers_option,
)

if TYPE_CHECKING:
    from nas.record import Confirmation

# How many of the best are confirmed where nothing else is said.
BEST = 5


@command("confirm", is_long=True)
@name_argument
@click.option(
    "--top",
    metavar="N",
    type=Integer(min=1),
    help="How many trials, the best of the front first; 5 unless --trial names them.",
)
@click.option(
    "--seeds",
    metavar="N",
    type=Integer(min=1),
    default=10,
    show_default=True,
    help="Fresh seeds for each; their spread gives the standard error.",
)
@click.option(
    "--trial",
    "trials",
    metavar="N",
    type=TrialNumber(),
    multiple=True,
    help="A trial by its number, in place of the best; may be repeated.",
)
@executor_option
@workers_option
@storage_option
@data_root_option
@format_option
@click.pass_context
def confirm_command(
    ctx: click.Context,
    name: str,
    top: int | None,
    seeds: int,
    trials: tuple[int, ...],
    executor: str | None,
    workers: int | None,
    storage: str,
    data_root: Path,
    fmt: str,
) -> None:
    """Retrain the best; measure test.

    The best trials of the study NAME are retrained on fresh seeds and ranked by the mean of fresh
    validation; only then is test measured, once. Repeated, it prints the stored result. All trials
    confirmed so far are shown, and `nas export` then takes the first of them as the best.

    \b
    Examples:
      nas confirm quickstart
      nas confirm cora --top 3 --seeds 30 --data-root ~/graphs --format json
      nas confirm cora --trial 0 --trial 32 --seeds 30 --workers 4
    """
    from nas.store import Store, hidden_password

    if trials and top is not None:
        raise click.UsageError("--top and --trial both say which trials; leave one out")
    Store.open_existing(storage).status(name)
    try:
        with Live("confirming") as live:
            from nas.confirm import confirm

            rows = confirm(
                name,
                storage=storage,
                data_root=data_root,
                top=BEST if top is None else top,
                seeds=seeds,
                trials=trials,
                executor=changed_executor(storage, name, executor, workers),
                progress=live.count,
                warn=live.warn,
            )
    except KeyboardInterrupt:
        place = storage_argument(hidden_password(storage))
        click.echo(
            f"interrupted; what is retrained is kept, go on with: nas confirm {name}{place}",
            err=True,
        )
        ctx.exit(INTERRUPTED)
    if fmt == "text":
        _write(rows)
    else:
        write_rows([row.to_json() for row in rows], fmt)


def _write(rows: Sequence["Confirmation"]) -> None:
    metrics = list(dict.fromkeys(metric for row in rows for metric in row.metrics))
    table = [
        [
            str(row.rank),
            str(row.trial),
            str(row.seeds),
            *(_mean(row, metric) for metric in metrics),
            choices(row.decisions),
        ]
        for row in rows
    ]
    write_table(["rank", "trial", "seeds", *metrics, "decisions"], table)
    if any(row.seeds > 1 for row in rows):
        click.echo("\nmean ± standard error over the seeds; ranked by validation")
    else:  # also asked for more: a table has one result for an architecture
        click.echo("\none result each, so no spread is known; ranked by validation")


def _mean(row: "Confirmation", metric: str) -> str:
    summary = row.metrics.get(metric)
    mean = summary["mean"] if summary else None
    if summary is None or mean is None:
        return ""
    error = summary["stderr"]
    spread = "" if error is None else f" ± {measured(error)}"
    return f"{measured(mean)}{spread}"
