"""A report as one file of HTML that asks for nothing: style, scripts and data are inside."""

import base64
import hashlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from nas.reporting._report import Report
from nas.reporting._shown import value
from search_spaces import UsageError

if TYPE_CHECKING:
    from jinja2 import Environment

_EXTRA = "pip install 'gnn-nas[report]'"


def page(report: Report) -> str:
    """The whole page.

    Raises:
        UsageError: plotly, whose script the charts need, is not installed.
    """
    plotly, script = _plotly(), _template("report.js")
    template = _environment().get_template("report.html.j2")
    return template.render(
        report=report,
        policy=_policy(plotly, script),
        style=_template("report.css"),
        plotly=plotly,
        script=script,
        data=_json(_data(report)),
    )


def _plotly() -> str:
    """The one file of plotly.js that its package has: with all kinds of charts."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise UsageError(
            f"the charts of a report are plotly's, which is not installed: {_EXTRA}"
        ) from error
    text: str = get_plotlyjs()
    return text


def _template(name: str) -> str:
    return (files("nas.reporting") / "templates" / name).read_text("utf-8")


def _environment() -> "Environment":
    """All that is put in is escaped, but for what the template marks as safe."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nas.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["value"] = value
    return environment


def _policy(*scripts: str) -> str:
    """What the page may do: run these scripts and no other, and load nothing from anywhere."""
    hashes = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(each).decode()}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _data(report: Report) -> dict[str, Any]:
    charts = [chart for section in report.sections for chart in section.charts]
    return {
        "trials": report.trials,
        "drawings": report.drawings,
        "charts": [{"key": c.key, "kind": c.kind, "told": c.told, **c.data} for c in charts],
    }


def _json(data: Any) -> str:
    """JSON that cannot end the element it stands in: no `<`, `>` or `&` is in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
