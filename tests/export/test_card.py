"""The card of a bundle says what the bundle does, each claim where it is so, and nothing else."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner, Result
from fakes.resealing import replaced, resealed
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import nas
from nas.cards import facts_of, markdown, page
from nas.cards._escaped import code, text
from nas.cards._scatter import Point, scatter
from nas.cli import main
from nas.export._base import BundleError
from nas.export._manifest import manifest_digest, text_of
from search_spaces import Architecture

Edit = Callable[[dict[str, Any]], object]
HOSTILE = '`x` **b** [l](https://e.example) <script>alert(1)</script> | c\n# h\n---\n"q" \u202e&lt;'
# What a page may have, and a card in HTML has.
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "figure"),
    *("h1", "h2", "p", "ul", "li", "code", "pre", "strong", "div", "table", "thead", "tbody"),
    *("tr", "th", "td", "svg", "desc", "line", "text", "circle", "polygon"),
}
OWN_COMMANDS = {"confirm", "reproduce", "verify"}


class Page(HTMLParser):
    """Tags, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def copied(node_bundle: Path, tmp_path: Path) -> Path:
    """A bundle that a test may change."""
    return Path(shutil.copytree(node_bundle, tmp_path / "copied"))


def edited(folder: Path, edit: Edit) -> Path:
    """With another manifest, which vouches for itself."""
    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(text_of({**value, "digest": manifest_digest(value)}))
    return folder


def known(value: dict[str, Any]) -> None:
    """Everything that a study can know of a trial."""
    value["confirmed"] = {
        "test_accuracy": {"mean": 0.8, "stderr": 0.01, "n": 5, "split": "test"},
        "val_accuracy": {"mean": 0.7, "stderr": None, "n": 1, "split": "validation"},
    }
    value["metrics"]["val_accuracy"]["by"] = "program"
    value["data"] = {
        "name": "some data",
        "fingerprint": "f" * 32,
        "license": "CC0",
        "n_train": 10,
        "n_val": 20,
        "n_test": 30,
    }
    value["latency"] = [{"device": "laptop", "latency_ms": 1.5, "by": "measured"}]
    value["directions"] = {"val_accuracy": "maximize", "params": "minimize"}
    objectives = {"val_accuracy": 0.75, "params": 123}
    value["front"] = [
        {"trial": 7, "architecture": value["architecture"], "objectives": objectives},
        {"trial": 8, "architecture": "other", "objectives": {"val_accuracy": 0.7, "params": 50}},
    ]


def head(card: str) -> dict[str, Any]:
    _, said, _ = card.split("---\n", 2)
    loaded: dict[str, Any] = yaml.safe_load(said)
    return loaded


def run(*arguments: object, status: int = 0) -> Result:
    result = CliRunner().invoke(main, ["card", *map(str, arguments)])
    assert result.exit_code == status, (result.output, result.exception)
    return result


def test_what_is_not_known_is_not_claimed(node_bundle: Path) -> None:
    """No test values, no interval, no data, no latency, no front, no recipe: and it says so."""
    card = nas.card(node_bundle)
    assert "It was never measured on the test split" in card
    assert "| test |" not in card
    assert "fresh seeds, and measures test" in card
    assert "does not say what it was trained on" in card
    assert "neither predicted nor measured" in card
    assert "names no other trials" in card
    assert "The bundle does not say how" in card
    assert "nas reproduce" not in card
    assert "optimistic" in card
    assert "model-index" not in head(card)
    assert "<svg" not in page(facts_of(node_bundle))


def test_an_interval_ends_where_its_metric_does(copied: Path) -> None:
    """In words and in JSON; a metric that nobody knows has it as it comes."""

    def near(value: dict[str, Any]) -> None:
        good = {"mean": 0.99, "stderr": 0.01, "n": 5, "split": "test"}
        value["confirmed"] = {"test_accuracy": good, "test_other": good}

    folder = edited(copied, near)
    ends = {value.metric: value.interval for value in facts_of(folder).values if value.interval}
    assert ends["test_accuracy"] == (pytest.approx(0.99 - 0.027764), 1.0)
    assert ends["test_other"] == pytest.approx((0.99 - 0.027764, 0.99 + 0.027764))
    assert "| `test_accuracy` | test | 0.9900 ± 0.01 | 0.9622 to 1 |" in nas.card(folder)


def test_what_is_known_is_told(copied: Path) -> None:
    """The control of the test before: of the same bundle, once it is known."""
    card = nas.card(edited(copied, known))
    assert "never measured on the test split" not in card
    # Student's t of 4 degrees of freedom: 2.776.
    assert (
        "| `test_accuracy` | test | 0.8000 ± 0.01 | 0.7722 to 0.8278 | mean of 5 fresh seeds |"
        in card
    )
    assert "| `val_accuracy` | validation | 0.7000 | - | one fresh seed |" in card
    assert (
        "| `val_accuracy` | validation | 0.7500 | - | this network, by its program; optimistic |"
        in card
    )
    assert "License of the data: CC0" in card
    assert "10 for training, 20 for validation, 30 for test" in card
    assert "| `laptop` | 1.500 | measured |" in card
    assert "| **7, this network** | 123 | 0.7500 |" in card
    assert "| 8 | 50 | 0.7000 |" in card
    results = head(card)["model-index"][0]["results"]
    assert [(r["dataset"]["split"], r["metrics"][0]["value"]) for r in results] == [
        ("test", 0.8),
        ("validation", 0.75),
    ]


def test_only_what_a_search_chose_is_optimistic(copied: Path) -> None:
    """A network of no search was not chosen by its validation values."""

    def by_hand(value: dict[str, Any]) -> None:
        value["provenance"]["trial"] = value["provenance"]["study"] = None

    assert "optimistic" not in nas.card(edited(copied, by_hand))


def test_a_trial_behind_the_front_is_not_marked(copied: Path) -> None:
    """Neither is one of the same number and another architecture: a bundle of other weights."""

    def behind(value: dict[str, Any]) -> None:
        known(value)
        value["front"][0]["architecture"] = "another"

    facts = facts_of(edited(copied, behind))
    assert "This network is not among them" in markdown(facts)
    assert "this network is not shown" in page(facts).lower()
    assert 'class="this"' not in page(facts)


def test_data_of_nobody_known_is_its_owners(copied: Path) -> None:
    """An empty license is said to be one, and so in the head."""

    def unlicensed(value: dict[str, Any]) -> None:
        known(value)
        value["data"]["license"] = ""

    card = nas.card(edited(copied, unlicensed))
    assert "a matter of the owner of the data" in card
    assert head(card)["data_license"].startswith("not stated")


@pytest.mark.parametrize("kind", ["node_bundle", "graph_bundle"])
def test_its_python_runs_without_this_program(kind: str, request: pytest.FixtureRequest) -> None:
    """At most five lines, in the folder of the bundle."""
    folder: Path = request.getfixturevalue(kind)
    (lines,) = re.findall(r"```python\n(.*?)```", nas.card(folder), re.S)
    assert len(lines.splitlines()) <= 5
    code = f"{lines}\nimport sys; print(tuple(logits.shape), 'nas' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == f"({3 if kind == 'node_bundle' else 1}, 3) False", done.stderr


def test_a_program_of_arrays_is_given_arrays(
    graph_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an exporter's program takes those of NumPy, its lines need no torch."""
    assert "np." not in nas.card(graph_bundle)
    monkeypatch.setattr("nas.export.pt2.Pt2.arrays", "numpy", raising=False)
    monkeypatch.setattr("nas.export.pt2.Pt2.reading", "import numpy as np\nnetwork = run")
    monkeypatch.setattr("nas.export.pt2.Pt2.__init__", lambda _: None)
    (lines,) = re.findall(r"```python\n(.*?)```", nas.card(graph_bundle), re.S)
    made: dict[str, Any] = {"run": lambda *given: [(one.dtype.name, one.shape) for one in given]}
    exec(lines, made)  # noqa: S102
    assert made["logits"] == [
        ("float32", (3, 6)),
        ("int64", (2, 4)),
        ("int64", (3,)),
        ("int64", (1,)),
    ]


def test_native_code_is_called_so(copied: Path) -> None:
    """A compiled program is; one of torch.export is not; one of an unknown exporter may be."""

    def compiled(exporter: str, file: str) -> Edit:
        def edit(value: dict[str, Any]) -> None:
            own = value["programs"][0]
            (copied / file).write_bytes((copied / own["file"]).read_bytes())
            value["files"][file] = value["files"][own["file"]]
            value["programs"] = [own, {**own, "exporter": exporter, "file": file}]

        return edit

    assert "native code" not in nas.card(copied)
    card = nas.card(edited(copied, compiled("aoti", "compiled.pt2")))
    assert "`compiled.pt2` is native code: opening it runs it with all rights" in card
    assert 'aoti_load_package("compiled.pt2")' in card
    card = nas.card(edited(copied, compiled("a.stranger", "model.bin")))
    assert "take it for native code" in card
    assert len(re.findall("```python", card)) == 1


def test_no_module_of_a_bundle_is_imported(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exporter from elsewhere is named, and stays where it is; no program is opened."""
    (tmp_path / "stranger.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("torch.export.load", lambda *_: pytest.fail("opened"))

    def edit(value: dict[str, Any]) -> None:
        value["programs"][0]["exporter"] = "stranger"

    assert "did not come with this program" in nas.card(edited(copied, edit))
    assert "stranger" not in sys.modules


def test_a_damaged_bundle_has_no_card(copied: Path) -> None:
    """A changed byte of any file, a changed manifest: the message names the file."""
    content = (copied / "README.md").read_bytes()
    (copied / "README.md").write_bytes(content[:-1] + b"!")
    with pytest.raises(BundleError, match=r"README.md is damaged"):
        nas.card(copied)
    (copied / "README.md").write_bytes(content)
    nas.card(copied)
    manifest = copied / "manifest.json"
    manifest.write_text(manifest.read_text().replace("0.75", "0.99"))
    with pytest.raises(BundleError, match="digest"):
        nas.card(copied)
    assert "Traceback" not in run(copied, status=2).output


# Its key follows from what it says, which may be any text.
DECIDED = Architecture(HOSTILE, {HOSTILE: HOSTILE, "depth": 2})


def test_another_architecture_has_no_card(copied: Path) -> None:
    """Although the manifest vouches for its file; it is refused as by all that read it."""
    value = {"space": "made", "choices": {"depth": 3, "operator": "gcn"}}
    replaced(copied, "architecture.json", text_of(value).encode())
    with pytest.raises(BundleError, match=r"architecture\.json is .*manifest is of .*copy the bun"):
        nas.card(copied)
    assert "one of them was changed" in run(copied, status=2).output


def hostile(value: dict[str, Any]) -> None:
    """Everything that may be any text is markup."""
    known(value)
    value["architecture"] = DECIDED.key
    for peer in value["front"]:
        peer["architecture"] = HOSTILE
    value["provenance"] |= {"study": HOSTILE, "device": HOSTILE, "latency_bound_ms": 1.0}
    value["provenance"]["post_training"] = {"method": HOSTILE, "before": {HOSTILE: 1.0}}
    value["data"] |= {"name": HOSTILE, "license": HOSTILE, "fingerprint": HOSTILE}
    value["latency"][0]["device"] = HOSTILE
    value["notes"] = [HOSTILE, "# a heading", "1. an item", "- an item", "> a quote", "= x"]
    value["contract"]["class_names"] = [HOSTILE, "a", "b"]
    value["versions"] = {HOSTILE: HOSTILE, "torch": HOSTILE}
    value["directions"] = {HOSTILE: HOSTILE, "params": "minimize"}
    for peer in value["front"]:
        peer["objectives"] = {HOSTILE: 1.0 / peer["trial"], "params": peer["trial"]}
    value["metrics"][HOSTILE] = {"value": 1.0, "split": None, "by": None}
    value["confirmed"][HOSTILE] = {"mean": 1.0, "stderr": 0.1, "n": 2, "split": "test"}
    value["programs"][0]["exporter"] = HOSTILE


def test_nothing_that_a_bundle_says_is_markup(copied: Path) -> None:
    """Neither HTML nor Markdown, in any of its texts; the text itself is all there."""
    plain = page(facts_of(copied))
    (copied / "architecture.json").write_text(text_of(DECIDED.to_json()))
    resealed(copied, hostile)
    facts = facts_of(copied)
    html = page(facts)
    parsed = Page(html)
    assert parsed.tags <= TAGS
    assert not {a for a in parsed.attributes if a.startswith("on")} | {"href", "src"} & (
        parsed.attributes
    )
    assert parsed.text.count("<script>alert(1)</script>") > 15, "it is shown as text"
    assert html.count("<h2") == plain.count("<h2")
    assert "\u202e" not in html
    ElementTree.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])  # noqa: S314
    # The same in Markdown, by a reader that takes HTML and links as others do.
    card = markdown(facts)
    body = card.split("---\n", 2)[2]
    rendered = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(body)
    tags = Page(rendered).tags
    assert tags <= TAGS - {"script"}
    assert not tags & {"a", "em", "del", "img", "ol", "blockquote", "hr", "script"}
    assert rendered.count("<h2") == plain.count("<h2")
    assert rendered.count("<h1") == 1
    said = head(card)
    assert said["data_license"] == " ".join(HOSTILE.replace("\u202e", "").split())
    assert set(said) == {"pipeline_tag", "tags", "data_license", "metrics", "model-index"}


MARKUP = "`|\\*_[]()<>{}&#-+=~!:;.\"'$^@/\n\t 1a"


@given(st.text(st.sampled_from(MARKUP) | st.characters(), max_size=24))
@settings(max_examples=400)
def test_any_text_is_text(said: str) -> None:
    """In an item and in a cell: one item, one cell, no tag but those that are ours."""
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for escaped in (text(said), code(said)):
        lines = f"- {escaped}\n\n| a | b |\n| --- | --- |\n| {escaped} | x |\n"
        parsed = Page(reader.render(lines))
        assert parsed.tags <= {"ul", "li", "code", "p"} | {
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
        }
        assert "<td>x</td>\n</tr>" in reader.render(lines), "what comes after is where it was"
        assert reader.render(lines).count("<li>") == 1


def test_the_page_needs_nothing_else(copied: Path) -> None:
    """No script, no address, no file; a drawing with a title and a description for its readers."""
    html = page(facts_of(edited(copied, known)))
    parsed = Page(html)
    assert parsed.tags <= TAGS
    assert not {"href", "src", "srcset", "action"} & parsed.attributes
    assert re.findall(r"https?://[^\s\"]+", html) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    svg = ElementTree.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])  # noqa: S314
    said = {child.attrib["id"]: child.text for child in svg if "id" in child.attrib}
    assert [said[one] for one in svg.attrib["aria-labelledby"].split()] == [
        "params (minimize) against val_accuracy (maximize)",
        "2 trials as points: val_accuracy (maximize) across, params (minimize) up. Marked is this "
        "network, trial 7: params 123, val_accuracy 0.7500.",
    ]


def test_where_points_are() -> None:
    """Inside of the drawing, larger ones further right and up; none is drawn twice."""
    points = [Point(10.0, 0.1, "a"), Point(1e6, 0.9, "b", is_marked=True), Point(100.0, 0.1, "c")]
    svg = scatter(points, ("x", "y"))
    places = [tuple(map(float, p)) for p in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg)]
    (corner,) = re.findall(r'points="([\d.]+),([\d.]+) ', svg)
    marked = float(corner[0]), float(corner[1]) + 9
    assert places[0][0] < places[1][0] < marked[0] <= 640
    assert marked[1] < places[0][1] == places[1][1] <= 360
    # From 10 to 1,000,000 by logarithms: 100 is a fifth of the way.
    assert places[1][0] - places[0][0] == pytest.approx((marked[0] - places[0][0]) / 5, abs=0.2)


@given(st.lists(st.tuples(*[st.floats(-1e100, 1e100)] * 2), min_size=2, max_size=6))
@settings(max_examples=200)
def test_any_values_can_be_drawn(values: list[tuple[float, float]]) -> None:
    """Equal ones, huge and tiny ones: no error, few lines, and valid XML."""
    svg = scatter([Point(x, y, "p") for x, y in values], ("x", "y"))
    assert "nan" not in svg
    assert svg.count('class="grid"') < 40
    ElementTree.fromstring(svg)  # noqa: S314


def test_the_commands_it_names_are_there(copied: Path) -> None:
    """Of this program, with the digest of this bundle."""
    card = nas.card(edited(copied, known))
    assert set(re.findall(r"`?nas (\w+)", card)) <= OWN_COMMANDS
    digest = json.loads((copied / "manifest.json").read_text())["digest"]
    assert f"nas verify copied --digest {digest}" in card
    assert str(copied.parent) not in card, "no folder of this machine"


def test_the_command(copied: Path, tmp_path: Path) -> None:
    """Markdown, HTML and JSON, on stdout or in a file, whose ending says which."""
    edited(copied, known)
    assert run(copied).stdout == nas.card(copied)
    told = json.loads(run(copied, "--format", "json").stdout)
    assert told["front"][0]["this"] is True
    assert told["front"][1]["this"] is False
    assert told["programs"][0]["code"][-1] == "logits = network(x, edge_index)"
    assert {"metric": "test_accuracy", "n": 5}.items() <= told["values"][0].items()
    done = run(copied, "--out", tmp_path / "card.html")
    assert done.stdout == ""
    assert (tmp_path / "card.html").read_text().startswith("<!doctype html>")
    run(copied, "--out", tmp_path / "card", "--format", "json")
    assert json.loads((tmp_path / "card").read_text()) == told


def test_what_the_command_refuses(copied: Path, tmp_path: Path) -> None:
    """A file of the bundle itself; an ending of another format; a folder that is no bundle."""
    before = (copied / "README.md").read_bytes()
    assert "would be damaged" in run(copied, "--out", copied / "README.md", status=2).stderr
    assert (copied / "README.md").read_bytes() == before
    run(copied, "--out", copied / "CARD.md")
    nas.load_bundle(copied)
    result = run(copied, "--out", tmp_path / "c.html", "--format", "md", status=2)
    assert "--format is md" in result.stderr
    result = run(copied, "--out", tmp_path / "c.pdf", status=2)
    assert "c.pdf ends in none of .md, .html, .json; say what it is by --format" in result.stderr
    run(copied, "--out", tmp_path / "c.pdf", "--format", "md")
    assert "is not a bundle" in run(tmp_path, status=2).stderr
    assert "cannot be written" in run(copied, "--out", tmp_path / "no" / "c.md", status=2).stderr


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle: a search on a graph of the user's own, with a license, confirmed, exported."""
    from evaluators.datasets import save_graph
    from nas.contracts import graphs
    from nas.export.bundle import export_trial

    folder = tmp_path_factory.mktemp("study")
    storage = f"sqlite:///{folder}/nas.db"
    save_graph(folder / "graph.npz", graphs.path())
    spec: dict[str, Any] = {
        "study": {"name": "own", "objectives": {"val_accuracy": "maximize", "params": "minimize"}},
        "space": {"name": "gnn", "depth": [1, 2], "width": [4, 8], "operators": ["gcn", "linear"]},
        "dataset": {
            "name": "graph_file",
            "path": str(folder / "graph.npz"),
            "license": "CC BY 4.0, creativecommons.org/licenses/by/4.0",
        },
        "strategy": {"name": "random"},
        "evaluator": {"name": "training", "epochs": 3},
        "budget": {"trials": 4},
        "executor": {"name": "inline"},
    }
    study = nas.search(spec, storage=storage, data_root=folder)
    study.confirm(top=1, seeds=2)
    export_trial("own", "best", folder / "bundle", storage=storage, data_root=folder)
    return folder / "bundle"


def test_a_real_bundle(exported: Path) -> None:
    """What its owner says of the data, its recipe without folders, its front, its test values."""
    card = nas.card(exported)
    assert "License of the data: CC BY 4.0, creativecommons.org/licenses/by/4.0" in card
    assert "For 3 epochs with seed 0, in a search for `val_accuracy` (maximize), `params`" in card
    assert '| dataset | `graph_file` | `path = "graph.npz"` |' in card
    assert "nas reproduce bundle" in card
    assert "mean of 2 fresh seeds" in card
    assert "never measured on the test split" not in card
    assert "this network**" in card
    assert "| trial | `val_accuracy` (maximize) | `params` (minimize) |" in card, (
        "as it orders them"
    )
    assert str(exported.parent) not in card + page(facts_of(exported))


def test_a_recipe_that_cannot_be_followed_says_why(exported: Path, tmp_path: Path) -> None:
    """And names no command that would be refused."""
    import hashlib

    folder = Path(shutil.copytree(exported, tmp_path / "b"))
    recipe = json.loads((folder / "recipe.json").read_text()) | {
        "obstacle": "its <teacher> is gone"
    }
    content = text_of(recipe).encode()
    (folder / "recipe.json").write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    card = nas.card(edited(folder, lambda value: value["files"].update({"recipe.json": entry})))
    assert "cannot be trained again from this alone: its \\<teacher\\> is gone." in card
    assert "nas reproduce" not in card
