"""Hostile weights, graphs and recipes, for which the manifest vouches."""

import json
import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from fakes.corrupted_manifests import Change
from fakes.resealing import replaced

_WEIGHTS, _GRAPH, _RECIPE = "weights.safetensors", "graph.safetensors", "recipe.json"


def _bytes(name: str, what: str, change: Callable[[bytes], bytes]) -> Change:
    def changed(folder: Path, _made: random.Random) -> None:
        replaced(folder, name, change((folder / name).read_bytes()))

    return what, name, changed


def _split(content: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _joined(header: object, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def _header(name: str, what: str, edit: Callable[[dict[str, Any]], object]) -> Change:
    """Another header before the same bytes."""

    def change(content: bytes) -> bytes:
        header, body = _split(content)
        edit(header)
        return _joined(header, body)

    return _bytes(name, f"header: {what}", change)


def _said(key: str, what: str, edit: Callable[[dict[str, Any]], object]) -> Change:
    """What is said of how to read weights."""

    def change(header: dict[str, Any]) -> None:
        value = json.loads(header["__metadata__"][key])
        edit(value)
        header["__metadata__"][key] = json.dumps(value)

    return _header(_WEIGHTS, f"{key}: {what}", change)


def _text(key: str, text: str) -> Change:
    return _header(_WEIGHTS, f"{key}: {text[:20]}", lambda h: h["__metadata__"].update({key: text}))


def _tensors(what: str, edit: Callable[[dict[str, Tensor]], object]) -> Change:
    def changed(folder: Path, _made: random.Random) -> None:
        with safe_open(folder / _WEIGHTS, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        edit(tensors)
        replaced(folder, _WEIGHTS, save(tensors, metadata))

    return f"tensors: {what}", _WEIGHTS, changed


def _framed(name: str) -> list[Change]:
    """What any such file can lie about."""
    first = "plain" if name == _WEIGHTS else "edge_index"
    return [
        _bytes(name, "empty", lambda _: b""),
        _bytes(name, "seven bytes", lambda content: content[:7]),
        _bytes(name, "a header of 2^63 bytes", lambda c: struct.pack("<Q", 2**63) + c[8:]),
        _bytes(name, "a header of 4 GiB", lambda c: struct.pack("<Q", 2**32) + c[8:]),
        _bytes(name, "a header without end", lambda c: struct.pack("<Q", 99_999_999) + c[8:]),
        _bytes(name, "no header", lambda content: struct.pack("<Q", 0) + content[8:]),
        _bytes(name, "no JSON", lambda content: content[:8] + b"x" + content[9:]),
        _bytes(name, "a deep header", lambda _: _joined(b"[" * 10**5, b"")),
        _bytes(name, "half of it", lambda content: content[:-8]),
        _bytes(name, "bytes after", lambda content: content + bytes(8)),
        _header(name, "a huge shape", lambda h: h[first].update(shape=[2**40])),
        _header(name, "a shape of 2^128", lambda h: h[first].update(shape=[2**63, 2**63, 4])),
        _header(name, "a shape below 0", lambda h: h[first].update(shape=[-1])),
        _header(name, "an unknown type", lambda h: h[first].update(dtype="X9")),
        _header(name, "an offset beyond", lambda h: h[first].update(data_offsets=[0, 2**50])),
        _header(name, "offsets turned round", lambda h: h[first].update(data_offsets=[8, 0])),
        _header(name, "tensors over others", lambda h: h.update(more=dict(h[first]))),
        _header(name, "no offsets", lambda h: h[first].pop("data_offsets")),
    ]


def _scale(*shape: int) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: tensors.update({"eight.scale": torch.ones(*shape)})


def _of(name: str, **changed: Any) -> Callable[[dict[str, Any]], object]:
    return lambda value: value[name].update(changed)


_Q, _S = "quantized", "sparse"
WEIGHTS: Sequence[Change] = [
    *_framed(_WEIGHTS),
    *(
        _said(_Q, f"a shape of {shape}", _of("two", shape=shape))
        for shape in (
            [2**40],
            [2**32, 2**32],
            [2**63, 2],
            [0, 2**62],
            [-5],
            [10**30],
            [5.5],
            ["5"],
            "5",
            None,
            {},
            [1] * 10**4,
            [[5]],
            [True, 5],
        )
    ),
    *(_said(_Q, f"{bits} bits", _of("two", bits=bits)) for bits in (0, -1, 5, 32, 10**9, "2", 2.0)),
    *(_said(_Q, f"from {low}", _of("two", low=low)) for low in (10**30, -(10**30), "0", None, 0.5)),
    _said(_Q, "eight bits of another shape", _of("eight", shape=[3, 2])),
    _said(_Q, "one more key", _of("eight", surprise=1)),
    _said(_Q, "no shape", lambda value: value["eight"].pop("shape")),
    _said(_Q, "a weight that is not there", lambda value: value.update(gone=value["two"])),
    _said(_Q, "one that is none", lambda value: value.update(plain=value["two"])),
    _said(_Q, "a list", lambda value: value.update(two=[])),
    *(
        _said(_S, f"a shape of {shape}", _of("sparse", shape=shape))
        for shape in ([2**40], [2**32, 2**32], [0, 2**62], [-2, -2], [10**30], "4", [3, 3, 3])
    ),
    _said(_S, "a weight that is not there", lambda value: value.update(gone={"shape": [4]})),
    _said(_S, "a weight without a mask", lambda value: value.update(plain={"shape": [3]})),
    _said(_S, "two shapes", lambda value: value.update(two={"shape": [9]})),
    *(
        _text(key, text)
        for key in (_Q, _S)
        for text in ("", "[]", "null", "{", "[" * 10**5, "1e400")
    ),
    _tensors("a scale that makes it larger", _scale(10**6, 1, 1)),
    _tensors("a scale of another shape", _scale(3, 2)),
    _tensors("a scale of nothing", _scale(0)),
    _tensors("a scale of integers", lambda t: t.update({"eight.scale": torch.ones(1).long()})),
    _tensors("no scale", lambda t: t.pop("two.scale")),
    _tensors("no mask", lambda t: t.pop("sparse.mask")),
    _tensors("a mask of floats", lambda t: t.update({"sparse.mask": torch.ones(1)})),
    _tensors("a mask of more", lambda t: t.update({"sparse.mask": t["sparse.mask"] | 15})),
    _tensors("entries that are a matrix", lambda t: t.update(sparse=torch.ones(2, 1))),
    _tensors("integers as floats", lambda t: t.update(eight=torch.ones(2, 3))),
    _tensors("bytes in two dimensions", lambda t: t.update(two=t["two"].view(1, 2))),
]


def _edges(what: str, edge_index: Tensor, name: str = "edge_index") -> Change:
    return _bytes(_GRAPH, f"edges: {what}", lambda _: save({name: edge_index}))


GRAPHS: Sequence[Change] = [
    *_framed(_GRAPH),
    _edges("another name", torch.zeros(2, 4, dtype=torch.int64), "edges"),
    _edges("floats", torch.zeros(2, 4)),
    _edges("true and false", torch.zeros(2, 4, dtype=torch.bool)),
    _edges("complex numbers", torch.zeros(2, 4, dtype=torch.complex64)),
    _edges("floats of eight bits", torch.zeros(2, 4).to(torch.float8_e4m3fn)),
    _edges("one number", torch.tensor(0)),
    _edges("three rows", torch.zeros(3, 4, dtype=torch.int64)),
    _edges("more edges", torch.zeros(2, 5, dtype=torch.int64)),
    _edges("a node that is not there", torch.full((2, 4), 8)),
    _edges("a node below 0", torch.full((2, 4), -1)),
    _edges("a node of 2^62", torch.full((2, 4), 2**62)),
]


def _recipe(what: str, change: Callable[[dict[str, Any]], object]) -> Change:
    def changed(content: bytes) -> bytes:
        value = json.loads(content)
        change(value)
        return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()

    return _bytes(_RECIPE, what, changed)


RECIPES: Sequence[Change] = [
    _bytes(_RECIPE, "empty", lambda _: b""),
    _bytes(_RECIPE, "a list", lambda _: b"[]\n"),
    _bytes(_RECIPE, "deep", lambda _: b"[" * 10**5),
    _bytes(
        _RECIPE,
        "900 deep",
        lambda c: c.replace(b"{", b'{"a": ' + b"[" * 900 + b"]" * 900 + b",", 1),
    ),
    _bytes(_RECIPE, "no text", lambda content: content + b"\xff"),
    _bytes(_RECIPE, "2 MiB", lambda content: content + b" " * 2**21),
    _bytes(_RECIPE, "a key twice", lambda c: c.replace(b"{", b'{"seed": 1,', 1)),
    _bytes(_RECIPE, "a blank more", lambda content: content + b" "),
    _recipe("NaN", lambda v: v["evaluator"].update(epochs=float("nan"))),
    _recipe("infinity", lambda v: v["space"].update(depth=[float("inf")])),
    _recipe("another version", lambda v: v.update(version=2)),
    _recipe("another format", lambda v: v.update(format="x" * 10**5)),
    _recipe("one more key", lambda v: v.update(surprise=1)),
    _recipe("a key of colors", lambda v: v.update({"\x1b[31m": 1})),
    _recipe("no steps", lambda v: v.update(steps=[])),
    _recipe("steps that are none", lambda v: v.update(steps={"epochs": 1})),
    _recipe("epochs below 0", lambda v: v["steps"][0].update(epochs=-1)),
    _recipe("a space that is text", lambda v: v.update(space="gnn")),
    _recipe("objectives of three", lambda v: v.update(objectives=[["a", "b", "c"]])),
    _recipe("no fingerprint", lambda v: v.pop("task")),
    _recipe("a seed that is text", lambda v: v.update(seed=[])),
]
