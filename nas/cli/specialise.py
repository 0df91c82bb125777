"""`nas supernet specialise`: the best slices of a supernet for a device."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from nas.cli._output import cell, choices, duration, write_json, write_rows, write_table
from nas.cli._progress import Live, say
from nas.cli._shared import (
    bundle_format_option,
    command,
    data_root_option,
    name_argument,
    storage_option,
)
from nas.cli._startup import load_for_stored
from nas.cli._types import File, Folder, Formats, Integer, Number, Numbers, OneOf
from nas.cli.search import INTERRUPTED, accept_device_option

if TYPE_CHECKING:
    from nas.supernet import Measure
    from nas.supernet.specialising import Specialisation

FAILED = 1


@command("specialise", is_long=True)
@name_argument
@click.option(
    "--latency",
    metavar="MS,...",
    type=Numbers(),
    required=True,
    help="Bounds in milliseconds, as 2,5,10.",
)
@click.option(
    "--device",
    metavar="NAME",
    help="A profile (see nas latency devices), or its file; else the study's.",
)
@click.option(
    "--strategy",
    metavar="NAME",
    default="linas",
    show_default=True,
    help="For several objectives: linas, nsga2, evolution; options as in linas:batch=20.",
)
@click.option(
    "--evaluations",
    metavar="N",
    type=Integer(min=1),
    default=1_000,
    show_default=True,
    help="Slices that are looked at, for all bounds together.",
)
@click.option(
    "--rank-by",
    type=OneOf(("foreseen", "read_out", "slice")),
    default="foreseen",
    show_default=True,
    help="The accuracy: as foreseen, of slices read out, or of slices as they are.",
)
@click.option(
    "--fine-tune-epochs",
    metavar="N",
    type=Integer(min=0),
    help="Train each slice so long before it counts; else as the study does.",
)
@click.option(
    "--confidence",
    metavar="P",
    type=Number(min=0.5, max=1, max_open=True),
    help="Share of measurements that are to keep a bound; else the study's, or 0.95.",
)
@accept_device_option
@click.option(
    "--measure/--no-measure",
    "measures",
    default=True,
    show_default=True,
    help="Measure the winners, where this is the device.",
)
@click.option("--out", metavar="DIR", type=Folder(), help="Export each winner: DIR/2ms, DIR/5ms.")
@click.option("--retrain", is_flag=True, help="Train each winner alone for it, from new weights.")
@click.option(
    "--write-study",
    metavar="FILE",
    type=File(),
    help="Write a study file that trains the winners.",
)
@storage_option
@data_root_option
@bundle_format_option
@click.pass_context
def specialise_command(
    ctx: click.Context,
    name: str,
    latency: tuple[float, ...],
    device: str | None,
    strategy: str,
    evaluations: int,
    rank_by: str,
    fine_tune_epochs: int | None,
    confidence: float | None,
    accept_device: bool,
    measures: bool,
    out: Path | None,
    retrain: bool,
    write_study: Path | None,
    formats: Formats,
    storage: str,
    data_root: Path,
) -> None:
    """Find the best slices of a supernet within bounds on latency.

    The supernet is that of the study NAME, trained before (nas supernet train). One search serves
    all bounds; nothing is recorded, and the same command finds the same candidates. Exported
    weights are the slice's own, if they are not retrained.

    \b
    Examples:
      nas supernet specialise supernet_cora --latency 2,5,10 --device laptop
      nas supernet specialise supernet_cora --latency 2,5 --device laptop --out bundles
      nas supernet specialise supernet_cora --latency 5 --device board --accept-device \\
          --write-study board.toml
    """
    from nas.store import Store

    Store.open_existing(storage).status(name)
    try:
        with Live() as live:
            load_for_stored(storage, name)
            from nas.supernet.specialising import Leaving, Request, Voice, specialise

            request = Request(
                bounds=latency,
                device=device,
                strategy=strategy,
                evaluations=evaluations,
                rank_by=cast("Measure", rank_by),
                fine_tune_epochs=fine_tune_epochs,
                accept_device=accept_device,
                confidence=confidence,
                measures=measures,
            )
            found = specialise(
                name,
                request,
                storage=storage,
                data_root=data_root,
                leaving=Leaving(out, retrain, formats.programs, write_study),
                voice=Voice(lambda done, of: live.count(done, of, "evaluated"), live.say),
            )
    except KeyboardInterrupt:
        click.echo("interrupted; the same command begins again", err=True)
        ctx.exit(INTERRUPTED)
    _write(found, formats.printed or "text")
    _tell_places(found, write_study)
    if any(winner.architecture is None for winner in found.winners):
        ctx.exit(FAILED)


def _tell_places(found: "Specialisation", study: Path | None) -> None:
    for winner in found.winners:
        if winner.bundle is not None:
            from nas.export._reading import read_manifest

            place, digest = winner.bundle / "manifest.json", read_manifest(winner.bundle).digest
            say(f"{place} written, digest {digest}")
    if study is not None and study.exists():
        say(f"{study} written; train them: nas search {study}")


def _write(found: "Specialisation", fmt: str) -> None:
    if fmt == "json":
        write_json(found.to_json())
        return
    rows = [winner.to_json() for winner in found.winners]
    if fmt == "csv":
        write_rows(rows, fmt)
        return
    click.echo(
        f"{found.study}: {found.evaluations:,} slices in {duration(found.seconds)}, for "
        f"{found.device}, by {found.metric}\n"
    )
    from evaluators import FORESEEN, READ_OUT

    metric = found.metric.removesuffix(FORESEEN).removesuffix(READ_OUT)
    ranked_by = found.metric if found.metric != metric else metric + FORESEEN
    lines = [_cells(row, metric, ranked_by) for row in rows]
    columns = ["bound_ms", "latency_ms", "90 %", "measured", metric, ranked_by]
    exported = ["exported"] if any(row["bundle"] for row in rows) else []
    if not exported:
        lines = [[*line[:6], *line[7:]] for line in lines]
    write_table([*columns, *exported, "architecture", "decisions"], lines)


def _cells(row: dict[str, Any], metric: str, ranked_by: str) -> list[str]:
    """A winner as text; only its bound where there is none. `metric`: of the slice as it is."""
    values = row["metrics"]
    ends = [values.get(f"latency_{end}_ms") for end in ("low", "high")]
    measured = cell(row["measured_latency_ms"])
    return [
        f"{row['bound_ms']:g}",
        cell(values.get("latency_ms")),
        "" if None in ends else f"{ends[0]:.4g} to {ends[1]:.4g}",
        f"{measured} (noisy)" if row["noisy"] else measured,
        cell(values.get(metric)),
        cell(values.get(ranked_by)),
        cell(row["exported"].get(metric)),
        (row["architecture"] or "")[:12],
        choices(row["decisions"]),
    ]
