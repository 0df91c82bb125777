"""Hostile programs, for which the manifest vouches: archives, and what is in them."""

import io
import json
import pickle
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fakes.corrupted_manifests import Change
from fakes.resealing import replaced

NAME = "model.pt2"
GRAPH, WEIGHTS = "archive/models/model.json", "archive/data/weights/model_weights_config.json"
_GIB = 2**30
# What is run would say so.
_CODE = "exit(99)"
IMPORTS = "__import__('os')._exit(99)"


class Evil:
    """Unpickling one of these would be noticed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (_CODE,)


def _archive(what: str, change: Callable[[bytes], bytes]) -> Change:
    def changed(folder: Path, _made: random.Random) -> None:
        replaced(folder, NAME, change((folder / NAME).read_bytes()))

    return what, NAME, changed


def _members(
    change: Callable[[str, bytes], bytes] = lambda _, content: content,
    extra: Sequence[tuple[str | zipfile.ZipInfo, bytes]] = (),
    method: int = zipfile.ZIP_STORED,
) -> Callable[[bytes], bytes]:
    """The archive anew, its files changed, and with others."""

    def made(content: bytes) -> bytes:
        out = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with (
                zipfile.ZipFile(io.BytesIO(content)) as old,
                zipfile.ZipFile(out, "w", method) as new,
            ):
                for name in old.namelist():
                    new.writestr(name, change(name, old.read(name)))
                for info, more in extra:
                    new.writestr(info, more)
        return out.getvalue()

    return made


def _json(name: str, edit: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    def change(member: str, content: bytes) -> bytes:
        if member != name:
            return content
        value = json.loads(content)
        edit(value)
        return json.dumps(value).encode()

    return _members(change)


def _graph(what: str, edit: Callable[[Any], object]) -> Change:
    return _archive(f"graph: {what}", _json(GRAPH, edit))


def _weight(what: str, edit: Callable[[Any], object]) -> Change:
    """Of the first weight."""
    return _archive(
        f"weights: {what}", _json(WEIGHTS, lambda v: edit(next(iter(v["config"].values()))))
    )


def _link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("archive/data/weights/weight_900")
    info.external_attr = 0o120777 << 16
    return info


def _bomb(content: bytes) -> bytes:
    """A gibibyte of zeros in a megabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(2**24)
    body = b"".join(packer.compress(zeros) for _ in range(_GIB // len(zeros))) + packer.flush()
    return _appended(content, "archive/data/weights/weight_901", body, 8, _GIB)


def _appended(content: bytes, name: str, body: bytes, method: int, size: int) -> bytes:
    """An archive of one more file, whose size is said to be that."""
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        begin, count = old.start_dir, len(old.infolist())
    table = content[begin:-22]
    if table[-20:-16] == b"PK\x06\x07":
        table = table[:-76]
    beside = struct.pack(
        "<4s5H3I2H", b"PK\3\4", 20, 0, method, 0, 0, 0, len(body), size, len(name), 0
    )
    entry = struct.pack(
        "<4s6H3I5H2I",
        b"PK\1\2", 20, 20, 0, method, 0, 0, 0, len(body), size, len(name), 0, 0, 0, 0, 0, begin,
    )  # fmt: skip
    whole = table + entry + name.encode()
    place = begin + len(beside) + len(name) + len(body)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count + 1, count + 1, len(whole), place, 0)
    return content[:begin] + beside + name.encode() + body + whole + end


def _in_table(field: int, value: int, width: str = "<I") -> Callable[[bytes], bytes]:
    """Another number in the first entry of the table."""

    def change(content: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content)) as old:
            begin = old.start_dir
        changed = bytearray(content)
        struct.pack_into(width, changed, begin + field, value)
        return bytes(changed)

    return change


def _over(content: bytes) -> bytes:
    """The second file of the table lies where the first does."""
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        first = old.infolist()[0]
        begin = old.start_dir
    second = begin + 46 + len(first.filename) + len(first.extra)
    changed = bytearray(content)
    struct.pack_into("<I", changed, second + 42, first.header_offset)
    return bytes(changed)


def _beside(content: bytes) -> bytes:
    """Another name beside the first file than in the table."""
    return content.replace(b"weight_0", b"weight_9", 1)


def _nodes(edit: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda value: edit(value["graph_module"]["graph"]["nodes"])


def _expression(text: str) -> Change:
    """In place of all sizes that are to be computed."""

    def edit(value: Any) -> None:
        if isinstance(value, dict):
            if "expr_str" in value:
                value["expr_str"] = text
            value = list(value.values())
        if isinstance(value, list):
            for each in value:
                edit(each)

    return _graph(f"the size {text[:30]}", edit)


def _target(text: str) -> Change:
    return _graph(f"calls {text}", _nodes(lambda nodes: nodes[0].update(target=text)))


def _tree(kind: str, context: str) -> Change:
    spec = json.dumps([1, {"type": kind, "context": context, "children_spec": []}])

    def edit(value: Any) -> None:
        value["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = spec

    return _graph(f"inputs of type {kind}", edit)


def _names(value: Any) -> None:
    signature = value["graph_module"]["module_call_graph"][0]["signature"]
    signature["forward_arg_names"] = [f"x={_CODE}", "edge_index"]


_FACTORY = json.dumps(
    {"default_factory_module": "this", "default_factory_name": "s", "dict_context": []}
)
_TENSOR = "tensor_meta"
PROGRAMS: Sequence[Change] = [
    _archive("text", lambda _: b"hello"),
    _archive("empty", lambda _: b""),
    _archive("an empty zip", lambda _: b"PK\5\6" + bytes(18)),
    _archive("half of it", lambda content: content[: len(content) // 2]),
    _archive("compressed", _members(method=zipfile.ZIP_DEFLATED)),
    _archive("compressed by lzma", _members(method=zipfile.ZIP_LZMA)),
    _archive("compressed by bzip2", _members(method=zipfile.ZIP_BZIP2)),
    _archive("a bomb", _bomb),
    _archive("a file said to be 4 GiB", _in_table(24, 2**32 - 2)),
    _archive("a packed size of 4 GiB", _in_table(20, 2**32 - 2)),
    _archive("a place beyond its end", _in_table(42, 2**32 - 2)),
    _archive("an unknown method", _in_table(10, 99, "<H")),
    _archive("encrypted", _in_table(8, 1, "<H")),
    _archive("a name of 65,535 letters", _in_table(28, 2**16 - 1, "<H")),
    _archive("an extra of 65,535 bytes", _in_table(30, 2**16 - 1, "<H")),
    _archive("a file over another", _over),
    _archive("two names of one file", _beside),
    _archive("bytes before", lambda content: b"#!/bin/sh\n" + content),
    _archive("bytes after", lambda content: content + b"x"),
    _archive("a comment", lambda content: content[:-2] + b"\1\0x"),
    _archive("twice itself", lambda content: content + content),
    _archive("more said than is there", lambda c: c[:-14] + b"\xff\xfe\xff\xfe" + c[-10:]),
    _archive("a link", _members(extra=[(_link(), b"/etc/passwd")])),
    _archive("a folder", _members(extra=[("archive/data/weights/", b"")])),
    _archive("a path out", _members(extra=[("archive/../../evil", b"x")])),
    _archive("an absolute path", _members(extra=[("/archive/evil", b"x")])),
    _archive("a file twice", _members(extra=[(GRAPH, b"{}")])),
    _archive("two programs", _members(extra=[("other/models/model.json", b"{}")])),
    _archive("a library", _members(extra=[("archive/data/aotinductor/model/a.so", b"x")])),
    _archive("an object", _members(extra=[("archive/data/constants/opaque_obj_0", b"x")])),
    _archive("old weights", _members(extra=[("archive/data/weights/model.pt", b"x")])),
    _archive("colors", _members(extra=[("archive/\x1b[31m" + "x" * 9999, b"x")])),
    _archive(
        "a pickle of inputs",
        _members(lambda n, c: pickle.dumps(Evil()) if "sample_inputs" in n else c),
    ),
    _archive(
        "a table of weights that is none", _members(lambda n, c: b"[]" if n == WEIGHTS else c)
    ),
    _archive(
        "a table of weights too deep",
        _members(lambda n, c: b'{"config":' + b"[" * 10**5 if n == WEIGHTS else c),
    ),
    _archive("a graph that is none", _members(lambda n, c: b"{}" if n == GRAPH else c)),
    _archive("a graph too deep", _members(lambda n, c: b"[" * 10**5 if n == GRAPH else c)),
    _archive("no graph", _members(lambda n, c: b"" if n == GRAPH else c)),
    _weight("a pickle", lambda w: w.update(use_pickle=True)),
    _weight("no word of pickles", lambda w: w.pop("use_pickle")),
    _weight("a pickle, as a number", lambda w: w.update(use_pickle=0)),
    _weight("a path out", lambda w: w.update(path_name="../../evil")),
    _weight("a file that is not there", lambda w: w.update(path_name="weight_77")),
    _weight("a huge shape", lambda w: w[_TENSOR].update(sizes=[{"as_int": 10**12}])),
    _weight(
        "a huge shape without strides",
        lambda w: w[_TENSOR].update(sizes=[{"as_int": 10**9}], strides=[{"as_int": 0}]),
    ),
    _weight("a shape of 10^40", lambda w: w[_TENSOR].update(sizes=[{"as_int": 10**40}])),
    _weight("a shape below 0", lambda w: w[_TENSOR].update(sizes=[{"as_int": -1}])),
    _weight(
        "a shape to compute", lambda w: w[_TENSOR].update(sizes=[{"as_expr": {"expr_str": _CODE}}])
    ),
    _weight("strides out of it", lambda w: w[_TENSOR].update(strides=[{"as_int": 2**40}] * 2)),
    _weight("an offset out of it", lambda w: w[_TENSOR].update(storage_offset={"as_int": 2**40})),
    _weight("an unknown type", lambda w: w[_TENSOR].update(dtype=99)),
    _weight("no shape", lambda w: w.update(tensor_meta=None)),
    _expression(IMPORTS),
    _expression(_CODE),
    _expression("().__class__.__base__.__subclasses__()"),
    _expression("Symbol('x', integer=exit(99))"),
    _expression("Pow(Integer(10), Integer(1000000000))"),
    _expression("Pow(Pow(Integer(9), Integer(8)), Integer(8))"),
    _expression("9**9**9**9"),
    _expression("factorial(10**9)"),
    _expression("Integer(" * 5000 + "1" + ")" * 5000),
    _expression("lambda: 1"),
    _expression("[x for x in ()]"),
    _expression("f'{exit(99)}'"),
    _graph("guards", lambda v: v.update(guards_code=[_CODE])),
    _graph("guards of more than sizes", lambda v: v.update(guards_code=[f"L['x'].{_CODE}"])),
    _graph("guards in disguise", lambda v: v.update(guards_code=["L['x'].size()[exit(99)] > 0"])),
    _graph("names of arguments", _names),
    _graph("metadata", _nodes(lambda nodes: nodes[0].update(metadata={"stack_trace": "x"}))),
    _graph("a name", _nodes(lambda nodes: nodes[0].update(name=f"x\n    {_CODE}"))),
    _graph("a name of colors", _nodes(lambda nodes: nodes[0].update(name="\x1b[31m"))),
    _graph("no nodes", lambda v: v["graph_module"]["graph"].update(nodes=None)),
    _graph("another version", lambda v: v.update(schema_version={"major": 999, "minor": 0})),
    _target("torch.load"),
    _target("torch.hub.load"),
    _target("torch.os.system"),
    _target("torch.ops.load_library"),
    _target("torch.ops.load_library.x"),
    _target("torch.ops.aten.from_file.default"),
    _target("torch.ops.aten.add.__class__"),
    _target("torch.sys.exit"),
    _target("_operator.attrgetter"),
    _target("_operator.methodcaller"),
    _target("_operator.call"),
    _target("_operator.__class__"),
    _target("math.__loader__.load_module"),
    _target("#torchao.ops.x"),
    _target("builtins.exec"),
    _target(_CODE),
    _tree("collections.defaultdict", _FACTORY),
    _tree("builtins.tuple", json.dumps({"__enum__": True, "fqn": "this:s", "name": "x"})),
    _tree("builtins.dict", json.dumps([f"x: {_CODE}"])),
]
