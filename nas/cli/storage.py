"""`nas storage`: the database itself, and studies on their way from one to another."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

import click

from nas.cli._lazy import Group
from nas.cli._output import write_rows
from nas.cli._progress import Live, say
from nas.cli._shared import command, debug_option, format_option, name_argument, storage_option
from nas.cli._usage import WrongUsage


@click.group("storage", cls=Group)
@debug_option
def storage_command() -> None:
    """Check and upgrade a database; move studies.

    \b
    Examples:
      nas storage check
      nas storage export quickstart --to quickstart.jsonl
      nas storage import quickstart.jsonl --storage postgresql://me@host/nas
    """


@command("check", is_long=True)
@storage_option
@format_option
@click.pass_context
def check_command(ctx: click.Context, storage: str, fmt: str) -> None:
    """Say whether a database can be relied on.

    Can it be reached, is every page of it sound, do its studies hold together, are their artifacts
    there? Nothing is written. Exit status 1 when something is wrong.

    \b
    Examples:
      nas storage check
      nas storage check --storage postgresql://me@host/nas --format json
    """
    from nas.store.checking import check

    with Live("checking"):
        findings = check(storage)
    write_rows([asdict(f) for f in findings], fmt, ["subject", "check", "verdict", "found"])
    if any(finding.verdict == "wrong" for finding in findings):
        ctx.exit(1)


@command("upgrade", is_long=True)
@storage_option
def upgrade_command(storage: str) -> None:
    """Bring the tables of an older version up to date.

    Every command that opens the database does that too; this one says what it did.

    \b
    Examples:
      nas storage upgrade
    """
    from nas.store import schema
    from nas.store.engine import StoreError, connect, open_engine, reachable
    from nas.store.upgrading import current_version

    engine = open_engine(storage, create=False)
    with reachable(engine.url, StoreError):
        before = current_version(engine)
    with Live("upgrading"):
        connect(storage, create=False).dispose()
    if before == schema.VERSION:
        click.echo(f"the tables are of version {before}, which is today's")
    else:
        click.echo(f"the tables were of version {before} and are now of {schema.VERSION}")


@command("export", is_long=True)
@name_argument
@click.option(
    "--to",
    "to",
    metavar="FILE",
    required=True,
    help="A new file, - for stdout.",
)
@click.option("--artifacts", "with_artifacts", is_flag=True, help="Checkpoints too; large.")
@storage_option
def export_command(name: str, to: str, with_artifacts: bool, storage: str) -> None:
    """Write a study to a file of JSON lines.

    The study NAME with its trials, evaluations and confirmations, for nas storage import. No
    password and no place of a file is in it.

    \b
    Examples:
      nas storage export quickstart --to quickstart.jsonl
      nas storage export quickstart --to - | gzip > quickstart.jsonl.gz
    """
    from nas.store import Store
    from nas.store.exporting import export_study, export_to_file

    store = Store.open_existing(storage)
    # Beside what goes to stdout a line that moves would be in the way.
    with Live("exporting", is_terminal=False if to == "-" else None):
        if to == "-":
            counts = export_study(store, name, sys.stdout, with_artifacts=with_artifacts)
        else:
            counts = export_to_file(store, name, Path(to), with_artifacts=with_artifacts)
    if to != "-":
        click.echo(to)
    held = ", ".join(f"{n} {part}s" for part, n in counts.items() if n and part != "study")
    say(f'study "{name}" exported: {held or "no trials yet"}')


@command("import", is_long=True)
@click.argument("file", metavar="FILE")
@click.option("--name", metavar="NAME", help="Of the study, in place of the one in the file.")
@storage_option
def import_command(file: str, name: str | None, storage: str) -> None:
    """Take a study from a file of nas storage export.

    FILE is - for stdin. All of it is taken or nothing; nas resume then goes on with the study.

    \b
    Examples:
      nas storage import quickstart.jsonl
      nas storage import quickstart.jsonl --name again --storage postgresql://me@host/nas
    """
    from nas.cli.search import storage_argument
    from nas.spec import check_name
    from nas.store import Store, hidden_password
    from nas.store.importing import import_study

    with _opened(file) as lines, Live("importing"):
        where = "stdin" if file == "-" else file
        chosen = None if name is None else check_name(name)
        taken = import_study(Store(storage), lines, where, chosen)
    click.echo(taken)
    place = storage_argument(hidden_password(storage))
    say(f'study "{taken}" imported; go on with: nas resume {taken}{place}')


@contextmanager
def _opened(file: str) -> Iterator[TextIO]:
    if file == "-":
        yield sys.stdin
        return
    try:
        with Path(file).open(encoding="utf-8") as opened:
            yield opened
    except OSError as error:
        raise WrongUsage(f'"{file}" cannot be read: {error.strerror}') from error


for _command in (check_command, upgrade_command, export_command, import_command):
    storage_command.add_command(_command)
