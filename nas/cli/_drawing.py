"""The drawing of a trial: lines on stdout, or an SVG file."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli._usage import WrongUsage

if TYPE_CHECKING:
    from nas.store import Store


def write_drawing(store: "Store", name: str, trial: int) -> None:
    from nas.drawing import lines_of, trial_picture

    width, encoding = shutil.get_terminal_size().columns, sys.stdout.encoding or "ascii"
    click.echo(f"\n{lines_of(trial_picture(store, name, trial), width, encoding)}")


def write_svg(store: "Store", name: str, trial: int, to: Path) -> None:
    """To a file, or stdout for `-`."""
    from evaluators.replacing import replacing
    from nas.drawing import draw_trial

    drawing = draw_trial(store, name, trial)
    if str(to) == "-":
        click.echo(drawing, nl=False)
        return
    try:
        with replacing(to) as partial:
            partial.write_text(drawing, encoding="utf-8")
    except OSError as error:
        raise WrongUsage(f"--svg: {to} cannot be written: {error.strerror}") from error
    click.echo(f"{to} written", err=True)
