"""`nas reproduce`: a bundle's network trained again, from nothing, and compared."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli._output import write_json, write_rows
from nas.cli._progress import Live, say
from nas.cli._shared import command, data_root_option, format_option
from nas.cli._types import Folder, Number
from nas.cli.bundles import dataset_of

if TYPE_CHECKING:
    from nas.reproducing import Reproduced


@command("reproduce", is_long=True)
@click.argument("bundle", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--dataset",
    metavar="SPEC",
    help="A study file, for its [dataset], or a dataset's name: where the bundle's is not found, "
    "as a graph of your own.",
)
@click.option(
    "--within",
    metavar="X",
    type=Number(min=0),
    help="How far metrics may be off for exit status 0; without it all weights must be the same.",
)
@click.option("--to", metavar="DIR", type=Folder(), help="Keep the new bundle here.")
@click.option(
    "--allow",
    metavar="MODULE",
    multiple=True,
    help="A plug-in from elsewhere that the bundle's study used, and that may run here.",
)
@data_root_option
@format_option
@click.pass_context
def reproduce_command(
    ctx: click.Context,
    bundle: Path,
    dataset: str | None,
    within: float | None,
    to: Path | None,
    allow: tuple[str, ...],
    data_root: Path,
    fmt: str,
) -> None:
    """Train a bundle's network again, and compare.

    The bundle in DIR says how its network was trained. It is trained again from nothing, on the
    same data with the same seed, exported, and compared: on a machine of the same kind, with the
    same versions, every weight is the same. Exit status 1 where it is not.

    \b
    Examples:
      nas reproduce bundle
      nas reproduce bundle --dataset study.toml --within 0.01
    """
    plugin = None if dataset is None else dataset_of(dataset)
    with Live("reproducing") as live:
        from nas.reproducing import reproduce

        found = reproduce(
            bundle, data_root=data_root, dataset=plugin, allowed=allow, out=to, told=live.step
        )
    _write(found, fmt)
    is_near = within is not None and found.largest <= within
    if not (found.is_same or is_near):
        ctx.exit(1)


def _write(found: "Reproduced", fmt: str) -> None:
    rows: list[dict[str, Any]] = [
        {"metric": name, "bundle": was, "again": now, "difference": now - was}
        for name, (was, now) in found.metrics.items()
    ]
    if fmt == "json":
        write_json(
            {
                "same": found.is_same,
                "largest_weight_difference": found.weights,
                "metrics": rows,
                "versions": {what: list(pair) for what, pair in found.versions.items()},
            }
        )
        return
    write_rows(rows, fmt, ("metric", "bundle", "again", "difference"))
    say(_said(found))


def _said(found: "Reproduced") -> str:
    if found.is_same:
        return "the same: architecture and weights, byte for byte"
    changed = ", ".join(f"{what} {a}, here {b}" for what, (a, b) in found.versions.items())
    why = f"; it was made with {changed}" if changed else ""
    if found.weights is None:
        return f"not the same: its weights have other shapes{why}"
    return f"not the same: weights differ by up to {found.weights:.2g}{why}"
