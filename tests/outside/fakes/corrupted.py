"""Bundles that are damaged, or made by someone hostile: a seeded stream of them, by kind.

`whole` writes one small bundle with a file of every sort. Each case changes a copy of it; what is
changed is then vouched for by the manifest, or not. `outcome` says whether it was refused.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from evaluators.datasets import Preprocessing
from fakes.corrupted_files import GRAPHS, RECIPES, WEIGHTS
from fakes.corrupted_manifests import MANIFESTS, TEXTS, Change
from fakes.corrupted_programs import PROGRAMS
from fakes.resealing import resealed
from nas.export._base import BundleError
from nas.export._graph import PrunedGraph, digest_of
from nas.export._manifest import Provenance
from nas.export._recipe import Recipe, Step, read_recipe
from nas.export._weights import content
from nas.export.bundle import write_bundle
from nas.export.load import check_files, load_bundle, load_weights
from search_spaces import Architecture, Task
from search_spaces.quantization.storage import SCALE, Stored
from search_spaces.sparsity.storage import MASK, Left

FILES = (
    "manifest.json",
    "model.pt2",
    "weights.safetensors",
    "architecture.json",
    "graph.safetensors",
    "recipe.json",
    "README.md",
)


@dataclass(frozen=True)
class Case:
    """One spoilt bundle.

    Attributes:
        kind: what was done.
        names: of the files of which the reason must name one.
        what: for people, which change it was.
    """

    kind: str
    names: tuple[str, ...]
    what: str


class Network(nn.Module):
    """Small, and fast to trace."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden: Tensor = self.linear(x)
        return hidden.index_add(0, edge_index[1], hidden[edge_index[0]])


def whole(to: Path) -> None:
    """Write a bundle with weights of few bits, a sparse one, a graph and a recipe."""
    torch.manual_seed(0)
    task = Task("node_classification", 4, 3, 8, 8, 1, 4, 2, 2, "accuracy", "0" * 32)
    write_bundle(
        to,
        network=Network(),
        architecture=Architecture("made", {"depth": 1}),
        task=task,
        preprocessing=Preprocessing(),
        provenance=Provenance(study="made", trial=0, seed=0),
    )
    edges = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    graph = PrunedGraph(edges, 8, 8, digest_of(edges, 8))
    graph.write(to)
    _recipe(task).write(to)
    (to / "weights.safetensors").write_bytes(_weights())
    entry = graph.entry.model_dump(mode="json")
    resealed(to, lambda value: value.update(graph=entry))


def _recipe(task: Task) -> Recipe:
    return Recipe(
        seed=0,
        objectives=[("val_accuracy", "maximize")],
        space={"name": "gnn", "depth": [1]},
        dataset={"name": "digits_knn"},
        evaluator={"name": "training", "epochs": 1},
        task=asdict(task),
        steps=[Step(choices={"depth": 1}, epochs=1)],
    )


def _weights() -> bytes:
    """Of eight bits, of two, and with entries left out."""
    tensors = {
        "eight": torch.arange(6, dtype=torch.int8).view(2, 3),
        "eight" + SCALE: torch.ones(2, 1),
        "two": torch.tensor([0b11100100, 0b11], dtype=torch.uint8),
        "two" + SCALE: torch.ones(1),
        "sparse": torch.tensor([1.0, 2.0]),
        "sparse" + MASK: torch.tensor([0b1001], dtype=torch.uint8),
        "plain": torch.ones(3),
    }
    how = {"eight": Stored("8", 8, (2, 3), -128, 127), "two": Stored("2", 2, (5,), -2, 1)}
    return content(tensors, how, {"sparse": Left((2, 2))})


def read(folder: Path) -> None:
    """All that this program ever reads of a bundle; raises what that raises."""
    check_files(folder)
    read_recipe(folder)
    load_weights(folder)
    load_bundle(folder)


def outcome(folder: Path, names: tuple[str, ...]) -> str:
    """Read a bundle: nothing where it was refused and the reason names a file, else what was."""
    try:
        read(folder)
    except BundleError as error:
        said = str(error)
        if not any(name in said for name in names):
            return f"the reason does not name {' or '.join(names)}: {said[:200]}"
        if len(said) > _LONGEST_REASON or not said.isprintable():
            return f"a reason of {len(said)} characters, which may not be printed"
        return ""
    except BaseException as error:  # whatever else it raises is what is looked for
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "it was read"


_LONGEST_REASON = 2000


def corrupted(
    bundle: Path, scratch: Path, count: int, seed: int = 0
) -> Iterator[tuple[Case, Path]]:
    """So many spoilt copies of a bundle, each in the same folder in turn.

    Args:
        bundle: that `whole` wrote.
        scratch: a folder; what is made there is deleted again.
    """
    made = random.Random(seed)
    folder = scratch / "spoilt"
    share = sum(KINDS.values())
    numbers = {kind: max(1, round(count * part / share)) for kind, part in KINDS.items()}
    numbers[FLIPPED] += count - sum(numbers.values())
    for kind, number in numbers.items():
        changes = list(_HOSTILE.get(kind, ()))
        made.shuffle(changes)
        for index in range(number):
            shutil.copytree(bundle, folder)
            yield Case(kind, *_make(kind, index, folder, made, changes)), folder
            shutil.rmtree(folder)
            (scratch / "elsewhere").unlink(missing_ok=True)


def _make(
    kind: str, index: int, folder: Path, made: random.Random, changes: Sequence[Change]
) -> tuple[tuple[str, ...], str]:
    """Spoil it; which files the reason may name, and what was done."""
    if kind in _DAMAGES:
        name = FILES[index % len(FILES)]
        before = {each: (folder / each).read_bytes() for each in FILES}
        rest = _DAMAGES[kind](folder, name, made)
        others = [n for n in FILES if n != name and _differs(folder / n, before[n])]
        return (name, *others), f"{kind}: {name}{rest}"
    what, name, change = changes[index % len(changes)]
    change(folder, made)
    return (name,), what


def _differs(path: Path, content_: bytes) -> bool:
    return path.read_bytes() != content_


def _flip(folder: Path, name: str, made: random.Random) -> str:
    content_ = bytearray((folder / name).read_bytes())
    place = made.randrange(len(content_))
    content_[place] ^= made.randrange(1, 256)
    (folder / name).write_bytes(content_)
    return f", byte {place}"


def _truncate(folder: Path, name: str, made: random.Random) -> str:
    content_ = (folder / name).read_bytes()
    left = made.randrange(len(content_))
    (folder / name).write_bytes(content_[:left])
    return f", to {left} bytes"


def _extend(folder: Path, name: str, made: random.Random) -> str:
    with (folder / name).open("ab") as file:
        file.write(made.choice((b"\0", b"\n", b" ", b"x", made.randbytes(100))))
    return ""


def _swap(folder: Path, name: str, made: random.Random) -> str:
    other = made.choice([each for each in FILES if each != name])
    first, second = (folder / name).read_bytes(), (folder / other).read_bytes()
    (folder / name).write_bytes(second)
    (folder / other).write_bytes(first)
    return f", for {other}"


def _delete(folder: Path, name: str, _made: random.Random) -> str:
    (folder / name).unlink()
    return ""


def _link(folder: Path, name: str, made: random.Random) -> str:
    """To the very content, to a device, to nothing, to itself."""
    target = made.choice((folder.parent / "elsewhere", Path("/dev/zero"), Path("gone"), Path(name)))
    if target.name == "elsewhere":
        shutil.move(folder / name, target)
    else:
        (folder / name).unlink()
    (folder / name).symlink_to(target)
    return f", to {target}"


def _other(folder: Path, name: str, made: random.Random) -> str:
    """A folder, or a pipe that nobody writes to, in its place."""
    (folder / name).unlink()
    is_folder = made.random() < 0.5
    (folder / name).mkdir() if is_folder else os.mkfifo(folder / name)
    return ", a folder" if is_folder else ", a pipe"


FLIPPED = "flipped byte"
_DAMAGES: dict[str, Callable[[Path, str, random.Random], str]] = {
    FLIPPED: _flip,
    "cut off": _truncate,
    "made longer": _extend,
    "swapped": _swap,
    "deleted": _delete,
    "a link": _link,
    "no file": _other,
}
_HOSTILE: dict[str, Sequence[Change]] = {
    "manifest, vouched for": MANIFESTS,
    "manifest, its text": TEXTS,
    "program, vouched for": PROGRAMS,
    "weights, vouched for": WEIGHTS,
    "graph, vouched for": GRAPHS,
    "recipe, vouched for": RECIPES,
}
# The share of each kind.
KINDS = {
    FLIPPED: 294,
    "cut off": 100,
    "made longer": 70,
    "swapped": 56,
    "deleted": 14,
    "a link": 56,
    "no file": 28,
    "manifest, vouched for": 118,
    "manifest, its text": 33,
    "program, vouched for": 94,
    "weights, vouched for": 85,
    "graph, vouched for": 30,
    "recipe, vouched for": 22,
}


def hostile() -> set[tuple[str, str]]:
    """Kind and name of each change that somebody hostile makes; a thousand have them all."""
    return {(kind, what) for kind, changes in _HOSTILE.items() for what, _, _ in changes}
