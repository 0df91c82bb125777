"""`nas init`, `nas search`: from a study file to a front."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli._output import cell as shown
from nas.cli._output import choices, duration, write_json, write_rows, write_table
from nas.cli._progress import Live
from nas.cli._shared import (
    STORAGE,
    command,
    data_root_option,
    format_option,
    storage_option,
)
from nas.cli._startup import load_for
from nas.cli._types import File, Integer
from nas.cli._usage import WrongUsage, refuse_both

if TYPE_CHECKING:
    from nas.record import StudyStatus, TrialRecord
    from nas.setup import Setup

FAILED, INTERRUPTED = 1, 130
MEASURED_LATENCY = "measured_latency_ms"
# The states that the object of `search --format json` counts.
_COUNTED = ("complete", "failed", "pruned", "infeasible", "cached", "running")

executor_option = click.option(
    "--executor",
    metavar="NAME",
    help="Where trials run: inline, processes, ray, ray_tune, or another plug-in.",
)
workers_option = click.option(
    "--workers", metavar="N", type=Integer(min=1), help="Trials that run at one time."
)
accept_device_option = click.option(
    "--accept-device",
    is_flag=True,
    help="Predict latency by a profile of another machine; every record says so.",
)


@command("init")
@click.argument("file", type=File(), default="study.toml")
def init_command(file: Path) -> None:
    """Write a commented study file.

    To FILE, or study.toml; a file that exists is left as it is. It is a search that works.

    \b
    Examples:
      nas init
      nas init molecules.toml
    """
    from nas.cli._template import STUDY

    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(STUDY)
    except FileExistsError:
        raise WrongUsage(f"{file} exists; it is left as it is, choose another name") from None
    except OSError as error:
        raise WrongUsage(f"{file} cannot be written: {error.strerror}") from error
    click.echo(f"{file} written; edit it, then: nas search {file}", err=True)


@command("search", is_long=True)
@click.argument("spec", type=File())
@click.option("--name", metavar="NAME", help="Of the study; over [study] name.")
@storage_option
@click.option("--trials", metavar="N", type=Integer(min=1), help="Over [budget] trials.")
@executor_option
@workers_option
@click.option(
    "--batch",
    metavar="N",
    type=Integer(min=1),
    help="Over [study] batch: trials proposed and evaluated together.",
)
@click.option("--seed", metavar="N", type=Integer(min=0), help="Over [study] seed.")
@accept_device_option
@data_root_option
@click.option("--set", "sets", metavar="TABLE.KEY=VALUE", multiple=True, help="Any other key.")
@click.option(
    "--dry-run", is_flag=True, help="Only check all that can be checked before the first trial."
)
@format_option
@click.pass_context
def search_command(
    ctx: click.Context,
    spec: Path,
    name: str | None,
    storage: str,
    trials: int | None,
    executor: str | None,
    workers: int | None,
    batch: int | None,
    seed: int | None,
    accept_device: bool,
    data_root: Path,
    sets: tuple[str, ...],
    dry_run: bool,
    fmt: str,
) -> None:
    """Search as a study file says.

    SPEC is the study file. The front is printed at the end: the trials that no other trial beats in
    every objective.

    \b
    Examples:
      nas search studies/quickstart.toml
      nas search studies/cora.toml --trials 100 --executor processes --workers 4
      nas search studies/cora.toml --name deep --set 'space.depth=[4,5,6]' --format json
    """
    from nas.spec import load_spec

    options = {
        "--name": ("study.name", name),
        "--trials": ("budget.trials", trials),
        "--executor": ("executor.name", executor),
        "--workers": ("executor.workers", workers),
        "--batch": ("study.batch", batch),
        "--seed": ("study.seed", seed),
        "--accept-device": ("latency.accept_device", accept_device or None),
    }
    given = {option: pair for option, pair in options.items() if pair[1] is not None}
    refuse_both({option: key for option, (key, _) in given.items()}, sets)
    # JSON writes these strings and integers as TOML does.
    over = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.values()]
    study = load_spec(spec, [*sets, *over])
    if dry_run:
        with Live("checking"):
            load_for(trains=study.dataset is not None)
            from nas.study import check

            checked = check(study, storage=storage, data_root=data_root, where=str(spec))
        _write_checked(checked, fmt)
        return
    with reported(ctx, study.study.name, storage, fmt), Live() as live:
        load_for(trains=study.dataset is not None)
        from nas.study import search

        search(study, storage=storage, data_root=data_root, progress=live, where=str(spec))


def _write_checked(setup: "Setup", fmt: str) -> None:
    """What would be searched, as one object."""
    row = {
        "study": setup.spec.study.name,
        "architectures": setup.space.size(with_recipe=True),
        "objectives": dict(setup.objectives),
        "constraints": list(setup.spec.study.constraints),
        "dataset": setup.spec.dataset.name if setup.spec.dataset else None,
        "strategy": setup.spec.strategy.name,
        "evaluator": setup.spec.evaluator.name,
        "executor": setup.spec.executor.name,
        "batch": setup.batch,
        "rungs": list(setup.levels),
    }
    if fmt == "json":
        write_json(row)
    elif fmt == "csv":
        write_rows([row], fmt)
    else:
        click.echo(f"{row['study']}: nothing is wrong; {row['architectures']:,} architectures")


@contextmanager
def reported(ctx: click.Context, name: str, storage: str, fmt: str) -> Iterator[None]:
    """Print the result when the study ends, also when it ends because its trials fail."""
    from evaluators import InfrastructureError
    from nas.budget import StudyFailedError
    from nas.store import StoreFailedError, hidden_password

    try:
        yield
    except KeyboardInterrupt:
        interrupted(ctx, name, storage)
    except StudyFailedError:
        _write_result(name, storage, fmt)
        raise
    except (StoreFailedError, InfrastructureError):
        place = storage_argument(hidden_password(storage))
        click.echo(f"go on, when it is mended, with: nas resume {name}{place}", err=True)
        raise
    else:
        if not _write_result(name, storage, fmt):
            ctx.exit(FAILED)


def interrupted(ctx: click.Context, name: str, storage: str, command: str = "resume") -> None:
    from nas.store import Store, StoreError, hidden_password

    try:
        Store.open_existing(storage).status(name)
    except StoreError:
        click.echo("interrupted before the study began; nothing is recorded", err=True)
    else:
        place = storage_argument(hidden_password(storage))
        click.echo(f"interrupted; resume with: nas {command} {name}{place}", err=True)
    ctx.exit(INTERRUPTED)


def _write_result(name: str, storage: str, fmt: str) -> bool:
    """Print a study's front; returns whether there is one."""
    from nas.store import Store

    store = Store.open_existing(storage)
    status, front = store.status(name), store.front(name)
    if fmt == "json":
        write_json(
            {
                "study": status.name,
                "storage": status.storage,
                "seconds": status.seconds,
                "trials": {state: getattr(status.trials, state) for state in _COUNTED},
                "front": [front_row(trial) for trial in front],
            }
        )
    elif fmt == "csv":
        write_rows([front_row(trial) for trial in front], fmt)
    else:
        _write_text(status, front)
    return bool(front)


def _write_text(status: "StudyStatus", front: Sequence["TrialRecord"]) -> None:
    counts = status.trials
    said = [f"{counts.ended} trials in {duration(status.seconds)}"]
    said += [
        f"{getattr(counts, state)} {state}"
        for state in ("failed", "pruned", "infeasible", "cached")
        if getattr(counts, state)
    ]
    said += [f"ended by: {status.reason}"] * (status.reason != f"{counts.ended} trials")
    click.echo(f"{status.name}: {', '.join(said)}")
    place = storage_argument(status.storage)
    if not front:
        click.echo(f"no trial is complete and feasible; see: nas trials {status.name}{place}")
        return
    click.echo()
    write_front(front, list(status.objectives))
    click.echo()
    if front[0].artifact is None:  # looked up: there are no weights
        click.echo(f"see the table's test beside it:  nas confirm {status.name}{place}")
        return
    click.echo(f"measure test, on fresh seeds:  nas confirm {status.name}{place}")
    click.echo(f"leave with the best:           nas export {status.name} --to bundle{place}")


def storage_argument(shown_storage: str) -> str:
    """What a further command needs in order to find the study; nothing for the default."""
    from nas.store import hidden_password

    default = hidden_password(os.environ.get("NAS_STORAGE") or STORAGE)
    if shown_storage == default:
        return ""
    # A hidden password cannot be pasted: better a gap that is seen.
    return " --storage URL" if "***" in shown_storage else f" --storage {shown_storage}"


def front_row(trial: "TrialRecord") -> dict[str, Any]:
    """One object of a front; with what was measured on the device, where that was predicted."""
    value = trial.to_json()
    row = {k: value[k] for k in ("trial", "architecture", "decisions", "metrics")}
    if trial.measured or _is_predicted(trial):
        row |= measured_columns(trial)
    return row


def measured_columns(trial: "TrialRecord") -> dict[str, Any]:
    """What was measured of a trial on the device; None where it was not."""
    return {
        MEASURED_LATENCY: trial.measured.get("latency_ms"),
        "noisy": trial.measured.get("noisy"),
    }


def _is_predicted(trial: "TrialRecord") -> bool:
    """Whether its latency was predicted, with a spread, and not looked up in a table."""
    return "latency_low_ms" in trial.metrics


def write_front(front: Sequence["TrialRecord"], objectives: Sequence[str]) -> None:
    """A front as text: trial, objectives, latency as predicted and as measured, decisions."""
    latency = "latency_ms" if any(map(_is_predicted, front)) else None
    metrics = list(dict.fromkeys([*objectives, *filter(None, [latency])]))
    columns = [*metrics, *[MEASURED_LATENCY] * (latency is not None)]
    columns += ["noisy"] * any(trial.measured.get("noisy") for trial in front)
    rows = []
    for trial in front:
        values = {**trial.metrics, **measured_columns(trial)}
        said = choices(trial.architecture.choices) if trial.architecture else ""
        rows.append([str(trial.number), *(shown(values.get(name)) for name in columns), said])
    write_table(["trial", *columns, "decisions"], rows)
