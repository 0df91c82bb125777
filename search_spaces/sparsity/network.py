"""A network of which something is pruned: by a class of its own, and one module that remembers.

What is not left of a weight is 0 in the parameter itself, before and after each step, so whatever
reads it computes with it; the optimizer's moments are 0 there, too. All that has to be remembered
is in the buffers of `Pruning`, so a checkpoint has it. What an architecture decides is a `Plan`.
"""

import math
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, Protocol, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch_geometric.nn import Linear as PygLinear
from torch_geometric.nn import MessagePassing

from search_spaces.sparsity import scores
from search_spaces.sparsity.edges import Edges, Scored, Share, Ticket, weighted
from search_spaces.sparsity.groups import Group, Scope, Scores
from search_spaces.sparsity.structure import LAYERS, Source

Structure: TypeAlias = Literal["none", "units", "heads", "layers"]
# The name of the module that remembers, in a network.
NAME = "sparsity"
_WEIGHTED = (nn.Linear, PygLinear, nn.Embedding)
# How parameters begin that attention reads: vectors, whatever their shape.
_ATTENTION = "att"


@dataclass(frozen=True)
class Plan:
    """What is to be left, and when.

    Attributes:
        method: by its name.
        weight_density: of entries of weights; with a structure, of units, heads or layers.
        edge_density: of undirected edges.
        structure: what goes as a whole.
        scope: who competes: see `Group`.
        edge_mode: of one graph, or by a rule for all.
        over_epochs: epochs of a method's schedule, or of each of its rounds.
        every: epochs between two changes of a schedule.
        rounds: of a method that has them.
    """

    method: str = "granet"
    weight_density: float = 1.0
    edge_density: float = 1.0
    structure: Structure = "none"
    scope: Scope = "global"
    edge_mode: Literal["ticket", "inductive"] = "ticket"
    over_epochs: int = 20
    every: int = 2
    rounds: int = 5


class Method(Protocol):
    """A way to choose what is left; a module of `search_spaces.sparsity.methods`.

    Besides `change` and `epochs` it says `TRAINS_EDGES`: whether it chooses edges by weights of
    messages, which are trained; `STRUCTURES`: what it can take out as a whole; and `OPTIONS`: which
    of a plan's fields it looks at, besides the densities.
    """

    TRAINS_EDGES: bool
    STRUCTURES: tuple[Structure, ...]
    OPTIONS: tuple[str, ...]

    @staticmethod
    def epochs(plan: Plan) -> int:
        """After so many epochs the density is reached, and what is left stays."""
        ...

    @staticmethod
    def change(network: "Sparse", epoch: int) -> None:
        """Called before each epoch, from 1, until it stays."""
        ...

    @staticmethod
    def scores(network: "Sparse", values: Mapping[str, Tensor]) -> Scores:
        """Of each entry of these tensors of the network; of methods with `STRUCTURES` alone."""
        ...


def loaded(name: str) -> Method:
    """A method by its name."""
    return cast(Method, import_module(f"search_spaces.sparsity.methods.{name}"))


class Pruning(nn.Module):
    """What a sparse network remembers.

    Attributes:
        masks: which entries of each weight are left, by its name, a buffer each.
        begun: what parameters are set back to, where a method does that.
        kept: which channels of each source, or which layers, where they go as a whole.
        is_smaller: [], whether they have gone.
        edges: which edges are left; None where all are.
        epoch: [], the last that has begun.
    """

    # No network takes these over from another one (`evaluators.inheritances.alike`).
    signature = ""
    epoch: Tensor
    is_smaller: Tensor
    edges: Edges | None

    def __init__(
        self, weights: Mapping[str, Tensor], sizes: Mapping[str, int], edges: Edges | None
    ) -> None:
        super().__init__()
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        self.masks = nn.Module()
        for name, weight in weights.items():
            mask = torch.ones(weight.shape, dtype=torch.bool, device=weight.device)
            self.masks.register_buffer(_flat(name), mask)
        self.begun = nn.Module()
        self.kept = nn.Module()
        for name, size in sizes.items():
            self.kept.register_buffer(name, torch.zeros(size, dtype=torch.int64))
        self.register_buffer("is_smaller", torch.zeros((), dtype=torch.bool))
        self.edges = edges

    def mask(self, name: str) -> Tensor:
        """Of the weight of a name."""
        found: Tensor = self.masks.get_buffer(_flat(name))
        return found

    def remember(self, network: nn.Module) -> None:
        """Keep all parameters and statistics as they are now, to be set back to."""
        for name, tensor in list(_trained(network)):
            self.begun.register_buffer(_flat(name), tensor.detach().clone())


class Sparse(nn.Module):
    """A mixin before the class that a network had.

    Attributes:
        plan: what was decided.
        source: what the network was built from.
        sparsity: what it remembers.
    """

    plan: Plan
    source: Source
    sparsity: Pruning
    # The class without all this.
    dense: type[nn.Module]
    # By what logits are divided, of calls for scores alone; and whether a call is to tell its
    # inputs and nothing else.
    _temperature: float = 1.0
    _tells: bool = False
    _inputs: tuple[Tensor, ...] = ()
    _restarted: bool = False
    _loss: "Callable[[], Tensor] | None" = None
    # Features that were seen last, and the same as a sparse matrix, if they are read so.
    _features: "tuple[weakref.ref[Tensor] | None, Tensor | None]" = (None, None)

    def forward(self, x: Tensor, edge_index: Tensor, *rest: Tensor) -> Tensor:
        if self._tells:
            self._inputs = (x, edge_index, *rest)
            return x.new_zeros(rest[1].size(0) if rest else x.size(0), self.source.task.n_classes)
        edges, weights = self.sparsity.edges, None
        if edges is not None:
            ids, graphs = (rest[0], rest[1].size(0)) if rest else (None, 1)
            edge_index, weights = edges.choose(x, edge_index, ids, graphs)
            edge_index = edges(edge_index)
        with weighted(self, edge_index, weights):
            out: Tensor = super().forward(self._read(x, edge_index, *rest), edge_index, *rest)
        return out / self._temperature if self._temperature != 1 else out

    def _read(self, x: Tensor, *rest: Tensor) -> Tensor:
        """Features as a sparse matrix (CSR), where they are the same each time, mostly 0, and read
        by a linear map first: ten times faster. Gradients of gradients know dense ones alone."""
        if self._loss is not None or len(rest) > 1 or x.is_meta or torch.compiler.is_exporting():
            return x
        known, matrix = self._features
        if known is None or known() is not x:
            matrix = self._as_matrix(x, *rest)
            self._features = weakref.ref(x), matrix
        return x if matrix is None else matrix

    def _as_matrix(self, x: Tensor, *rest: Tensor) -> Tensor | None:
        """None where they are not sparse, or are read by something else."""
        if 4 * int(x.count_nonzero()) > x.numel():
            return None
        matrix, mode = x.to_sparse_csr(), self.training
        self.eval()
        try:
            with torch.no_grad():
                given, expected = (super(Sparse, self).forward(x, *rest) for x in (matrix, x))
        except (RuntimeError, NotImplementedError):
            return None
        finally:
            self.train(mode)
        return matrix if torch.allclose(given, expected, atol=1e-5, rtol=1e-4) else None

    @property
    def method(self) -> Method:
        """How what is left is chosen."""
        return loaded(self.plan.method)

    @property
    def settles_after(self) -> int:
        """After so many epochs what is left stays as it is."""
        return self.method.epochs(self.plan)

    @property
    def is_smaller(self) -> bool:
        """Whether what goes as a whole has gone."""
        return bool(self.sparsity.is_smaller)

    def begin_epoch(self, epoch: int, loss: Callable[[], Tensor]) -> None:
        """Change what is left, as the method does."""
        lasts, edges = self.settles_after, self.sparsity.edges
        self.sparsity.epoch.fill_(epoch)
        if epoch > lasts + 1:
            return
        self._loss = loss
        try:
            if isinstance(edges, Ticket):
                edges.is_soft.fill_(True)
                edges.weights.requires_grad_(True)
                if edges.first is None:
                    edges.see(self.inputs()[1])
            if self.plan.structure != "none" and epoch == lasts + 1:
                self._take_out()
            self.method.change(self, epoch)
            if isinstance(edges, Ticket):
                trains = epoch <= lasts and self.method.TRAINS_EDGES
                edges.is_soft.fill_(trains)
                edges.weights.requires_grad_(trains)
        finally:
            self._loss = None

    def hold(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep what is not left at 0, in weights and moments; forget moments after a restart."""
        if self._restarted:
            optimizer.state.clear()
            # Parameters of what has gone are others.
            trained = [p for p in self.parameters() if p.requires_grad]
            optimizer.param_groups[0]["params"] = trained
            self._restarted = False
        with torch.no_grad():
            for group in self.groups():
                for name, value in group.values.items():
                    mask = group.masks[name]
                    value.mul_(mask)
                    for moment in optimizer.state.get(value, {}).values():
                        if isinstance(moment, Tensor) and moment.shape == value.shape:
                            moment.mul_(mask)

    def load_state_dict(self, state_dict: Mapping[str, Any], *rest: Any, **named: Any) -> Any:
        """Of a network from which something has gone, too, or which remembers more."""
        start = f"{NAME}.kept."
        is_smaller = state_dict.get(f"{NAME}.is_smaller")
        if is_smaller is not None and bool(is_smaller) and not self.is_smaller:
            kept = {n.removeprefix(start): t for n, t in state_dict.items() if n.startswith(start)}
            self._become_smaller(kept)
        begun = f"{NAME}.begun."
        for name, tensor in state_dict.items():
            if name.startswith(begun):
                room = torch.empty_like(tensor)
                self.sparsity.begun.register_buffer(name.removeprefix(begun), room)
        return super().load_state_dict(state_dict, *rest, **named)

    def _take_out(self) -> None:
        """Leave what has the highest scores, and train it from here."""
        weights = self.weights()
        kept = self.source.chosen(weights, self.method.scores(self, weights))
        state = {n: t.detach().clone() for n, t in self.state_dict().items()}
        small = self._become_smaller(kept)
        self.source.selected(state, small, kept)
        self._restarted = True

    def _become_smaller(self, kept: Mapping[str, Tensor]) -> nn.Module:
        """Have the modules of a smaller network, with new weights, in place of those here."""
        layers = kept[LAYERS].tolist() if LAYERS in kept else None
        like = next(self.parameters())
        with torch.random.fork_rng(devices=[]):
            small = self.source.built(self.source.smaller(layers)).to(like.device, like.dtype)
        # How much to drop is decided already, and how it is done.
        for name, module in list(self.named_modules()):
            new = self.source.renamed(name, layers)
            if isinstance(module, nn.Dropout) and new:
                small.set_submodule(new, module)
        for name, module in small.named_children():
            self.add_module(name, module.train(self.training))
        for name, index in kept.items():
            self.sparsity.kept.get_buffer(name).copy_(index)
        self.sparsity.is_smaller.fill_(True)
        return small

    # For methods.

    def loss(self, temperature: float = 1.0) -> Tensor:
        """Of the network as it is, on training units, with logits divided by a temperature."""
        if self._loss is None:
            raise RuntimeError("a loss is asked for between epochs, where there is none")
        self._temperature = temperature
        try:
            return self._loss()
        finally:
            self._temperature = 1.0

    def groups(self) -> Iterator[Group]:
        """Weights, and edges of a ticket, where not all are to be left."""
        yield from self.weight_groups()
        edges = self.sparsity.edges
        if isinstance(edges, Ticket):
            eligible = {"edges": edges.eligible}
            values, masks = {"edges": edges.weights}, {"edges": edges.mask}
            yield Group(edges.density, "global", values, masks, eligible)

    def weight_groups(self) -> Iterator[Group]:
        """Weights, where not all are to be left; one group, or none."""
        plan, weights = self.plan, self.weights()
        if plan.weight_density < 1 and plan.structure == "none":
            masks = {name: self.sparsity.mask(name) for name in weights}
            yield Group(plan.weight_density, plan.scope, weights, masks, dict.fromkeys(weights))

    def spare_edges(self) -> None:
        """Leave edges by chance, those of nodes with few neighbors more likely than others."""
        edges = self.sparsity.edges
        for group in self.groups():
            if isinstance(edges, Ticket) and "edges" in group.values:
                group.keep_top({"edges": edges.spared(self.inputs()[1])}, group.density)

    def weights(self) -> dict[str, nn.Parameter]:
        """Of linear maps, embeddings and message passing: matrices, by name."""
        return dict(prunable(self))

    def gradients(self, values: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Of the loss by all that is pruned, or by some of it, what is not left included."""
        values = self.values() if values is None else values
        return {n: g.detach() for n, g in scores.gradients(values, self.loss()).items()}

    def values(self) -> dict[str, Tensor]:
        """All that is pruned, of all groups."""
        return {name: value for group in self.groups() for name, value in group.values.items()}

    def inputs(self) -> tuple[Tensor, ...]:
        """What it is called with in training; nothing is computed, and no random number drawn."""
        self._tells = True
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                self.loss()
            return self._inputs
        finally:
            self._tells, self._inputs = False, ()

    def remember(self) -> None:
        """Keep all weights and statistics as they are."""
        self.sparsity.remember(self)

    def rewind(self) -> None:
        """Set what is left back to what was remembered, and begin training anew."""
        with torch.no_grad():
            for name, tensor in _trained(self):
                tensor.copy_(self.sparsity.begun.get_buffer(_flat(name)))
            for group in self.groups():
                for name, value in group.values.items():
                    value.mul_(group.masks[name])
        self._restarted = True


def _trained(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What training changes: parameters, and buffers but for those that say what is left."""
    yield from network.named_parameters()
    own = f"{NAME}."
    yield from ((n, buffer) for n, buffer in network.named_buffers() if not n.startswith(own))


def prunable(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Weights by name, each once: matrices that are no attention vectors."""
    seen = set[int]()
    for path, module in network.named_modules():
        if path == NAME or path.startswith(f"{NAME}."):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            is_map = isinstance(module, _WEIGHTED) and name == "weight"
            is_own = isinstance(module, MessagePassing) and not name.startswith(_ATTENTION)
            if (is_map or is_own) and parameter.dim() > 1 and id(parameter) not in seen:
                seen.add(id(parameter))
                yield f"{path}.{name}" if path else name, parameter


def scope_of(plan: Plan) -> Scope:
    """Who competes in the end; methods that do not look at it treat each matrix alike."""
    return plan.scope if "scope" in loaded(plan.method).OPTIONS else "layer"


def leave_once(
    network: Sparse, scores_of: Callable[[Sparse, Mapping[str, Tensor]], Scores], epoch: int
) -> None:
    """Leave what has the highest scores, before the first epoch in which all stays."""
    if epoch == network.settles_after + 1 and network.values():
        found = scores_of(network, network.values())
        for group in network.groups():
            group.keep_top(found, group.density)


def cosine(fraction: float, epoch: int, last: int) -> float:
    """A share that falls from `fraction` to 0 as an epoch comes to the last one."""
    return fraction / 2 * (1 + math.cos(math.pi * min(1.0, epoch / last)))


_MADE: dict[type[Any], type[Any]] = {}


def made_sparse(
    network: nn.Module, plan: Plan, source: Source, edges: Edges | None = None
) -> nn.Module:
    """Give a network the class and the module of a sparse one; it is changed, and returned."""
    own = type(network)
    if own not in _MADE:
        attributes = {"__module__": __name__, "dense": own}
        _MADE[own] = type(f"Sparse{own.__name__}", (Sparse, own), attributes)
    is_masked = plan.weight_density < 1 and plan.structure == "none"
    weights = dict(prunable(network)) if is_masked else {}
    sizes = source.sizes if plan.weight_density < 1 and plan.structure != "none" else {}
    made: Any = network
    made.__class__ = _MADE[own]
    made.add_module(NAME, Pruning(weights, sizes, edges))
    made.plan, made.source = plan, source
    return network


def made_dense(network: nn.Module) -> nn.Module:
    """Without what remembers, as it computes now; it is changed, and returned.

    A rule for edges stays, and so do all edges of a graph that are part of no rule.
    """
    if not isinstance(network, Sparse):
        return network
    edges = network.sparsity.edges
    return _with_edges(network, edges if isinstance(edges, Scored) else None)


def made_countable(network: nn.Module) -> nn.Module:
    """As large as what leaves, whatever is left; it may be changed.

    What a ticket leaves of edges is told by their number alone.
    """
    if not isinstance(network, Sparse):
        return network
    edges, plan, source = network.sparsity.edges, network.plan, network.source
    if isinstance(edges, Ticket):
        edges = Share(edges.density)
    if plan.weight_density < 1 and plan.structure != "none":
        small = source.built(source.smaller())
        return small if edges is None else _with_edges(made_sparse(small, plan, source), edges)
    return _with_edges(network, edges)


def _with_edges(network: nn.Module, edges: Edges | None) -> nn.Module:
    """A sparse network with nothing of that but a rule for its edges; a dense one without."""
    made: Any = network
    if edges is None:
        del made._modules[NAME]
        made.__class__ = made.dense
        return network
    made.sparsity = Pruning({}, {}, edges)
    for name in list(made.sparsity._buffers):
        delattr(made.sparsity, name)
    return network


def _flat(name: str) -> str:
    """As a name of a buffer, in which dots are not allowed."""
    return name.replace(".", ":")
