"""benchmarks/reporting.py: targets are missed by what misses them, and words around tables stay."""

import json
from pathlib import Path

import pytest
import reporting


@pytest.mark.parametrize(
    ("value", "baseline", "ok"), [(4.0, 10.0, True), (6.0, 10.0, False), (0.4, None, True)]
)
def test_a_bound_is_on_the_ratio(value: float, baseline: float | None, ok: bool) -> None:
    row = reporting.row("case", "ms", value, baseline)
    assert row["ok"] is None
    assert reporting.bounded(row, "<=", 0.5)["ok"] is ok
    assert reporting.bounded(row, ">", 0.5)["ok"] is not ok
    assert reporting.bounded(row, "<=", None) == row
    assert reporting.bounded(reporting.row("case", "ms", None, baseline), ">=", 0.0)["ok"] is False


def test_what_was_missed_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = reporting.bounded(reporting.row("kept", "ms", 1.0), "<=", 2)
    missed = reporting.bounded(reporting.row("missed", "ms", 3.0, 1.0), "<=", 2)
    reporting.report([kept, missed, reporting.row("no target", "ms", 9.0)], tmp_path / "rows.json")
    said = capsys.readouterr().out
    assert "2 targets, 1 missed" in said
    assert "missed: missed: ms: 3 (3 beside 1), <= 2" in said
    assert [r["ok"] for r in json.loads((tmp_path / "rows.json").read_text())] == [1, 0, None]


def test_sections_are_run_as_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And each is written with the command that measures it again."""
    document = tmp_path / "speed.md"
    parser = reporting.command_line("What is it?", "less", document, ("one", "two"))
    with pytest.raises(SystemExit):
        parser.parse_args(["--only", "three"])
    arguments = parser.parse_args(["--quick", "--write", "--only", "two"])
    reporting.by_section(arguments, lambda name: (f"of {name}", []), document, "Speed", " --n 3")
    assert "of two" in capsys.readouterr().out
    text = document.read_text()
    assert "python benchmarks/speed.py --quick --n 3 --only two\n" in text
    assert "of one" not in text


def test_sections_of_a_document_are_replaced(tmp_path: Path) -> None:
    """Words around them stay."""
    document = tmp_path / "evaluation.md"
    reporting.put(document, "one", "Title", "command", "first")
    reporting.put(document, "two", "Title", "command", "second")
    document.write_text(document.read_text() + "\nWhat it says.\n")
    reporting.put(document, "one", "Title", "command", "third")
    text = document.read_text()
    assert "first" not in text
    assert text.index("third") < text.index("second") < text.index("What it says.")
    assert text.startswith("# Title\n")
