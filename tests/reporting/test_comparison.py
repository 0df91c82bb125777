"""Reports of comparisons: random search's own row, differences, and what is not known."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from fakes.browser import Show

from nas.api import compare, search
from nas.cli import main
from nas.reporting import Report, page, report_of
from nas.store import Store, StoreError
from nas.store.schema import comparisons
from search_spaces import UsageError

TABLES: dict[str, Any] = {
    "study": {"name": "beside"},
    "space": {"name": "fakes.space", "kinds": ["plain"], "levels": 2},
    "evaluator": {"name": "fakes.table"},
    "budget": {"trials": 12},
}


@pytest.fixture
def compared(storage: str) -> Any:
    return compare(TABLES, ["local:startup=4"], seeds=3, storage=storage)


def words(report: Report) -> str:
    return " ".join(line for section in report.sections for line in section.words)


def test_it_says_what_nas_compare_says(compared: Any, storage: str) -> None:
    report = report_of(storage, "beside")
    assert report.kind == "comparison"
    (table,) = report.sections[0].tables
    rows = {row.strategy: row for row in compared.rows()}
    assert [row[0] for row in table.rows] == ["random", "local:startup=4"]
    for name, mean, *_ in table.rows:
        assert float(mean) == pytest.approx(rows[name].mean, rel=1e-3)
    # The random row is the strategy of that name, from its first evaluation to its last.
    (chart,) = report.sections[1].charts
    random = chart.data["series"][0]
    assert random["name"] == "random"
    assert random["y"] == [
        row.mean for row in compared.rows(random["x"]) if row.strategy == "random"
    ]
    assert "larger is better" in words(report)


def test_it_is_drawn(compared: Any, storage: str, tmp_path: Path, show: Show) -> None:
    file = tmp_path / "c.html"
    file.write_text(page(report_of(storage, "beside")), "utf-8")
    shown = show(file, width=400)
    assert shown.complaints == []
    assert shown.requests == [file.as_uri()]
    assert shown.page.locator("#seeds-chart .scatterlayer .point").count() == 2 * 3
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 400


def test_several_objectives_are_compared_by_hypervolume(storage: str) -> None:
    tables = {
        **TABLES,
        "study": {
            "name": "pair",
            "objectives": {"val_accuracy": "maximize", "latency_ms": "minimize"},
        },
    }
    point = {"val_accuracy": 0.0, "latency_ms": 100.0}
    compare(tables, ["nsga2"], seeds=2, reference=point, storage=storage)
    report = report_of(storage, "pair")
    assert "hypervolume" in words(report)
    (table,) = report.sections[0].tables
    assert all(float(row[1].replace(",", "")) > 0 for row in table.rows)
    assert "point of the hypervolume is this report's own" in words(report)


def test_with_the_point_of_nas_compare_the_numbers_are_its_own(
    storage: str, tmp_path: Path
) -> None:
    """Which the report is given; what does not fit is refused as nas compare refuses it."""
    objectives = {"val_accuracy": "maximize", "latency_ms": "minimize"}
    tables = {**TABLES, "study": {"name": "pair", "objectives": objectives}}
    point = {"val_accuracy": 0.0, "latency_ms": 100.0}
    compared = compare(tables, ["nsga2"], seeds=2, reference=point, storage=storage)
    report = report_of(storage, "pair", reference=point)
    (table,) = report.sections[0].tables
    said = [float(row[1].replace(",", "")) for row in table.rows]
    assert said == [pytest.approx(row.mean, rel=1e-3) for row in compared.rows()]
    assert "up to val_accuracy 0, latency_ms 100" in words(report)
    assert "report's own" not in words(report)

    def run(given: str, code: int) -> str:
        more = ["--reference", given, "--storage", storage, "--out", str(tmp_path / "c.html")]
        result = CliRunner().invoke(main, ["report", "pair", *more])
        assert result.exit_code == code, result.output
        return result.stderr

    run("val_accuracy=0,latency_ms=100", 0)
    assert "up to val_accuracy 0, latency_ms 100" in (tmp_path / "c.html").read_text("utf-8")
    assert 'reference: "params" is no objective' in run("params=1", 2)
    assert "expected --reference val_accuracy=VALUE,latency_ms=VALUE" in run("val_accuracy=1", 2)
    search(tables, storage=storage)
    assert "is a study; add --comparison" in run("val_accuracy=0,latency_ms=100", 2)


def test_one_of_an_earlier_version_has_losses_without_names(compared: Any, storage: str) -> None:
    store = Store(storage)
    with store.writing() as connection:
        connection.execute(sa.update(comparisons).values(objectives=sa.null()))
    assert "An earlier version recorded this" in words(report_of(storage, "beside"))


def test_seeds_that_not_all_have_are_left_out(compared: Any, storage: str) -> None:
    store = Store(storage)
    with store.writing() as connection:
        gone = sa.delete(comparisons).where(comparisons.c.seed == 2)
        connection.execute(gone.where(comparisons.c.label == "random"))
    assert "over 2 seeds" in report_of(storage, "beside").subtitle
    with store.writing() as connection:
        connection.execute(sa.delete(comparisons).where(comparisons.c.label == "random"))
    with pytest.raises(UsageError, match="the same nas compare goes on"):
        report_of(storage, "beside")


def test_a_study_of_that_name_comes_first(compared: Any, storage: str) -> None:
    search(TABLES, storage=storage)
    assert report_of(storage, "beside").kind == "study"
    assert report_of(storage, "beside", comparison=True).kind == "comparison"


def test_study_and_comparison_of_one_name_have_a_file_each(
    compared: Any, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written by default takes neither's place."""
    monkeypatch.chdir(tmp_path)

    def run(*more: str) -> str:
        result = CliRunner().invoke(main, ["report", "beside", *more, "--storage", storage])
        assert result.exit_code == 0, result.output
        return result.stdout.strip()

    assert run() == "beside-comparison.html"  # there is no study of the name yet
    search(TABLES, storage=storage)
    assert run() == "beside.html"
    study = Path("beside.html").read_bytes()
    assert run("--comparison") == "beside-comparison.html"
    assert Path("beside.html").read_bytes() == study
    assert Path("beside-comparison.html").read_bytes() != study


def test_a_name_that_is_neither_is_refused(compared: Any, storage: str) -> None:
    with pytest.raises(StoreError, match='no study "other"'):
        report_of(storage, "other")
