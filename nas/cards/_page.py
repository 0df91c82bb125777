"""A card as one page of HTML that needs nothing else: no script, no network; any width or light."""

from typing import TYPE_CHECKING

from nas.cards._facts import Facts
from nas.cards._markdown import introduction, sections, title
from nas.cards._style import STYLE

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

# Also where a page is shown that was changed: nothing is loaded or run.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(facts: Facts) -> str:
    """The whole page."""
    reader, name = _reader(), title(facts)
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{name}</title>",
        f"<style>\n{STYLE}</style>",
        "</head>",
        "<body>",
        "<main>",
        "<header>",
        f"<h1>{name}</h1>",
        _html(reader, introduction(facts)),
        "</header>",
    ]
    for number, section in enumerate(sections(facts), 1):
        drawing = f"<figure>\n{section.drawing}\n</figure>" if section.drawing else ""
        parts += [
            f'<section aria-labelledby="section-{number}">',
            f'<h2 id="section-{number}">{section.title}</h2>',
            *filter(None, [drawing]),
            _html(reader, section.lines),
            "</section>",
        ]
    return "\n".join([*parts, "</main>", "</body>", "</html>", ""])


def _html(reader: "MarkdownIt", lines: list[str]) -> str:
    text: str = reader.render("\n".join(lines))
    return text.rstrip()


def _reader() -> "MarkdownIt":
    """Of CommonMark with tables, and without HTML: tags in the text are text."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.disable(["link", "image", "autolink", "html_block", "html_inline", "reference"])

    def opened(*_: object) -> str:
        return '<div class="wide" tabindex="0" role="group" aria-label="table">\n<table>\n'

    def closed(*_: object) -> str:
        return "</table>\n</div>\n"

    reader.add_render_rule("table_open", opened)
    reader.add_render_rule("table_close", closed)
    return reader
