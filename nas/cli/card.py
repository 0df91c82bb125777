"""`nas card`: what a bundle holds and says, on one page."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli._output import json_text
from nas.cli._progress import Live, say
from nas.cli._shared import command
from nas.cli._types import File, OneOf
from nas.cli._usage import WrongUsage

if TYPE_CHECKING:
    from nas.cards import Facts

_ENDINGS = {".md": "md", ".html": "html", ".json": "json"}


@command("card", is_long=True)
@click.argument("bundle", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--out", metavar="FILE", type=File(), help="Write here; by default to stdout.")
@click.option(
    "--format",
    "fmt",
    type=OneOf(("md", "html", "json")),
    help="Of the card; by default what FILE ends in, or md.",
)
def card_command(bundle: Path, out: Path | None, fmt: str | None) -> None:
    """Describe a bundle on one page.

    The model card of the bundle in DIR: what it is, how to run it, how good, fast and close to its
    network it is, how it was trained, on what, and what that is under. In Markdown with the head
    that Hugging Face reads, as a page of HTML, or as JSON. The files are compared with their hashes
    first; no program is opened.

    \b
    Examples:
      nas card bundle
      nas card bundle --out card.html
      nas card bundle --format json
    """
    chosen = _format(out, fmt)
    with Live("reading the bundle"):
        from nas.cards import facts_of, markdown, page

        facts = facts_of(bundle)
        if chosen == "json":
            text = json_text(facts.to_json())
        else:
            text = markdown(facts) if chosen == "md" else page(facts)
    if out is None:
        click.echo(text, nl=False)
        return
    _write(facts, out, text)
    say(f"the card of {bundle} written to {out}")


def _format(out: Path | None, fmt: str | None) -> str:
    ending = None if out is None else _ENDINGS.get(out.suffix.lower())
    if fmt is not None and ending not in (None, fmt):
        raise click.UsageError(f"--format is {fmt}, and {out} ends in that of {ending}; change one")
    if fmt is None and out is not None and out.suffix and ending is None:
        known = ", ".join(_ENDINGS)
        raise click.UsageError(f"{out} ends in none of {known}; say what it is by --format")
    return fmt or ending or "md"


def _write(facts: "Facts", out: Path, text: str) -> None:
    from evaluators.replacing import replacing
    from nas.export._manifest import NAME

    names = {NAME, *facts.manifest.files}
    if out.resolve().parent == facts.folder.resolve() and out.name in names:
        raise WrongUsage(
            f"{out} is a file of the bundle, which would be damaged without it; "
            "write the card elsewhere"
        )
    try:
        with replacing(out) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WrongUsage(f"{out} cannot be written: {error.strerror}") from error
