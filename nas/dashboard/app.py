"""What is answered: the index, reports, and Optuna's dashboard behind them, all of it read only."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote

from optuna_dashboard import wsgi

from nas.dashboard.mirror import Mirror
from nas.dashboard.pages import index, message
from nas.hosts import Hosts
from nas.reporting import page, report_of
from nas.store import Store, StoreFailedError
from search_spaces import UsageError

Environ: TypeAlias = dict[str, Any]
Start: TypeAlias = Callable[..., Any]
App: TypeAlias = Callable[[Environ, Start], Iterable[bytes]]
_HTML, _JSON = "text/html; charset=utf-8", "application/json"
_READING = ("GET", "HEAD")
_MISDIRECTED = "421 Misdirected Request"
# Where the report of a study, or of the comparison of its name, is.
_REPORT, _COMPARISON = "/report/", "/comparison/"
# No page of another origin may show these in a frame, or be told where they were left for.
_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Referrer-Policy", "no-referrer"),
)


def make_app(store: Store, hosts: Hosts) -> App:
    """The application, as WSGI has it.

    Args:
        store: whose studies are shown.
        hosts: the names that it is asked by; others get 421.
    """
    mirror = Mirror(store)
    dashboard: App = wsgi(mirror)

    def answered(environ: Environ, start: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if said := hosts.refusal(environ.get("HTTP_HOST", "")):
            return _text(start, _MISDIRECTED, _refused(said), _JSON)
        if environ["REQUEST_METHOD"] not in _READING:
            said = "the dashboard only shows: nothing can be changed in it; use the command nas"
            return _text(start, "405 Method Not Allowed", _refused(said), _JSON, Allow="GET, HEAD")
        if path in ("", "/"):
            ids = {study.study_name: study._study_id for study in mirror.get_all_studies()}
            return _text(start, "200 OK", index(store, ids), _HTML)
        for prefix in (_REPORT, _COMPARISON):
            if path.startswith(prefix):
                name = unquote(path.removeprefix(prefix)).rstrip("/")
                return _report(start, store, name, comparison=prefix == _COMPARISON)
        return dashboard(environ, _with_headers(start))

    return answered


def _report(start: Start, store: Store, name: str, *, comparison: bool) -> Iterable[bytes]:
    try:
        report = report_of(store.storage, name, comparison=comparison)
        return _text(start, "200 OK", page(report), _HTML)
    except UsageError as error:
        return _text(start, "404 Not Found", message("No report", str(error)), _HTML)
    except StoreFailedError as error:
        return _text(start, "503 Service Unavailable", message("No report", str(error)), _HTML)


def _refused(said: str) -> str:
    # `reason` is what Optuna's page shows of an error.
    return json.dumps({"error": said, "reason": said})


def _text(start: Start, status: str, text: str, kind: str, **more: str) -> Iterable[bytes]:
    body = text.encode()
    headers = {"Content-Type": kind, "Content-Length": str(len(body)), **more}
    _with_headers(start)(status, list(headers.items()))
    return [body]


def _with_headers(start: Start) -> Start:
    def begin(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        given = {name.lower() for name, _ in headers}
        more = [pair for pair in _HEADERS if pair[0].lower() not in given]
        return start(status, [*headers, *more], *rest)

    return begin


def url_of(store: Store, base: str, name: str | None) -> str:
    """The address of a study's page, or of the index.

    Raises:
        StoreError: there is no such study.
    """
    if name is None:
        return f"{base}/"
    store.status(name)
    ids: Mapping[str, int] = store.ids()
    return f"{base}/dashboard/studies/{ids[name]}"
