"""Reports as values: what each section says of a record, and of one that has nothing to say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fakes.searched import FAILED, NAME, STARTUP, confirmed, searched

import nas
from nas.cli import main
from nas.record import Confirmation, TrialState
from nas.reporting import Record, Report, Section, page, study_report
from nas.reporting._closing import text
from nas.reporting._record import read
from nas.reporting._shown import steps
from nas.spec import StudySpec, load_spec
from nas.store import Store
from search_spaces import UsageError


def section(report: Report, key: str) -> Section:
    return next(one for one in report.sections if one.key == key)


@pytest.fixture(scope="module")
def record(written: Any) -> Record:
    return read(Store(written.storage), NAME)


def test_the_random_row_is_the_best_so_far_of_the_start_alone(record: Record) -> None:
    chart = section(study_report(record), "progress").charts[0]
    search, random = chart.data["series"]
    assert (search["name"], random["name"]) == ("search", "random")
    start = [t for t in record.trials if t.number < STARTUP and t.state == "complete"]
    assert random["y"][-1] == max(t.metrics["val_accuracy"] for t in start)
    assert random["x"][-1] == STARTUP
    complete = [t for t in record.trials if t.state == "complete"]
    assert search["y"][-1] == max(t.metrics["val_accuracy"] for t in complete)
    # Without the notes there is no such row, and it says how to get one.
    mute = replace(record, trials=tuple(replace(t, note={}) for t in record.trials))
    mute = replace(mute, ranked=tuple((r, replace(t, note={})) for r, t in mute.ranked))
    silent = section(study_report(mute), "progress")
    assert [series["name"] for series in silent.charts[0].data["series"]] == ["search"]
    assert any("nas compare" in line for line in silent.words)


def test_of_random_search_the_random_row_is_the_search(record: Record) -> None:
    spec = {**record.spec, "strategy": {"name": "random"}}
    chart = section(study_report(replace(record, spec=spec)), "progress").charts[0]
    search, random = chart.data["series"]
    assert search["y"] == random["y"]


def test_steps_go_down_where_smaller_is_better() -> None:
    values = [(1.0, 5.0), (2.0, None), (3.0, 4.0), (4.0, 6.0)]
    assert steps(values, maximize=False) == [(1.0, 5.0), (3.0, 4.0), (4.0, 4.0)]
    assert steps(values, maximize=True) == [(1.0, 5.0), (4.0, 6.0)]
    assert steps([(1.0, None)], maximize=True) == []


def test_what_decides_is_found_important(record: Record) -> None:
    """Accuracy was made of `layer0.operator` and `layer0.width`."""
    (table,) = [c.table for c in section(study_report(record), "importance").charts]
    assert table is not None
    assert {row[0] for row in table.rows[:2]} == {"layer0.operator", "layer0.width"}
    few = replace(record, ranked=record.ranked[:5])
    said = section(study_report(few), "importance")
    assert said.charts == ()
    assert "from 20 on" in said.words[0]


def test_failures_are_told_by_kind(record: Record) -> None:
    (table,) = section(study_report(record), "failures").tables
    failed = [t.number for t in record.trials if t.state == "failed"]
    assert table.rows == (("diverged", str(len(failed)), str(FAILED - 1), "loss is nan"),)


def test_test_is_there_only_where_it_is_confirmed(record: Record) -> None:
    assert "test_accuracy" in page(study_report(record))
    unconfirmed = replace(record, confirmed=())
    assert "test_accuracy" not in page(study_report(unconfirmed))
    assert section(study_report(unconfirmed), "confirmed").charts == ()


def test_intervals_are_of_what_can_be(record: Record) -> None:
    """Student's, up to 1: in the chart and in its table."""
    values = {"val_accuracy": (0.98, 1.0, 0.99), "val_x": (1.0, 2.0, 3.0)}
    near = Confirmation(1, "k", {}, 3, {}, values, 1)
    (chart,) = section(study_report(replace(record, confirmed=(near,))), "confirmed").charts
    assert chart.table is not None
    # t of 2 degrees of freedom at 0.975 is 4.3027; the standard errors are 0.0057735 and 0.57735.
    assert chart.table.rows[0][-2:] == ("0.9900 (0.9652 to 1)", "2 (-0.4841 to 4.484)")
    accuracy = chart.data["series"][0]
    assert accuracy["low"] == pytest.approx([0.99 - 4.30265 * 0.0057735], rel=1e-5)
    assert accuracy["high"] == [1.0]


def test_the_cost_is_of_all_that_ended(record: Record) -> None:
    chart = section(study_report(record), "cost").charts[0]
    assert chart.table is not None
    total = dict(zip(chart.table.head, chart.table.rows[-1], strict=True))
    assert total["trials"] == str(len(record.trials))
    assert total["epochs"] == f"{sum(t.epochs for t in record.trials):,}"
    assert total["answered from the record"] == str(sum(t.cached for t in record.trials))


def test_a_study_without_trials_says_so_in_every_section(record: Record) -> None:
    empty = replace(record, trials=(), ranked=(), rungs=(), confirmed=())
    report = study_report(empty)
    assert [chart.key for one in report.sections for chart in one.charts] == []
    assert all(one.words for one in report.sections)
    assert "no front yet" in page(report)


def _all(record: Record, state: TrialState) -> Record:
    """As if all trials had ended so, without an evaluation; trial 5 broke its bounds least."""
    ended = tuple(
        replace(t, state=state, seconds=0.0, violation=abs(t.number - 5) + 0.1, failure=None)
        for t in record.trials
    )
    return replace(record, trials=ended, ranked=(), rungs=(), confirmed=())


def test_without_a_complete_trial_it_says_so_and_draws_nothing(record: Record) -> None:
    """No section says something else, and no chart has bars of no height."""
    report = study_report(_all(record, "failed"))
    assert "No trial is complete" in section(report, "parallel").words[0]
    said = section(report, "cost")
    assert said.charts == ()
    assert "nothing to draw" in said.words[-1]
    assert said.tables[0].rows[0][:2] == ("failed", str(len(record.trials)))
    assert report.chosen is None
    # With one that took a second there is something to draw.
    took = replace(record.trials[0], seconds=1.0)
    some = replace(_all(record, "failed"), trials=(took, *record.trials[1:]))
    assert section(study_report(some), "cost").charts


def test_what_was_answered_from_the_record_is_not_drawn_by_seconds(record: Record) -> None:
    cached = tuple(replace(t, seconds=0.0) for t in record.trials)
    report = study_report(replace(record, trials=cached))
    assert [chart.key for chart in section(report, "progress").charts] == ["progress-trials"]
    assert any("no progress by seconds" in line for line in section(report, "progress").words)
    assert section(report, "cost").charts == ()
    keys = [chart.key for chart in section(study_report(record), "progress").charts]
    assert keys == ["progress-trials", "progress-seconds"]


def test_where_nothing_is_feasible_the_nearest_is_shown(record: Record) -> None:
    """With its decisions, its metrics and its drawing; it is named in words too."""
    report = study_report(_all(record, "infeasible"))
    near = record.trials[5]
    assert report.chosen is not None
    assert near.architecture is not None
    assert (report.chosen.trial, "the best" in report.chosen.standing) == (5, False)
    assert report.chosen.decisions == dict(near.architecture.choices)
    assert report.chosen.metrics == dict(near.settled)
    text = page(report)
    assert "Trial 5, infeasible, the nearest to the constraints</h3>" in text
    assert text.index('<figure id="chosen-drawing"><svg') > 0
    for key in ("summary", "front"):
        assert any("Trial 5 came nearest" in line for line in section(report, key).words)
    assert section(study_report(record), "front").charts  # and the best, where there is one
    assert "came nearest" not in page(study_report(record))


def test_best_has_one_meaning_which_is_said(record: Record, storage: str) -> None:
    report = study_report(record)
    for key in ("front", "parallel", "operators"):
        words = " ".join(section(report, key).words)
        assert "front after front, in each by val_accuracy" in words, key
    searched(storage, 30, objectives={"val_accuracy": "maximize"})
    single = study_report(read(Store(storage), NAME))
    assert "(by val_accuracy)" in " ".join(section(single, "parallel").words)


def test_the_study_file_can_be_searched_again(record: Record, tmp_path: Path) -> None:
    file = tmp_path / "again.toml"
    for spec in (
        record.spec,
        {**record.spec, "extension": [["sparsity", {"weight_density": [1.0, 0.5]}]]},
    ):
        file.write_text(text(spec), encoding="utf-8")
        assert load_spec(file) == StudySpec.from_json(spec)


def test_one_objective_is_set_against_params(storage: str) -> None:
    searched(storage, 30, objectives={"val_accuracy": "maximize"})
    report = study_report(read(Store(storage), NAME))
    (chart,) = section(report, "front").charts
    assert (chart.data["x"], chart.data["y"]) == ("params", "val_accuracy")
    assert len(chart.table.rows) == 1 if chart.table else False


def test_the_command_writes_a_file_or_stdout(written: Any, tmp_path: Path) -> None:
    def run(*arguments: str, code: int = 0) -> Any:
        call = ["report", *arguments, "--storage", written.storage]
        result = CliRunner().invoke(main, call)
        assert result.exit_code == code, result.output
        return result

    out = tmp_path / "own.html"
    assert run(NAME, "--out", str(out)).stdout == f"{out}\n"
    assert out.read_text("utf-8").startswith("<!doctype html>")
    assert run(NAME, "--out", "-").stdout.startswith("<!doctype html>")
    with CliRunner().isolated_filesystem(tmp_path):
        assert run(NAME).stdout == f"{NAME}.html\n"
        assert Path(f"{NAME}.html").is_file()
    assert 'did you mean "searched"' in run("serched", code=2).stderr
    missing = tmp_path / "no" / "such" / "r.html"
    assert "cannot be written" in run(NAME, "--out", str(missing), code=2).stderr
    assert 'no comparison "searched"' in run(NAME, "--comparison", code=2).stderr


def test_python_writes_the_same(written: Any, tmp_path: Path) -> None:
    study = nas.Study(NAME, storage=written.storage)
    assert study.report(tmp_path / "r.html") == tmp_path / "r.html"
    assert (tmp_path / "r.html").read_bytes() == written.file.read_bytes()


def test_without_plotly_it_is_said_how_to_get_it(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(UsageError, match=r"pip install 'gnn-nas\[report\]'"):
        page(study_report(record))


def test_confirmations_of_one_seed_have_no_interval(storage: str) -> None:
    complete = searched(storage, 30)
    confirmed(storage, complete[:1], seeds=1)
    (chart,) = section(study_report(read(Store(storage), NAME)), "confirmed").charts
    series = chart.data["series"][0]
    assert series["low"] == series["high"] == [None]
