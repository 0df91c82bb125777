"""`nas verify`: whether a bundle is what it says."""

from pathlib import Path

import click

from nas.cli._output import cell, write_rows, write_table
from nas.cli._progress import Live, say
from nas.cli._shared import command, data_root_option, format_option
from nas.cli.bundles import dataset_of

FAILED = 1
_WORDS = {True: "yes", False: "NO", None: "-"}


@command("verify", is_long=True)
@click.argument("bundle", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--digest",
    metavar="SHA",
    help="The digest that it must have: all of it, or at least twelve digits.",
)
@click.option(
    "--dataset",
    metavar="SPEC",
    help="A study file, for its [dataset], or a dataset's name; else what the bundle names.",
)
@click.option(
    "--latency/--no-latency",
    default=True,
    show_default=True,
    help="Time the first program on this device.",
)
@data_root_option
@format_option
@click.pass_context
def verify_command(
    ctx: click.Context,
    bundle: Path,
    digest: str | None,
    dataset: str | None,
    latency: bool,
    data_root: Path,
    fmt: str,
) -> None:
    """Check whether a bundle is what it says.

    Of the bundle in DIR hashes and digest, its programs against each other and against its weights,
    and its validation metrics where the data are here; how long an inference takes is a fact. Exit
    status 0: all hold, 1: one does not, 2: no bundle.

    \b
    Examples:
      nas verify bundle
      nas verify bundle --digest 4c6f3b9e01aa --no-latency
      nas verify bundle --dataset studies/quickstart.toml --format json
    """
    plugin = None if dataset is None else dataset_of(dataset)
    with Live("verifying", is_calm=True) as live:
        from nas.verifying import verify

        found = verify(
            bundle, digest, dataset=plugin, data_root=data_root, latency=latency, told=live.step
        )
    rows = [check.to_json() for check in found.checks]
    if fmt == "text":
        columns = ("check", "program", "ok", "value", "expected", "detail")
        lines = [[_cell(name, row[name]) for name in columns] for row in rows]
        write_table(columns, lines)
        wrong = [row for row in rows if row["ok"] is False]
        skipped = sum(row["ok"] is None for row in rows)
        said = (
            f"{len(wrong)} of {len(rows)} checks do not hold"
            if wrong
            else "all that was checked holds"
        )
        say(f"{said}; {skipped} skipped or facts")
    else:
        write_rows(rows, fmt)
    if not found.holds:
        ctx.exit(FAILED)


def _cell(name: str, value: object) -> str:
    if name == "ok":
        return _WORDS[value if isinstance(value, bool) else None]
    text = cell(value)
    return text[:12] if name in ("value", "expected") else text
