"""`nas scale`: a study's front, told as a rule for networks of any size."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli._output import cell, choices, write_rows, write_table
from nas.cli._progress import Live, say
from nas.cli._shared import (
    command,
    data_root_option,
    format_option,
    name_argument,
    storage_option,
)
from nas.cli._types import File, Numbers, TrialNumber

if TYPE_CHECKING:
    from nas.scaling import Scaling

_COLUMNS = ("budget", "macs", "error", "ratio", "depth", "depth_sd", "width")
_FORMATS = {"error": "+.1%", "ratio": ".3g", "depth_sd": ".2f", "neighbors_sd": ".1f"}


@command("scale", is_long=True)
@name_argument
@click.option("--macs", metavar="N,...", type=Numbers(), help="Budgets, as 5e6 or 5e6,1e7.")
@click.option(
    "--ratio",
    metavar="C,...",
    type=Numbers(),
    help="Budgets in macs of the base, as 0.1,0.25.",
)
@click.option(
    "--trial",
    metavar="N",
    type=TrialNumber(),
    help="The base, whose network is scaled; else the front's best.",
)
@click.option(
    "--write-study",
    metavar="FILE",
    type=File(),
    help="Write a study file that trains the scaled networks.",
)
@storage_option
@data_root_option
@format_option
def scale_command(
    name: str,
    macs: tuple[float, ...] | None,
    ratio: tuple[float, ...] | None,
    trial: int | None,
    write_study: Path | None,
    storage: str,
    data_root: Path,
    fmt: str,
) -> None:
    """Scale a study's best network to budgets of macs.

    A rule for the depth is fitted to the trials of the study NAME that no other beats in its metric
    and in macs. The width is what closes the budget within 5 %, by measured macs; all other
    decisions are those of the base. depth_sd is the rule's uncertainty, which grows beyond the
    front: such rows are marked as outside.

    \b
    Examples:
      nas scale quickstart --ratio 0.25,0.5,2
      nas scale quickstart --macs 5e6,1e7 --trial 12 --format json
      nas scale quickstart --ratio 0.5,2 --write-study sizes.toml
      nas search sizes.toml
    """
    if write_study is not None and write_study.exists():
        raise click.UsageError(f"{write_study} exists; it is left as it is, choose another name")
    with Live("scaling") as live:
        from nas.scaling import scale

        scaling = scale(
            name,
            storage=storage,
            data_root=data_root,
            macs=macs or (),
            ratios=ratio or (),
            trial=trial,
            report=lambda done, wanted: live.count(done, wanted, "budgets"),
        )
    if write_study is not None:
        from nas.scaling import write_study as write

        write(scaling, write_study)
        say(f"{write_study} written; train them: nas search {write_study}")
    _write(scaling, fmt)


def _write(scaling: "Scaling", fmt: str) -> None:
    few, most = (f"{scaling.front[i].macs:,.0f}" for i in (0, -1))
    say(
        f"{scaling.study}: a rule of {len(scaling.front)} trials, {few} to {most} macs; scaled is "
        f"trial {scaling.base.trial} ({scaling.base.macs:,.0f} macs)"
    )
    if fmt == "text":
        rules = scaling.rules
        neighbors = ["neighbors", "neighbors_sd"] if rules.neighbors is not None else []
        columns = [*_COLUMNS, *neighbors, "outside"]
        rows = [row.to_json() for row in scaling.rows]
        lines = [
            [*(_cell(name, row[name]) for name in columns), choices(row["architecture"])]
            for row in rows
        ]
        write_table([*columns, "decisions"], lines)
    else:
        write_rows([row.to_json() for row in scaling.rows], fmt)


def _cell(name: str, value: Any) -> str:
    """A value of a row, in as many digits as tell something."""
    if name in ("budget", "macs"):
        return cell(round(value))
    return format(value, _FORMATS[name]) if name in _FORMATS else cell(value)
