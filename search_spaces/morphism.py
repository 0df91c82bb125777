"""Networks that grow and compute what they did: wider layers (Net2Wider), more layers (Net2Deeper).

Tianqi Chen, Ian Goodfellow, Jonathon Shlens: Net2Net: Accelerating Learning via Knowledge Transfer
(2016); for architecture search Han Cai, Tianyao Chen, Weinan Zhang, Yong Yu, Jun Wang: Efficient
Architecture Search by Network Transformation (2018). A child has at least the widths of its parent,
and at least its layers; all else of its structure is equal, its recipe may differ. A layer that is
new is the identity, or, where its input is added to it, gives zeros. What reads it besides (dense,
jk) has weights of 0 for it. Which operators can be copied, or be the identity, is found by trying
(`search_spaces.preserving`).

Limits: what is equal is the network in evaluation mode. Batch normalization in a new layer divides
by the deviation of its batch in training. Layer normalization cannot be widened: copies of some
channels and not of others change mean and deviation of a row.
"""

import itertools
from collections.abc import Iterator, Mapping
from functools import lru_cache

import torch
from torch import Tensor

from search_spaces import neutral, preserving
from search_spaces.architecture import Architecture
from search_spaces.copying import Copies, beside, copies, disturbed, grown, unread
from search_spaces.errors import SpaceError
from search_spaces.matching import Matching, Move
from search_spaces.message_passing import SKIP
from search_spaces.preserving import kind, state_axes
from search_spaces.space import SearchSpace
from search_spaces.task import Task

# Where new layers may stand among the others: so many ways are tried, at most.
_WAYS = 64
# Of features, where their number is not known: more than any layer is wide.
_UNKNOWN = Task("node_classification", 1_000_003, 2, 1, 0, 1, 1, 0, 0, "accuracy", "unknown")


def reachable(
    space: SearchSpace, task: Task | None, parent: Architecture, child: Architecture
) -> str | None:
    """Why a child cannot begin as its parent; None where it can.

    Args:
        space: of both.
        task: what both fit; None where that is not known. Then a child for which it matters how
            many features there are is none.
        parent, child: architectures.
    """
    return _reason(space, task, parent, child)


@lru_cache(maxsize=65_536)
def _reason(
    space: SearchSpace, task: Task | None, parent: Architecture, child: Architecture
) -> str | None:
    try:
        _matching(space, task, parent, child)
    except SpaceError as error:
        return str(error)
    return None


def morph(
    space: SearchSpace,
    task: Task,
    parent: Architecture,
    child: Architecture,
    state: Mapping[str, Tensor],
    generator: torch.Generator,
    *,
    noise: float = 0.0,
    noise_deeper: float = 0.0,
) -> dict[str, Tensor]:
    """The state dict of the child, with which it computes what its parent does.

    Args:
        space: of both.
        task: what both fit.
        parent, child: architectures.
        state: of the parent's network.
        generator: draws what is copied, and the noise; on the CPU.
        noise: added to what new channels write, in standard deviations of the tensor: copies that
            are equal in all stay so in training.
        noise_deeper: added to the weights of new layers, in those of the tensor as it would begin.

    Raises:
        SpaceError: it cannot be reached; the message says why.
    """
    matching = _matching(space, task, parent, child)
    sides = _sides(matching, generator)
    made: dict[str, Tensor] = {}
    for move in matching.moves:
        shapes = state_axes(kind(move.place))
        old = _state(move, matching, state, generator, noise_deeper)
        reads = _reads(move, sides)
        writes = sides[move.place.writes.source]
        wider = grown(old, shapes, reads, writes, move.rule)
        for name, tensor in wider.items():
            if noise and writes.new.any() and name in preserving.parameters(kind(move.place)):
                tensor = disturbed(tensor, shapes[name], writes, noise, generator)
            made[f"{move.place.path}.{name}"] = tensor
    return made


def _matching(
    space: SearchSpace, task: Task | None, parent: Architecture, child: Architecture
) -> Matching:
    _check(space, parent, child)
    if task is None:
        _check_features(parent, child)
    unlike: list[SpaceError] = []
    refused: list[SpaceError] = []
    for added in itertools.islice(_ways(parent, child), _WAYS):
        try:
            _check_layers(parent, child, added)
        except SpaceError as error:
            unlike.append(error)
            continue
        try:
            return Matching(space, task or _UNKNOWN, parent, child, added)
        except SpaceError as error:
            refused.append(error)
    # What says why a layer cannot be added tells more than that all others differ.
    raise (*refused, *unlike)[0]


def _ways(parent: Architecture, child: Architecture) -> Iterator[tuple[int, ...]]:
    """Which of the child's layers may be the new ones, the last ones first."""
    layers = range(int(child.choices["depth"]))
    yield from itertools.combinations(reversed(layers), len(layers) - int(parent.choices["depth"]))


def _check(space: SearchSpace, parent: Architecture, child: Architecture) -> None:
    """What does not depend on where layers are added. Raises: SpaceError."""
    if space.elastic is None:
        raise SpaceError(
            f'the space "{space.name}" says nothing of its networks that could grow; '
            'use name = "gnn", without extensions'
        )
    old, new = parent.structure, child.structure
    for choices in (old, new):
        for name, choice in choices.items():
            if name.endswith(".operator") and choice == SKIP:
                raise SpaceError(f'{name}: with "{SKIP}" the layer is left out')
    if int(new["depth"]) < int(old["depth"]):
        raise SpaceError(f"depth: {old['depth']} layers become {new['depth']}: none is left out")
    one_layer = old["depth"] == 1
    for name in (*old, *(name for name in new if name not in old)):
        if name.startswith("layer") or name == "depth":
            continue
        if one_layer and name in ("connectivity", "jk.mode"):
            continue  # one layer is connected to nothing
        before, after = old.get(name), new.get(name)
        if name.endswith(".width") and before is not None and after is not None:
            _check_width(name, int(before), int(after))
        elif before != after:
            raise SpaceError(f"{name}: {before} in the parent, {after} in the child")


def _check_width(name: str, before: int, after: int) -> None:
    if after < before:
        raise SpaceError(f"{name}: {before} channels become {after}: none is left out")


def _check_layers(parent: Architecture, child: Architecture, added: tuple[int, ...]) -> None:
    """Layers that are not new have the choices that they had, but for their width."""
    kept = [i for i in range(int(child.choices["depth"])) if i not in added]
    for old, new in enumerate(kept):
        before, after = _layer(parent, old), _layer(child, new)
        for name in (*before, *(name for name in after if name not in before)):
            if name == "width":
                _check_width(f"layer{new}.width", int(before[name]), int(after[name]))
            elif before.get(name) != after.get(name):
                raise SpaceError(
                    f"layer{new}.{name}: {before.get(name)} in the parent, "
                    f"{after.get(name)} in the child"
                )


def _layer(architecture: Architecture, index: int) -> dict[str, str | int | float]:
    prefix = f"layer{index}."
    return {
        name.removeprefix(prefix): choice
        for name, choice in architecture.choices.items()
        if name.startswith(prefix)
    }


def _check_features(parent: Architecture, child: Architecture) -> None:
    """Whether features are added as they are depends on how many there are. Raises: SpaceError."""
    if child.choices.get("connectivity") != "residual" or child.choices["pre.layers"]:
        return
    same = parent.choices.get("connectivity") == "residual"
    if not same or parent.choices["layer0.width"] != child.choices["layer0.width"]:
        raise SpaceError("layer0.shortcut: it depends on how many features there are")


def _sides(matching: Matching, generator: torch.Generator) -> dict[str, Copies]:
    """How the channels of each source are copied, alike where they are added or compared."""
    drawn: dict[str, Copies] = {}
    for source, (channels, before) in sorted(matching.sources.items()):
        leader = matching.leader(source)
        if leader not in drawn:
            drawn[leader] = copies(before, channels.width, channels.groups, generator)
        drawn[source] = drawn[leader]
    return drawn


def _reads(move: Move, sides: Mapping[str, Copies]) -> Copies:
    """Of what a module reads, side by side."""
    if not move.place.reads:
        return sides[move.place.writes.source]
    starts = list(itertools.accumulate((read.width for read in move.reads), initial=0))
    return beside(
        [
            (0, unread(read.width)) if at is None else (starts[at], sides[read.source])
            for read, at in zip(move.place.reads, move.carried, strict=True)
        ]
    )


def _state(
    move: Move,
    matching: Matching,
    state: Mapping[str, Tensor],
    generator: torch.Generator,
    noise: float,
) -> dict[str, Tensor]:
    """Of what a module is made from, before it grows."""
    of = kind(move.place)
    if move.how == "parent":
        names = state_axes(of)
        if missing := [name for name in names if f"{move.path}.{name}" not in state]:
            raise SpaceError(f"the parent's weights have no {move.path}.{missing[0]}")
        return {name: state[f"{move.path}.{name}"] for name in names}
    inputs = sum(read.width for read in move.reads)
    dtype = next((t.dtype for t in state.values() if t.is_floating_point()), torch.float32)
    if of.on_graph:
        seed = int(torch.randint(2**62, (), generator=generator))
        made = neutral.begun(of, move.width, seed, matching.goal, noise)
    elif not move.place.reads:
        made = neutral.normalized(of, matching.goal, move.width)
    else:
        weight = (
            torch.eye(move.width) if move.how == "identity" else torch.zeros(move.width, inputs)
        )
        made = {"weight": weight}
    return {n: t.to(dtype) if t.is_floating_point() else t for n, t in made.items()}
