"""`nas sparse`: sparse trials, and whether they are worth what they seem."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli._lazy import Lazy
from nas.cli._output import cell, write_json, write_rows, write_table
from nas.cli._progress import Live
from nas.cli._shared import (
    Trial,
    command,
    data_root_option,
    debug_option,
    format_option,
    name_argument,
    storage_option,
    trial_option,
)
from nas.cli._types import File, Integer
from nas.cli.resume import changed_executor
from nas.cli.search import INTERRUPTED, executor_option, workers_option

if TYPE_CHECKING:
    from nas.sparse import Difference, SparseComparison

# Command: the module that defines it.
COMMANDS: Mapping[str, str] = {"compare": "sparse"}


@click.group("sparse", cls=Lazy, modules=COMMANDS)
@debug_option
def sparse_command() -> None:
    """Compare a sparse trial with dense and random networks.

    \b
    Examples:
      nas sparse compare sparse_digits
      nas sparse compare sparse_digits --trial 7 --seeds 20 --to trainings.jsonl
    """


@command("compare", is_long=True)
@name_argument
@trial_option
@click.option(
    "--seeds",
    metavar="N",
    type=Integer(min=2),
    default=10,
    show_default=True,
    help="Fresh seeds, the same for all arms.",
)
@click.option(
    "--to",
    metavar="FILE",
    type=File(),
    help="Keeps each training as it ends; those in it are not made again.",
)
@executor_option
@workers_option
@storage_option
@data_root_option
@format_option
@click.pass_context
def compare_command(
    ctx: click.Context,
    name: str,
    trial: Trial,
    seeds: int,
    to: Path | None,
    executor: str | None,
    workers: int | None,
    storage: str,
    data_root: Path,
    fmt: str,
) -> None:
    """Train a sparse trial, its dense parent and a random network of equal counts.

    Three arms, always, of a trial of the study NAME: the architecture with densities of 1; the
    network that was searched, pruned as it was; and one with exactly as many weights left of each
    tensor, and as many edges, chosen by chance. All are trained with the same fresh seeds and
    compared on validation; test stays sealed, for nas confirm. Differences are paired by seed, with
    95 % intervals. The best trial is the first sparse one of what is confirmed, else of the front.

    \b
    Examples:
      nas sparse compare sparse_digits
      nas sparse compare sparse_digits --trial 7 --seeds 20 --to trainings.jsonl
    """
    from nas.store import Store

    Store.open_existing(storage).status(name)
    plugin = changed_executor(storage, name, executor, workers)
    try:
        with Live("comparing") as live:
            from nas.sparse import compare_sparse

            comparison = compare_sparse(
                name,
                trial,
                storage=storage,
                data_root=data_root,
                seeds=seeds,
                to=to,
                executor=plugin,
                progress=lambda done, wanted: live.count(done, wanted, "trained"),
                warn=live.warn,
            )
    except KeyboardInterrupt:
        kept = f"what is trained is in {to}, the same command goes on" if to else "nothing is kept"
        click.echo(f"interrupted; {kept}", err=True)
        ctx.exit(INTERRUPTED)
    if fmt == "json":
        write_json(comparison.to_json())
    elif fmt == "csv":
        write_rows(_rows(comparison), fmt)
    else:
        _write(comparison)


def _rows(comparison: "SparseComparison") -> list[dict[str, Any]]:
    """A row an arm, and how the searched one differs from it."""
    value = comparison.to_json()
    apart = {arm: value["differences"].get(f"searched_{arm}") for arm in value["arms"]}
    none = {"mean": None, "interval": None, "p": None}
    return [
        {"arm": arm, **row, "searched_less_this": apart[arm] or none}
        for arm, row in value["arms"].items()
    ]


def _write(comparison: "SparseComparison") -> None:
    value = comparison.to_json()
    table = [
        [
            arm,
            f"{row['n']}",
            f"{row['mean']:.4f}",
            f"{row['sd']:.4f}",
            cell(row["nonzero_weights"]),
            cell(row["edges"]),
        ]
        for arm, row in value["arms"].items()
    ]
    write_table(["arm", "n", "mean", "sd", "nonzero weights", "edges"], table)
    click.echo()
    shown = {
        "searched - dense": comparison.searched_dense,
        "searched - random": comparison.searched_random,
    }
    for what, difference in shown.items():
        click.echo(f"{what:<17}  {_difference(difference)}")
    better = "smaller" if comparison.is_minimized else "larger"
    click.echo(
        f"\ntrial {comparison.trial}; {comparison.metric} of fresh validation ({better} is better),"
        " sd over seeds; differences paired by seed, with 95 % intervals; test stays sealed"
    )
    click.echo(comparison.verdict)


def _difference(difference: "Difference") -> str:
    if difference.interval is None:
        return f"{difference.mean:+.4f}"
    low, high = difference.interval
    return f"{difference.mean:+.4f}  [{low:+.4f}, {high:+.4f}]"
