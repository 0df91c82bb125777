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
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Gt, Le
from torch import nn

from search_spaces.architecture import Architecture
from search_spaces.decision import Choice, Choices, Decision
from search_spaces.errors import SpaceError
from search_spaces.extension import SpaceExtension
from search_spaces.space import SearchSpace
from search_spaces.sparsity.edges import Edges, Scored, Ticket
from search_spaces.sparsity.groups import Scope
from search_spaces.sparsity.network import Plan, Structure, loaded, made_dense, made_sparse
from search_spaces.sparsity.structure import Source
from search_spaces.task import Task

VERSION = 1
_START = "sparsity"
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
    over_epochs: Choices[Count] = (60,),
    every: Choices[Count] = (5,),
    rounds: Choices[Count] = (5,),
    edge_mode: Literal["ticket", "inductive"] = "ticket",
) -> SpaceExtension:
    """Make the extension.

    Args:
        space: any; with structures one whose modules are known (`gnn`).
        task: any; with edges of a graph task, `inductive`.
        others: see above.

    Raises:
        SpaceError: nothing is to be pruned; structures of a space whose modules are not known, or
            by methods that choose single entries; edges of many graphs as a ticket; binary weights.
    """
    _check(space, task, method, weight_density, edge_density, structure, edge_mode)
    structured = tuple(m for m in method if loaded(m).STRUCTURES)
    decisions = [
        _decision("method", method),
        _decision("weight_density", [float(d) for d in weight_density], ordered=True),
        _decision("edge_density", [float(d) for d in edge_density], ordered=True),
        _decision("scope", scope),
        _decision("over_epochs", over_epochs),
        _decision("every", every),
    ]
    if "lottery" in method:
        decisions.append(_decision("rounds", rounds, {_named("method"): ("lottery",)}))
    once = tuple(m for m in structured if m != "layer_ticket")
    if structure != ("none",) and once:
        decisions.append(_decision("structure", structure, {_named("method"): once}))
    transform = partial(sparse, space, edge_mode)
    return SpaceExtension(_START, tuple(decisions), transform, VERSION, deployed)


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


def sparse(
    space: SearchSpace, edge_mode: str, network: nn.Module, architecture: Architecture, task: Task
) -> nn.Module:
    """The network, of which something will be pruned; as it is where nothing is."""
    plan = plan_of(architecture.choices, edge_mode)
    if plan.weight_density == plan.edge_density == 1:
        return network
    own = {n: c for n, c in architecture.choices.items() if not n.startswith(f"{_START}.")}
    base = Architecture(space.name, own)
    source = Source(space, base, task, plan.weight_density, plan.structure)
    return made_sparse(network, plan, source, _edges(plan, task))


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
    if task.is_graph_task and min(edge_density) < 1 and edge_mode == "ticket":
        raise SpaceError(
            "edge_density: a ticket is of one graph, and this task has many; give edge_mode = "
            '"inductive"'
        )
    structures = {*structure} - {"none"} | ({"layers"} if "layer_ticket" in method else set())
    if structures and space.elastic is None:
        raise SpaceError(
            f'structure: the space "{space.name}" does not say which modules its networks have; '
            'use name = "gnn", or single entries (structure = ["none"], without layer_ticket)'
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
