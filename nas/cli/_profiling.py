"""What the commands about profiles share: options, progress on stderr, results on stdout."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli._output import cell, duration, write_json, write_rows, write_table
from nas.cli._progress import Live, say
from nas.cli._types import File, Folder, Integer, OneOf

if TYPE_CHECKING:
    from evaluators.latency.adapting import Probed
    from evaluators.latency.checking import Checked
    from evaluators.latency.plan import Plan
    from evaluators.latency.profile import Profile
    from evaluators.latency.profiling import Standing

RUNTIMES = ("eager", "compiled")
# A share of noisy samples above this is worth a warning.
_NOISY = 0.1

devices_option = click.option(
    "--devices",
    "folder",
    metavar="DIR",
    envvar="NAS_DEVICES",
    type=Folder(),
    default=Path("devices"),
    show_default=True,
    show_envvar=True,
    help="Folder of the profiles.",
)
device_option = click.option(
    "--device",
    "name",
    metavar="NAME",
    help="What to call it (letters, digits, . - _); by default as its machine.",
)
runtime_option = click.option("--runtime", type=OneOf(RUNTIMES), help="How networks run.")
threads_option = click.option(
    "--threads", metavar="N", type=Integer(min=1), help="Threads that the network may use."
)
kind_option = click.option(
    "--kind",
    type=OneOf(("cpu", "cuda")),
    default="cpu",
    show_default=True,
    help="The processor, or a GPU.",
)
set_option = click.option(
    "--set", "sets", metavar="TABLE.KEY=VALUE", multiple=True, help="Any key of the study file."
)
spec_argument = click.argument("spec", type=File(), required=False)


def study_plan_of(
    spec: Path | None, data_root: Path, sets: tuple[str, ...], seed: int = 0
) -> "Plan | None":
    """What the study file asks to be timed; None without one."""
    if spec is None:
        if sets:
            raise click.UsageError("--set changes keys of a study file; name one")
        return None
    from nas.latency.profiles import study_plan
    from nas.spec import load_spec

    return study_plan(load_spec(spec, sets), data_root, seed, str(spec))


def tell(live: Live, standing: "Standing") -> None:
    if standing.message:
        live.say(standing.message)
        return
    error = "" if standing.error is None else f", {standing.error:.0%} off in the last round"
    left = duration(standing.seconds_left)
    live.show(f"{standing.samples} samples{error}, {standing.noisy:.0%} noisy, {left} left")


def tell_probes(live: Live, probed: "Probed") -> None:
    if probed.message:
        live.say(probed.message)
    else:
        live.count(probed.done, probed.wanted, "probes timed")


def write_profile(made: "Profile", path: Path, fmt: str) -> None:
    from nas.latency.profiles import Listed, noisy_share

    noisy = noisy_share(made)
    if noisy > _NOISY:
        say(
            f"warning: {noisy:.0%} of the samples were taken while this machine was busy or "
            "unsteady; predictions are the less sure: nas latency check tells by how much"
        )
    row = Listed(made.name, made, here=True).to_json()
    if fmt != "text":
        write_rows([row], fmt)
        return
    click.echo(f"{path}: {row['machine']}, {row['threads']} thread(s), {row['runtime']}")
    origin = f", adapted from {made.origin}" if made.origin else ""
    known = f"predicts {', '.join(made.metrics)}" if made.metrics else "too few to predict from yet"
    click.echo(f"{len(made.samples)} samples{origin}; {known}")


def write_checked(checked: "Checked", fmt: str) -> None:
    if fmt == "json":
        write_json(checked.to_json())
        return
    rows = [row.to_json() for row in checked.rows]
    if fmt == "csv":
        write_rows(rows, fmt)
        return
    table = [
        [
            row["name"],
            *(cell(row[name]) for name in ("spearman", "spearman_within", "kendall")),
            *(f"{row[name]:.1%}" for name in ("mape", "within_10", "within_20")),
            "" if row["inside_90"] is None else f"{row['inside_90']:.1%}",
        ]
        for row in rows
    ]
    columns = ["", "spearman", "within a graph", "kendall", "MAPE", "within 10 %", "within 20 %"]
    columns.append("inside 90 %")
    write_table(columns, table)
    click.echo(
        f"\n{checked.rows[0].pairs} pairs: {checked.networks} networks on each of {checked.sizes} "
        f"graphs; {checked.noisy:.0%} of the measurements noisy, {checked.beyond:.0%} of the pairs "
        f"beyond what was profiled; {checked.apart_seconds:,.0f} s between the first time and the "
        "second"
    )
    share = checked.of_ceiling
    reached = "" if share != share else f"; the predictor reaches {share:.0%} of that"
    click.echo(
        f"noise: measured again, the device is within 10 % of itself in {checked.ceiling:.0%}"
        f"{reached}"
    )
