"""`nas latency profile`, `adapt`, `check` and `devices`: what is known of how fast devices are."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from nas.cli._output import cell, duration, write_json, write_rows, write_table
from nas.cli._shared import command, data_root_option, format_option
from nas.cli.search import INTERRUPTED

if TYPE_CHECKING:
    from evaluators.latency.adapting import Probed
    from evaluators.latency.checking import Checked
    from evaluators.latency.plan import Plan
    from evaluators.latency.profile import Profile
    from evaluators.latency.profiling import Standing
    from evaluators.latency.values import Runtime
    from nas.latency.profiles import Kind

RUNTIMES = ("eager", "compiled")
# A share of noisy samples above this is worth a warning.
_NOISY = 0.1
_LISTED = (
    "name",
    "machine",
    "threads",
    "runtime",
    "samples",
    "noisy",
    "adapted_from",
    "torch",
    "this_machine",
)

devices_option = click.option(
    "--devices",
    "folder",
    metavar="DIR",
    envvar="NAS_DEVICES",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("devices"),
    show_default=True,
    show_envvar=True,
    help="Folder of the profiles.",
)
device_option = click.option(
    "--device", "name", metavar="NAME", help="What to call it; by default what its machine is."
)
runtime_option = click.option("--runtime", type=click.Choice(RUNTIMES), help="How networks run.")
threads_option = click.option(
    "--threads", metavar="N", type=click.IntRange(min=1), help="Threads that a network may use."
)
kind_option = click.option(
    "--kind",
    type=click.Choice(("cpu", "cuda")),
    default="cpu",
    show_default=True,
    help="The processor, or a GPU.",
)
set_option = click.option(
    "--set", "sets", metavar="TABLE.KEY=VALUE", multiple=True, help="Any key of the study file."
)
spec_argument = click.argument("spec", type=click.Path(path_type=Path), required=False)


@command("profile")
@spec_argument
@device_option
@click.option(
    "--minutes",
    metavar="M",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Of measuring; compiling takes its own.",
)
@runtime_option
@threads_option
@kind_option
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of what is drawn to be timed.",
)
@devices_option
@data_root_option
@set_option
@format_option
@click.pass_context
def profile_command(
    ctx: click.Context,
    spec: Path | None,
    name: str | None,
    minutes: float,
    runtime: str | None,
    threads: int | None,
    kind: str,
    seed: int,
    folder: Path,
    data_root: Path,
    sets: tuple[str, ...],
    fmt: str,
) -> None:
    """Time networks on this device; learn to predict.

    Layers and whole networks, of the space and around the graph of the study file SPEC; without
    one, of every operator on graphs of usual sizes. More of them are timed where the predictor
    errs. The profile is a file, DIR/NAME.npz, written after each round: the same command again
    goes on with it, for more minutes. Keep the machine idle meanwhile.

    \b
    Examples:
      nas latency profile
      nas latency profile study.toml --device laptop --minutes 20
      nas latency profile --device laptop-compiled --runtime compiled --threads 2
    """
    from evaluators.latency.profile import profile_path
    from nas.latency.profiles import make_profile

    plan = _plan(spec, data_root, sets, seed)
    try:
        made = make_profile(
            name,
            plan=plan,
            minutes=minutes,
            runtime=cast("Runtime | None", runtime),
            threads=threads,
            kind=cast("Kind", kind),
            seed=seed,
            folder=folder,
            report=_tell,
        )
    except KeyboardInterrupt:
        click.echo("interrupted; what was timed is kept, the same command goes on", err=True)
        ctx.exit(INTERRUPTED)
    _write_profile(made, profile_path(name or made.name, folder), fmt)


@command("adapt")
@spec_argument
@click.option(
    "--from",
    "source",
    metavar="DEVICE",
    required=True,
    help="The profile to begin from, or its path.",
)
@device_option
@runtime_option
@threads_option
@kind_option
@click.option(
    "--probes",
    metavar="N",
    type=click.IntRange(min=3),
    default=10,
    show_default=True,
    help="Networks to time here.",
)
@devices_option
@data_root_option
@set_option
@format_option
@click.pass_context
def adapt_command(
    ctx: click.Context,
    spec: Path | None,
    source: str,
    name: str | None,
    runtime: str | None,
    threads: int | None,
    kind: str,
    probes: int,
    folder: Path,
    data_root: Path,
    sets: tuple[str, ...],
    fmt: str,
) -> None:
    """A profile of this device from another's, in minutes.

    A few networks, chosen to tell the most, are timed here within five minutes, beside which
    compiling takes its own. Also from one runtime or number of threads to another. SPEC is needed
    only where the other profile is of a study whose space was made in Python.

    \b
    Examples:
      nas latency adapt --from laptop
      nas latency adapt --from laptop --device laptop-2 --threads 2
      nas latency adapt --from laptop --runtime compiled --probes 10
    """
    from evaluators.latency.profile import profile_path
    from nas.latency.profiles import adapt_profile

    plan = _plan(spec, data_root, sets)
    try:
        made = adapt_profile(
            source,
            name,
            plan=plan,
            runtime=cast("Runtime | None", runtime),
            threads=threads,
            kind=cast("Kind", kind),
            probes=probes,
            folder=folder,
            report=_tell_probes,
        )
    except KeyboardInterrupt:
        click.echo("interrupted; nothing is kept", err=True)
        ctx.exit(INTERRUPTED)
    _write_profile(made, profile_path(name or made.name, folder), fmt)


@command("check")
@click.argument("device")
@spec_argument
@click.option(
    "--networks",
    metavar="N",
    type=click.IntRange(min=3),
    default=20,
    show_default=True,
    help="Networks that the profile has not seen.",
)
@click.option(
    "--sizes",
    metavar="K",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Graphs that it has not seen, on each of which all networks are timed.",
)
@click.option("--nearest", metavar="NAME", help="Another profile to compare with, as it is.")
@click.option(
    "--accept-device", is_flag=True, help="Measure here, though the profile is of another machine."
)
@devices_option
@data_root_option
@set_option
@format_option
@click.pass_context
def check_command(
    ctx: click.Context,
    device: str,
    spec: Path | None,
    networks: int,
    sizes: int,
    nearest: str | None,
    accept_device: bool,
    folder: Path,
    data_root: Path,
    sets: tuple[str, ...],
    fmt: str,
) -> None:
    """Measure how well a profile predicts.

    Networks and graphs that the profile of DEVICE has not seen are timed twice, minutes apart, of
    its own space or of the study file SPEC. The rows: its predictions, the device measured twice,
    operations and parameters alone, and another profile as it is. Nothing predicts better than the
    device repeats itself.

    \b
    Examples:
      nas latency check laptop
      nas latency check laptop study.toml --networks 40 --sizes 6
      nas latency check laptop-2 --nearest laptop --format json
    """
    from nas.latency.profiles import check_profile

    plan = _plan(spec, data_root, sets)
    try:
        checked = check_profile(
            device,
            plan=plan,
            networks=networks,
            sizes=sizes,
            nearest=nearest,
            accept_device=accept_device,
            folder=folder,
            report=_tell_measured,
            say=_say,
        )
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        ctx.exit(INTERRUPTED)
    if checked.foreign:
        _say(f'warning: the profile "{device}" is of another machine than this one')
    _write_checked(checked, fmt)


@command("devices")
@devices_option
@format_option
def devices_command(folder: Path, fmt: str) -> None:
    """List the profiles of devices.

    \b
    Examples:
      nas latency devices
      nas latency devices --devices ~/devices --format json
    """
    from nas.latency.profiles import devices

    found = devices(folder)
    for one in found:
        if one.problem:
            _say(f"warning: {one.problem}")
    rows = [one.to_json() for one in found]
    if fmt == "text" and not rows:
        click.echo(f"no profiles in {folder}; make one with: nas latency profile", err=True)
        return
    write_rows(rows, fmt, _LISTED)


def _plan(
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


def _say(line: str) -> None:
    with suppress(OSError):  # nobody reading is no error
        click.echo(line, err=True)


def _tell(standing: "Standing") -> None:
    if standing.message:
        _say(standing.message)
        return
    error = "" if standing.error is None else f", {standing.error:.0%} off in the last round"
    left = duration(standing.seconds_left)
    _say(f"{standing.samples} samples{error}, {standing.noisy:.0%} noisy, {left} left")


def _tell_probes(probed: "Probed") -> None:
    _say(probed.message or f"{probed.done}/{probed.wanted} probes timed")


def _tell_measured(done: int, wanted: int) -> None:
    _say(f"{done}/{wanted} measured")


def _write_profile(made: "Profile", path: Path, fmt: str) -> None:
    from nas.latency.profiles import Listed, noisy_share

    noisy = noisy_share(made)
    if noisy > _NOISY:
        _say(
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


def _write_checked(checked: "Checked", fmt: str) -> None:
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
        ]
        for row in rows
    ]
    columns = ["", "spearman", "within a graph", "kendall", "MAPE", "within 10 %", "within 20 %"]
    write_table(columns, table)
    click.echo(
        f"\n{checked.rows[0].pairs} pairs: {checked.networks} networks on each of {checked.sizes} "
        f"graphs; {checked.noisy:.0%} of the measurements noisy, {checked.beyond:.0%} of the pairs "
        "beyond what was profiled"
    )
    click.echo(
        f"noise: measured again, the device is within 10 % of itself in {checked.ceiling:.0%}; the "
        f"predictor reaches {checked.of_ceiling:.0%} of that"
    )
