"""The tables of NAS-Bench-Graph, as the installed wheel has them."""

import pickle
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from evaluators import Table, tabular
from evaluators.run import run
from evaluators.values import Job
from search_spaces import PluginError, nas_bench_graph
from search_spaces.plugins import Plugin

TABLES = get_args(tabular.TableName)
FEW = ("gcn", "sage", "arma", "linear", "skip")


def space_of(table: str):
    operators = FEW if table == "proteins" else nas_bench_graph.OPERATORS
    return nas_bench_graph.build(tabular.task(table=table), operators=operators)


@pytest.mark.parametrize("table", ["cora", "proteins"])
def test_rows_are_the_architectures_of_the_space(table: str) -> None:
    """One to one, both ways: key to architecture to key, and no architecture without a row."""
    results, space = tabular.read(table), space_of(table)
    assert len(results.keys) == space.size()
    rows = {results.row(architecture) for architecture in space}
    assert rows == set(range(len(results.keys)))
    for key in results.keys[::97].tolist():
        assert results.key(results.architecture(key)) == key


def test_the_other_tables_have_the_same_rows() -> None:
    """All but proteins: the same keys, other figures."""
    cora, *others = [tabular.read(table) for table in TABLES if table != "proteins"]
    assert len(others) == 7
    for other in others:
        assert (other.keys == cora.keys).all()
        assert (other.val != cora.val).mean() > 0.9


def test_the_figures_are_those_that_were_published() -> None:
    """The benchmark's first row of cora, and its best by validation and by test."""
    results = tabular.read("cora")
    architecture = results.architecture(10_000)
    row = results.row(architecture)
    assert architecture.choices["links"] == "0001"
    assert results.val[row] == pytest.approx(0.799333)
    assert results.test[row] == pytest.approx(0.814333)
    assert results.latency_ms[row] == pytest.approx(4.977862, abs=1e-6)
    assert results.params[row] == 1_369_863
    assert results.test.max() == pytest.approx(0.8313, abs=5e-5)
    best = results.test[results.val == results.val.max()]
    assert best == pytest.approx([0.808, 0.826333], abs=1e-6), "two rows tie, to six decimals"


def test_evaluations_hold_no_test_metric() -> None:
    """A job has validation, latency and parameters; test comes only from who may ask for it."""
    task = tabular.task(table="pubmed")
    space = nas_bench_graph.build(task)
    evaluator = Plugin("tabular", {"table": "pubmed"})
    architectures = [space.sample(np.random.default_rng(i)) for i in range(5)]
    jobs = [Job(a, space, evaluator, None, "file:///nowhere", 0, 1) for a in architectures]
    built = tabular.build(task, table="pubmed")
    assert isinstance(built, Table)
    results = tabular.read("pubmed")
    for architecture, evaluation in zip(architectures, run(jobs), strict=True):
        row = results.row(architecture)
        assert dict(evaluation.metrics) == {
            "val_accuracy": results.val[row],
            "latency_ms": results.latency_ms[row],
            "params": results.params[row],
        }
        assert built.test_metrics(architecture) == {"test_accuracy": results.test[row]}
    assert set(built.metrics) == set(evaluation.metrics)


def test_proteins_is_measured_by_roc_auc() -> None:
    """Its metric has the name of what it is, and its reference point lies at the worse end."""
    built = tabular.build(tabular.task(table="proteins"), table="proteins")
    assert built.metrics[0] == "val_roc_auc"
    reference = built.reference({"val_roc_auc": "maximize", "latency_ms": "minimize"})
    results = tabular.read("proteins")
    assert np.mean(results.val < reference["val_roc_auc"]) == pytest.approx(0.05, abs=0.01)
    assert np.mean(results.latency_ms > reference["latency_ms"]) == pytest.approx(0.05, abs=0.01)


def test_spaces_that_a_table_does_not_cover() -> None:
    """Operators that `proteins` lacks, and widths, are refused with what to do."""
    proteins = tabular.build(tabular.task(table="proteins"), table="proteins")
    proteins.check(space_of("proteins"))
    with pytest.raises(PluginError, match=r"no cheb, gat, gin, graph; give \[space\] operators"):
        proteins.check(space_of("cora"))
    cora = tabular.build(tabular.task(table="cora"), table="cora")
    cora.check(space_of("cora"))
    wide = nas_bench_graph.build(tabular.task(table="cora"), width=[8, 16])
    with pytest.raises(PluginError, match=r"width: .* without further decisions, got width"):
        cora.check(wide)
    with pytest.raises(PluginError, match=r'name: .*, got "other"; write name = "nas_bench_graph"'):
        cora.check(replace(wide, name="other"))
    with pytest.raises(PluginError, match="no key 99999"):
        tabular.read("cora").architecture(99_999)
    with pytest.raises(PluginError, match='no table is called "corra"; did you mean "cora"'):
        tabular.read("corra")


def test_a_wheel_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which extra has it."""
    monkeypatch.setattr(tabular, "WHEEL", "no-such-wheel")
    tabular.read.cache_clear()
    with pytest.raises(PluginError, match=r'pip install "gnn-nas\[bench\]"'):
        tabular.read("cora")
    tabular.read.cache_clear()


def test_a_pickle_that_calls_something_is_refused(tmp_path, monkeypatch) -> None:
    """Numbers are all that is read; the control is the same file through pickle itself."""
    marker = tmp_path / "called"

    class Evil:
        def __reduce__(self):
            return (marker.touch, ())

    folder = tmp_path / "nas_bench_graph" / "light"
    folder.mkdir(parents=True)
    (folder / "cora.bench").write_bytes(pickle.dumps({0: Evil()}))
    monkeypatch.setattr(tabular, "distribution", lambda _: _Found(tmp_path))
    tabular.read.cache_clear()
    with pytest.raises(PluginError, match="is no table"):
        tabular.read("cora")
    assert not marker.exists()
    pickle.loads((folder / "cora.bench").read_bytes())  # noqa: S301 - the control
    assert marker.exists()
    tabular.read.cache_clear()


def test_a_file_without_rows_is_refused(tmp_path, monkeypatch) -> None:
    """It would be a table of nothing."""
    folder = tmp_path / "nas_bench_graph" / "light"
    folder.mkdir(parents=True)
    (folder / "cora.bench").write_bytes(pickle.dumps({}))
    monkeypatch.setattr(tabular, "distribution", lambda _: _Found(tmp_path))
    tabular.read.cache_clear()
    with pytest.raises(PluginError, match="it has no rows"):
        tabular.read("cora")
    tabular.read.cache_clear()


class _Found:
    def __init__(self, root) -> None:
        self.root = root

    def locate_file(self, path: str):
        return self.root / path
