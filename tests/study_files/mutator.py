"""Study files spoilt in every way that we could think of; the same ones each time.

`mutated(i, bases)` is the bytes of the i-th: a base, and one or two mutations of it.
"""

import copy
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

Tables: TypeAlias = dict[str, Any]
Mutation: TypeAlias = Callable[[random.Random, Tables], Tables | str | bytes]


class Literal(str):
    """Written into the file as it stands."""


def toml(tables: Mapping[str, Any]) -> str:
    """The tables as a study file; lists of tables as `[[...]]`."""
    keys = [f"{_key(k)} = {_value(v)}" for k, v in tables.items() if not isinstance(v, Mapping)]
    rest = [
        "\n".join([f"[{_key(name)}]", *(f"{_key(k)} = {_value(v)}" for k, v in table.items())])
        for name, table in tables.items()
        if isinstance(table, Mapping)
    ]
    return "\n\n".join(["\n".join(keys), *rest]) + "\n"


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else json.dumps(key, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


NUMBERS = (0, -1, 1, 2, 3, 0.5, 1.0, -0.5, 10**9, 10**18, 10**30, 1e308, 1e-308, 97)
NUMBERS += tuple(map(Literal, ("nan", "inf", "-inf", "+nan", "0x10", "0b11", "1_000", "1e400")))
STRINGS = (
    "",
    " ",
    "5",
    "true",
    "none",
    "é",
    "数据",
    "🙂",
    "a\nb",
    "a\u0000b",
    "\u202egpj",
    "x" * 9999,
)
STRINGS += ("../../etc/passwd", "%s{0}{x}", "-", "study:", "[bold]", "NaN", "~nobody/x")
OTHERS = (True, False, [], {}, [[]], [{}], [1, "a"], [[1, 2]], {"a": {"b": 1}}, {"": 0}, [None])
OTHERS += tuple(map(Literal, ("2026-01-01", "07:32:00", "1979-05-27T07:32:00Z", "''''''", "'x'")))
PLUGINS = ("", "no.such", ".x", "x.", "..", ".", "os.path", "json", "json.decoder", "a b.c", "1.2")
PLUGINS += ("nas.strategies._base", "evaluators.training", "training", "gnn", "evolution", "GNN")
PLUGINS += ("tests/outside", "digits_knn ", "numpy.random", "fakes.space", "é.è")
KINDS = ("space", "dataset", "strategy", "evaluator", "executor")

# Each alone may be right; not with what the others say.
CONTRADICTIONS: Sequence[tuple[str, Any]] = (
    ("halving.epochs", [10**6]),
    ("halving.epochs", [30, 10]),
    ("halving.epochs", [10, 10]),
    ("halving.epochs", []),
    ("halving.epochs", list(range(1, 300))),
    ("halving.epochs", [0]),
    ("export", {}),
    ("export.targets", ["onxx"]),
    ("export.targets", []),
    ("export.targets", "onnx"),
    ("export.targets", ["pt2", "json"]),
    ("halving", {}),
    ("halving", {"epochs": [2], "bracket": 4}),
    ("halving", {"epochs": [1, 2], "mode": "successive", "bracket": 1}),
    ("halving", {"epochs": [1, 2], "mode": "successive", "bracket": 2, "reduction": 10**9}),
    ("halving", {"epochs": [1, 2], "mode": "succesive"}),
    ("evaluator.epochs", 1),
    ("budget.target", {"val_acuracy": 0.9}),
    ("budget.target", {"params": 10}),
    ("budget.target", {"val_accuracy": "high"}),
    ("budget.target", {}),
    ("budget", {}),
    ("study.constraints", ["params < 5"]),
    ("study.constraints", ["params <= 5"]),
    ("study.constraints", ["params == 5"]),
    ("study.constraints", ["params"]),
    ("study.constraints", ["<= 5"]),
    ("study.constraints", ["params <= many"]),
    ("study.constraints", ["params <= nan"]),
    ("study.constraints", ["params <= inf"]),
    ("study.constraints", ["5 >= params"]),
    ("study.constraints", ["parms <= 50000"]),
    ("study.constraints", ["test_accuracy >= 0.5"]),
    ("study.constraints", ["latency_ms <= 5"]),
    ("study.constraints", ["params <= 50_000", "params >= 60_000"]),
    ("study.constraints", ["params <= 50_000 and macs <= 5"]),
    ("study.constraints", "params <= 50_000"),
    ("study.constraints", {"params": 50_000}),
    ("study.constraints", ["val_accuracy >= 2"]),
    ("study.objectives", {"val_accuracy": "maximize", "Params": "minimize"}),
    ("study.objectives", {"val_accuracy": "max"}),
    ("study.objectives", {"val_accuracy": "maximise"}),
    ("study.objectives", {"val_acc": "maximize"}),
    ("study.objectives", {"accuracy": "maximize"}),
    ("study.objectives", {"test_accuracy": "maximize"}),
    ("study.objectives", {"latency_ms": "minimize"}),
    ("study.objectives", {"energy_mj": "minimize"}),
    ("study.objectives", {"val accuracy": "maximize"}),
    ("study.objectives", {"val_accuracy": ["maximize", "minimize"]}),
    ("study.objectives", ["val_accuracy"]),
    ("study.objectives", "val_accuracy"),
    ("study.objectives", {}),
    ("study.objectives", Literal('{ val_loss = "maximize", val_loss = "minimize" }')),
    ("study.batch", 0),
    ("study.batch", 10**12),
    ("study.start", ["study:none_such"]),
    ("study.start", ["study:"]),
    ("study.start", [{"depht": 1}]),
    ("study.start", [{"depth": 99}]),
    ("study.start", [{"depth": 1, "layer5.operator": "gcn"}]),
    ("study.start", [{"depth": "1"}]),
    ("study.start", [{}]),
    ("study.start", [{"layer0": {"operator": "gnc"}}]),
    ("study.start", {"depth": 1}),
    ("study.start", "study:x"),
    ("study.name", "a b"),
    ("study.name", ""),
    ("study.name", "x" * 101),
    ("study.name", "../x"),
    ("study.name", 7),
    ("strategy", {"name": "reinforce"}),
    ("strategy", {"name": "agnn", "inherit": True}),
    ("strategy", {"name": "evolution", "population": 2, "sample": 50}),
    ("strategy", {"name": "linas", "exploration": 2}),
    ("strategy", {"name": "random", "population": 2}),
    ("strategy", {"population": 5}),
    ("space.width", [0]),
    ("space.width", []),
    ("space.width", [8, 8]),
    ("space.width", [7]),
    ("space.width", [10**15]),
    ("space.depth", [65]),
    ("space.depth", [64]),
    ("space.depth", []),
    ("space.depth", 2),
    ("space.operators", ["gcm"]),
    ("space.operators", []),
    ("space.operators", ["gcn", "gcn"]),
    ("space.operators", ["skip"]),
    ("space.operators", ["no.such"]),
    ("space.operators", ["os.path"]),
    ("space.heads", [3]),
    ("space.hops", [2]),
    ("space.output", ["gcn", "skip"]),
    ("space.readout", ["mean"]),
    ("space.dropout", [1.0]),
    ("space.lr", [0]),
    ("space", {"name": "nas_bench_graph"}),
    ("space", {"name": "nas_bench_graph", "depth": [1]}),
    ("dataset", {"name": "digits_pixels", "graphs": 10**6}),
    ("dataset", {"name": "digits_pixels", "graphs": 3}),
    ("dataset", {"name": "digits_knn", "labels_per_class": 200}),
    ("dataset", {"name": "digits_knn", "val": 5000}),
    ("dataset", {"name": "digits_knn", "neighbors": 5000}),
    ("dataset", {"name": "digits_knn", "metric": "roc_auc", "class_weights": True}),
    ("dataset", {"name": "graph_file"}),
    ("dataset", {"name": "graph_file", "path": "none.npz"}),
    ("dataset", {"name": "graph_file", "path": "own_graph/nodes.csv"}),
    ("dataset", {"name": "graph_file", "nodes": "own_graph/nodes.csv"}),
    (
        "dataset",
        {"name": "graph_file", "nodes": "own_graph/edges.csv", "edges": "own_graph/nodes.csv"},
    ),
    ("dataset", {"name": "graph_file", "nodes": "own_graph", "edges": "own_graph"}),
    ("dataset", {"name": "graph_file", "path": "g.npz", "nodes": "own_graph/nodes.csv"}),
    ("dataset", {}),
    ("evaluator", {"name": "tabular", "table": "cora"}),
    ("evaluator", {"name": "tabular"}),
    ("evaluator", {"name": "tabular", "table": "Cora"}),
    ("evaluator.folds", 5),
    ("evaluator.folds", 1),
    ("evaluator.folds", 10**6),
    ("evaluator.seeds", 0),
    ("evaluator.device", "cuda"),
    ("evaluator.device", "gpu"),
    ("evaluator.patience", 10**6),
    ("evaluator.precision", "float16"),
    ("executor", {"name": "inline", "workers": 4}),
    ("executor", {"workers": 0}),
    ("executor", {"workers": 10**9}),
    ("executor", {"name": "processes", "memory_gb": 0}),
    ("executor", {"name": "processes", "timeout_seconds": -1}),
    ("latency", {}),
    ("latency", {"device": "none_such"}),
    ("latency", {"device": ""}),
    ("latency", {"device": "here", "threads": 64}),
    ("latency", {"device": "here", "runtime": "compiled"}),
    ("latency", {"device": "here", "runtime": "fast"}),
    ("latency", {"device": "board"}),
    ("latency", {"device": "here", "workload": {}}),
    ("latency", {"device": "here", "workload": {"nodes": 5}}),
    ("latency", {"device": "here", "workload": {"nodes": 5, "edges": 10**12}}),
    ("latency", {"device": "here", "workload": {"nodes": 5, "edges": 10, "skew": 1}}),
    ("latency", {"device": "here", "workload": {"nodes": 5, "edges": 10, "graphs": 9}}),
    ("latency", {"device": "here", "workload": 5}),
    ("latency", {"device": "here", "confidence": 0.2}),
    ("latency", {"device": "here", "confidence": 1}),
    ("latency", {"device": "none.npz"}),
    ("latency", {"device": "own_graph/nodes.csv"}),
    ("latency", {"device": "here", "accept_device": "yes"}),
    ("extension", {"mine": {"extension": {}}}),
    ("extension", {"no.such": {}}),
    ("extension", {"fakes.space": {}}),
    ("extension", {"name": "fakes.space"}),
    ("extension", {"examples.plugins.extension": {"bits": []}}),
    ("extension", {"examples.plugins.extension": {"bit": [8]}}),
    ("extension", {"examples.plugins.extension": {"bits": [1]}}),
    ("budget.trials", 10**30),
    ("study.seed", 10**30),
)


def _places(tables: Tables) -> list[tuple[str, str]]:
    return [(t, k) for t, c in tables.items() if isinstance(c, dict) for k in c]


def _misspelt(rng: random.Random, word: str) -> str:
    at = rng.randrange(len(word)) if word else 0
    return rng.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + "x" + word[at:],
            word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :],
            word.upper(),
            word.replace("_", "-") + "-",
            word + "s",
        )
    )


def drop_key(rng: random.Random, tables: Tables) -> Tables:
    table, key = rng.choice(_places(tables))
    del tables[table][key]
    return tables


def drop_table(rng: random.Random, tables: Tables) -> Tables:
    del tables[rng.choice(list(tables))]
    return tables


def misspell_key(rng: random.Random, tables: Tables) -> Tables:
    table, key = rng.choice(_places(tables))
    tables[table] = {_misspelt(rng, k) if k == key else k: v for k, v in tables[table].items()}
    return tables


def misspell_table(rng: random.Random, tables: Tables) -> Tables:
    table = rng.choice(list(tables))
    return {_misspelt(rng, t) if t == table else t: content for t, content in tables.items()}


def double_key(rng: random.Random, tables: Tables) -> str:
    table, key = rng.choice(_places(tables))
    line = f"{_key(key)} = {_value(tables[table][key])}"
    return toml(tables).replace(f"[{table}]\n", f"[{table}]\n{line}\n")


def double_table(rng: random.Random, tables: Tables) -> str:
    table = rng.choice(list(tables))
    return toml(tables) + rng.choice((f"\n[{table}]\n", f"\n[[{table}]]\n", f"\n[{table}.name]\n"))


def move_key(rng: random.Random, tables: Tables) -> Tables:
    table, key = rng.choice(_places(tables))
    value = tables[table].pop(key)
    tables.setdefault(rng.choice([*KINDS, "study", "budget", "halving", "latency"]), {})[key] = (
        value
    )
    return tables


def key_outside(rng: random.Random, tables: Tables) -> Tables:
    table, key = rng.choice(_places(tables))
    return {key: tables[table].pop(key), **tables}


def another_number(rng: random.Random, tables: Tables) -> Tables:
    return _changed(rng, tables, rng.choice(NUMBERS))


def another_string(rng: random.Random, tables: Tables) -> Tables:
    return _changed(rng, tables, rng.choice(STRINGS))


def another_type(rng: random.Random, tables: Tables) -> Tables:
    return _changed(rng, tables, rng.choice(OTHERS))


def _changed(rng: random.Random, tables: Tables, value: Any) -> Tables:
    """A value, or one within it, is another one."""
    table, key = rng.choice(_places(tables))
    old = tables[table][key]
    if isinstance(old, list) and old and rng.random() < 0.5:
        at = rng.randrange(len(old))
        tables[table][key] = [*old[:at], value, *old[at + 1 :]]
    elif isinstance(old, dict) and old and rng.random() < 0.5:
        tables[table][key] = {**old, rng.choice(list(old)): value}
    else:
        tables[table][key] = value
    return tables


def misspell_value(rng: random.Random, tables: Tables) -> Tables:
    words = [(t, k) for t, k in _places(tables) if isinstance(tables[t][k], str)]
    if not words:
        return drop_key(rng, tables)
    table, key = rng.choice(words)
    tables[table][key] = _misspelt(rng, tables[table][key])
    return tables


def another_plugin(rng: random.Random, tables: Tables) -> Tables:
    tables.setdefault(rng.choice(KINDS), {})["name"] = rng.choice(PLUGINS)
    return tables


def twice_in_a_list(rng: random.Random, tables: Tables) -> Tables:
    lists = [(t, k) for t, k in _places(tables) if isinstance(tables[t][k], list)]
    if not lists:
        return another_type(rng, tables)
    table, key = rng.choice(lists)
    tables[table][key] = tables[table][key] * 2
    return tables


def contradiction(rng: random.Random, tables: Tables) -> Tables:
    return contradicted(rng.randrange(len(CONTRADICTIONS)), tables)


def contradicted(number: int, tables: Tables) -> Tables:
    path, value = CONTRADICTIONS[number]
    table, dot, key = path.partition(".")
    if not dot:
        tables[table] = copy.deepcopy(value)
    else:
        tables.setdefault(table, {})[key] = copy.deepcopy(value)
    return tables


def truncated(rng: random.Random, tables: Tables) -> bytes:
    text = toml(tables).encode()
    return text[: rng.randrange(len(text))]


def scratched(rng: random.Random, tables: Tables) -> str:
    """One to three characters are gone, others, or too many."""
    text = toml(tables)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(("", "", *"=\"'[]{}#.,\\\x00\x07é")) + text[at + 1 :]
    return text


def shuffled_lines(rng: random.Random, tables: Tables) -> str:
    lines = toml(tables).splitlines()
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[i], lines[j] = lines[j], lines[i]
    return "\n".join(lines)


def other_bytes(rng: random.Random, tables: Tables) -> bytes:
    text = toml(tables)
    at = rng.randrange(len(text))
    return rng.choice(
        (
            text.encode("utf-16"),
            b"\xef\xbb\xbf" + text.encode(),
            ("# caf\xe9\n" + text).encode("latin-1", "replace"),
            text.encode()[:at] + b"\xff\xfe\x00" + text.encode()[at:],
            b"",
            b"\x00" * 64,
            rng.randbytes(200),
            b"PK\x03\x04" + rng.randbytes(40),
            text.replace("\n", "\r").encode(),
            text.replace("\n", "\r\n").encode(),
            json.dumps({"study": {}}).encode(),
            b"[" * 5000,
            b"[study]\na = " + b"[" * 5000,
            b"study = {a = " * 2000,
            (".".join(["study"] * 3000) + " = 1").encode(),
        )
    )


MUTATIONS: Sequence[Mutation] = (
    drop_key,
    another_number,
    misspell_key,
    another_type,
    another_plugin,
    scratched,
    another_string,
    move_key,
    misspell_value,
    other_bytes,
    drop_table,
    another_number,
    double_key,
    another_type,
    twice_in_a_list,
    key_outside,
    misspell_table,
    truncated,
    double_table,
    shuffled_lines,
)


def mutated(number: int, bases: Mapping[str, Tables]) -> tuple[str, bytes]:
    """What was done to which base, and the file."""
    rng = random.Random(number)
    name = sorted(bases)[number % len(bases)]
    tables = copy.deepcopy(bases[name])
    if number < len(CONTRADICTIONS):
        path, value = CONTRADICTIONS[number]
        return f"{name}: {path} = {value}", toml(contradicted(number, tables)).encode()
    mutations = [MUTATIONS[number // len(bases) % len(MUTATIONS)]]
    if rng.random() < 0.2:
        mutations.insert(0, rng.choice((another_number, misspell_key, drop_key, contradiction)))
    made: Tables | str | bytes = tables
    for mutation in mutations:
        if isinstance(made, dict) and _places(made):
            made = mutation(rng, made)
    said = f"{name}: {', '.join(mutation.__name__ for mutation in mutations)}"
    text = toml(made) if isinstance(made, dict) else made
    return said, text if isinstance(text, bytes) else text.encode()


def tables_in(path: Path) -> list[str]:
    """The study files within a document: its blocks of TOML."""
    blocks = path.read_text(encoding="utf-8").split("```toml\n")[1:]
    return [block.partition("```")[0] for block in blocks]
