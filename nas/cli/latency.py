"""`nas latency`: how long networks take on a device; `nas latency measure` is here."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from nas.cli._lazy import Lazy
from nas.cli._output import write_rows
from nas.cli._progress import Live, say
from nas.cli._shared import command, data_root_option, debug_option, format_option, storage_option
from nas.cli._types import Integer, Number, OneOf, TrialNumber

if TYPE_CHECKING:
    from evaluators.latency.values import Runtime

F = TypeVar("F", bound=Callable[..., Any])
# Command: the module that defines it.
COMMANDS: Mapping[str, str] = {
    "measure": "latency",
    "profile": "profiles",
    "adapt": "profiles",
    "check": "profiles",
    "devices": "profiles",
}
RUNTIMES = ("eager", "compiled")
_COLUMNS = (
    "runtime",
    "latency_ms",
    "cpu_ms",
    "wall_ms",
    "spread",
    "load",
    "noisy",
    "peak_memory_bytes",
    "energy_mj",
)


@click.group("latency", cls=Lazy, modules=COMMANDS)
@debug_option
def latency_command() -> None:
    """Measure and predict how long networks take.

    \b
    Examples:
      nas latency measure quickstart 7
      nas latency profile study.toml --device laptop
    """


def _size_options(function: F) -> F:
    for option in (
        click.option("--graphs", metavar="N", type=Integer(min=1), help="Graphs at a time."),
        click.option(
            "--skew",
            metavar="GINI",
            type=Number(min=0, max=1, max_open=True),
            help="Gini coefficient of the in-degrees.",
        ),
        click.option(
            "--edges", metavar="N", type=Integer(min=0), help="Directed; else as the nodes."
        ),
        click.option("--nodes", metavar="N", type=Integer(min=1), help="Of a made-up graph."),
    ):
        function = option(function)
    return function


@command("measure", is_long=True)
@click.argument("subject", metavar="NAME|BUNDLE")
@click.argument("trial", metavar="[TRIAL]", required=False, type=TrialNumber())
@click.option(
    "--runtime",
    "runtimes",
    type=OneOf(RUNTIMES),
    multiple=True,
    default=("eager",),
    show_default=True,
    help="How it runs; twice for both, in turns.",
)
@click.option(
    "--threads",
    metavar="N",
    type=Integer(min=1),
    default=1,
    show_default=True,
    help="Threads that the network may use.",
)
@click.option(
    "--kind",
    type=OneOf(("cpu", "cuda")),
    default="cpu",
    show_default=True,
    help="The processor, or a GPU.",
)
@click.option(
    "--rounds",
    metavar="N",
    type=Integer(min=1),
    default=9,
    show_default=True,
    help="Slow networks get fewer.",
)
@_size_options
@storage_option
@data_root_option
@format_option
def measure_command(
    subject: str,
    trial: int | None,
    runtimes: tuple[str, ...],
    threads: int,
    kind: str,
    rounds: int,
    nodes: int | None,
    edges: int | None,
    skew: float | None,
    graphs: int | None,
    storage: str,
    data_root: Path,
    fmt: str,
) -> None:
    """Time a network on this device.

    That of trial TRIAL of the study NAME, on the study's own graph, or of a bundle in a folder, on
    a made-up graph of that size. The figure, latency_ms, is the lower quartile of several rounds:
    of CPU time for one thread, of wall time for several.

    \b
    Examples:
      nas latency measure quickstart 7
      nas latency measure quickstart 7 --runtime eager --runtime compiled --threads 2
      nas latency measure bundle --nodes 100000 --format json
    """
    if trial is None:
        _refuse_study(subject)
    with Live("measuring", is_calm=True) as live:
        from nas.latency.measure import Manner, Sizes, measure_bundle, measure_trial

        manner = Manner(
            runtimes=cast("tuple[Runtime, ...]", tuple(dict.fromkeys(runtimes))),
            threads=threads,
            kind="cuda" if kind == "cuda" else "cpu",
            rounds=rounds,
            say=live.say,
            report=lambda done, wanted: live.count(done, wanted, "rounds"),
        )
        sizes = Sizes(nodes, edges, skew, graphs)
        if trial is None:
            measured = measure_bundle(Path(subject), sizes=sizes, manner=manner)
        else:
            with _bundle_hint(subject):
                measured = measure_trial(
                    subject, trial, storage=storage, data_root=data_root, sizes=sizes, manner=manner
                )
    write_rows([one.to_json() for one in measured], fmt, _COLUMNS)
    for warning in filter(None, (one.warning for one in measured)):
        say(f"warning: {warning}")


def _refuse_study(subject: str) -> None:
    if not Path(subject).is_dir():
        raise click.UsageError(
            f'"{subject}" is no folder of a bundle; for a study name a trial too: '
            f"nas latency measure {subject} TRIAL"
        )


@contextmanager
def _bundle_hint(subject: str) -> Iterator[None]:
    """Where there is no such study, or trial of it, but a folder of its name."""
    from nas.store import StoreError

    try:
        yield
    except StoreError as error:
        if not Path(subject).is_dir():
            raise
        raise click.UsageError(
            f"{error}; a bundle takes no trial number: nas latency measure {subject}"
        ) from error
