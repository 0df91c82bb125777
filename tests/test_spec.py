"""The study file: what it accepts, and what it says about what it does not."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas._chosen import PLUGIN_TABLES, options_of
from nas.spec import SpecError, StudySpec, check_plugins, load_spec, spec_from_mapping
from search_spaces import UsageError, plugins

STUDIES = Path(__file__).resolve().parents[1] / "studies"
SHIPPED = sorted(STUDIES.glob("*.toml"))
SMALL = '[dataset]\nname = "digits_knn"\n[budget]\ntrials = 3\n'


def written(folder: Path, text: str, name: str = "x.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(SpecError) as caught:
        check_plugins(load_spec(path, overrides), str(path))
    return str(caught.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_load_and_check_and_survive_json(path: Path) -> None:
    """Every study that we ship is valid, and the same after a round through JSON."""
    spec = load_spec(path)
    check_plugins(spec, str(path))
    again = StudySpec.from_json(spec.to_json())
    assert again == spec
    assert again.digest == spec.digest
    assert hash(again) == hash(spec)
    assert spec.study.name == path.stem


def test_there_are_shipped_studies() -> None:
    """The test above is about something."""
    assert {"quickstart", "digits_pixels", "cora", "mutag", "own_graph"} <= {
        path.stem for path in SHIPPED
    }


def test_the_smallest_study_has_defaults(tmp_path: Path) -> None:
    """A dataset and a budget are enough; everything else has a default."""
    spec = load_spec(written(tmp_path, SMALL))
    assert spec.study.name == "x"
    assert spec.study.seed == 0
    assert dict(spec.study.objectives) == {"val_accuracy": "maximize"}
    assert (spec.space.name, spec.strategy.name) == ("gnn", "evolution")
    assert (spec.evaluator.name, spec.executor.name) == ("training", "inline")
    assert spec.halving is None


def test_defaults_follow_from_the_rest(tmp_path: Path) -> None:
    """Several objectives ask for nsga2, workers for processes."""
    path = written(tmp_path, SMALL)
    several = load_spec(path, ['study.objectives={val_loss="minimize", params="minimize"}'])
    assert several.strategy.name == "nsga2"
    assert load_spec(path, ["executor.workers=2"]).executor.name == "processes"


# (a line of TOML over the quickstart, table and key, parts of what the message must say)
BAD_VALUES = [
    ('evaluator.epochs="many"', "[evaluator] epochs", ["an integer >= 1", '"many"']),
    ("evaluator.epochs=0", "[evaluator] epochs", ["an integer >= 1", "got 0"]),
    ("evaluator.epochs=2.5", "[evaluator] epochs", ["an integer >= 1", "got 2.5"]),
    ("evaluator.epochs=true", "[evaluator] epochs", ["an integer >= 1", "got true"]),
    ("evaluator.epoch=3", "[evaluator] epoch", ['did you mean "epochs"?']),
    ("evaluator.dropout=1.0", "[evaluator] dropout", ["a number >= 0 and < 1", "got 1.0"]),
    ("evaluator.optimizer=adm", "[evaluator] optimizer", ['"adam", "adamw" or "sgd"', '"adm"']),
    ("evaluator.name=trainin", "[evaluator] name", ['did you mean "training"?']),
    ("dataset.name=digits_kn", "[dataset] name", ['"digits_kn"', 'did you mean "digits_knn"?']),
    ("dataset.name=3", "[dataset] name", ["one of: ", "digits_knn", "got 3"]),
    ("dataset.normalize=rows", "[dataset] normalize", ['"none", "row" or "standardize"']),
    ("dataset.labels_per_class=0", "[dataset] labels_per_class", ["an integer >= 1"]),
    ("dataset.label_per_class=1", "[dataset] label_per_class", ['mean "labels_per_class"?']),
    ("dataset.undirected=1", "[dataset] undirected", ["true or false", "got 1"]),
    ("space.name=gn", "[space] name", ['did you mean "gnn"?']),
    ("space.name=no.such_space", "[space] name", ["cannot be imported", "Python's path"]),
    ("space.operators=gcn", "[space] operators", ["a list of strings", '"gcn"']),
    ("space.depth=[0]", "[space] depth", ["a list of integers >= 1", "[0]"]),
    ("strategy.name=evolutoin", "[strategy] name", ['did you mean "evolution"?']),
    ("strategy.popualtion=4", "[strategy] popualtion", ['did you mean "population"?']),
    ("executor.name=process", "[executor] name", ['did you mean "processes"?']),
    ("executor.workers=two", "[executor] workers", ["an integer >= 1", '"two"']),
    ("study.sed=1", "[study] sed", ['did you mean "seed"?']),
    ("study.seed=-1", "[study] seed", ["an integer >= 0", "got -1"]),
    ('study.name="a b"', "[study] name", ["letters, digits", '"a b"']),
    ("study.name=7", "[study] name", ["a string", "got 7"]),
    (
        "study.objectives.val_accuracy=max",
        "[study] objectives",
        ["val_accuracy: expected", 'got "max"', "maximize"],
    ),
    ("study.objectives={}", "[study] objectives", ["expected { metric"]),
    ("study.objectives.test_accuracy=maximize", "[study] objectives", ["sealed", "nas confirm"]),
    ('study.constraints=["test_loss <= 1"]', "[study] constraints", ["sealed"]),
    ('study.constraints=["params < 5"]', "[study] constraints", ["<= or >=", "<"]),
    ("study.constraints=[5]", "[study] constraints", ["a list of bounds", "[5]"]),
    ('study.start=["front"]', "[study] start", ['"study:NAME"', '"front"']),
    (
        "study.start=[{depth=true}]",
        "[study] start",
        ["a list of { decision = choice, ... }", "depth = true"],
    ),
    (
        "strategy.sample=5",
        "[strategy] sample",
        ['no option of the strategy "nsga2"', "it is an option of: evolution"],
    ),
    ("budget.trials=0", "[budget] trials", ["an integer >= 1", "got 0"]),
    ("budget.trial=9", "[budget] trial", ['did you mean "trials"?']),
    ("budget.seconds=0", "[budget] seconds", ["a number > 0", "got 0"]),
    ("budget.seconds=inf", "[budget] seconds", ["a number > 0", "got inf"]),
    ("budget.seconds=2026-01-01", "[budget] seconds", ["a number > 0", "got 2026-01-01"]),
    ("budget.no_progress=1.0", "[budget] no_progress", ["an integer >= 1", "got 1.0"]),
    ("budget.target={val_acuracy=1}", "[budget] target", ['did you mean "val_accuracy"?']),
    ("halving.epochs=[20,10]", "[halving] epochs", ["ascending", "[20, 10]"]),
    ("halving.epochs=[]", "[halving] epochs", ["not empty", "[]"]),
]


@pytest.mark.parametrize(("override", "place", "parts"), BAD_VALUES, ids=lambda v: str(v)[:40])
def test_a_wrong_value_is_named(override: str, place: str, parts: list[str]) -> None:
    """File, table and key, what was expected, what came: in one line."""
    path = STUDIES / "quickstart.toml"
    message = refusal(path, (override,))
    assert message.startswith(f"{path}: {place}: ")
    assert "\n" not in message
    for part in parts:
        assert part in message


BAD_TEXTS: Mapping[str, tuple[str, list[str]]] = {
    "unknown table": (f"{SMALL}[evaluater]\n", ["[evaluater]", 'did you mean "evaluator"?']),
    "key outside": (f"trials = 3\n{SMALL}", ['"trials"', "outside the tables"]),
    "no table": (f"space = 4\n{SMALL}", ["[space]", "expected a table", "got 4"]),
    "no budget": ('[dataset]\nname = "digits_knn"\n', ["[budget]", "trials, seconds, target"]),
    "no dataset": ("[budget]\ntrials = 3\n", ["[dataset] name: missing", "digits_knn"]),
    "no rungs": (
        f"{SMALL}[halving]\nreduction = 3\n",
        ["[halving] epochs", "missing", "a list of integers >= 1"],
    ),
    "syntax": ("[study]\nname = \n", ["not valid TOML", "line 2", "column 8"]),
    "twice": ("[study]\n[study]\n", ["not valid TOML", "line 2"]),
    "array of tables": (f"{SMALL}[[space]]\n", ["[space]", "expected a table"]),
}


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_a_wrong_file_is_named(case: str, tmp_path: Path) -> None:
    """What is wrong with the file as a whole is said with the file's name."""
    text, parts = BAD_TEXTS[case]
    path = written(tmp_path, text)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    for part in parts:
        assert part in message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Absent, a folder, or not text: each has its message, and a missing one a remedy."""
    written(tmp_path, SMALL, "quickstart.toml")
    assert 'quickstart.toml"?' in refusal(tmp_path / "quikstart.toml")
    assert "nas init" in refusal(tmp_path / "zzz" / "other.toml")
    assert "cannot be read" in refusal(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n")
    assert "UTF-8" in refusal(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("nonsense", "expected table.key=value"),
        ("trials=3", "expected table.key=value"),
        ("budget.=3", "expected table.key=value"),
        ("halving=null", "; to be without a table, leave it out of the file"),
        ("buget.trials=3", 'did you mean "budget"?'),
    ],
)
def test_a_wrong_override_is_named(override: str, part: str, tmp_path: Path) -> None:
    """What `--set` cannot read is quoted."""
    message = refusal(written(tmp_path, SMALL), (override,))
    assert message.startswith("--set")
    assert part in message
    assert override in message


def test_overrides_are_toml_or_else_text(tmp_path: Path) -> None:
    """Numbers, lists and tables are read as TOML; a word needs no quotes."""
    spec = load_spec(
        written(tmp_path, SMALL),
        ["space.depth=[4, 5]", "strategy.name=random", "study.name=2b"],
    )
    assert spec.space.options["depth"] == (4, 5)
    assert spec.strategy.name == "random"
    assert spec.study.name == "2b"


def test_an_override_with_a_line_break_stays_one_value(tmp_path: Path) -> None:
    """A value cannot smuggle in another key."""
    message = refusal(written(tmp_path, SMALL), ("study.seed=1\nname = 'other'",))
    assert "[study] seed: expected an integer" in message


def test_another_plugin_drops_the_options_of_the_old_one() -> None:
    """Options belong to their plug-in: `strategy.name=random` takes population away."""
    path = STUDIES / "quickstart.toml"
    assert load_spec(path, ["strategy.name=random"]).strategy.options == {}
    kept = load_spec(path, ["strategy.name=nsga2"]).strategy.options
    assert kept == {"population": 8}
    new = load_spec(path, ["strategy.population=5", "strategy.name=evolution"]).strategy
    assert new.options == {"population": 5}


def test_paths_are_taken_from_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the file from its folder; on the command line from the current one; absolute as is."""
    (tmp_path / "here").mkdir()
    text = '[dataset]\nname="graph_file"\nnodes="a.csv"\nedges="/b.csv"\n[budget]\ntrials=1\n'
    path = written(tmp_path, text)
    monkeypatch.chdir(tmp_path / "here")
    options = load_spec(path).dataset.options
    assert options == {"nodes": str(tmp_path / "a.csv"), "edges": "/b.csv"}
    changed = load_spec(path, ["dataset.nodes=c.csv"]).dataset.options
    assert changed["nodes"] == str(tmp_path / "here" / "c.csv")


def test_start_takes_decisions_with_and_without_quotes(tmp_path: Path) -> None:
    """Unquoted dotted keys are nested tables in TOML; both mean the same decision."""
    one = load_spec(written(tmp_path, SMALL), ['study.start=[{layer0.operator="gcn"}]'])
    two = load_spec(written(tmp_path, SMALL), ['study.start=[{"layer0.operator"="gcn"}]'])
    assert one == two
    assert one.study.start == ({"layer0.operator": "gcn"},)


def test_the_order_of_objectives_is_part_of_the_study(tmp_path: Path) -> None:
    """The first objective ranks, so the order survives JSON and enters the digest."""
    path = written(tmp_path, SMALL)
    one = load_spec(path, ["study.objectives={val_loss='minimize', params='minimize'}"])
    two = load_spec(path, ["study.objectives={params='minimize', val_loss='minimize'}"])
    assert one.digest != two.digest
    assert list(StudySpec.from_json(two.to_json()).study.objectives) == ["params", "val_loss"]


def test_a_spec_cannot_be_changed(tmp_path: Path) -> None:
    """Values are frozen."""
    spec = load_spec(written(tmp_path, SMALL))
    with pytest.raises(ValueError, match="frozen"):
        spec.study.seed = 4  # type: ignore[misc]
    with pytest.raises(TypeError):
        spec.study.objectives["params"] = "minimize"  # type: ignore[index]


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
metrics = st.sampled_from(["val_accuracy", "val_loss", "params", "macs", "train_seconds"])
scalars = st.one_of(
    st.integers(-(10**9), 10**9),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
options = st.dictionaries(
    st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(lambda key: key != "name"),
    st.one_of(scalars, st.lists(scalars, max_size=3)),
    max_size=3,
)
tables = st.fixed_dictionaries(
    {
        "study": st.fixed_dictionaries(
            {
                "name": names,
                "seed": st.integers(0, 2**40),
                "objectives": st.dictionaries(
                    metrics, st.sampled_from(["maximize", "minimize"]), min_size=1
                ),
                "constraints": st.lists(st.just("params <= 5e4"), max_size=2),
                "start": st.lists(st.one_of(st.just("study:x"), st.just({"depth": 2})), max_size=2),
            }
        ),
        "dataset": options.map(lambda given: {"name": "digits_knn", **given}),
        "space": options,
        "budget": st.fixed_dictionaries(
            {"seconds": st.floats(1e-3, 1e9)}, optional={"trials": st.integers(1, 10**6)}
        ),
    },
    optional={
        "halving": st.just({"epochs": [3, 9]}),
        "export": st.just({"targets": ["pt2", "onnx"]}),
    },
)


@given(tables)
def test_json_is_an_identity(mapping: dict[str, Any]) -> None:
    """`from_json(to_json(spec)) == spec`, whatever options a plug-in may have."""
    spec = spec_from_mapping(mapping)
    again = StudySpec.from_json(spec.to_json())
    assert again == spec
    assert again.digest == spec.digest
    assert again.to_json() == spec.to_json()


@given(st.recursive(scalars, lambda inner: st.dictionaries(st.text(max_size=4), inner, max_size=3)))
def test_anything_at_all_is_a_spec_or_a_usage_error(value: Any) -> None:
    """No content of a file makes another exception than the one for users."""
    for mapping in (
        {"study": value},
        {"budget": value, "dataset": {"name": "digits_knn"}},
        {"dataset": {"name": value}, "budget": {"trials": 1}},
        {"halving": {"epochs": value}, "study": {"name": "x"}},
    ):
        with pytest.raises(UsageError):
            spec_from_mapping(mapping)


@pytest.mark.parametrize("kind", PLUGIN_TABLES)
def test_no_option_is_called_name(kind: str) -> None:
    """It would stand where a table chooses its plug-in: no study file could give it."""
    for name in plugins.names(kind):
        assert "name" not in options_of(kind, name)


def test_reading_a_study_file_is_light() -> None:
    """Neither torch nor ray nor the plug-ins are imported for it."""
    code = (
        "import sys; from nas.spec import load_spec;"
        f"load_spec({str(STUDIES / 'quickstart.toml')!r});"
        "print(sorted({'torch', 'ray', 'optuna', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    root = STUDIES.parent
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert result.stdout.strip() == "[]"
