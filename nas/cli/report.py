"""`nas report`: a study or a comparison as one page that needs nothing else."""

from pathlib import Path

import click

from nas.cli._progress import Live
from nas.cli._shared import command, name_argument, storage_option
from nas.cli._types import File, Point

STDOUT = "-"


@command("report", is_long=True)
@name_argument
@click.option(
    "--out",
    metavar="FILE",
    type=File(),
    help="Write here; - is stdout. By default NAME.html, or NAME-comparison.html.",
)
@click.option("--comparison", is_flag=True, help="Of the comparison, where a study has its name.")
@click.option(
    "--reference",
    metavar="M=V,...",
    type=Point(),
    help="Of a comparison of several objectives: the reference point that nas compare was given.",
)
@storage_option
def report_command(
    name: str,
    out: Path | None,
    comparison: bool,
    reference: dict[str, float] | None,
    storage: str,
) -> None:
    """Write a study or a comparison as one page of HTML.

    Of the study NAME, or of the comparison made from a study file of that name: the front with its
    networks, progress beside random search, decisions, costs, failures, confirmed results. The file
    holds all it shows, and loads nothing. Needs pip install 'gnn-nas[report]'.

    \b
    Examples:
      nas report quickstart
      nas report quickstart --out report.html
      nas report quickstart --out - > report.html
      nas report bench_cora --comparison
      nas report bench_cora --comparison --reference val_accuracy=0.5,params=100000
    """
    if str(out) == STDOUT:
        from nas.reporting import page, report_of

        # Beside what goes to stdout a line that moves would be in the way.
        with Live("reporting", is_terminal=False):
            report = report_of(storage, name, comparison=comparison, reference=reference)
            text = page(report)
        click.echo(text, nl=False)
        return
    from nas.reporting import write

    with Live("reporting"):
        written = write(storage, name, out, comparison=comparison, reference=reference)
    click.echo(written)
