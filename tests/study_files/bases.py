"""The study files that we ship, and those in the documents, made to work without a download."""

import copy
import shutil
import tomllib
from pathlib import Path
from typing import Any

from fakes.device import write_profile

from .mutator import Tables, tables_in

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "docs/study_file.md", "docs/plugins.md", "docs/ray_tune.md")
DOCUMENTS += ("docs/cluster.md", "docs/latency.md", "docs/evaluation.md", "docs/comparing.md")
# What a document's fragment leaves to the rest of a file, and what is not on every machine.
MISSING: Tables = {"dataset": {"name": "digits_knn"}, "budget": {"trials": 3}}
THERE: dict[str, dict[str, Any]] = {
    "planetoid": {"name": "digits_knn", "normalize": "row"},
    "tu": {"name": "digits_pixels", "graphs": 100},
    "mine.dataset": {"name": "fakes.graph", "nodes": 90},
}
# The fake profile is of networks of this space, on graphs such as this one.
PROFILED: Tables = {
    "space": {"name": "fakes.space"},
    "dataset": {"name": "fakes.graph"},
    "evaluator": {"name": "training", "epochs": 3},
    "strategy": {"name": "random"},
}


def shipped() -> dict[str, Tables]:
    """The tables of every study file, by the place where it stands."""
    files = [*(ROOT / "studies").glob("*.toml"), *(ROOT / "examples").glob("*/*.toml")]
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(files)}
    for document in DOCUMENTS:
        for number, text in enumerate(tables_in(ROOT / document)):
            texts[f"{document} {number}"] = text
    return {place: _here(tomllib.loads(text)) for place, text in texts.items()}


def _here(tables: Tables) -> Tables:
    # `start = [...]` alone, in the documents, is of [study].
    made = {k: v for k, v in tables.items() if isinstance(v, dict)}
    if loose := {k: v for k, v in tables.items() if not isinstance(v, dict)}:
        made["study"] = {k: [i for i in v if isinstance(i, dict)] for k, v in loose.items()}
    if "latency" in made:
        made |= copy.deepcopy(PROFILED)
        made["latency"]["device"] = "here"
        made["study"]["constraints"] = ["latency_ms <= 50"]
    name = made.get("dataset", {}).get("name")
    if name in THERE:
        made["dataset"] = dict(THERE[name])
    if made.get("strategy", {}).get("name") == "mine.strategy":
        made["strategy"] = {"name": "local"}
        made["space"]["operators"] = ["gcn"]
    if made.get("dataset", {}).get("name", "").startswith("examples."):
        made["evaluator"] = {"name": "training", "epochs": 3}
        made["extension"] = {"examples.plugins.extension": {"bits": [4, 8]}}
    if "callbacks" in made.get("executor", {}):
        made["executor"]["callbacks"] = ["fakes.tune_callbacks.Remembering"]
    if "address" in made.get("executor", {}):
        made["executor"] |= {"address": "", "workers": 1}
        del made["executor"]["num_gpus"]
    is_table = made.get("evaluator", {}).get("name") == "tabular"
    return {
        **copy.deepcopy({k: v for k, v in MISSING.items() if k != "dataset" or not is_table}),
        **made,
    }


def laid_out(folder: Path) -> None:
    """What the files name: a graph of one's own, and profiles of devices in `folder/devices`."""
    shutil.copytree(ROOT / "studies" / "own_graph", folder / "own_graph")
    (folder / "devices").mkdir()
    write_profile(folder / "devices")
    write_profile(folder / "devices", name="board", elsewhere=True)
    write_profile(folder / "devices", name="fast", runtime="compiled")
