"""`nas supernet`: one network with shared weights for all architectures of a study's space."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli._agreements import write_agreements
from nas.cli._lazy import Lazy
from nas.cli._progress import Live, say
from nas.cli._shared import (
    command,
    data_root_option,
    debug_option,
    format_option,
    name_argument,
    storage_option,
)
from nas.cli._startup import load_for, load_for_stored
from nas.cli._types import File, Integer
from nas.cli._usage import refuse_both
from nas.cli.resume import changed_executor
from nas.cli.search import INTERRUPTED, executor_option, storage_argument, workers_option

if TYPE_CHECKING:
    from nas.supernet.ranking import Ranking

# Command: the module that defines it.
COMMANDS: Mapping[str, str] = {
    "train": "supernet",
    "rank": "supernet",
    "specialise": "specialise",
}
_MEASURES = {
    "slice": "slices",
    "read_out": "slices, read out",
    "foreseen": "foreseen from read-outs",
    "short": "{short} epochs alone",
    "ceiling": "another seed alone (ceiling)",
}


@click.group("supernet", cls=Lazy, modules=COMMANDS)
@debug_option
def supernet_command() -> None:
    """Train one network for a whole space; rank and choose slices.

    \b
    Examples:
      nas supernet train studies/supernet_cora.toml
      nas supernet rank supernet_cora
      nas supernet specialise supernet_cora --latency 2,5,10 --device laptop
    """


@command("train", is_long=True)
@click.argument("spec", type=File())
@storage_option
@executor_option
@workers_option
@data_root_option
@click.option("--set", "sets", metavar="TABLE.KEY=VALUE", multiple=True, help="Any other key.")
@click.pass_context
def train_command(
    ctx: click.Context,
    spec: Path,
    storage: str,
    executor: str | None,
    workers: int | None,
    data_root: Path,
    sets: tuple[str, ...],
) -> None:
    """Train the supernet of a study file, and stop before its first trial.

    SPEC is a study file with the evaluator `inherited`. Killed or stopped, the same command goes on
    where it was; so does `nas resume`, which then goes through the trials, too. What was measured
    epoch by epoch is in `nas prepared NAME`.

    \b
    Examples:
      nas supernet train studies/supernet_cora.toml
      nas supernet train studies/supernet_cora.toml --set evaluator.epochs=200
    """
    from nas.spec import load_spec

    options = {
        "--executor": ("executor.name", executor),
        "--workers": ("executor.workers", workers),
    }
    given = {option: pair for option, pair in options.items() if pair[1] is not None}
    refuse_both({option: key for option, (key, _) in given.items()}, sets)
    over = [f"{key}={json.dumps(value)}" for key, value in given.values()]
    study = load_spec(spec, [*sets, *over])
    name, place = study.study.name, storage_argument(storage)
    try:
        with Live() as live:
            load_for(trains=study.dataset is not None)
            from nas.supernet.training import train

            train(study, storage=storage, data_root=data_root, progress=live, where=str(spec))
    except KeyboardInterrupt:
        click.echo("interrupted; what is trained is recorded, the same command goes on", err=True)
        ctx.exit(INTERRUPTED)
    say(
        f"the supernet of {name} is trained; see nas prepared {name}{place}\n"
        f"  does it rank?  nas supernet rank {name}{place}\n"
        f"  search it:     nas resume {name}{place}"
    )


@command("rank", is_long=True)
@name_argument
@storage_option
@click.option(
    "--architectures",
    metavar="N",
    type=Integer(min=10),
    default=50,
    show_default=True,
    help="Drawn, and trained alone.",
)
@click.option(
    "--seeds",
    metavar="N",
    type=Integer(min=2),
    default=3,
    show_default=True,
    help="To train each alone with.",
)
@click.option(
    "--short-epochs",
    metavar="N",
    type=Integer(min=1),
    default=20,
    show_default=True,
    help="Of the comparison that needs no supernet.",
)
@executor_option
@workers_option
@data_root_option
@format_option
@click.pass_context
def rank_command(
    ctx: click.Context,
    name: str,
    storage: str,
    architectures: int,
    seeds: int,
    short_epochs: int,
    executor: str | None,
    workers: int | None,
    data_root: Path,
    fmt: str,
) -> None:
    """Measure whether the slices of a study's supernet rank as training alone does.

    Architectures of the study NAME are drawn and trained alone with several seeds: each seed is a
    study, NAME-alone-0 and so on, which goes on where it was stopped. Printed are Kendall's tau and
    Spearman's rho with the mean over the seeds: of the slices; of the slices with outputs fitted
    anew; of what a regression foresees that has seen many of those; and of a few epochs of training
    alone, with a seed of its own, which need no supernet. Beside them, the ceiling: tau of one seed
    with another. What is judged by the mean over seeds, which is less noisy, can exceed it, and 0.8
    of it is the least to ask for, not the best to hope for. The result is recorded.

    Exit status 0 whether or not slices are to be trusted: `is_enough` says it in JSON.

    \b
    Examples:
      nas supernet rank supernet_cora
      nas supernet rank supernet_cora --architectures 20 --seeds 2 --workers 2 --format json
    """
    plugin = changed_executor(storage, name, executor, workers)
    try:
        with Live() as live:
            load_for_stored(storage, name)
            from nas.supernet.ranking import rank

            ranking = rank(
                name,
                storage=storage,
                data_root=data_root,
                architectures=architectures,
                seeds=seeds,
                short_epochs=short_epochs,
                executor=plugin,
                progress=live,
            )
    except KeyboardInterrupt:
        click.echo("interrupted; what is trained is recorded, the same command goes on", err=True)
        ctx.exit(INTERRUPTED)
    write_agreements(ranking, fmt, lambda m: _MEASURES[m].format(short=ranking.short_epochs))
    if fmt == "text":
        click.echo(
            f"\n{ranking.architectures} of {ranking.drawn} architectures, trained alone for "
            f"{ranking.epochs} epochs with {ranking.seeds} seeds; by {ranking.metric}\n"
            f"what is foreseen has a tau of {ranking.held_out_tau:.2f} with read-outs held out"
        )
        click.echo(verdict(ranking))


def verdict(ranking: "Ranking") -> str:
    """Whether to trust slices, in a sentence; where not, what does not help."""
    from nas.supernet.ranking import TRIED

    if not ranking.has_ceiling:
        return (
            "do not trust it: training alone does not agree with itself from seed to seed (the "
            "interval of the ceiling reaches 0), so nothing can be measured by it; draw more "
            "--architectures, train them longer (evaluator.alone_epochs), or widen the space"
        )
    needed = f"{ranking.needed:.2f} (0.6, or 0.8 of the ceiling where that is lower)"
    if ranking.is_enough:
        return f"trust what is foreseen: its tau is at or above {needed}"
    return (
        f"do not trust it: the tau of what is foreseen is below {needed}; narrow the space, or "
        f"search with the evaluator training. {TRIED}"
    )
