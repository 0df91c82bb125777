"""A network of which something is pruned: by a class of its own, and one module that remembers.

What is not left of a weight is 0 in the parameter itself, before and after each step, so whatever
reads it computes with it; the optimizer's moments are 0 there, too. All that has to be remembered
is in the buffers of `Pruning`, so a checkpoint has it. What an architecture decides is a `Plan`.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.sparsity import scores
from search_spaces.sparsity.edges import Ticket, weighted
from search_spaces.sparsity.groups import Group
from search_spaces.sparsity.planning import Method, Plan, loaded
from search_spaces.sparsity.pruning import NAME, Pruning, flat, prunable, trained
from search_spaces.sparsity.structure import LAYERS, Source


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
            present = [p for p in self.parameters() if p.requires_grad]
            optimizer.param_groups[0]["params"] = present
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
            for name, tensor in trained(self):
                tensor.copy_(self.sparsity.begun.get_buffer(flat(name)))
            for group in self.groups():
                for name, value in group.values.items():
                    value.mul_(group.masks[name])
        self._restarted = True
