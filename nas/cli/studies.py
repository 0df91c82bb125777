"""`nas list`, `status`, `rename`, `delete`, `gc`: studies as a whole."""

import sys
from typing import TYPE_CHECKING

import click

from nas.cli._output import cell, duration, size, write_json, write_rows, write_table
from nas.cli._progress import Live
from nas.cli._shared import command, format_option, name_argument, storage_option
from nas.cli._types import Number

if TYPE_CHECKING:
    from nas.record import PreparationRecord, StudyStatus


@command("list")
@storage_option
@format_option
def list_command(storage: str, fmt: str) -> None:
    """List the studies of a database.

    The last changed is first.

    \b
    Examples:
      nas list
      nas list --storage postgresql://me@host/nas --format json
    """
    from nas.store import Store

    studies = Store.open_existing(storage).studies()
    if fmt != "text":
        write_rows([study.to_json() for study in studies], fmt)
        return
    rows = [
        [s.name, s.state, _trials(s), duration(s.seconds), s.best_told(cell), s.changed]
        for s in studies
    ]
    write_table(["study", "state", "trials", "time", "best", "changed"], rows)


@command("status")
@name_argument
@storage_option
@format_option
def status_command(name: str, storage: str, fmt: str) -> None:
    """Show how far a study is.

    Trials by state, the best so far in the first objective, time spent, and why the last run ended.

    \b
    Examples:
      nas status quickstart
      nas status quickstart --format json
    """
    from nas.store import Store
    from nas.store.rankings import stored_ranking
    from nas.supernet import ranked

    store = Store.open_existing(storage)
    status, ranking = store.status(name), stored_ranking(store, name)
    if fmt == "json":
        write_json(status.to_json() | ({} if ranking is None else {"ranking": ranking}))
    elif fmt == "csv":
        write_rows([status.to_json()], fmt)
    else:
        _write_status(status, "" if ranking is None else ranked(ranking))


def _write_status(status: "StudyStatus", ranked: str) -> None:
    counts = {state: n for state, n in status.to_json()["trials"].items() if n}
    lines = {
        "study": status.name,
        "state": f"{status.state}: {status.reason}" if status.reason else status.state,
        "trials": _trials(status),
        "": ", ".join(f"{n} {state}" for state, n in counts.items()),
        "best": status.best_told(cell),
        "prepared": ", ".join(map(_prepared, status.preparations)),
        "ranking": ranked,
        "time": duration(status.seconds),
        "drivers": str(status.drivers) if status.drivers > 1 else "",
        "created": status.created,
        "changed": status.changed,
        "storage": status.storage,
    }
    for name, value in lines.items():
        if value:
            click.echo(f"{name:<9}{value}")


def _prepared(record: "PreparationRecord") -> str:
    where = f"epoch {record.epoch} of {record.epochs}"
    return f"{record.plugin}, {where}, {duration(record.seconds)}; see nas prepared"


def _trials(status: "StudyStatus") -> str:
    return f"{status.trials.ended}/{status.target}" if status.target else str(status.trials.ended)


@command("rename")
@name_argument
@click.argument("new")
@storage_option
def rename_command(name: str, new: str, storage: str) -> None:
    """Rename a study.

    The study NAME is called NEW from now on.

    \b
    Examples:
      nas rename quickstart digits-first
    """
    from nas.spec import check_name
    from nas.store import Store
    from nas.store.housekeeping import rename_study

    rename_study(Store.open_existing(storage), name, check_name(new))
    click.echo(f"{name} is now {new}", err=True)


@command("delete")
@name_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@storage_option
@click.pass_context
def delete_command(ctx: click.Context, name: str, yes: bool, storage: str) -> None:
    """Delete a study.

    The study NAME and its trials; checkpoints go with the next `nas gc`. Asks first.

    \b
    Examples:
      nas delete quickstart
      nas delete quickstart --yes
    """
    from nas.store import Store
    from nas.store.housekeeping import delete_study

    store = Store.open_existing(storage)
    status = store.status(name)
    if not yes:
        question = f'delete the study "{name}" with its {status.trials.ended} trials?'
        if not _confirmed(question):
            click.echo("nothing is deleted", err=True)
            ctx.exit(1)
    delete_study(store, name)
    click.echo(f"{name} is deleted", err=True)


def _confirmed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)  # the question has no end of its line
        raise click.UsageError("nobody can answer here; --yes deletes without asking") from None


@command("gc", is_long=True)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--min-age",
    metavar="SECONDS",
    type=Number(min=0),
    default=60.0,
    show_default=True,
    help="Younger files stay: a study may be about to begin with them.",
)
@storage_option
@format_option
def gc_command(dry_run: bool, min_age: float, storage: str, fmt: str) -> None:
    """Remove files that no study needs.

    Artifacts (checkpoints, sealed datasets) that no study of the database refers to.

    \b
    Examples:
      nas gc --dry-run
      nas gc
    """
    from nas.garbage import collect_garbage

    with Live("collecting"):
        counts = collect_garbage(storage, dry_run=dry_run, min_age_seconds=min_age)
    if fmt == "json":
        write_json(counts)
    elif fmt == "csv":
        write_rows([counts], fmt)
    else:
        verb = "would be removed" if dry_run else "removed"
        click.echo(
            f"{counts['removed']} artifacts {verb}, {size(counts['bytes'])}; "
            f"{counts['kept']} kept, {counts['young']} too young to tell"
        )
