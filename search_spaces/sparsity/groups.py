"""What is pruned together: tensors with masks, how many entries are to be left, and who they are.

A mask is true where an entry is left. All of what is here changes masks in place, and tensors only
by setting what is not left to 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

# By the name of each tensor.
Scores: TypeAlias = Mapping[str, Tensor]
Scope: TypeAlias = Literal["global", "layer"]


@dataclass(frozen=True, eq=False)
class Group:
    """Tensors of which a share of all entries is to be left.

    Attributes:
        density: that share, in the end.
        scope: whether entries of all tensors compete, or each tensor keeps that share of its own.
        values: trained tensors, by name.
        masks: of each, which entries are left.
        eligible: of each, which entries may be pruned and are counted; None for all.
    """

    density: float
    scope: Scope
    values: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    eligible: Mapping[str, Tensor | None]

    def magnitudes(self) -> dict[str, Tensor]:
        """Of all entries; what is not left has 0."""
        return {n: value.detach().abs() * self.masks[n] for n, value in self.values.items()}

    def at_random(self) -> dict[str, Tensor]:
        """Scores that say nothing, by torch's random numbers."""
        return {name: torch.rand(value.shape) for name, value in self.values.items()}

    def kept(self, density: float) -> dict[str, int]:
        """With the scope "layer": how many entries of each tensor are left at a density."""
        return {name: max(1, round(density * size)) for name, size in self.sizes().items()}

    def sizes(self) -> dict[str, int]:
        """How many entries of each tensor may be pruned."""
        return {
            name: mask.numel() if known is None else int(known.sum())
            for (name, mask), known in zip(self.masks.items(), self.eligible.values(), strict=True)
        }

    def left(self) -> dict[str, int]:
        """How many of those are left."""
        return {name: int(self._own(name, mask).sum()) for name, mask in self.masks.items()}

    def keep_top(
        self, scores: Scores, density: float, *, scope: Scope | None = None, nested: bool = False
    ) -> None:
        """Leave the entries of the highest scores, of equal ones some by chance.

        Args:
            scores: of each entry.
            density: that is left, of all entries.
            scope: in place of the group's own.
            nested: whether only entries that are left may be.
        """
        flat = {name: self._own(name, scores[name]).flatten() for name in self.values}
        if nested:
            left = {name: self._own(name, self.masks[name]).flatten() for name in self.values}
            flat = {name: row.masked_fill(~left[name], -torch.inf) for name, row in flat.items()}
        if (scope or self.scope) == "global":
            joint = torch.cat(list(flat.values()))
            chosen = _top(joint, max(1, round(density * joint.numel())))
            rows = dict(
                zip(flat, torch.split(chosen, [row.numel() for row in flat.values()]), strict=True)
            )
        else:
            count = self.kept(density)
            rows = {name: _top(row, count[name]) for name, row in flat.items()}
        self.set(rows)

    def keep(self, scores: Scores, counts: Mapping[str, int]) -> None:
        """Leave so many entries of each tensor, of the highest scores."""
        flat = {name: self._own(name, scores[name]).flatten() for name in self.values}
        self.set({name: _top(row, counts[name]) for name, row in flat.items()})

    def set(self, rows: Mapping[str, Tensor]) -> None:
        """Take masks over: of each tensor its eligible entries, flat."""
        with torch.no_grad():
            for name, row in rows.items():
                known, mask = self.eligible[name], self.masks[name]
                if known is None:
                    mask.copy_(row.view_as(mask))
                else:
                    mask[known] = row
                self.values[name].mul_(mask)

    def regrow(self, fraction: float, gradients: Scores) -> dict[str, int]:
        """Of each tensor exchange a part of the entries that are left.

        Those of least magnitude go, and as many come for which the gradient of the loss is largest,
        of those that were not left before. They begin at 0, so the loss stays as it is but for what
        has gone.

        Args:
            fraction: of the entries that are left.
            gradients: of the loss by each entry, those that are not left included.

        Returns: how many were exchanged.
        """
        rows, exchanged = {}, {}
        for name, magnitude in self.magnitudes().items():
            left = self._own(name, self.masks[name]).flatten()
            size = self._own(name, magnitude).flatten()
            slope = self._own(name, gradients[name]).flatten().abs()
            count = min(round(fraction * int(left.sum())), int((~left).sum()))
            goes = _top((-size).masked_fill(~left, -torch.inf), count)
            comes = _top(slope.masked_fill(left, -torch.inf), count)
            rows[name], exchanged[name] = (left & ~goes) | comes, count
        self.set(rows)
        return exchanged

    def _own(self, name: str, tensor: Tensor) -> Tensor:
        known = self.eligible[name]
        return tensor if known is None else tensor[known]


def _top(scores: Tensor, count: int) -> Tensor:
    """[n], where the `count` highest are, of equal ones some by torch's random numbers.

    Many are equal: what no training unit sees has the gradient 0. The order of entries is not by
    chance: public graphs have their test nodes last.
    """
    order = torch.randperm(scores.numel()).to(scores.device)
    highest = torch.sort(scores[order], descending=True, stable=True).indices[:count]
    return torch.zeros_like(scores, dtype=torch.bool).index_fill(0, order[highest], True)


def entries_left(sizes: Sequence[int], density: float, scope: Scope) -> int:
    """How many entries of tensors of these sizes are left."""
    if scope == "global":
        return max(1, round(density * sum(sizes)))
    return sum(max(1, round(density * size)) for size in sizes)


def erdos_renyi(sizes: Sequence[torch.Size], density: float) -> list[int]:
    """How many entries of each matrix are left, so that small ones keep a larger share.

        density of a matrix = min(1, c (inputs + outputs) / (inputs * outputs)),  c for the total

    Utku Evci, Trevor Gale, Jacob Menick, Pablo Samuel Castro, Erich Elsen: Rigging the Lottery:
    Making All Tickets Winners (2020), from Decebal Mocanu et al. (2018).

    Args:
        sizes: of the matrices.
        density: of all of them together.
    """
    numbers = torch.tensor([size.numel() for size in sizes], dtype=torch.float64)
    raw = torch.tensor([sum(size) for size in sizes], dtype=torch.float64) / numbers
    total = round(density * float(numbers.sum()))
    full = torch.zeros(len(sizes), dtype=torch.bool)
    while True:
        rest = total - float(numbers[full].sum())
        scale = rest / float((raw * numbers)[~full].sum()) if not bool(full.all()) else 0.0
        share = torch.where(full, 1.0, raw * scale)
        if not bool((share > 1).any()):
            break
        full |= share > 1
    counts = [max(1, int(n)) for n in (share * numbers).round()]
    # What rounding has left over or taken goes to the largest; each keeps one.
    for i in sorted(range(len(counts)), key=lambda i: -counts[i]):
        over = total - sum(counts)
        counts[i] += max(1 - counts[i], min(sizes[i].numel() - counts[i], over))
    return counts
