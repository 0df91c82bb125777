"""A study moved from one database to another is the same study, or is not moved at all."""

import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fakes.studies import fake_spec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.store import Store, StoreError, schema
from nas.store.exporting import export_study, export_to_file
from nas.store.importing import import_study
from nas.store.moving import FORMAT, PARTS, line
from nas.study import resume, search

ENDED = ("complete", "pruned", "infeasible", "failed")
COUNTER = itertools.count()
TABLES = f'"tables":{schema.VERSION}'


def exported(store: Store, name: str, **options: Any) -> list[str]:
    file = io.StringIO()
    export_study(store, name, file, **options)
    return file.getvalue().splitlines(keepends=True)


def halved(storage: str, trials: int = 5, **tables: Any) -> Store:
    search(fake_spec(trials, "evolution", **tables), storage=storage, data_root=Path())
    return Store(storage)


def decided(store: Store) -> list[Any]:
    return [
        (t.number, t.state, t.architecture, dict(t.metrics), t.seq, t.artifact, t.inherit)
        for t in store.trials("fake")
    ]


# What may stand in the database, within and beyond what the program writes itself.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
# In a column of their own: SQLite knows no negative zero.
NUMBER = FINITE.map(lambda value: value + 0.0)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=4)
METRICS = st.dictionaries(TEXT, FINITE, max_size=3)
SHA256 = st.text("0123456789abcdef", min_size=64, max_size=64)


@st.composite
def a_trial(draw: Any, ordinal: int, seq: int | None) -> dict[str, Any]:
    proposed = seq is not None or draw(st.booleans())
    architecture = {"space": draw(TEXT), "choices": draw(st.dictionaries(TEXT, TEXT, max_size=3))}
    return {
        "ordinal": ordinal,
        "state": "waiting" if seq is None else draw(st.sampled_from(ENDED)),
        "last_seq": draw(st.integers(-1, 9)),
        "pending": draw(st.lists(st.integers(0, 9), max_size=3)),
        "architecture": architecture if proposed else None,
        "key": "k" * 32 if proposed else None,
        "inherit": draw(st.none() | st.integers(0, 9)),
        "inherit_by": draw(st.none() | TEXT),
        "prepared": draw(st.none() | SHA256),
        "note": draw(st.none() | OBJECT),
        "seq": seq,
        "cached": draw(st.booleans()),
        "metrics": draw(METRICS),
        "violation": draw(st.just(float("inf")) | NUMBER),
        "epochs": draw(st.integers(0, 10**6)),
        "seconds": draw(NUMBER),
        "artifact": draw(st.none() | SHA256),
        "failure": draw(st.none() | OBJECT),
        "evaluated": draw(st.none() | OBJECT),
        "checkpoint": draw(st.none() | OBJECT),
        "deaths": draw(st.integers(0, 3)),
    }


@st.composite
def a_file(draw: Any) -> list[str]:
    """A file as it is exported, of a study with rows of all kinds."""
    n = draw(st.integers(0, 5))
    order = draw(st.permutations(range(n)))
    ended = draw(st.integers(0, n))
    places: dict[int, int | None] = dict.fromkeys(range(n))
    places |= {ordinal: seq for seq, ordinal in enumerate(order[:ended])}
    prepared = sorted(
        draw(st.dictionaries(st.text("abc", min_size=1, max_size=32), st.integers(0, 3))).items()
    )
    preparations = [
        {
            "key": key,
            "plugin": {"name": draw(TEXT), "options": draw(OBJECT)},
            "epochs": draw(st.integers(epoch, 10**6)),
            "passes": draw(NUMBER),
            "epoch": epoch,
            "artifact": draw(st.none() | SHA256),
            "seconds": draw(NUMBER),
        }
        for key, epoch in prepared
    ]
    preparation_epochs = [
        {
            "key": key,
            "epoch": epoch,
            "metrics": draw(METRICS),
            "distribution": draw(st.dictionaries(TEXT, st.lists(FINITE, max_size=3), max_size=3)),
        }
        for key, last in prepared
        for epoch in range(1, last + 1)
    ]
    name = f"study {next(COUNTER)} {draw(TEXT)}"
    study = {
        "name": name,
        "state": draw(st.sampled_from(["new", "stopped", "finished"])),
        "reason": draw(TEXT),
        "spec": {"study": {"name": name, "objectives": [["val", "maximize"]]}, **draw(OBJECT)},
        "space": draw(OBJECT),
        "task": draw(OBJECT),
        "dataset": draw(SHA256),
        "latency": draw(st.none() | OBJECT),
        "start": draw(st.lists(OBJECT, max_size=2)),
        "target": draw(st.none() | st.integers(0, 10**6)),
        "seconds": draw(NUMBER),
        "next_ordinal": n,
        "next_seq": ended,
        "created": "2025-01-01T00:00:00+00:00",
        "changed": "2025-01-02T00:00:00+00:00",
    }
    trials = [draw(a_trial(ordinal, seq)) for ordinal, seq in places.items()]
    rungs = draw(st.sets(st.tuples(st.integers(0, n - 1), st.integers(1, 9)))) if n else set()
    evaluations = [
        {
            "ordinal": ordinal,
            "epoch": epoch,
            "cache_key": draw(st.text("abc", max_size=32)),
            "metrics": draw(METRICS),
            "seconds": draw(NUMBER),
            "artifact": draw(st.none() | SHA256),
            "notes": draw(st.none() | OBJECT),
        }
        for ordinal, epoch in draw(st.permutations(sorted(rungs)))
    ]
    seeds = sorted(draw(st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, 9))))) if n else []
    confirmations = [
        {
            "ordinal": ordinal,
            "seed": seed,
            "metrics": draw(METRICS),
            "test_metrics": draw(st.none() | METRICS),
            "artifact": draw(st.none() | SHA256),
        }
        for ordinal, seed in seeds
    ]
    numbers = sorted(draw(st.sets(st.integers(0, n - 1)))) if n else []
    latencies = [
        {
            "ordinal": ordinal,
            "latency_ms": draw(NUMBER),
            "timing": draw(OBJECT),
            "measured": "2025-01-01T00:00:00+00:00",
        }
        for ordinal in numbers
    ]
    from nas import __version__

    header = {"version": 1, "tables": schema.VERSION, "program": __version__}
    counts = {"study": 1, "preparation": len(preparations)}
    counts |= {"preparation_epoch": len(preparation_epochs), "trial": n}
    counts |= {"evaluation": len(evaluations)}
    rankings = [{"ranking": draw(OBJECT), "measured": "2025-01-01T00:00:00+00:00"}]
    rankings = rankings[: draw(st.integers(0, 1))]
    counts |= {"confirmation": len(confirmations), "latency": len(latencies)}
    wrote = sorted(draw(st.sets(st.tuples(st.integers(0, n - 1), SHA256)))) if n else []
    bundles = [
        {
            "ordinal": ordinal,
            "digest": digest,
            "formats": draw(st.lists(TEXT, max_size=3)),
            "created": "2025-01-01T00:00:00+00:00",
        }
        for ordinal, digest in wrote
    ]
    counts |= {"ranking": len(rankings), "bundle": len(bundles), "artifact": 0}
    return [
        line(FORMAT, header),
        line("study", study),
        *(line("preparation", row) for row in preparations),
        *(line("preparation_epoch", row) for row in preparation_epochs),
        *(line("trial", row) for row in trials),
        *(line("evaluation", row) for row in evaluations),
        *(line("confirmation", row) for row in confirmations),
        *(line("latency", row) for row in latencies),
        *(line("ranking", row) for row in rankings),
        *(line("bundle", row) for row in bundles),
        line("end", counts),
    ]


class TestEqual:
    @pytest.mark.parametrize("examples", [15, pytest.param(400, marks=pytest.mark.slow)])
    def test_any_study_is_the_same_in_both_kinds_of_database_and_back(
        self, examples: int, new_database: Callable[[str], str]
    ) -> None:
        chain = [Store(new_database(kind)) for kind in ("sqlite", "postgres", "sqlite")]

        @settings(
            max_examples=examples,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(a_file())
        def moved_along(lines: list[str]) -> None:
            name = json.loads(lines[1])["study"]["name"]
            for store in chain:
                assert import_study(store, lines, "a file") == name
                found = exported(store, name)
                assert found == lines

        moved_along()

    def test_a_zero_has_no_sign(self, lines: list[str], database: str) -> None:
        store = Store(database)
        seconds = json.loads(lines[1])["study"]["seconds"]
        changed = lines[1].replace(f'"seconds":{seconds}', '"seconds":-0.0')
        import_study(store, [lines[0], changed, *lines[2:]], "a file")
        assert '"seconds":0.0' in exported(store, "fake")[1]

    def test_a_real_study_goes_on_where_it_was_as_if_it_had_never_moved(
        self, new_database: Callable[[str], str]
    ) -> None:
        whole = halved(new_database("sqlite"), 12)
        half = halved(new_database("sqlite"), 7)
        for kind in ("postgres", "sqlite"):
            other = Store(new_database(kind))
            lines = exported(half, "fake", with_artifacts=True)
            import_study(other, lines, "a file")
            assert exported(other, "fake", with_artifacts=True) == lines
            assert decided(other) == decided(half)
            resume("fake", storage=other.storage, data_root=Path(), trials=12)
            assert decided(other) == decided(whole)
        assert decided(half) != decided(whole)

    def test_without_artifacts_they_are_missed_and_made_again(
        self, new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        half = halved(new_database("sqlite"), 7)
        monkeypatch.setenv("NAS_ARTIFACTS", str(tmp_path / "elsewhere"))
        other = Store(new_database("sqlite"))
        import_study(other, exported(half, "fake"), "a file")
        from nas.store.checking import check

        (missed,) = [f for f in check(other.storage) if f.check == "artifacts"]
        assert (missed.verdict, missed.found[:3]) == ("note", "7 a")
        resume("fake", storage=other.storage, data_root=Path(), trials=9)
        assert len(other.trials("fake")) == 9
        assert decided(other)[:7] == decided(half)

    def test_a_study_that_runs_is_written_as_it_would_be_stopped(self, storage: str) -> None:
        lines: list[list[str]] = []

        def while_running(progress: Any) -> None:
            if progress.last is not None and progress.last.number == 3:
                lines.append(exported(Store(storage), "fake"))

        search(fake_spec(6), storage=storage, data_root=Path(), progress=while_running)
        study = json.loads(lines[0][1])["study"]
        assert (study["state"], study["reason"]) == ("stopped", "exported while it ran")
        assert study["next_seq"] == 4
        again = Store(storage.replace("nas.db", "other.db"))
        import_study(again, lines[0], "a file")
        assert exported(again, "fake") == lines[0]
        resume("fake", storage=again.storage, data_root=Path())
        assert decided(again) == decided(Store(storage))

    def test_a_graph_from_memory_comes_along_with_the_artifacts(
        self, new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        import nas

        storage = new_database("sqlite")
        nas.search(
            {
                "study": {"name": "own"},
                "space": {"depth": [1], "operators": ["linear"], "width": [4]},
                "strategy": {"name": "random"},
                "evaluator": {"epochs": 1},
                "budget": {"trials": 1},
            },
            data=_graph(),
            storage=storage,
        )
        lines = exported(Store(storage), "own", with_artifacts=True)
        assert str(tmp_path) not in "".join(lines)
        monkeypatch.setenv("NAS_ARTIFACTS", str(tmp_path / "elsewhere"))
        other = Store(new_database("sqlite"))
        import_study(other, lines, "a file")
        path = Path(other.spec("own")["dataset"]["path"])
        assert path.is_relative_to(tmp_path / "elsewhere")
        assert path.exists()
        assert exported(other, "own", with_artifacts=True) == lines

    def test_another_name_changes_the_study_and_nothing_else(self, storage: str) -> None:
        store = halved(storage)
        lines = exported(store, "fake")
        assert import_study(store, lines, "a file", "twice") == "twice"
        assert store.spec("twice")["study"]["name"] == "twice"
        assert exported(store, "twice") == [
            text.replace('"name":"fake"', '"name":"twice"', 2) if '{"study"' in text else text
            for text in lines
        ]
        resume("twice", storage=storage, data_root=Path(), trials=6)


def _graph() -> Any:
    import torch
    from torch_geometric.data import Data

    index = torch.arange(12)
    masks = {f"{part}_mask": index % 3 == i for i, part in enumerate(("train", "val", "test"))}
    edges = torch.stack([index[:-1], index[1:]])
    return Data(x=torch.rand(12, 3), edge_index=edges, y=index % 2, **masks)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A file of five trials, with their artifacts."""
    store = halved(f"sqlite:///{tmp_path_factory.mktemp('of') / 'nas.db'}")
    return exported(store, "fake", with_artifacts=True)


class TestFaults:
    @pytest.fixture
    def refused(self, storage: str) -> Callable[..., str]:
        """Take lines that are not as they should be; returns what is said, with nothing taken."""

        def take(lines: list[str], database: str = storage) -> str:
            store = Store(database)
            with pytest.raises(StoreError) as refused:
                import_study(store, lines, "moved.jsonl")
            with store.reading() as connection:
                for table in (schema.studies, schema.trials, schema.evaluations):
                    assert not connection.scalar(sa.select(sa.func.count()).select_from(table))
            return str(refused.value)

        return take

    def test_what_is_whole_is_taken(self, lines: list[str], database: str) -> None:
        assert import_study(Store(database), lines, "moved.jsonl") == "fake"

    def test_one_of_tables_without_latencies_is_taken(
        self, lines: list[str], database: str
    ) -> None:
        """The control is a count that such a file must not lack."""
        older = [text.replace('"latency":null,', "") for text in lines]
        older[0] = older[0].replace(TABLES, '"tables":5')
        older[-1] = older[-1].replace('"latency":0,', "")
        assert older[-1] != lines[-1]
        store = Store(database)
        wrong = [*older[:-1], older[-1].replace('"evaluation":5,', "")]
        with pytest.raises(StoreError, match="the file is not complete"):
            import_study(store, wrong, "moved.jsonl")
        import_study(store, older, "moved.jsonl")
        assert exported(store, "fake", with_artifacts=True) == lines

    def test_one_of_tables_without_bundles_is_taken(self, lines: list[str], storage: str) -> None:
        older = [*lines[:-1], lines[-1].replace('"bundle":0,', "")]
        older[0] = older[0].replace(TABLES, '"tables":8')
        assert older[-1] != lines[-1]
        assert import_study(Store(storage), older, "moved.jsonl") == "fake"

    def test_a_file_that_was_cut_off_anywhere_is_refused(
        self, lines: list[str], refused: Callable[..., str], database: str
    ) -> None:
        for end in range(0, len(lines), 3):
            said = refused(lines[:end], database)
            assert f"moved.jsonl, line {end}: " in said
            assert "nothing has been imported" in said
        middle = lines[3][: len(lines[3]) // 2]
        assert "line 4: expected a JSON object" in refused([*lines[:3], middle])

    @pytest.mark.parametrize(
        ("number", "old", "new", "said"),
        [
            (1, FORMAT, "another program", "expected a file of nas storage export"),
            (1, '"version":1', '"version":9', '"version" up to 1, got 9'),
            (1, TABLES, '"tables":99', f'"tables" up to {schema.VERSION}, got 99'),
            (2, '"name":"fake",', "", "expected name in the study"),
            (
                2,
                '"state":"finished"',
                '"state":"odd"',
                "expected new, stopped, finished, got 'odd'",
            ),
            (2, '"objectives"', '"objects"', "expected a study file"),
            (2, '"next_seq":5', '"next_seq":6', "next_seq is 6, 5 trials have ended"),
            (2, '"next_ordinal":5', '"next_ordinal":4', "there is a trial 4"),
            (3, '"ordinal":0', '"ordinal":"0"', "expected a whole number"),
            (3, '"cached":false', '"cached":0', "expected true or false, got 0"),
            (3, '"violation":', '"violation":"x","was":', "no trial has was"),
            (3, '"metrics":{', '"metrics":[],"x":{', "no trial has x"),
            (3, '"pending":[]', '"pending":{}', "expected a list"),
            (3, '"choices"', '"chosen"', "expected an architecture"),
            (3, '"seq":0', '"seq":null', "does not hold together"),
            (4, '"ordinal":1', '"ordinal":0', "the trial (0,) is there twice"),
            (4, '"seq":1', '"seq":0', "two trials ended as number 0"),
            (5, '{"trial"', '{"trail"', "'trial', 'evaluation'"),
            (8, '"ordinal":', '"ordinal":7', "there is no trial 7"),
            (-2, '"base64":"', '"base64":"AAAA', "is damaged"),
            (-2, '"base64"', '"base32"', "expected an artifact"),
            (-1, '"trial":5', '"trial":6', "the file is not complete"),
        ],
    )
    def test_a_fault_is_named_with_its_line(
        self,
        number: int,
        old: str,
        new: str,
        said: str,
        lines: list[str],
        refused: Callable[..., str],
    ) -> None:
        changed = list(lines)
        at = number - 1 if number > 0 else len(lines) + number
        assert old in changed[at]
        changed[at] = changed[at].replace(old, new, 1)
        answer = refused(changed)
        assert said in answer
        # What concerns the whole study is known at its end.
        whole = "hold together" in answer
        assert f"line {len(lines) if whole else at + 1}: " in answer

    def test_another_kind_of_file_is_none(self, refused: Callable[..., str]) -> None:
        assert "line 1: expected a JSON object" in refused(["PK\x03\x04\n"])
        assert "expected a file of nas storage export" in refused(['{"a": 1}\n'])
        assert "expected a file of nas storage export" in refused([])

    def test_more_after_the_end_is_refused(
        self, lines: list[str], refused: Callable[..., str]
    ) -> None:
        assert 'nothing after the line "end"' in refused([*lines, lines[-1]])

    def test_a_study_of_that_name_is_not_overwritten(self, lines: list[str], storage: str) -> None:
        store = Store(storage)
        import_study(store, lines, "moved.jsonl")
        with pytest.raises(StoreError, match=r'there is a study "fake".*--name'):
            import_study(store, lines, "moved.jsonl")
        assert exported(store, "fake", with_artifacts=True) == lines


class TestFiles:
    def test_a_file_that_is_there_is_kept(self, storage: str, tmp_path: Path) -> None:
        store, to = halved(storage), tmp_path / "moved.jsonl"
        counts = export_to_file(store, "fake", to)
        held = {name: n for name, n in counts.items() if n}
        assert held == {"study": 1, "trial": 5, "evaluation": 5}
        assert set(counts) == {*PARTS, "artifact"}
        before = to.read_bytes()
        with pytest.raises(StoreError, match="is there already"):
            export_to_file(store, "fake", to)
        assert to.read_bytes() == before

    def test_an_export_that_fails_leaves_nothing(
        self, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, folder = halved(storage), tmp_path / "out"
        folder.mkdir()

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(StoreError, match="cannot be written: No space left"):
            export_to_file(store, "fake", folder / "moved.jsonl")
        assert not list(folder.iterdir())
        with pytest.raises(StoreError, match="no study"):
            export_to_file(store, "fakes", folder / "moved.jsonl")
        assert not list(folder.iterdir())
        with pytest.raises(StoreError, match="cannot be written"):
            export_to_file(store, "fake", folder / "no" / "moved.jsonl")
