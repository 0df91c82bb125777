"""A user's own graph: npz, CSV and PyG objects, forth and back, and what is wrong with them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from evaluators.datasets import DatasetError, from_pyg, load, read_graph, save_graph
from evaluators.datasets.graph_file import build
from search_spaces.plugins import Plugin

TENSORS = ("x", "edge_index", "y", "train", "val", "test", "graph_ids")
NODES = """id,label,split,a,b
p,cat,train,1,2
q,dog,train,3,4
r,cat,val,5,6
s,dog,val,7,8e1
t,,,9,0
"""
EDGES = "source,target\np,q\nq,r\nt,p\n"


def equal(one, other) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in TENSORS]
    return one.kind == other.kind and all(a is b is None or torch.equal(a, b) for a, b in pairs)


def write(folder: Path, nodes: str = NODES, edges: str = EDGES) -> dict[str, str]:
    (folder / "nodes.csv").write_text(nodes, encoding="utf-8")
    (folder / "edges.csv").write_text(edges, encoding="utf-8")
    return {"nodes": str(folder / "nodes.csv"), "edges": str(folder / "edges.csv")}


@pytest.mark.parametrize("kind", ["node_raw", "graph_raw"])
def test_npz_forth_and_back(kind, request, tmp_path):
    """What is saved is what is read, under any name of file."""
    raw = request.getfixturevalue(kind)
    save_graph(tmp_path / "g.graph", raw)
    read = build(tmp_path, path=str(tmp_path / "g.graph"))
    assert equal(read, raw)
    assert read.n_classes == raw.n_classes
    x, edge_index, graph_ids = read_graph(tmp_path / "g.graph")
    assert torch.equal(x, raw.x)
    assert torch.equal(edge_index, raw.edge_index)
    assert (graph_ids is None) == (raw.graph_ids is None)


@settings(max_examples=30)
@given(
    st.integers(10, 40),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30),
    st.integers(0, 2**31),
)
def test_npz_and_csv_say_the_same(tmp_path_factory, nodes, edges, seed):
    """One graph in both forms gives one dataset, with the same split and fingerprint."""
    folder = tmp_path_factory.mktemp("graph")
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(nodes, 2)).astype(np.float32)
    y = np.arange(nodes) % 2
    edge_index = np.array(edges, dtype=np.int32).reshape(-1, 2).T
    np.savez(folder / "g.npz", x=x, edge_index=edge_index, y=y)
    rows = [f"{c},{float(a)!r},{float(b)!r}" for c, (a, b) in zip(y, x, strict=True)]
    table = "\n".join(["label,a,b", *rows])
    ends = "\n".join(["source,target", *(f"{a},{b}" for a, b in edges)])
    one = build(folder, path=str(folder / "g.npz"), seed=3)
    other = build(folder, **write(folder, table, ends), seed=3)
    assert equal(one, other)


def test_csv_columns(tmp_path):
    """Ids may be any text, names of classes are numbered in order, empty means none."""
    raw = build(tmp_path, **write(tmp_path))
    assert raw.x.tolist() == [[1, 2], [3, 4], [5, 6], [7, 80], [9, 0]]
    assert raw.edge_index.tolist() == [[0, 1, 4], [1, 2, 0]]
    assert raw.y.tolist() == [0, 1, 0, 1, -1]
    assert raw.train.tolist() == [True, True, False, False, False]
    assert not raw.test.any()
    renamed = write(tmp_path, NODES.replace("id,label", "who,what"), EDGES.replace("target", "to"))
    assert equal(build(tmp_path, **renamed, id="who", label="what", target="to"), raw)


def test_a_column_called_otherwise_must_be_there(tmp_path):
    """`split` and `id` are optional under their own names alone: a typo is no random split."""
    for option in ("id", "split"):
        with pytest.raises(DatasetError, match=r'no column "spilt"'):
            build(tmp_path, **write(tmp_path), **{option: "spilt"})


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path):
    """Spreadsheets write one, and ends of lines of Windows."""
    plain = build(tmp_path, **write(tmp_path))
    marked = ["\ufeff" + table.replace("\n", "\r\n") for table in (NODES, EDGES)]
    assert equal(build(tmp_path, **write(tmp_path, *marked)), plain)


def test_class_numbers_are_kept(tmp_path):
    """Not numbered anew in the order of text, where 10 comes before 2."""
    table = "label,a\n" + "\n".join(f"{c},1" for c in [10, 2, 2.0, "", 0])
    raw = build(tmp_path, **write(tmp_path, table, "source,target\n"), train_ratio=0.5)
    assert raw.y.tolist() == [10, 2, 2, -1, 0]
    assert raw.n_classes == 11
    assert raw.edge_index.shape == (2, 0)


BAD_CSV = {
    "feature": (NODES.replace("3,4", "3,x"), EDGES, r'feature "b" of node 1 .* got "x"'),
    "nan": (
        NODES.replace("3,4", "3,nan"),
        EDGES,
        r'nodes\.csv: 1 features .* "b" of node 1 .*: "nan"',
    ),
    "infinite": (NODES.replace("3,4", "3,1e99"), EDGES, r'feature "b" of node 1 .*: "1e99"'),
    "id twice": (NODES.replace("q,dog", "p,dog"), EDGES, r'the id "p" is given to nodes 0 and 1'),
    "split": (NODES.replace("val,5", "dev,5"), EDGES, r'split of node 2 .* got "dev"'),
    "short row": (NODES + "u,cat\n", EDGES, r"line 7: expected 5 cells as in the header, got 2"),
    "unknown node": (NODES, EDGES + "t,z\n", r'target of edge 3 .* is "z", which is none of the 5'),
    "no label column": (NODES.replace("label", "labels"), EDGES, r'no column "label", it has .*ls'),
    "column twice": (NODES.replace("a,b", "a,a"), EDGES, r"column 'a' is there twice"),
    "no target column": (NODES, "source,to\np,q\n", r'edges\.csv has no column "target"'),
    "empty": ("", EDGES, r"nodes\.csv is empty, expected a header"),
    "regression": ("label,a\n0.5,1\n1,1\n", EDGES, r'"0\.5" is no class number.*regression'),
    "negative": ("label,a\n-2,1\n1,1\n", EDGES, r'"-2" is no class number'),
    "huge label": ("label,a\n99999999999999999999,1\n1,1\n", EDGES, r'"9{20}" is no class number'),
    "id in capitals": (NODES.replace("id,", "ID,"), EDGES, r'"ID" and none called "id"; write it'),
    "header alone": ("label,a\n", EDGES, r"nodes\.csv has no rows under its header"),
    "no labels": ("label,a\n,1\n,2\n", "source,target\n", r"two classes or more, got 0"),
    "no features": ("label\n1\n0\n1\n0\n", "source,target\n", r"x has no columns"),
    "other separator": (NODES.replace(",", ";"), EDGES, r'no column "label", it has .*id;label'),
    "empty edges": (NODES, "", r"edges\.csv is empty, expected a header"),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_csv_is_refused(case, tmp_path):
    """With the file, the place and what is there."""
    nodes, edges, message = BAD_CSV[case]
    with pytest.raises(DatasetError, match=message):
        load(Plugin("graph_file", write(tmp_path, nodes, edges)), tmp_path)


GOOD = {
    "x": np.ones((6, 2)),
    "edge_index": np.array([[0, 1], [1, 2]]),
    "y": np.array([0, 1, 0, 1, 0, 1]),
}
BAD_NPZ = {
    "no y": ({"y": None}, r"bad\.npz has no array y; it has edge_index, x"),
    "y of floats": ({"y": np.ones(6)}, r"class numbers, got float64; regression is not"),
    "one-hot y": ({"y": np.eye(6, dtype=int)}, r"shape \[6, 6\].*one-hot rows want"),
    "edges of floats": ({"edge_index": np.ones((2, 3))}, r"edge_index must be integers, got float"),
    "text": ({"x": np.array([["a"]] * 6)}, r"x must be numbers, got <U1"),
    "objects": ({"x": np.array([[None]] * 6, dtype=object)}, r"cannot be read .* numeric arrays"),
    "indices as mask": (
        {"train_mask": np.array([0, 1]), "val_mask": np.array([2])},
        r"train_mask must be bool, got int64; an array of indices wants",
    ),
    "train alone": ({"train_mask": np.ones(6, bool)}, r"train_mask and val_mask, or no mask"),
    "n_classes": ({"n_classes": np.array([2, 2])}, r"n_classes must be one number, got .*\[2\]"),
    "overflow": ({"x": np.full((6, 2), 1e300)}, r"12 values that are NaN or infinite"),
    "label": ({"n_classes": np.array(2), "y": np.arange(6)}, r"4 labels are outside the 2 classes"),
}


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, ">i4", np.uint64])
def test_labels_of_any_integers(dtype, tmp_path):
    """Small, unsigned, of another byte order: the same classes."""
    np.savez(tmp_path / "g.npz", **(GOOD | {"y": GOOD["y"].astype(dtype)}))
    assert build(tmp_path, path=str(tmp_path / "g.npz")).y.tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("case", BAD_NPZ)
def test_bad_npz_is_refused(case, tmp_path):
    """With the array and what it is."""
    change, message = BAD_NPZ[case]
    arrays = {name: array for name, array in (GOOD | change).items() if array is not None}
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DatasetError, match=message):
        load(Plugin("graph_file", {"path": str(tmp_path / "bad.npz")}), tmp_path)


def test_a_pickle_is_not_opened(tmp_path):
    """A file that would run code when unpickled is refused instead."""
    place = tmp_path / "g.npz"
    place.write_bytes(pickle.dumps(_Trap(str(tmp_path / "sprung"))))
    with pytest.raises(DatasetError, match="cannot be read"):
        build(tmp_path, path=str(place))
    assert not (tmp_path / "sprung").exists()
    pickle.loads(place.read_bytes())  # noqa: S301  (the control: the trap works)
    assert (tmp_path / "sprung").exists()


class _Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_files_that_are_none(suffix, tmp_path):
    """Missing, empty, a single array, a folder."""
    place = tmp_path / f"g{suffix}"
    with pytest.raises(DatasetError, match="there is no file"):
        build(tmp_path, path=str(place))
    place.write_bytes(b"")
    with pytest.raises(DatasetError, match="cannot be read"):
        build(tmp_path, path=str(place))
    with place.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(DatasetError, match="single array"):
        build(tmp_path, path=str(place))
    with pytest.raises(DatasetError, match="cannot be read"):
        build(tmp_path, path=str(tmp_path))


def test_path_or_tables(tmp_path):
    """One way to name a graph, not two and not half of one."""
    with pytest.raises(DatasetError, match="got none of them"):
        build(tmp_path)
    with pytest.raises(DatasetError, match=r"got nodes$"):
        build(tmp_path, nodes="nodes.csv")
    with pytest.raises(DatasetError, match=r"got path, edges$"):
        build(tmp_path, path="g.npz", edges="edges.csv")
    with pytest.raises(DatasetError, match=r"nodes: there is no file .*gone\.csv"):
        build(tmp_path, nodes="gone.csv", edges="gone.csv")


def data(nodes: int = 10, **attributes) -> Data:
    y = attributes.pop("y", torch.arange(nodes) % 2)
    edge_index = torch.tensor([[0, 1], [1, 2]])
    return Data(x=torch.rand(nodes, 3), edge_index=edge_index, y=y, **attributes)


def test_a_data_object_and_its_masks(tmp_path):
    """Masks are taken where there are some; columns by `split`; otherwise drawn by `seed`."""
    halves = torch.arange(10) < 5
    own = from_pyg(data(train_mask=halves, val_mask=~halves))
    assert torch.equal(own.train, halves)
    assert not own.test.any()
    columns = torch.stack([halves, ~halves], dim=1)
    second = from_pyg(data(train_mask=columns, val_mask=~columns), split=1)
    assert torch.equal(second.train, ~halves)
    drawn = from_pyg(data(), train_ratio=0.4, val_ratio=0.4, seed=5)
    assert [int(m.sum()) for m in (drawn.train, drawn.val, drawn.test)] == [4, 4, 2]
    save_graph(tmp_path / "data.npz", graph := data())
    assert equal(build(tmp_path, path=str(tmp_path / "data.npz")), from_pyg(graph))


def test_a_list_of_data_is_a_graph_task(tmp_path):
    """Edges are shifted to the nodes of their graph; a Batch is taken apart to the same."""
    graphs = [data(3 + i, y=torch.tensor([i % 2])) for i in range(10)]
    raw = from_pyg(graphs)
    assert raw.kind == "graph_classification"
    assert raw.graph_ids.bincount().tolist() == list(range(3, 13))
    assert raw.edge_index[:, 2:4].tolist() == [[3, 4], [4, 5]]
    assert equal(from_pyg(Batch.from_data_list(graphs)), raw)
    save_graph(tmp_path / "graphs.npz", graphs)
    assert equal(build(tmp_path, path=str(tmp_path / "graphs.npz")), raw)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda: Data(edge_index=torch.zeros(2, 1).long(), y=torch.zeros(2).long()), "no tensor x"),
        (lambda: Data(x=torch.ones(2, 1), y=torch.zeros(2).long()), "no tensor edge_index"),
        (lambda: Data(x=torch.ones(2, 1)), "no tensor y"),
        (lambda: data(y=torch.rand(10)), "regression is not supported yet"),
        (lambda: data(y=torch.zeros(10, 2).long()), r"shape \[10, 2\]; several labels"),
        (lambda: data(y=torch.tensor([1])), "one label for 10 nodes; a graph task takes a list"),
        (lambda: data(val_mask=torch.ones(10).bool()), "got val_mask"),
        (lambda: [data()], "graph 0 has 10 labels, expected one"),
        (
            lambda: [data(y=torch.tensor([0])), Data(x=torch.ones(2, 1), y=torch.tensor([1]))],
            r"graph 1 has features of shape \[2, 1\], but graph 0 of \[10, 3\]",
        ),
        (lambda: [], "the list of graphs is empty"),
        (lambda: 3, "expected a PyG Data or a list of them, got int"),
    ],
)
def test_data_that_cannot_be_used(graph, message):
    """What is missing, and what to do about it."""
    with pytest.raises(DatasetError, match=message):
        from_pyg(graph())
