"""benchmarks/house.py: each counter counts what it is for, and nothing that looks like it."""

import ast
import subprocess
from collections.abc import Mapping
from pathlib import Path

import house
import house_code as code
import house_imports as imports
import pytest

SIX = [f"step({i})" for i in range(6)]


def written(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def sources(root: Path, files: Mapping[str, str]) -> list[code.Source]:
    return code.sources(written(root, files), [*imports.PACKAGES])


def defined(name: str, lines: int) -> str:
    return "\n".join([f"def {name}():", *["    pass"] * (lines - 1), ""])


def test_a_function_is_long_by_its_own_lines(tmp_path: Path) -> None:
    """Docstring and signature included, decorators not; methods and inner functions too."""
    text = f"@cached\n@cached\n{defined('just', 40)}\nclass A:\n"
    text += "\n".join(f"    {line}" for line in defined("over", 41).splitlines())
    files = sources(tmp_path, {"nas/a.py": text})
    ((place, name),) = code.long_functions(files[0])
    assert (name, place.last - place.first + 1) == ("over", 41)
    assert [name for _, name in code.long_functions(files[0], 39)] == ["just", "over"]


def test_code_has_no_comments_blanks_or_docstrings() -> None:
    text = (
        '"""Of a\nmodule."""\n\n# why\nx = """a\n\nb"""\ndef f():\n    """Of f."""\n    return x\n'
    )
    assert code.Source("a.py", text).code == [5, 6, 7, 8, 10]


def test_six_lines_in_two_files_are_one_run(tmp_path: Path) -> None:
    """Whatever their indent and the comments between them; five lines are none, nor are imports."""
    apart = "\n    # why\n\n    ".join(SIX)
    files = sources(tmp_path, {"nas/a.py": "\n".join(SIX), "nas/b.py": f"if x:\n    {apart}\n"})
    (run,) = code.repeated(files)
    assert [str(place) for place in run] == ["nas/a.py:1-6", "nas/b.py:2-17"]
    assert not code.repeated(files[:1])
    assert not code.repeated([files[0], code.Source("c.py", "\n".join([*SIX[:5], "other()"]))])
    imported = "\n".join(f"import m{i}" for i in range(6))
    assert not code.repeated([code.Source(name, imported) for name in ("a.py", "b.py")])


def test_runs_are_as_long_as_they_stand_in_the_same_places() -> None:
    """Nine lines in two files, six of them in a third: two runs. A file may repeat itself."""
    nine = [*SIX, "more(0)", "more(1)", "more(2)"]
    texts = {"a.py": nine, "b.py": ["first()", *nine], "c.py": nine[:6]}
    files = [code.Source(name, "\n".join(lines)) for name, lines in texts.items()]
    runs = [[str(place) for place in run] for run in code.repeated(files)]
    assert sorted(runs) == [["a.py:1-6", "b.py:2-7", "c.py:1-6"], ["a.py:2-9", "b.py:3-10"]]
    assert len(code.repeated([code.Source("a.py", "\n".join(nine * 2))])) == 1
    assert not code.repeated([code.Source("a.py", "same()\n" * 11)]), "it overlaps itself"


def test_an_import_against_the_arrows_is_found_wherever_it_is(tmp_path: Path) -> None:
    text = "import nas.b\nimport search_spaces\ndef f():\n    from nas import a\n"
    named = "import search_spaces, evaluators, nassau"
    files = sources(tmp_path, {"evaluators/a.py": text, "nas/a.py": named})
    assert list(map(str, imports.back_arrows(files))) == [
        "evaluators/a.py:1 imports nas.b",
        "evaluators/a.py:4 imports nas.a",
    ]


CYCLE = {
    "nas/__init__.py": "",
    "nas/a.py": "from nas.b import one",
    "nas/b.py": "import nas.c",
    "nas/c.py": "try:\n    from nas import a\nexcept ImportError:\n    pass",
    "nas/d.py": "from nas.a import one\nfrom . import e",
    "nas/e.py": "",
}


def test_a_cycle_is_found_whole(tmp_path: Path) -> None:
    """Those that only lead to it are not in it."""
    links = imports.links(sources(tmp_path, CYCLE))
    assert links["nas.d"] == {"nas.a", "nas.e"}
    assert imports.cycles(links) == [["nas.a", "nas.b", "nas.c"]]


@pytest.mark.parametrize(
    "later",
    [
        "def f():\n    from nas import a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from nas import a",
    ],
)
def test_what_is_imported_later_makes_no_cycle(tmp_path: Path, later: str) -> None:
    assert not imports.cycles(imports.links(sources(tmp_path, {**CYCLE, "nas/c.py": later})))


def test_a_package_that_imports_its_user_is_a_cycle(tmp_path: Path) -> None:
    """What is taken from a package comes from its __init__, which is run for that."""
    files = {"nas/__init__.py": "from nas.a import f", "nas/a.py": "from nas import g"}
    assert imports.cycles(imports.links(sources(tmp_path, files))) == [["nas", "nas.a"]]


def test_a_tree_that_got_worse_misses_its_targets(tmp_path: Path) -> None:
    good = {
        "search_spaces/a.py": defined("f", 3),
        "nas/a.py": "def f():\n    raise ValueError\n",
        "tests/test_a.py": "assert True\n",
        "nas/contracts/test_b.py": "assert True\n",
        "benchmarks/a.py": "",
    }
    worse = {
        "search_spaces/a.py": f"import nas.a\nassert nas\n{defined('f', 41)}",
        "search_spaces/b.py": "\n".join(SIX),
        "nas/b.py": "\n".join(["import nas.b", *SIX]),
    }
    before = house.of_code(written(tmp_path / "before", good))
    now = house.of_code(written(tmp_path / "now", {**good, **worse}))
    text, rows = house.compared("Title", {"before": before, "now": now}, verbose=True)
    assert {row["measure"] for row in rows if row["ok"] is False} == {
        "assert",
        "cycles of imports",
        "imports against the arrows",
        house.LONG,
        house.TWICE,
    }
    assert "- search_spaces/a.py:3-43 f" in text
    assert "| source: assert | 0 beside 1 raise | 1 beside 1 raise | <= 0 |" in text
    _, rows = house.compared("Title", {"before": before, "now": before}, verbose=False)
    assert all(row["ok"] is not False for row in rows)
    assert sum(row["ok"] is True for row in rows) == 7


def test_plug_ins_are_counted_where_they_are(tmp_path: Path) -> None:
    files = {"examples/plugins/operator.py": '"""What it is."""\n\nimport torch\n# why\nx = 1\n'}
    figures = house.of_plugins(written(tmp_path, files))
    assert str(figures["plug-in", "operator"]) == "2"
    assert str(figures["plug-in", "dataset"]) == "-"
    assert {kind for _, kind in figures} == {*house.KINDS}


def test_an_earlier_revision_is_read_from_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, {"nas/a.py": "first()\n"})
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    written(tmp_path, {"nas/a.py": "second()\n"})
    monkeypatch.setattr(house, "ROOT", tmp_path)
    with house.tree_of("HEAD") as tree:
        assert (tree / "nas/a.py").read_text() == "first()\n"
    with pytest.raises(SystemExit, match="--before nothing"), house.tree_of("nothing"):
        pass


def test_every_file_of_the_program_is_counted() -> None:
    """The counters see the real tree, and not an empty one."""
    figures = house.of_code(house.ROOT)
    every = [path for one in imports.PACKAGES for path in (house.ROOT / one).rglob("*.py")]
    files = [path for path in every if "contracts" not in path.parts]
    assert figures["source", "files"].value == len(files) > 200
    raised = sum(
        isinstance(node, ast.Raise) for p in files for node in ast.walk(ast.parse(p.read_text()))
    )
    assert figures["source", "assert"].note == f" beside {raised} raise"
    assert (figures["source", "imports between modules"].value or 0) > 500
