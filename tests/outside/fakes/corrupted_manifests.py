"""Hostile manifests: some whose digest is right, and some whose text is not what is written."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fakes.resealing import NAME, edited

Change = tuple[str, str, Callable[[Path, random.Random], object]]
_HUGE = 10**4000
_NAMES = (
    "../outside",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..",
    ".",
    "",
    ".hidden",
    "C:x",
    "manifest.json",
    "nul\0byte",
    "line\nbreak",
    "\x1b[31mred",
    "model.pt2 ",
    "mоdel.pt2",  # noqa: RUF001  an o of another alphabet
    "model․pt2",  # noqa: RUF001  a leader for a dot
    "weights.safetensors\u200b",
    "\u202emodel.pt2",
    "a" * 101,
    "a" * 200_000,
    "~",
    "$HOME",
    "model.pt2::$DATA",
)


def _file(name: str) -> Change:
    def change(folder: Path, _made: random.Random) -> None:
        edited(folder, lambda v: v["files"].update({name: v["files"]["README.md"]}))

    return f"a file called {ascii(name)[:40]}", NAME, change


def _set(*path: str | int, to: Any, name: str = NAME) -> Change:
    def edit(value: Any) -> None:
        for part in path[:-1]:
            value = value[part]
        value[path[-1]] = to

    def change(folder: Path, _made: random.Random) -> None:
        edited(folder, edit)

    return f"{'.'.join(map(str, path))} is {ascii(to)[:40]}", name, change


def _without(*path: str | int) -> Change:
    def edit(value: Any) -> None:
        for part in path[:-1]:
            value = value[part]
        del value[path[-1]]

    return f"no {'.'.join(map(str, path))}", NAME, lambda folder, _: edited(folder, edit)


_PROGRAM, _README = ("programs", 0), ("files", "README.md")
MANIFESTS: Sequence[Change] = [
    *map(_file, _NAMES),
    *(_set(*_PROGRAM, "file", to=name) for name in _NAMES),
    *(_set(*_README, "bytes", to=to) for to in (-1, _HUGE, 1.5, "1", None, True, [])),
    *(_set(*_README, "sha256", to=to) for to in ("0", "0" * 63 + "G", "0" * 10**5, 0, None)),
    _set(*_README, "bytes", to=2**63),
    _set(*_README, "bytes", to=2**62, name="README.md"),
    _set(*_README, "sha256", to="0" * 64, name="README.md"),
    _set(*_PROGRAM, "exporter", to="os.path"),
    _set(*_PROGRAM, "exporter", to="fakes.export"),
    _set(*_PROGRAM, "exporter", to="../pt2"),
    _set(*_PROGRAM, "exporter", to="pt2\0"),
    _set(*_PROGRAM, "exporter", to=""),
    _set(*_PROGRAM, "exporter", to="x" * 10**5),
    _set(*_PROGRAM, "exporter", to=7),
    _set(*_PROGRAM, "exporter", to="aoti"),
    _set(*_PROGRAM, "file", to="README.md"),
    _set("programs", to=[]),
    _set("programs", to={}),
    _set("programs", to="pt2"),
    _set(*_PROGRAM, "parity", "graphs", to=[{"N": "1"}]),
    _set(*_PROGRAM, "parity", "tolerance", to=True),
    _set("version", to=1),
    _set("version", to=_HUGE),
    _set("version", to=True),
    _set("version", to="2"),
    _set("version", to=[[]] * 1000),
    _set("format", to="gnn-nas Bundle"),
    _set("format", to="x" * 10**5),
    _set("format", to={"a": {"b": []}}),
    _set("surprise", to=1),
    _set("\ud800", to=1),
    _set("\x1b[2J", to=1),
    _set("contract", "n_features", to=0),
    _set("contract", "n_features", to=-(10**100)),
    _set("contract", "n_features", to=10**18),
    _set("contract", "n_classes", to="3"),
    _set("contract", "kind", to="edge_classification"),
    _set("contract", "class_names", to="abc"),
    _set("inputs", 0, "shape", to=["N", 10**30]),
    _set("inputs", 0, "dtype", to="object"),
    _set("inputs", to=[]),
    _set("outputs", 0, "shape", to=["N"] * 10_000),
    _set("graph", to=None),
    _set("graph", "file", to="README.md"),
    _set("graph", "n_nodes", to=0),
    _set("graph", "n_nodes", to=2, name="graph.safetensors"),
    _set("graph", "edges", to=10**12, name="graph.safetensors"),
    _set("graph", "edges", to=-1),
    _set("metrics", to=[]),
    _set("metrics", "val_accuracy", to={"value": "1", "split": None}),
    _set("provenance", "trial", to=1.5),
    _set("notes", to="x"),
    _without("files", "model.pt2"),
    _without("files", "weights.safetensors"),
    _without("files", "graph.safetensors"),
    _without("files"),
    _without("programs"),
    _without("contract"),
    _without("version"),
    _without("format"),
    _without("versions"),
]


def _text(what: str, change: Callable[[str], str | bytes]) -> Change:
    def written(folder: Path, _made: random.Random) -> None:
        said = change((folder / NAME).read_text("utf-8"))
        content = said if isinstance(said, bytes) else said.encode("utf-8", "surrogatepass")
        (folder / NAME).write_bytes(content)

    return what, NAME, written


def _with(value: str) -> Callable[[str], str]:
    """One more key, in place of the first brace."""
    return lambda text: text.replace("{", '{"zz": ' + value + ",", 1)


TEXTS: Sequence[Change] = [
    _text("empty", lambda _: ""),
    _text("a list", lambda _: "[]"),
    _text("null", lambda _: "null"),
    _text("a number", lambda _: "1e400"),
    _text("1e400", _with("1e400")),
    _text("-1e400", _with("-1e400")),
    _text("NaN", _with("NaN")),
    _text("Infinity", _with("Infinity")),
    _text("a number of 100,000 digits", _with("1" * 100_000)),
    _text("a number of 4,000 digits", _with("1" * 4000)),
    _text("100,000 lists deep", lambda _: "[" * 100_000),
    _text("100,000 objects deep", lambda _: '{"a":' * 100_000),
    _text("900 lists deep", _with("[" * 900 + "]" * 900)),
    _text("200 objects deep", _with('{"a":' * 200 + "1" + "}" * 200)),
    _text("a key twice", lambda t: t.replace("{", '{"format": "gnn-nas bundle",', 1)),
    _text("a file twice", lambda t: t.replace('"files": {', '"files": {"README.md": 1,', 1)),
    _text("one line", lambda t: json.dumps(json.loads(t))),
    _text("another order", lambda t: json.dumps(dict(reversed(json.loads(t).items())), indent=2)),
    _text("a blank at its end", lambda t: f"{t} "),
    _text("no line break at its end", str.strip),
    _text("line breaks of Windows", lambda t: t.replace("\n", "\r\n")),
    _text("line breaks of old", lambda t: t.replace("\n", "\r")),
    _text("a mark of its encoding", lambda t: "\ufeff" + t),
    _text("in UTF-16", lambda t: t.encode("utf-16")),
    _text("a half of a character", lambda t: t.encode() + b"\xc3"),
    _text("NUL", lambda t: t.replace("\n", "\0", 1)),
    _text("comments", lambda t: f"// a bundle\n{t}"),
    _text("escaped letters", lambda t: t.replace("gnn-nas bundle", "\\u0067nn-nas bundle", 1)),
    _text("2 MiB of blanks", lambda t: " " * 2**21 + t),
    _text("a wrong digest", lambda t: t.replace('"digest": "', '"digest": "0', 1)),
    _text("no digest", lambda t: t.replace('"digest"', '"digested"', 1)),
]
