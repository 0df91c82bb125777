"""`nas trials`, `show`, `front`: what a study has found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli._drawing import write_drawing, write_svg
from nas.cli._output import cell, choices, write_json, write_rows, write_table
from nas.cli._shared import command, format_option, name_argument, storage_option
from nas.cli._types import File, TrialNumber
from nas.cli._usage import WrongUsage
from nas.cli.search import MEASURED_LATENCY, front_row, measured_columns, write_front

if TYPE_CHECKING:
    from nas.record import TrialRecord


@command("trials")
@name_argument
@storage_option
@format_option
def trials_command(name: str, storage: str, fmt: str) -> None:
    """List the trials of a study.

    Those of the study NAME, in the order in which they were proposed.

    \b
    Examples:
      nas trials quickstart
      nas trials quickstart --format csv > trials.csv
    """
    from nas.store import Store

    store = Store.open_existing(storage)
    trials = store.trials(name)
    if fmt != "text":
        write_rows([trial.to_json() for trial in trials], fmt)
        return
    from nas.store.fronts import broken

    spec, objectives = store.spec(name), list(store.status(name).objectives)
    measured = [MEASURED_LATENCY] * any(trial.measured for trial in trials)
    measured += ["noisy"] * any(trial.measured.get("noisy") for trial in trials)
    head = ["trial", "state", *objectives, *measured, "epochs", "seconds", "decisions"]
    write_table(head, [_row(t, objectives, measured, bool(broken(spec, t))) for t in trials])


def _row(
    trial: "TrialRecord", objectives: list[str], measured: list[str], is_broken: bool
) -> list[str]:
    values = {**trial.metrics, **measured_columns(trial)}
    said = choices(trial.architecture.choices) if trial.architecture else ""
    if trial.failure:
        said = f"{trial.failure.get('kind', '')}: {trial.failure.get('message', '')}  {said}"
    return [
        str(trial.number),
        f"{trial.state}{' (cached)' * trial.cached}{', breaks a bound' * is_broken}",
        *(cell(values.get(name)) for name in (*objectives, *measured)),
        str(trial.epochs),
        f"{trial.seconds:.1f}",
        said,
    ]


@command("show")
@name_argument
@click.argument("trial", type=TrialNumber())
@click.option(
    "--svg",
    metavar="FILE",
    type=File(),
    help="Write the drawing of its architecture as SVG instead; - is stdout.",
)
@storage_option
@format_option
def show_command(name: str, trial: int, svg: Path | None, storage: str, fmt: str) -> None:
    """Show one trial.

    Number TRIAL of the study NAME: its architecture drawn, decisions, metrics, what was measured on
    the device, what its strategy noted, how it was evaluated, rungs, bundles, and why it failed.

    \b
    Examples:
      nas show quickstart 7
      nas show quickstart 7 --svg trial7.svg
      nas show quickstart 7 --format json
    """
    from nas.store import Store

    store = Store.open_existing(storage)
    if svg is not None:
        if fmt != "text":
            raise WrongUsage(
                f"--svg is written in place of the trial in {fmt}; give one of the two"
            )
        write_svg(store, name, trial, svg)
        return
    record = store.trial(name, trial)
    rungs = [
        {key: rung.get(key) for key in ("epoch", "metrics", "seconds")}
        | {"evaluated": rung.get("notes")}
        for rung in store.evaluations(name, trial)
    ]
    from nas.store.bundles import stored_bundles

    bundles = stored_bundles(store, name, trial)
    if fmt == "json":
        more = {"violation": record.violation, "rungs": rungs, "bundles": bundles}
        write_json(record.to_json() | more)
    elif fmt == "csv":
        write_rows([record.to_json()], fmt)
    else:
        from nas.store.fronts import broken

        _write_trial(record, rungs, [str(bound) for bound in broken(store.spec(name), record)])
        _write_bundles(bundles)
        if record.architecture is not None:
            write_drawing(store, name, trial)


def _write_bundles(bundles: Sequence[Mapping[str, Any]]) -> None:
    if bundles:
        click.echo("\nbundles")
        rows = [[each["digest"], ",".join(each["formats"]), each["created"]] for each in bundles]
        write_table(["digest", "programs", "written"], rows, clip=False)


def _write_trial(record: "TrialRecord", rungs: list[dict[str, Any]], broken: Sequence[str]) -> None:
    value = record.to_json()
    click.echo(f"trial         {record.number}, {record.state}{', cached' * record.cached}")
    click.echo(f"architecture  {value['architecture'] or 'not proposed yet'}")
    if record.violation:
        click.echo(f"violation     {cell(record.violation)} of its constraints, relative")
    for bound in broken:
        click.echo(f"breaks        {bound} as measured")
    value["measured"] = {
        name: "no" if item is False else item
        for name, item in record.measured.items()
        if item is not None
    }
    for title in ("decisions", "metrics", "measured", "note", "evaluated"):
        if value[title]:
            click.echo(f"\n{title}")
            width = max(map(len, value[title]))
            for name, item in value[title].items():
                click.echo(f"  {name:<{width}}  {cell(item)}")
    if rungs:
        names = list(dict.fromkeys(n for rung in rungs for n in rung["metrics"] or {}))
        click.echo("\nrungs")
        rows = [
            [str(r["epoch"]), f"{r['seconds']:.1f}"]
            + [cell((r["metrics"] or {}).get(n)) for n in names]
            for r in rungs
        ]
        write_table(["epoch", "seconds", *names], rows)
    if record.failure:
        click.echo(f"\nfailure: {record.failure.get('kind')}: {record.failure.get('message')}")
        if record.failure.get("detail"):
            click.echo(record.failure["detail"])


def _axes(
    _ctx: click.Context, option: click.Parameter, value: str | None
) -> tuple[str, str] | None:
    if value is None:
        return None
    names = [name.strip() for name in value.split(",")]
    if len(names) != 2 or not all(names):
        raise click.BadParameter(
            f'expected two metrics such as params,val_accuracy, got "{value}"', _ctx, option
        )
    return names[0], names[1]


@command("front")
@name_argument
@click.option("--plot", is_flag=True, help="Draw it before the list, dominated trials beside it.")
@click.option(
    "--axes",
    metavar="A,B",
    callback=_axes,
    help="Of the plot: metrics, across and up; by default the second and the first objective.",
)
@storage_option
@format_option
def front_command(
    name: str, plot: bool, axes: tuple[str, str] | None, storage: str, fmt: str
) -> None:
    """List the best trials of a study.

    Those of the study NAME that no other trial beats in every objective. A plot is of two metrics,
    or, where the study has one objective, of the best so far.

    \b
    Examples:
      nas front quickstart
      nas front quickstart --plot
      nas front quickstart --plot --axes macs,val_accuracy
      nas front quickstart --format json
    """
    from nas.store import Store

    if axes is not None and not plot:
        raise WrongUsage("--axes are of a plot; add --plot")
    if plot and fmt != "text":
        raise WrongUsage(f"--plot is text, and --format is {fmt}; leave one of the two out")
    store = Store.open_existing(storage)
    if plot:
        from nas.cli._plot import write_plot

        write_plot(store, name, axes)
        click.echo()
    front = store.front(name)
    if fmt == "text":
        write_front(front, list(store.status(name).objectives))
    else:
        write_rows([front_row(trial) for trial in front], fmt)
