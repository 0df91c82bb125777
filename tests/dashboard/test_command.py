"""`nas dashboard` as a process: what it prints, shows, refuses, and how it ends."""

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from fakes.searched import searched

from nas.api import compare, search
from nas.cli import main
from nas.hosts import Hosts
from nas.store import Store, StoreError

from .conftest import ENVIRONMENT, NAS, STUDY, Page, Watched, dashboard

COMPARED = {
    "study": {"name": "beside"},
    "space": {"name": "fakes.space", "kinds": ["plain"], "levels": 2},
    "evaluator": {"name": "fakes.table"},
    "budget": {"trials": 4},
}


def test_what_the_page_reads(page: Page) -> None:
    """The study that was named, with values, rungs and metrics of its trials."""
    assert page.ask(page.url.removeprefix(page.base))[0] == 200
    study = page.study()
    assert study["name"] == "watched"
    assert study["objective_names"] == ["val_accuracy", "params"]
    assert len(study["trials"]) == 8
    complete = next(trial for trial in study["trials"] if trial["state"] == "Complete")
    assert [each["step"] for each in complete["intermediate_values"]] == [2, 6]
    assert {"val_loss", "macs"} <= {attribute["key"] for attribute in complete["user_attrs"]}
    assert study["best_trials"]


def test_nothing_sealed_is_shown(page: Page, watched: Watched) -> None:
    """The study has a confirmed trial, whose test metrics are in the database and not here."""
    assert "test_accuracy" in watched.nas("confirm", "watched", "--trial", "0", "--seeds", "2")
    assert "val_accuracy" in json.dumps(page.study())
    assert "test_" not in json.dumps(page.study())
    status, table = page.ask(f"/csv/{page.url.rsplit('/', 1)[1]}")
    assert status == 200
    assert b"val_loss" in table
    assert b"test_" not in table


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_only_reading_is_answered(page: Page, watched: Watched, method: str) -> None:
    """Whatever the page has buttons for: a study that is deleted there is still here."""
    for path in ("/api/studies/1", "/api/studies", "/api/studies/1/note"):
        status, body = page.ask(path, method)
        assert status == 405
        assert "only shows" in json.loads(body)["reason"]
    assert "watched" in watched.nas("list")


def test_the_index_leads_to_each_study(page: Page) -> None:
    """Without a script, with where each study stands."""
    status, body = page.ask("/")
    assert status == 200
    assert b"8 of 8" in body
    assert b'href="/dashboard/studies/1"' in body
    assert b"<script" not in body


def test_comparisons_are_led_to(tmp_path: Path) -> None:
    """Of each name the last one, as it stands when the page is asked for, and its report."""
    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    search(COMPARED, storage=storage)
    compare(COMPARED, ["local"], seeds=1, trials=3, storage=storage)
    with dashboard("--storage", storage) as running:
        assert b'<td class="number">local, random</td>' in running.ask("/")[1]
        compare(COMPARED, ["local:startup=2"], seeds=2, trials=4, storage=storage)
        body = running.ask("/")[1].decode()
        assert body.count('href="/comparison/beside"') == 1
        assert '<td class="number">local:startup=2, random</td>' in body
        assert '<td class="number">4</td>' in body
        status, report = running.ask("/comparison/beside")
        assert (status, b"local:startup=2" in report) == (200, True)
        assert b"A comparison of 2 strategies over 2 seeds" in report
        assert b"A comparison of" not in running.ask("/report/beside")[1]
        assert running.ask("/comparison/nowhere")[0] == 404
        assert running.ask("/comparison/beside", "POST")[0] == 405


@pytest.mark.parametrize("path", ["/", "/api/studies", "/dashboard", "/report/watched"])
def test_it_answers_to_its_own_names_alone(page: Page, path: str) -> None:
    """A page whose server gave its name this machine's address reads nothing."""
    port = page.base.rsplit(":", 1)[1]
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", ""):
        status, body = page.ask(path, Host=host)
        assert status == 421, host
        assert "--allowed-host" in json.loads(body)["error"]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "LOCALHOST."):
        assert page.ask(path, Host=host)[0] != 421


@pytest.mark.parametrize(
    ("host", "allowed", "taken", "refused"),
    [
        ("127.0.0.1", (), ["localhost", "127.0.0.1:80", "[::1]:80"], ["10.0.0.1", "a.b", "", " "]),
        ("::1", (), ["[::1]", "localhost"], ["[::2]", "::"]),
        ("10.0.0.7", (), ["10.0.0.7:80", "localhost"], ["10.0.0.8", "a.b"]),
        ("::", (), ["10.0.0.7:80", "[fe80::1]:8", "192.168.1.1"], ["a.b", "10.0.0.7.b"]),
        ("127.0.0.1", ("nas.example",), ["nas.example:443", "NAS.example"], ["b.nas.example"]),
        ("board", (), ["board:80"], ["boards"]),
    ],
)
def test_which_names_are_a_servers(
    host: str, allowed: tuple[str, ...], taken: list[str], refused: list[str]
) -> None:
    """Its own, those of the machine, those that were allowed; of all addresses, each number."""
    hosts = Hosts(host, allowed)
    assert [name for name in taken if hosts.refusal(name)] == []
    assert [name for name in refused if not hosts.refusal(name)] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_0(watched: Watched, number: signal.Signals) -> None:
    """One line on stdout, nothing on stderr."""
    with dashboard("--storage", watched.storage, "--quiet") as running:
        assert running.url.startswith("http://127.0.0.1:")
        assert running.ask("/")[0] == 200
        running.process.send_signal(number)
        out, err = running.process.communicate(timeout=30)
        assert (running.process.returncode, out, err) == (0, "", "")


def test_what_a_library_thinks_of_parameters_is_not_said(tmp_path: Path) -> None:
    """Optuna warns of decisions that few trials have, whenever a page asks what is important."""
    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    searched(storage, 60)
    with dashboard("--storage", storage) as running:
        status, body = running.ask("/api/studies/1/param_importances")
        assert (status, b"layer0.operator" in body) == (200, True)
        running.process.send_signal(signal.SIGINT)
        _, err = running.process.communicate(timeout=30)
    assert "warning" not in err.lower()


def test_it_warns_where_others_reach_it(watched: Watched) -> None:
    """On stderr; a name has to be allowed there, and is."""
    given = ("--host", "0.0.0.0", "--allowed-host", "box.example")  # noqa: S104
    with dashboard("--storage", watched.storage, *given) as running:
        port = running.url.rstrip("/").rsplit(":", 1)[1]
        here = Page(f"http://127.0.0.1:{port}/", running.process)
        assert here.ask("/", Host="box.example")[0] == 200
        assert here.ask("/", Host="other.example")[0] == 421
        running.process.send_signal(signal.SIGINT)
        _, err = running.process.communicate(timeout=30)
        assert "warning: 0.0.0.0 is reached from other machines" in err


def test_what_cannot_begin_is_said_in_a_line(watched: Watched, tmp_path: Path) -> None:
    """A study that is not there, a port that is taken, a host that is none, no database."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, said in (
            (["wached", "--storage", watched.storage], 'no study "wached"'),
            (["--port", port, "--storage", watched.storage], f"port {port}"),
            (["--host", "no.such.host.invalid", "--storage", watched.storage], "--host: there is"),
            (["--storage", f"sqlite:///{tmp_path / 'none.db'}"], "there is no database"),
        ):
            result = CliRunner().invoke(main, ["dashboard", *arguments, "--quiet"])
            assert result.exit_code == 2
            assert said in result.stderr
            assert result.stderr.count("\n") == 1


def test_without_its_library_it_says_what_to_install(watched: Watched) -> None:
    """In one line, as for every extra."""
    code = (
        "import sys; sys.modules['optuna_dashboard'] = None\n"
        "from nas.cli import main\n"
        f"main(['dashboard', '--quiet', '--storage', {watched.storage!r}])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert result.returncode == 2
    assert "pip install 'gnn-nas[dashboard]'" in result.stderr
    assert result.stderr.count("\n") == 1


def test_it_is_live(tmp_path: Path) -> None:
    """Trials appear while a search in another process runs, a running one among them."""
    spec = tmp_path / "live.toml"
    text = STUDY.replace("watched", "live").replace("epochs = 6", "epochs = 60")
    # So large a space that it is not all tried meanwhile.
    text = text.replace("depth = [1]", "depth = [3]").replace("params <= 500", "params <= 50000")
    spec.write_text(text)
    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    more = ["--storage", storage, "--trials", "5000", "--quiet"]
    command = [*NAS, "search", str(spec), *more]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=ENVIRONMENT) as search:
        try:
            _wait_for_study(storage)
            with dashboard("live", "--storage", storage) as running:
                counts = []
                while len(counts) < 2:
                    study = running.study()
                    ended = sum(trial["state"] != "Running" for trial in study["trials"])
                    if not counts or ended > counts[-1]:
                        counts.append(ended)
                    time.sleep(0.5)
                assert search.poll() is None
                assert counts == sorted(set(counts))
        finally:
            search.kill()


def _wait_for_study(storage: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(StoreError):
            if Store.open_existing(storage).status("live").trials.ended:
                return
        time.sleep(0.2)
    raise AssertionError("no trial has ended")


def test_a_report_is_led_to(page: Page) -> None:
    """By the index; a study that is not there has no page."""
    assert b'href="/report/watched"' in page.ask("/")[1]
    status, body = page.ask("/report/watched")
    assert (status, b"watched" in body, b"plotly" in body) == (200, True, True)
    assert page.ask("/report/nowhere")[0] == 404
