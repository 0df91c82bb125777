"""`nas verify`, and digests: printed, recorded with the trial, and asked for again."""

import csv
import io
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

import nas as api

from .conftest import Nas, run


@pytest.fixture(scope="module")
def exported(study: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The row of an exported trial."""
    to = tmp_path_factory.mktemp("exported") / "b"
    line = ["export", "tiny", "--trial", "0", "--to", str(to), "--format", "json"]
    printed: dict[str, Any] = json.loads(run(*line, "--storage", study["storage"]).stdout)
    return printed


def test_a_digest_is_printed_and_recorded(nas: Nas, exported: dict[str, Any]) -> None:
    """As the manifest has it, in `nas show` as text and as JSON; no other trial has it."""
    digest = exported["digest"]
    assert digest == json.loads(Path(exported["manifest"]).read_text())["digest"]
    (row,) = json.loads(nas("show", "tiny", "0", "--format", "json").stdout)["bundles"]
    assert (row["digest"], row["formats"]) == (digest, ["pt2"])
    assert digest in nas("show", "tiny", "0").stdout
    assert json.loads(nas("show", "tiny", "1", "--format", "json").stdout)["bundles"] == []
    assert "bundles" not in nas("show", "tiny", "1").stdout


def test_text_and_a_quantized_one(nas: Nas, study: dict[str, Any], tmp_path: Path) -> None:
    result = nas("export", "tiny", "--trial", "2", "--to", str(tmp_path / "b"))
    few = ["--trial", "2", "--method", "nearest", "--format", "csv"]
    (row,) = csv.DictReader(
        io.StringIO(nas("quantize", "tiny", "--to", str(tmp_path / "q"), *few).stdout)
    )
    found = [each["digest"] for each in api.Study("tiny", storage=study["storage"]).bundles(2)]
    assert len(found) >= 2
    assert row["digest"] in found
    assert any(f"digest {each}\n" in result.stderr for each in found)


def test_a_database_that_goes_does_not_lose_the_bundle(
    study: dict[str, Any], tmp_path: Path
) -> None:
    """It goes while the network is written; a warning says so, and the bundle holds."""
    file = tmp_path / "nas.db"
    with sqlite3.connect(study["storage"].removeprefix("sqlite:///")) as there:
        there.execute("VACUUM INTO ?", (str(file),))
    written = tmp_path / "b" / "manifest.json"

    def gone(event: str, arguments: tuple[Any, ...]) -> None:
        """Once the bundle is there, the database is not."""
        if event == "os.rename" and str(arguments[1]) == str(tmp_path / "b"):
            file.unlink()

    sys.addaudithook(gone)
    line = ["export", "tiny", "--trial", "0", "--to", str(tmp_path / "b"), "--format", "json"]
    result = run(*line, "--storage", f"sqlite:///{file}")
    assert "warning: the bundle is written, but its digest could not be recorded" in result.stderr
    assert json.loads(result.stdout)["digest"] == json.loads(written.read_text())["digest"]
    assert run("verify", str(tmp_path / "b"), "--no-latency").exit_code == 0


def test_what_is_printed(exported: dict[str, Any]) -> None:
    """Rows on stdout, progress on stderr, and the exit status says whether all hold."""
    folder, digest = exported["bundle"], exported["digest"]
    line = ["verify", folder, "--no-latency", "--digest", digest[:12]]
    result = run(*line)
    assert result.stdout.splitlines()[0].split() == [
        "check", "program", "ok", "value", "expected", "detail",
    ]  # fmt: skip
    assert "all that was checked holds; 0 skipped or facts" in result.stderr
    assert "running pt2 beside weights.safetensors on 8 graphs" in result.stderr
    rows = json.loads(run(*line, "--format", "json").stdout)
    assert {row["ok"] for row in rows} == {True}
    assert [*rows[0]] == ["check", "program", "ok", "value", "expected", "detail"]
    read = list(csv.DictReader(io.StringIO(run(*line, "--format", "csv").stdout)))
    assert [row["check"] for row in read] == [row["check"] for row in rows]


def test_exit_status(exported: dict[str, Any], tmp_path: Path) -> None:
    folder = exported["bundle"]
    wrong = run("verify", folder, "--digest", "0" * 64, code=1)
    assert "NO" in wrong.stdout
    assert "1 of 7 checks do not hold" in wrong.stderr
    assert "is not a bundle" in run("verify", str(tmp_path), code=2).stderr
    assert "12 to 64 hex digits" in run("verify", folder, "--digest", "abc", code=2).stderr
    assert "did you mean" in run("verify", folder, "--dataset", "digits_kn", code=2).stderr
