"""`nas compare`: strategies side by side, random search always among them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli._output import write_rows, write_table
from nas.cli._progress import Live, say
from nas.cli._shared import command, data_root_option, format_option, storage_option
from nas.cli._types import File, Integer, Point
from nas.cli._usage import refuse_both
from nas.cli.search import FAILED, INTERRUPTED

if TYPE_CHECKING:
    from nas.compare import Comparison, Row
    from nas.compare._plan import Standing


@command("compare", is_long=True)
@click.argument("spec", type=File())
@click.option(
    "--strategies",
    metavar="A,B,...",
    required=True,
    help="Names, with options as in evolution:population=20:sample=5; random is added.",
)
@click.option(
    "--seeds",
    metavar="N",
    type=Integer(min=1),
    default=10,
    show_default=True,
    help="Runs of each strategy, on seeds from the study's own.",
)
@click.option(
    "--trials",
    metavar="N",
    type=Integer(min=1),
    help="Evaluations of each run; over [budget] trials.",
)
@click.option(
    "--at", metavar="N,...", help="Rows after so many evaluations, in place of after all."
)
@click.option(
    "--reference",
    metavar="M=V,...",
    type=Point(),
    help="Reference point of the hypervolume, for several objectives.",
)
@click.option(
    "--workers",
    metavar="N",
    type=Integer(min=1),
    help="Processes, one run each at a time; by default the cores.",
)
@storage_option
@data_root_option
@click.option("--set", "sets", metavar="TABLE.KEY=VALUE", multiple=True, help="Any other key.")
@format_option
@click.pass_context
def compare_command(
    ctx: click.Context,
    spec: Path,
    strategies: str,
    seeds: int,
    trials: int | None,
    at: str | None,
    reference: dict[str, float] | None,
    workers: int | None,
    storage: str,
    data_root: Path,
    sets: tuple[str, ...],
    fmt: str,
) -> None:
    """Compare strategies with random search.

    Each searches the space of the study file SPEC, once a seed and with the same number of
    evaluations; what is answered without training is charged too. Runs that have ended are kept in
    the database: the same command goes on after an interruption, and more seeds add to those there.

    \b
    Examples:
      nas compare study.toml --strategies evolution,tpe --seeds 10 --trials 50
      nas compare studies/bench_cora.toml --strategies linas,local --trials 200 --at 50,100,200
      nas compare study.toml --strategies evolution:population=10,evolution:population=50
    """
    from nas.spec import load_spec

    refuse_both({"--trials": "budget.trials"} if trials is not None else {}, sets)
    study = load_spec(spec, sets)
    budgets = _budgets(at, trials or study.budget.trials)
    try:
        with Live("comparing") as live:
            from nas.compare import compare, split

            comparison = compare(
                study,
                split(strategies, ","),
                seeds=seeds,
                trials=trials,
                reference=reference,
                workers=workers or _cores(),
                storage=storage,
                data_root=data_root,
                progress=lambda standing: _show(live, standing),
                where=str(spec),
            )
    except KeyboardInterrupt:
        click.echo("interrupted; runs that have ended are kept, the same command goes on", err=True)
        ctx.exit(INTERRUPTED)
    rows = comparison.rows(budgets)
    for row in rows:
        if row.without:
            counted = "no mean" if row.mean is None else "their hypervolume is 0"
            say(
                f"warning: {row.without} of {row.seeds} runs of {row.strategy} had found nothing "
                f"complete and feasible after {row.trials} evaluations: {counted}"
            )
    if fmt == "text":
        _write(comparison, rows)
    else:
        write_rows([row.to_json() for row in rows], fmt)
    if all(row.without == row.seeds for row in rows):
        ctx.exit(FAILED)


def _show(live: Live, standing: "Standing") -> None:
    if standing.warning:
        live.warn(standing.warning)
    live.runs(standing.done, standing.wanted, standing.share, standing.seconds_left)


def _cores() -> int:
    import os

    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _budgets(text: str | None, trials: int | None) -> list[int]:
    """The numbers of `--at`, ascending; without a number of trials the comparison refuses."""
    if text is None or trials is None:
        return []
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= trials for part in parts):
        raise click.UsageError(
            f"--at: expected integers from 1 to {trials}, the trials of a run, joined by commas, "
            f'got "{text}"'
        )
    return sorted({int(part) for part in parts})


def _write(comparison: "Comparison", rows: Sequence["Row"]) -> None:
    columns = ["strategy", "trials", "seeds", "mean", "stderr", "difference to random", "p (Holm)"]
    has_test = any(row.test_mean is not None for row in rows)
    table = [
        [
            row.strategy,
            f"{row.trials}",
            f"{row.seeds}",
            _number(row.mean),
            _number(row.stderr),
            _difference(row),
            _p(row.p_holm),
            *([_number(row.test_mean), _number(row.test_stderr)] if has_test else []),
        ]
        for row in rows
    ]
    write_table([*columns, *(["test mean", "test stderr"] if has_test else [])], table)
    click.echo(f"\n{_explained(comparison)}")


def _explained(comparison: "Comparison") -> str:
    objectives = comparison.objectives
    if len(objectives) == 1:
        direction = "larger" if objectives[0].direction == "maximize" else "smaller"
        what = f"best {objectives[0].metric} ({direction} is better)"
    else:
        point = ", ".join(f"{metric}={v:g}" for metric, v in comparison.reference.items())
        what = f"hypervolume (larger is better) up to {point}"
    return (
        f"mean over seeds of the {what}; difference paired by seed, with its 95 % interval; p is "
        "for all rows together"
    )


def _difference(row: "Row") -> str:
    if row.difference_to_random is None:
        return ""
    shown = f"{_number(row.difference_to_random, sign=True)}"
    if row.interval is None:
        return shown
    low, high = row.interval
    return f"{shown}  [{_number(low, sign=True)}, {_number(high, sign=True)}]"


def _number(value: float | None, sign: bool = False) -> str:
    """Four digits behind the point, none of large numbers; tiny ones by their exponent."""
    if value is None:
        return ""
    plus = "+" if sign else ""
    if abs(value) >= 1000:
        return f"{value:{plus},.0f}"
    return f"{value:{plus}.4f}" if value == 0 or abs(value) >= 5e-5 else f"{value:{plus}.3g}"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"
