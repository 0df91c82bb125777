"""What must hold exactly of subnetworks.

- lottery: in five rounds that each leave 0.8, what is left equals its initial value bit for bit,
  masks are nested, and the density after round r is 0.8^r. Control: before it is set back.
- Pruned weights stay 0 under Adam, AdamW and SGD with momentum and decay. Control: nobody holds
  them.
- granet: after each change as many weights are left as its cubic says, within one a layer.
- Growth: as many grow as were dropped, all of them among those of the largest gradients, and the
  loss does not change as they come. Control: grown by chance.
- synflow, on networks of the space with LayerNorm and tanh: the scores of all layers have one sum,
  and no layer is empty at 0.6 %. Controls: networks as they are, and by magnitude one is empty.
- layer_ticket: a layer that has gone is no module any more.
- Edges: a graph of 20,000 nodes trains a ticket, and half of its weights, in memory of the order of
  its edges: by the default method, and by those that keep most: weights of messages, what weights
  began with, gradients of a hundred steps. Control: what one dense mask would take, by arithmetic.
"""

import subprocess
import sys
import unittest.mock
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from reporting import Row, bounded, row, table
from torch import Tensor, nn

from evaluators.datasets import load
from search_spaces import gnn
from search_spaces.extensions import sparsity
from search_spaces.plugins import Plugin
from search_spaces.sparsity import scores
from search_spaces.sparsity.methods import granet
from search_spaces.sparsity.network import Sparse
from search_spaces.sparsity.pruning import prunable
from search_spaces.sparsity.scores import gradients

NODES, EDGES, GIB = 20_000, 100_000, 1.0
# The default, and those that take most; granet and synflow train no weights of messages.
TICKETS = ("granet", "lottery", "rigl", "synflow")
DATASET = load(Plugin("digits_knn"), Path())
SPACE: dict[str, Any] = {
    "depth": (2,),
    "operators": ("gcn",),
    "width": (32,),
    "activation": ("relu",),
    "normalization": ("none",),
    "connectivity": ("plain",),
    "pre_layers": (0,),
    "post_layers": (0,),
    "output": ("gcn",),
}


# Networks of one path, for synflow: of what is not linear.
ONE_WAY = ("gcn", "gat", "gin")
NOT_LINEAR: dict[str, Any] = {
    "depth": (3,),
    "width": (64,),
    "normalization": ("layer",),
    "activation": ("tanh",),
}


class Trained:
    """A sparse network on the digits, an epoch at a time, as the evaluator trains it."""

    def __init__(self, optimizer: str = "adam", *, holds: bool = True, **given: Any) -> None:
        space = gnn.build(DATASET.task, **SPACE | given.pop("space", {}))
        space = space.extended(sparsity.build(space, DATASET.task, **given))
        torch.manual_seed(0)
        self.network: Any = space.network(space.fill(lambda d: d.choices[0]), DATASET.task)
        made = {
            "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=5e-4),
            "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=5e-4),
            "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=5e-4),
        }
        self.optimizer, self.holds, self.epoch = (
            made[optimizer](self.network.parameters()),
            holds,
            0,
        )

    def loss(self) -> Tensor:
        logits = self.network(DATASET.x, DATASET.edge_index)
        return F.cross_entropy(logits[DATASET.train], DATASET.y[DATASET.train])

    def begin(self) -> None:
        """What happens before an epoch."""
        self.epoch += 1
        self.network.train().begin_epoch(self.epoch, self.loss)
        self.network.hold(self.optimizer)

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.loss().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.holds:
            self.network.hold(self.optimizer)

    def weights(self) -> dict[str, Tensor]:
        return {name: w.detach().clone() for name, w in prunable(self.network)}

    def masks(self) -> dict[str, Tensor]:
        return {name: self.network.sparsity.mask(name).clone() for name in self.weights()}


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Rows and a table; nothing is read or kept."""
    del quick, data_root, keep
    made = [*_lottery(), *_held(), *_cubic(), *_grown(), *_flow(), *_layers(), *_memory()]
    lines = {f"{r['case']}: {r['measure']}": (f"{r['value']:.4g}", r["target"] or "") for r in made}
    return made, table("what must hold", ("of what: what", "value", "target"), lines)


def _lottery() -> Iterator[Row]:
    rounds, each = 5, 4
    trained = Trained(
        method=("lottery",), weight_density=(0.8**rounds,), over_epochs=(each,), rounds=(rounds,)
    )
    begun, before = trained.weights(), trained.masks()
    same, trained_same, nested, off = list[float](), list[float](), list[bool](), list[float]()
    total = sum(w.numel() for w in begun.values())
    for _ in range(rounds * each + 1):
        late = trained.weights()
        trained.begin()
        masks = trained.masks()
        done, within = divmod(trained.epoch - 1, each)
        if done and not within:
            now = trained.weights()
            same.append(_share(now, begun, masks))
            trained_same.append(_share(late, begun, masks))
            nested.append(all(bool((masks[n] <= before[n]).all()) for n in masks))
            left = sum(int(m.sum()) for m in masks.values())
            off.append(abs(left - 0.8**done * total))
            before = masks
        trained.step()
    case = f"lottery, {rounds} rounds"
    yield bounded(row(case, "least share that equals its initial value", min(same)), ">=", 1)
    yield bounded(row(case, "most, before it is set back (control)", max(trained_same)), "<", 0.5)
    yield bounded(row(case, "share of nested masks", sum(nested) / len(nested)), ">=", 1)
    yield bounded(row(case, "weights beside density 0.8^r, at most", max(off)), "<=", 1)


def _share(one: dict[str, Tensor], other: dict[str, Tensor], masks: dict[str, Tensor]) -> float:
    equal = [(one[n] == other[n])[masks[n]] for n in masks]
    return float(torch.cat(equal).double().mean())


def _held() -> Iterator[Row]:
    for holds in (True, False):
        revived = 0
        for optimizer in ("adam", "adamw", "sgd"):
            trained = Trained(
                optimizer,
                holds=holds,
                method=("magnitude",),
                weight_density=(0.3,),
                over_epochs=(5,),
            )
            for _ in range(15):
                trained.begin()
                trained.step()
            masks = trained.masks()
            revived += sum(int((w[~masks[n]] != 0).sum()) for n, w in trained.weights().items())
        control = "" if holds else " without being held (control)"
        one = row("adam, adamw, sgd", f"pruned weights that come back{control}", revived)
        yield bounded(one, "<=" if holds else ">", 0)


def _cubic() -> Iterator[Row]:
    trained = Trained(method=("granet",), weight_density=(0.1,), over_epochs=(20,), every=(2,))
    total, off, falls = sum(w.numel() for w in trained.weights().values()), list[float](), set()
    for _ in range(25):
        trained.begin()
        done = trained.epoch - 1
        if done and done % 2 == 0:
            asked = granet.density(0.1, done, trained.network.plan)
            left = sum(int(m.sum()) for m in trained.masks().values())
            off.append(abs(left - asked * total))
            falls.add(left)
        trained.step()
    case = f"granet, {len(falls)} densities"
    yield bounded(
        row(case, "weights beside its cubic, at most", max(off)), "<=", len(trained.weights())
    )


def _grown() -> Iterator[Row]:
    trained = Trained(method=("random",), weight_density=(0.3,))
    for _ in range(5):
        trained.begin()
        trained.step()
    network: Sparse = trained.network
    inside, moved, equal = list[float](), list[float](), list[bool]()
    by_chance = list[float]()
    for number in range(6):
        group = next(iter(network.groups()))
        loss = trained.loss()
        slopes = gradients(group.values, loss)
        before = {n: m.clone() for n, m in group.masks.items()}
        exchanged = group.regrow(0.2, slopes)
        grown = {n: group.masks[n] & ~before[n] for n in before}
        dropped = {n: before[n] & ~group.masks[n] for n in before}
        equal.append(
            all(int(grown[n].sum()) == int(dropped[n].sum()) == exchanged[n] for n in before)
        )
        with torch.no_grad():
            came = trained.loss()
            for name, mask in grown.items():
                group.masks[name][mask] = False
            network.hold(trained.optimizer)
            moved.append(float((came - trained.loss()).abs()))
            for name, mask in grown.items():
                group.masks[name][mask] = True
        inside.append(_among_top(slopes, before, grown))
        chance = {n: _drawn(~before[n], exchanged[n]) for n in before}
        by_chance.append(_among_top(slopes, before, chance))
        for _ in range(number):
            trained.step()
    yield bounded(row("growth", "share of times that as many grow", sum(equal) / 6), ">=", 1)
    yield bounded(row("growth", "share among the largest gradients", min(inside)), ">=", 1)
    yield bounded(row("growth", "the same, by chance (control)", max(by_chance)), "<", 0.9)
    yield bounded(row("growth", "the loss changes as they come, at most", max(moved)), "<=", 0)


def _among_top(
    slopes: dict[str, Tensor], before: dict[str, Tensor], grown: dict[str, Tensor]
) -> float:
    """The share of what has grown that has as large a gradient as the last of as many."""
    found = []
    for name, mask in grown.items():
        size = slopes[name].abs()
        ranked = size[~before[name]].sort(descending=True).values
        found.append(size[mask] >= ranked[int(mask.sum()) - 1])
    return float(torch.cat(found).double().mean())


def _drawn(where: Tensor, count: int) -> Tensor:
    places = where.flatten().nonzero()[:, 0]
    chosen = places[torch.randperm(places.numel())[:count]]
    return torch.zeros(where.numel(), dtype=torch.bool).index_fill(0, chosen, True).view_as(where)


def _flow() -> Iterator[Row]:
    case, sums = f"synflow, {', '.join(ONE_WAY)} with LayerNorm and tanh", list[list[float]]()
    for operator in ONE_WAY:
        sums.append(_sums(operator))
    one = row(case, "largest sum of a layer, over the least", _spread(sums))
    yield bounded(one, "<=", 1.001)
    with unittest.mock.patch.object(scores, "linearized", _as_they_are):
        spread = _spread([_sums(operator) for operator in ONE_WAY])
    measure = "the same, as they are, not linearized (control)"
    yield bounded(row(case, measure, spread), ">", 1.001)
    both = [[a + b for a, b in pairwise(_sums("sage"))][::2]]
    one = row(
        "synflow, sage with LayerNorm and tanh", "the same, of both maps together", _spread(both)
    )
    yield bounded(one, "<=", 1.001)
    for method in ("synflow", "magnitude"):
        name = "synflow" if method == "synflow" else "magnitude (control)"
        least = min(_least_left(method, operator) for operator in (*ONE_WAY, "sage"))
        one = row(f"{name}, 0.6 % left of these", "weights of the emptiest layer", least)
        yield bounded(one, ">" if method == "synflow" else "<=", 0)


def _trained(method: str, operator: str, density: float) -> Trained:
    space = {"operators": (operator,), "output": (operator,), **NOT_LINEAR}
    return Trained(method=(method,), weight_density=(density,), over_epochs=(1,), space=space)


def _sums(operator: str) -> list[float]:
    network = _trained("synflow", operator, 0.5).network.double()
    inputs = (DATASET.x.double(), DATASET.edge_index)
    found = scores.synflow(network, network.weights(), inputs)
    return [float(score.sum().abs()) for score in found.values()]


def _spread(sums: Sequence[Sequence[float]]) -> float:
    return max(max(one) / max(min(one), 1e-300) for one in sums)


@contextmanager
def _as_they_are(_: nn.Module) -> Iterator[list[Tensor]]:
    yield []


def _least_left(method: str, operator: str) -> int:
    """Of the layers of a network; of SAGE's two maps together."""
    trained = _trained(method, operator, 0.006)
    for _ in range(trained.network.settles_after + 1):
        trained.begin()
    left = [int(mask.sum()) for mask in trained.masks().values()]
    return min([a + b for a, b in pairwise(left)][::2] if operator == "sage" else left)


def _layers() -> Iterator[Row]:
    space = {"depth": (3,), "connectivity": ("residual",), "pre_layers": (1,)}
    trained = Trained(method=("layer_ticket",), weight_density=(0.5,), space=space)
    whole = sum(1 for name, _ in trained.network.named_modules() if name.endswith(".operator"))
    params = sum(p.numel() for p in trained.network.parameters())
    trained.begin()
    left = sum(1 for name, _ in trained.network.named_modules() if name.endswith(".operator"))
    fewer = sum(p.numel() for p in trained.network.parameters())
    yield bounded(row("layer_ticket", "operators left, a share", left / whole), "<", 1)
    yield bounded(row("layer_ticket", "params left, a share", fewer / params), "<", 1)


def _memory() -> Iterator[Row]:
    """Of each method in a process of its own."""
    case = f"a ticket of {NODES:,} nodes and {2 * EDGES:,} edges, 5 epochs"
    for method in TICKETS:
        ran = subprocess.run(  # noqa: S603 - this Python, and this file
            [sys.executable, __file__, method],
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
        )
        one = row(case, f"GiB at most by {method}, PyTorch included", float(ran.stdout))
        yield bounded(one, "<", GIB)
    dense = 5 * 4 * NODES**2 / 2**30
    control = "GiB of a dense mask with gradient and moments, by arithmetic (control)"
    yield bounded(row(case, control, dense), ">", GIB)


def _train_a_ticket(method: str) -> float:
    """GiB that this process has taken at most."""
    import dataclasses

    torch.set_num_threads(1)
    pairs = torch.randint(NODES, (2, EDGES))
    edges = torch.cat([pairs, pairs.flip(0)], dim=1)
    x = torch.rand(NODES, 16)
    task = dataclasses.replace(
        DATASET.task, n_features=16, n_nodes=NODES, n_edges=edges.size(1), n_classes=4
    )
    space = gnn.build(task, **SPACE)
    given: dict[str, Any] = {"method": (method,), "weight_density": (0.5,), "edge_density": (0.5,)}
    schedule: dict[str, Any] = {"over_epochs": (2,), "every": (1,), "rounds": (2,)}
    space = space.extended(sparsity.build(space, task, **given, **schedule))
    network: Any = space.network(space.fill(lambda d: d.choices[0]), task)
    optimizer = torch.optim.Adam(network.parameters())
    y = torch.randint(4, (NODES,))

    def loss() -> Tensor:
        return F.cross_entropy(network(x, edges), y)

    for epoch in range(1, 6):
        network.train().begin_epoch(epoch, loss)
        network.hold(optimizer)
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        network.hold(optimizer)
    if not network.sparsity.edges.kept(edges).size(1) < 0.6 * edges.size(1):
        raise SystemExit("expected half of the edges to be left")
    # Not `ru_maxrss`, into which Linux counts what the process was before it was this program.
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 2**20


if __name__ == "__main__":
    print(_train_a_ticket(sys.argv[1]))
