"""`nas prepared`: what a study has done before its first proposal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from nas.cli._output import cell, duration, write_json, write_rows, write_table
from nas.cli._shared import command, format_option, name_argument, storage_option

if TYPE_CHECKING:
    from evaluators.preparation import PreparedEpoch
    from nas.record import PreparationRecord

Row: TypeAlias = dict[str, Any]
# Of a long preparation a table shows some epochs, the last among them.
_SHOWN = 20


@command("prepared")
@name_argument
@storage_option
@format_option
def prepared_command(name: str, storage: str, fmt: str) -> None:
    """Show what a study has prepared.

    What the strategy or the evaluator of the study NAME had done before the first trial: epoch by
    epoch what was measured, and how probable each choice of a decision became, where that was
    learned. In JSON there is one object a preparation, in CSV one row an epoch.

    \b
    Examples:
      nas prepared quickstart
      nas prepared quickstart --format csv > epochs.csv
    """
    from nas.store import Store

    store = Store.open_existing(storage)
    records, choices = store.status(name).preparations, store.choices(name)
    done = [(record, _rows(store.prepared_epochs(name, record.key), choices)) for record in records]
    if fmt == "json":
        write_json([record.to_json() | {"history": rows} for record, rows in done])
    elif fmt == "csv":
        write_rows([{"plugin": record.plugin} | row for record, rows in done for row in rows], fmt)
    elif not done:
        click.echo(f'study "{name}" has prepared nothing', err=True)
    else:
        for record, rows in done:
            _write(record, rows)


def _rows(epochs: "Sequence[PreparedEpoch]", choices: Mapping[str, list[Any]]) -> list[Row]:
    return [
        {
            "epoch": epoch.epoch,
            "metrics": dict(epoch.metrics),
            "distribution": {
                decision: dict(zip(map(str, choices[decision]), row, strict=True))
                for decision, row in epoch.distribution.items()
            },
        }
        for epoch in epochs
    ]


def _write(record: "PreparationRecord", rows: list[Row]) -> None:
    options = " ".join(f"{name}={value}" for name, value in record.options.items())
    click.echo(f"{record.plugin} {options}".strip())
    click.echo(
        f"epoch {record.epoch} of {record.epochs} in {duration(record.seconds)}; worth "
        f"{record.passes:,.0f} passes of one network\n"
    )
    every = -(-len(rows) // _SHOWN) or 1
    shown = rows[::-1][::every][::-1]
    metrics = list(dict.fromkeys(metric for row in shown for metric in row["metrics"]))
    table = [[str(r["epoch"]), *(cell(r["metrics"].get(m)) for m in metrics)] for r in shown]
    write_table(["epoch", *metrics], table)
    if rows and rows[-1]["distribution"]:
        click.echo()
        last = rows[-1]["distribution"].items()
        said = [[n, "  ".join(f"{c} {p:.2f}" for c, p in row.items())] for n, row in last]
        write_table(["decision", "how probable each choice is"], said)
