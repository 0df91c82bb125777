"""Sparse subnetworks: how much is left of weights or units, and of edges, and how it is chosen.

Every option but `edge_mode` is the list of choices of a decision (role `compression`):

- `method`: granet, random, magnitude, lottery, snip, grasp, synflow, layer_ticket, rigl, dynamic;
  see `search_spaces.sparsity.methods`.
- `weight_density`: the share of all entries of weight matrices that is left, or of units, heads or
  layers; biases, normalization and attention vectors stay.
- `edge_density`: the share of the graph's edges, both directions of an edge together; self-loops
  stay.
- `structure`: none, single entries; units, heads of attention, or layers go as a whole and are gone
  from the network that trains on. For methods that choose once.
- `scope`: global, all matrices compete; layer, each keeps the same share.
- `over_epochs`: of a method's schedule, of each round of `lottery`; `every`: between two changes of
  it; `rounds`: of `lottery`. What is left is fixed then, and only epochs after it count.
- `edge_mode`: ticket, edges of the study's graph, which a bundle ships; or inductive, a rule by the
  features of both ends, for graphs that were not seen, and for graph tasks.

Limits: trained by PyTorch Geometric's own layers, slower than the engine. Structures are of the
space `gnn`. Binary weights have no 0, so they go with structures alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Gt, Le
from torch import nn

from search_spaces.architecture import Architecture
from search_spaces.decision import Choice, Choices, Decision
from search_spaces.errors import SpaceError
from search_spaces.extension import SpaceExtension
from search_spaces.space import SearchSpace
from search_spaces.sparsity.edges import Edges, Scored, Ticket
from search_spaces.sparsity.groups import Scope, entries_left
from search_spaces.sparsity.making import made_countable, made_dense, made_sparse
from search_spaces.sparsity.planning import Plan, Structure, loaded, scope_of
from search_spaces.sparsity.pruning import prunable
from search_spaces.sparsity.structure import Source, without_skips
from search_spaces.task import Task

VERSION = 2
_START = "sparsity"
# Options that edges have no use for.
_OF_WEIGHTS = ("structure", "scope")
MethodName: TypeAlias = Literal[
    "granet",
    "random",
    "magnitude",
    "lottery",
    "snip",
    "grasp",
    "synflow",
    "layer_ticket",
    "rigl",
    "dynamic",
]
Density: TypeAlias = Annotated[float, Gt(0), Le(1)]
Count: TypeAlias = Annotated[int, Ge(1)]


def build(
    space: SearchSpace,
    task: Task,
    *,
    method: Choices[MethodName] = ("granet",),
    weight_density: Choices[Density] = (1.0, 0.5, 0.2),
    edge_density: Choices[Density] = (1.0,),
    structure: Choices[Structure] = ("none",),
    scope: Choices[Scope] = ("global",),
    over_epochs: Choices[Count] = (20,),
    every: Choices[Count] = (2,),
    rounds: Choices[Count] = (5,),
    edge_mode: Literal["ticket", "inductive"] = "ticket",
) -> SpaceExtension:
    """Make the extension.

    Args:
        space: any; with structures one whose modules are known (`gnn`).
        task: any; with edges of a graph task, `inductive`.
        others: see above.

    Raises:
        SpaceError: nothing is to be pruned, or no edge by a rule for edges; a schedule shorter than
            the time between two changes; structures of a space whose modules are not known, or
            by methods that choose single entries; edges of many graphs as a ticket; binary weights.
    """
    _check(space, task, method, weight_density, edge_density, structure, edge_mode)
    _check_schedule(method, over_epochs, every)
    of_method = {name: loaded(name) for name in method}

    def using(option: str) -> tuple[str, ...]:
        return tuple(name for name, module in of_method.items() if option in module.OPTIONS)

    decisions = [
        _decision("method", method),
        _decision("weight_density", [float(d) for d in weight_density], ordered=True),
        _decision("edge_density", [float(d) for d in edge_density], ordered=True),
    ]
    optional: dict[str, Sequence[Choice]] = {
        "structure": structure,
        "scope": scope,
        "over_epochs": over_epochs,
        "every": every,
        "rounds": rounds,
    }
    pruned = tuple(float(density) for density in weight_density if density < 1)
    for name, choices in optional.items():
        needs: dict[str, tuple[Choice, ...]] = {_named("method"): using(name)}
        if name in _OF_WEIGHTS:
            needs[_named("weight_density")] = pruned
        if all(needs.values()) and not (name == "structure" and set(choices) == {"none"}):
            decisions.append(_decision(name, choices, needs))
    longest = Plan(over_epochs=max(over_epochs), rounds=max(rounds))
    return SpaceExtension(
        _START,
        tuple(decisions),
        Pruned(space, edge_mode),
        VERSION,
        deployed,
        facts={"nonzero_params": nonzero_params},
        counted=counted,
        least_epochs=max(module.epochs(longest) for module in of_method.values()),
        lasting=tuple(name for name in ("over_epochs", "rounds") if using(name)),
        is_last=True,
        remark=Whole(space),
    )


def _named(name: str) -> str:
    return f"{_START}.{name}"


def _decision(
    name: str,
    choices: Sequence[Choice],
    needs: Mapping[str, tuple[Choice, ...]] | None = None,
    *,
    ordered: bool = False,
) -> Decision:
    return Decision(_named(name), tuple(choices), needs or {}, ordered=ordered, role="compression")


def plan_of(choices: Mapping[str, Choice], edge_mode: str) -> Plan:
    """What an architecture has decided."""
    start = f"{_START}."
    known: dict[str, Any] = {n.removeprefix(start): c for n, c in choices.items()}
    plan = Plan(**{n: known[n] for n in vars(Plan()) if n in known}, edge_mode=edge_mode)  # type: ignore[arg-type]
    layers = known["method"] == "layer_ticket" and plan.weight_density < 1
    return replace(plan, structure="layers") if layers else plan


@dataclass(frozen=True)
class Pruned:
    """Gives a network what prunes it; leaves it as it is where nothing is pruned.

    Attributes:
        space: that the extension is of.
        edge_mode: of the extension.
    """

    space: SearchSpace
    edge_mode: str

    def __call__(self, network: nn.Module, architecture: Architecture, task: Task) -> nn.Module:
        plan = plan_of(architecture.choices, self.edge_mode)
        if plan.weight_density == plan.edge_density == 1:
            return network
        source = _source(self.space, plan, architecture, task)
        return made_sparse(network, plan, source, _edges(plan, task))


def _source(space: SearchSpace, plan: Plan, architecture: Architecture, task: Task) -> Source:
    own = {n: c for n, c in architecture.choices.items() if not n.startswith(f"{_START}.")}
    if plan.structure != "none":
        own = without_skips(own)
    base = Architecture(space.name, own)
    return Source(space, base, task, plan.weight_density, plan.structure)


@dataclass(frozen=True)
class Whole:
    """Says of a network with structures that nothing is left out of it.

    Attributes:
        space: that the extension is of.
    """

    space: SearchSpace

    def __call__(self, architecture: Architecture, task: Task) -> str:
        plan = plan_of(architecture.choices, "ticket")
        if plan.weight_density == 1 or plan.structure == "none":
            return ""
        if not _source(self.space, plan, architecture, task).is_whole:
            return ""
        why = (
            "layers go of residual networks alone, where input and output are of one width"
            if plan.structure == "layers"
            else f"it has too few {plan.structure}"
        )
        return (
            f"nothing is left out of this network at the density {plan.weight_density:g}: {why}; "
            "its weights are those of density 1"
        )


def _edges(plan: Plan, task: Task) -> Edges | None:
    if plan.edge_density == 1:
        return None
    if plan.edge_mode == "inductive":
        return Scored(task.n_features, plan.edge_density)
    return Ticket(task.n_edges, plan.edge_density)


def deployed(network: nn.Module, architecture: Architecture) -> nn.Module:
    """The network as it leaves: what is left, and nothing that remembers how."""
    del architecture
    return made_dense(network)


def counted(network: nn.Module, architecture: Architecture) -> nn.Module:
    """As large as what leaves, whatever is left."""
    del architecture
    return made_countable(network)


def nonzero_params(network: nn.Module, architecture: Architecture) -> float:
    """Of the network that `counted` gives: its parameters without the weights that are not left.

    Who is left is counted and not what it is: biases that are 0, too.
    """
    total = sum(p.numel() for p in network.parameters() if p.requires_grad)
    plan = plan_of(architecture.choices, "ticket")
    if plan.weight_density == 1 or plan.structure != "none":
        return float(total)
    sizes = [weight.numel() for _, weight in prunable(network)]
    return float(total - sum(sizes) + entries_left(sizes, plan.weight_density, scope_of(plan)))


def _check(
    space: SearchSpace,
    task: Task,
    method: Sequence[str],
    weight_density: Sequence[float],
    edge_density: Sequence[float],
    structure: Sequence[str],
    edge_mode: str,
) -> None:
    if all(density == 1 for density in (*weight_density, *edge_density)):
        raise SpaceError(
            "weight_density, edge_density: 1 both, so nothing is pruned; give one of them below 1, "
            "or leave [extension.sparsity] out"
        )
    if edge_mode == "inductive" and min(edge_density) == 1:
        raise SpaceError(
            'edge_mode: "inductive" is a rule for which edges are left, and edge_density = [1.0] '
            "leaves all; give edge_density a choice below 1, or leave edge_mode out"
        )
    if task.is_graph_task and min(edge_density) < 1 and edge_mode == "ticket":
        raise SpaceError(
            "edge_density: a ticket is of one graph, and this task has many; give edge_mode = "
            '"inductive"'
        )
    structures = {*structure} - {"none"} | ({"layers"} if "layer_ticket" in method else set())
    if min(weight_density) == 1:
        structures = set()
    if structures and space.elastic is None:
        raise SpaceError(
            f'structure: the space "{space.name}" does not say which modules its networks have; '
            'use name = "gnn", or single entries (structure = ["none"], without layer_ticket)'
        )
    connected = {c for d in space.decisions if d.name == "connectivity" for c in d.choices}
    if "layers" in structures and "residual" not in connected:
        raise SpaceError(
            "structure: layers go where the network around them stays as it is, which no network "
            f'of the space "{space.name}" does; add connectivity = ["residual"] and a depth of 2, '
            "or leave layers out"
        )
    if "heads" in structures and not any(d.name.endswith(".heads") for d in space.decisions):
        raise SpaceError(
            f'structure: no operator of the space "{space.name}" has heads; add one that has '
            '(gat, gatv2, transformer), or leave "heads" out'
        )
    for wanted in sorted(structures):
        if not any(wanted in loaded(name).STRUCTURES for name in method):
            raise SpaceError(
                f'structure: "{wanted}" go once, and {", ".join(method)} chooses single entries '
                "again and again; use random, magnitude, snip, grasp or synflow"
            )
    bits = [d for d in space.decisions if d.name.endswith("weight_bits") and "binary" in d.choices]
    if bits and min(weight_density) < 1 and "none" in structure:
        raise SpaceError(
            f'weight_density: {bits[0].name} may be "binary", which has no 0, so entries '
            "cannot go; leave it out, or use structures"
        )


def _check_schedule(
    method: Sequence[str], over_epochs: Sequence[int], every: Sequence[int]
) -> None:
    using = [name for name in method if "every" in loaded(name).OPTIONS]
    if using and max(every) > min(over_epochs):
        raise SpaceError(
            f"every: {max(every)} epochs between two changes by {', '.join(using)} are more than "
            f"their schedule has with over_epochs = {min(over_epochs)}, so there would be none; "
            "lower every, or raise over_epochs"
        )
