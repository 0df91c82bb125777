"""`nas resume`, `nas worker`: going on with a study, alone or beside others."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli._progress import Live, say
from nas.cli._shared import (
    command,
    data_root_option,
    format_option,
    name_argument,
    storage_option,
)
from nas.cli._startup import load_for_stored
from nas.cli._types import Integer, Number
from nas.cli.search import (
    accept_device_option,
    executor_option,
    interrupted,
    reported,
    storage_argument,
    workers_option,
)

if TYPE_CHECKING:
    from search_spaces.plugins import Plugin


@command("resume", is_long=True)
@name_argument
@storage_option
@click.option(
    "--trials", metavar="N", type=Integer(min=1), help="Wanted in all; a done study is done."
)
@click.option(
    "--seconds", metavar="SECONDS", type=Number(min=0, min_open=True), help="Of searching, in all."
)
@executor_option
@workers_option
@accept_device_option
@data_root_option
@format_option
@click.pass_context
def resume_command(
    ctx: click.Context,
    name: str,
    storage: str,
    trials: int | None,
    seconds: float | None,
    executor: str | None,
    workers: int | None,
    accept_device: bool,
    data_root: Path,
    fmt: str,
) -> None:
    """Go on with a study.

    The study NAME, as it is stored, from where it was stopped or killed.

    \b
    Examples:
      nas resume quickstart
      nas resume quickstart --trials 200 --workers 4
    """
    plugin = changed_executor(storage, name, executor, workers)
    with reported(ctx, name, storage, fmt), Live() as live:
        load_for_stored(storage, name)
        from nas.study import resume

        resume(
            name,
            storage=storage,
            data_root=data_root,
            trials=trials,
            seconds=seconds,
            executor=plugin,
            accept_device=accept_device,
            progress=live,
        )


@command("worker", is_long=True)
@name_argument
@storage_option
@executor_option
@workers_option
@accept_device_option
@data_root_option
@click.pass_context
def worker_command(
    ctx: click.Context,
    name: str,
    storage: str,
    executor: str | None,
    workers: int | None,
    accept_device: bool,
    data_root: Path,
) -> None:
    """Help with a study that others may be running.

    Takes part in the study NAME until it has all its trials: as many of these as you like, on any
    machines that reach the database (with SQLite: on one). Each may come and go; what one that is
    gone has left is finished by the others.

    \b
    Examples:
      nas worker cora --storage postgresql://me@host/nas
      nas worker cora --executor ray --workers 8
    """
    plugin = changed_executor(storage, name, executor, workers)
    try:
        with Live() as live:
            load_for_stored(storage, name)
            from nas.study import work

            status = work(
                name,
                storage=storage,
                data_root=data_root,
                executor=plugin,
                accept_device=accept_device,
                progress=live,
            )
    except KeyboardInterrupt:
        interrupted(ctx, name, storage, command="worker")
    else:
        of = f" of {status.target}" if status.target else ""
        ended, place = f"{status.trials.ended}{of} trials", storage_argument(status.storage)
        say(f"{name}: {ended}; see: nas front {name}{place}")


def changed_executor(
    storage: str, name: str, executor: str | None, workers: int | None
) -> "Plugin | None":
    """The stored executor with what the command line says instead; None where it says nothing.

    Workers alone, of a study that has none, are processes, as they are in `nas search`.
    """
    from nas.spec import StudySpec, check_plugin
    from nas.store import Store

    stored = Store.open_existing(storage).spec(name)
    if executor is None and workers is None:
        return None
    was = stored["executor"]["name"]
    is_kept = executor == was or (executor is None and was != "inline")
    table = stored["executor"] if is_kept else {}
    changed = {"name": executor, "workers": workers}
    table = table | {key: value for key, value in changed.items() if value is not None}
    spec = StudySpec.from_json({**stored, "executor": table})
    check_plugin("executor", spec.executor, "[executor]")
    return spec.executor
