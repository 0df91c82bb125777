"""`nas serve` as a process: what it prints, how it ends, what it refuses."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save

from nas.cli import main

from .conftest import BINARY


@contextmanager
def process(*line: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "nas", "serve", *line]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def first_line(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()


def ended(running: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = running.communicate(timeout=60)
    return running.returncode, out, err


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_from_its_first_line_to_its_end(node_bundle: Path, number: signal.Signals) -> None:
    """One line on stdout; a line a request on stderr; 0 once it is asked to end."""
    with process(str(node_bundle), "--port", "0") as running:
        url = first_line(running)
        assert url.startswith("http://127.0.0.1:")
        assert get(f"{url}/health")["ready"] is True
        running.send_signal(number)
        code, out, err = ended(running)
    assert (code, out) == (0, "")
    assert err.startswith("GET /health 200 ")
    assert err.count("\n") == 1


def test_what_runs_is_answered_before_the_end(node_bundle: Path) -> None:
    """And nobody new is let in; idle connections do not hold it up."""
    nodes = 1_500_000
    body = save({"x": torch.zeros(nodes, 3), "edge_index": torch.zeros(2, 0, dtype=torch.int64)})
    with process(str(node_bundle), "--port", "0", "--quiet") as running:
        url = first_line(running)
        port = int(url.rpartition(":")[2])
        idle = socket.create_connection(("127.0.0.1", port), 30)
        request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": BINARY})  # noqa: S310
        answers: list[Any] = []

        def ask() -> None:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                answers.append((answer.status, len(answer.read())))

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        code, _, err = ended(running)
        thread.join()
        idle.close()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), 5)
    assert (code, err) == (0, "")
    assert answers[0][0] == 200
    assert answers[0][1] > 12 * nodes


def test_a_second_signal_ends_at_once(node_bundle: Path) -> None:
    """130: what was asked is not answered."""
    with process(str(node_bundle), "--port", "0") as running:
        port = int(first_line(running).rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 30) as slow:
            slow.sendall(
                b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 9\r\n\r\n{"
            )
            time.sleep(0.5)
            running.send_signal(signal.SIGINT)
            time.sleep(1)
            assert running.poll() is None
            running.send_signal(signal.SIGINT)
            code, _, err = ended(running)
    assert code == 130
    assert err.splitlines()[-1] == "interrupted"


def test_other_machines_are_let_in_with_a_warning(node_bundle: Path) -> None:
    """Which the loopback, above, has not; and the line as JSON."""
    options = ("--port", "0", "--host", "0.0.0.0", "--format", "json")  # noqa: S104
    with process(str(node_bundle), *options) as running:
        assert running.stdout is not None
        row = json.loads("".join(running.stdout.readline() for _ in range(5)))
        assert get(f"http://127.0.0.1:{row['port']}/health")["ready"] is True
        running.send_signal(signal.SIGINT)
        code, _, err = ended(running)
    assert code == 0
    assert row["host"] == "0.0.0.0"  # noqa: S104
    assert "warning: 0.0.0.0 is reached from other machines, and there is no authentic" in err


def program_of(running: subprocess.Popen[str]) -> psutil.Process:
    [found] = [
        one
        for one in psutil.Process(running.pid).children()
        if "spawn_main" in " ".join(one.cmdline())
    ]
    return found


def test_its_program_dies_and_comes_back(node_bundle: Path) -> None:
    """Not healthy meanwhile; whoever asks waits. It ends with the server, however that ends."""
    with process(str(node_bundle), "--port", "0", "--quiet") as running:
        url = first_line(running)
        # Where memory ends, a library that says where it was in its code needs more, and hangs.
        assert program_of(running).environ()["RUST_BACKTRACE"] == "0"
        program_of(running).kill()
        codes = set()
        while len(codes) < 2:
            with contextlib.suppress(urllib.error.HTTPError):
                codes.add(get(f"{url}/health")["ready"])
                continue
            codes.add(503)
        assert predict(url, 2) == 200
        program = program_of(running)
        running.kill()
        program.wait(30)
        assert not program.is_running()


def test_its_program_never_returns(endless_bundle: Path) -> None:
    """504 in time, not healthy with the reason meanwhile, and then it is as before."""
    line = (str(endless_bundle), "--exporter", "fakes.endless", "--port", "0", "--quiet")
    with process(*line, "--forward-timeout", "1") as running:
        url = first_line(running)
        with pytest.raises(urllib.error.HTTPError) as late:
            predict(url, 13)
        assert late.value.code == 504
        assert "a longer --forward-timeout" in json.load(late.value)["error"]
        with pytest.raises(urllib.error.HTTPError) as health:
            get(f"{url}/health")
        said = json.load(health.value)
        assert (health.value.code, said["ready"]) == (503, False)
        assert said["reason"] == "the program took longer than 1 seconds and was ended"
        assert predict(url, 2) == 200
        assert sorted(get(f"{url}/health")) == ["manifest_sha256", "ready", "uptime_seconds"]


@pytest.mark.skipif(sys.platform != "linux", reason="a kernel that tells of a parent's death")
def test_its_program_never_returns_and_it_is_killed(endless_bundle: Path) -> None:
    """Nothing is left of it."""
    line = (str(endless_bundle), "--exporter", "fakes.endless", "--port", "0", "--quiet")
    with process(*line) as running:
        url = first_line(running)
        program = program_of(running)

        def ask() -> None:
            with contextlib.suppress(OSError):
                predict(url, 13)

        thread = threading.Thread(target=ask)
        thread.start()
        assert running.stderr is not None
        assert running.stderr.readline() == "forever\n"
        running.kill()
        try:
            program.wait(30)
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                program.kill()
        thread.join()


def predict(url: str, nodes: int) -> int:
    body = save({"x": torch.zeros(nodes, 3), "edge_index": torch.zeros(2, 0, dtype=torch.int64)})
    request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": BINARY})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return int(answer.status)


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("while it imports", signal.SIGTERM),
        ("while it opens the program", signal.SIGINT),
        ("while it opens the program", signal.SIGTERM),
    ],
)
def test_it_is_ended_before_it_answers(
    node_bundle: Path, moment: str, number: signal.Signals
) -> None:
    """0 and not a word, as later; the terminal and systemd tell its program too."""
    command = [sys.executable, "-m", "nas", "serve", str(node_bundle), "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as running:
        itself = psutil.Process(running.pid)
        while not (
            any("spawn_main" in " ".join(one.cmdline()) for one in itself.children())
            if "opens" in moment
            else any("libtorch" in one.path for one in itself.memory_maps())
        ):
            time.sleep(0.01)
        os.killpg(running.pid, number)
        assert ended(running) == (0, "", "")


def refused(*line: str) -> str:
    result = CliRunner().invoke(main, ["serve", *line])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_what_cannot_be_served(node_bundle: Path, tmp_path: Path) -> None:
    """No bundle, a port that is taken, a host that is not here."""
    assert "is not a bundle: manifest.json cannot be read" in refused(str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}: Address already in use; name another one by --port" in refused(
            str(node_bundle), "--port", port
        )
    assert '--host: there is no "no.such.host.invalid" here' in refused(
        str(node_bundle), "--host", "no.such.host.invalid"
    )
    assert "192.0.2.1, port 0: Cannot assign requested address" in refused(
        str(node_bundle), "--host", "192.0.2.1", "--port", "0"
    )


def test_without_what_it_needs(node_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that is missing, and what installs it."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "nas.serving.running", raising=False)
    assert "nas serve needs uvicorn, which is not installed: pip install 'gnn-nas[serve]'" in (
        refused(str(node_bundle))
    )
