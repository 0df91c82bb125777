"""`nas latency profile`, `adapt`, `check` and `devices`: what is known of how fast devices are."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from nas.cli._output import write_rows
from nas.cli._profiling import (
    device_option,
    devices_option,
    kind_option,
    runtime_option,
    set_option,
    spec_argument,
    study_plan_of,
    tell,
    tell_probes,
    threads_option,
    write_checked,
    write_profile,
)
from nas.cli._progress import Live, say
from nas.cli._shared import command, data_root_option, format_option
from nas.cli._types import Integer, Number
from nas.cli.search import INTERRUPTED

if TYPE_CHECKING:
    from evaluators.latency.values import Runtime
    from nas.latency.profiles import Kind

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
    "note",
)


@command("profile", is_long=True)
@spec_argument
@device_option
@click.option(
    "--minutes",
    metavar="MINUTES",
    type=Number(min=0, min_open=True),
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
    type=Integer(min=0),
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
    from evaluators.latency.profile import device_name, profile_path

    if name is not None:
        device_name(name)
    try:
        with Live("profiling", is_calm=True) as live:
            from nas.latency.profiles import make_profile

            made = make_profile(
                name,
                plan=study_plan_of(spec, data_root, sets, seed),
                minutes=minutes,
                runtime=cast("Runtime | None", runtime),
                threads=threads,
                kind=cast("Kind", kind),
                seed=seed,
                folder=folder,
                report=partial(tell, live),
            )
    except KeyboardInterrupt:
        click.echo("interrupted; what was timed is kept, the same command goes on", err=True)
        ctx.exit(INTERRUPTED)
    write_profile(made, profile_path(name or made.name, folder), fmt)


@command("adapt", is_long=True)
@spec_argument
@click.option(
    "--from",
    "source",
    metavar="DEVICE",
    required=True,
    help="The profile to begin from, or the path of its .npz file.",
)
@device_option
@runtime_option
@threads_option
@kind_option
@click.option(
    "--probes",
    metavar="N",
    type=Integer(min=3),
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
    from evaluators.latency.profile import device_name, profile_path

    if name is not None:
        device_name(name)
    try:
        with Live("adapting", is_calm=True) as live:
            from nas.latency.profiles import adapt_profile

            made = adapt_profile(
                source,
                name,
                plan=study_plan_of(spec, data_root, sets),
                runtime=cast("Runtime | None", runtime),
                threads=threads,
                kind=cast("Kind", kind),
                probes=probes,
                folder=folder,
                report=partial(tell_probes, live),
            )
    except KeyboardInterrupt:
        click.echo("interrupted; nothing is kept", err=True)
        ctx.exit(INTERRUPTED)
    write_profile(made, profile_path(name or made.name, folder), fmt)


@command("check", is_long=True)
@click.argument("device")
@spec_argument
@click.option(
    "--networks",
    metavar="N",
    type=Integer(min=3),
    default=20,
    show_default=True,
    help="Networks that the profile has not seen.",
)
@click.option(
    "--sizes",
    metavar="N",
    type=Integer(min=1),
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

    Networks and graphs that the profile of DEVICE (its name, or the path of its .npz file) has not
    seen are timed twice, the second time after all others, of its own space or of the study file
    SPEC. The rows: its predictions, the device measured twice, operations and parameters alone,
    and another profile as it is. Nothing predicts better than the device repeats itself.

    \b
    Examples:
      nas latency check laptop
      nas latency check laptop study.toml --networks 40 --sizes 6
      nas latency check laptop-2 --nearest laptop --format json
    """
    try:
        with Live("checking", is_calm=True) as live:
            from nas.latency.profiles import check_profile

            checked = check_profile(
                device,
                plan=study_plan_of(spec, data_root, sets),
                networks=networks,
                sizes=sizes,
                nearest=nearest,
                accept_device=accept_device,
                folder=folder,
                report=lambda done, wanted: live.count(done, wanted, "measured"),
                say=live.say,
            )
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        ctx.exit(INTERRUPTED)
    if checked.foreign:
        say(f'warning: the profile "{device}" is of another machine than this one')
    write_checked(checked, fmt)


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
            say(f"warning: {one.problem}")
    rows = [one.to_json() for one in found]
    if fmt == "text" and not rows:
        click.echo(f"no profiles in {folder}; make one with: nas latency profile", err=True)
        return
    write_rows(rows, fmt, _LISTED)
