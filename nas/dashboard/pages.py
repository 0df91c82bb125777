"""The page that leads to everything, and pages that say one thing."""

from collections.abc import Mapping
from html import escape

from nas.cards._numbers import number
from nas.store import Store

_STYLE = """
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color: #1b1f24; background: #fff }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #d5dae0 }
td.number { font-variant-numeric: tabular-nums }
a { color: #0b57b0 }
h1, p, td { overflow-wrap: anywhere }
td:first-child { min-width: 7rem }
.wide { overflow-x: auto }
@media (max-width: 40rem) { body { margin-top: 1rem } th, td { padding-right: .5rem } }
@media (prefers-color-scheme: dark) {
  body { color: #e6e9ed; background: #14171a } a { color: #7fb4ff }
  th, td { border-color: #343a40 } }
"""


def index(store: Store, ids: Mapping[str, int]) -> str:
    """A page with the studies of a database; it has no script, and is read again every ten seconds.

    Args:
        ids: {study: its id} as the dashboard knows them.
    """
    rows = []
    for status in store.studies():
        if status.name not in ids:
            continue
        of = f" of {status.target}" if status.target else ""
        best = status.best_told(number)
        name = escape(status.name)
        links = (
            f'<a href="/dashboard/studies/{ids[status.name]}">dashboard</a>',
            f'<a href="/report/{name}">report</a>',
        )
        cells = (status.state, f"{status.trials.ended}{of}", best)
        told = "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells)
        rows.append(f"<tr><td>{name}</td>{told}<td>{' &middot; '.join(links)}</td></tr>")
    head = "".join(f"<th>{word}</th>" for word in ("study", "state", "trials", "best", ""))
    table = f"<table><tr>{head}</tr>{''.join(rows)}</table>"
    # What is too wide for the window is moved in a frame of its own, by keys too.
    frame = f'<div class="wide" tabindex="0" role="group" aria-label="Studies">{table}</div>'
    body = frame if rows else "<p>No study yet.</p>"
    return _page("Studies", f"<h1>Studies</h1>{body}", refresh=True)


def message(title: str, text: str) -> str:
    """A page that says one thing."""
    return _page(title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>")


def _page(title: str, body: str, *, refresh: bool = False) -> str:
    again = '<meta http-equiv="refresh" content="10">' if refresh else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{again}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )
