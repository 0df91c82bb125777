"""The page that leads to everything, and pages that say one thing."""

from collections.abc import Mapping, Sequence
from html import escape

from nas.cards._numbers import number
from nas.record import StudyStatus
from nas.store import Store
from nas.store.comparisons import Compared, last_comparisons

_STYLE = """
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color: #1b1f24; background: #fff }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #d5dae0 }
td.number { font-variant-numeric: tabular-nums }
a { color: #0b57b0 }
h1, p, td:first-child { overflow-wrap: anywhere }
td:first-child { min-width: 7rem }
td a { white-space: nowrap }
.wide { overflow-x: auto }
@media (max-width: 40rem) { body { margin-top: 1rem } th, td { padding-right: .5rem } }
@media (prefers-color-scheme: dark) {
  body { color: #e6e9ed; background: #14171a } a { color: #7fb4ff }
  th, td { border-color: #343a40 } }
"""


def index(store: Store, ids: Mapping[str, int]) -> str:
    """A page with the studies and comparisons of a database.

    It has no script, and is read again every ten seconds.

    Args:
        ids: {study: its id} as the dashboard knows them.
    """
    studies = [_study(one, ids[one.name]) for one in store.studies() if one.name in ids]
    body = _table("Studies", ("study", "", "state", "trials", "best"), studies)
    body = f"<h1>Studies</h1>{body if studies else '<p>No study yet.</p>'}"
    if compared := [_comparison(one) for one in last_comparisons(store)]:
        head = ("comparison", "", "runs", "last added (UTC)", "strategies")
        body += f"<h2>Comparisons</h2>{_table('Comparisons', head, compared)}"
    return _page("Studies", body, refresh=True)


def _study(status: StudyStatus, id_: int) -> str:
    of = f" of {status.target}" if status.target else ""
    cells = (status.state, f"{status.trials.ended}{of}", status.best_told(number))
    links = {"dashboard": f"/dashboard/studies/{id_}", "report": f"/report/{status.name}"}
    return _row(status.name, cells, links)


def _comparison(compared: Compared) -> str:
    added = compared.changed[: len("2000-01-01T00:00")].replace("T", " ")
    cells = (str(sum(compared.runs.values())), added, ", ".join(compared.runs))
    return _row(compared.study, cells, {"report": f"/comparison/{compared.study}"})


def _row(name: str, cells: Sequence[str], links: Mapping[str, str]) -> str:
    told = "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells)
    led = " &middot; ".join(f'<a href="{escape(to)}">{word}</a>' for word, to in links.items())
    return f"<tr><td>{escape(name)}</td><td>{led}</td>{told}</tr>"


def _table(title: str, columns: Sequence[str], rows: Sequence[str]) -> str:
    """In a frame of its own: what is too wide for the window is moved there, by keys too."""
    head = "".join(f"<th>{column}</th>" for column in columns)
    table = f"<table><tr>{head}</tr>{''.join(rows)}</table>"
    return f'<div class="wide" tabindex="0" role="group" aria-label="{title}">{table}</div>'


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
