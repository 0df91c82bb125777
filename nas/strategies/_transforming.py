"""The recurrent controller of network transformations: what becomes wider, or where a layer comes.

    layer = sum of the embeddings (16) of its choices;  encoder: bidirectional LSTM (50)
    p(layer wider) = sigmoid(w . encoded layer + b), the same for all layers
    decoder: LSTM (50) from the encoder's last states;  softmax over places, then over operators

Han Cai, Tianyao Chen, Weinan Zhang, Yong Yu, Jun Wang: Efficient Architecture Search by Network
Transformation (2018). What cannot be done has no probability. A walk makes one step: the decoder
says before which layer one is added, or that none is; then the layers are asked, one after the
other, whether they become wider, and the last that can does where none did.

All parameters are one vector of NumPy, with the state of Adam; torch differentiates.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nas.strategies._controller import Parameters, Vector, kind
from nas.strategies._steps import Steps
from search_spaces import Architecture, Choice, SearchSpace, Task
from search_spaces.growing import wider
from search_spaces.morphism import reachable

_EMBEDDED, _HIDDEN = 16, 50
_INITIAL = 0.1  # parameters begin uniform in +- this
_AROUND = ("pre", "post")


@dataclass(frozen=True)
class Step:
    """A step, by one controller.

    Attributes:
        child: where it leads.
        named: what it was, for the record.
        log_probability, entropy: of the choices made, in nats; entropy is their sum.
        gradient: of the log-probability by all parameters; empty where it was not asked for.
    """

    child: Architecture
    named: str
    log_probability: float
    entropy: float
    gradient: Vector


class Transformer:
    """The layout of the parameters for the networks of a space; it has no parameters of its own."""

    def __init__(self, space: SearchSpace, task: Task | None) -> None:
        self.space, self.task = space, task
        rows: dict[tuple[str, Choice], int] = {}
        for decision in space.decisions:
            if _unit(decision.name) is not None:
                for choice in decision.choices:
                    rows.setdefault((kind(decision), choice), len(rows))
        self._rows = rows
        # Before each layer; the number itself stands for none.
        self.places = max(int(depth) for depth in space.by_name["depth"].choices)
        self.operators = tuple(
            dict.fromkeys(
                str(choice)
                for decision in space.decisions
                if decision.name.startswith("layer") and kind(decision) == "operator"
                for choice in decision.choices
            )
        )
        cell = (4 * _HIDDEN, _EMBEDDED + _HIDDEN + 1)
        self._shapes = {
            "choices": (len(rows), _EMBEDDED),
            "forward": cell,
            "backward": cell,
            "decoder": cell,
            "begin": (_EMBEDDED,),
            "wider": (2 * _HIDDEN + 1,),
            "places": (self.places + 1, _HIDDEN + 1),
            "place": (self.places, _EMBEDDED),
            "operators": (len(self.operators), _HIDDEN + 1),
        }

    def initial(self, rng: np.random.Generator) -> Parameters:
        values = rng.uniform(-_INITIAL, _INITIAL, sum(map(math.prod, self._shapes.values())))
        return Parameters(values, np.zeros_like(values), np.zeros_like(values))

    def sampled(self, parameters: Parameters, steps: Steps, rng: np.random.Generator) -> Step:
        """A step at random as the controller would take it."""
        with torch.no_grad():
            walk = _Walk(self, torch.from_numpy(parameters.values), steps)
            child, named = walk.go(lambda chances, _: _drawn(chances, rng.random()))
        entropy = float(walk.entropy)
        return Step(child, named, float(walk.log_probability), entropy, np.zeros(0))

    def followed(self, parameters: Parameters, steps: Steps, child: Architecture) -> Step | None:
        """The step to a child, with its gradient; None where none leads there."""
        wanted = self._answers(steps, child)
        if wanted is None:
            return None
        leaf = torch.from_numpy(parameters.values).clone().requires_grad_()
        walk = _Walk(self, leaf, steps)
        reached, named = walk.go(lambda _, what: wanted.get(what, 0))
        if reached != child or not walk.log_probability.isfinite():
            return None
        (gradient,) = torch.autograd.grad(walk.log_probability, leaf, allow_unused=True)
        found = np.zeros_like(parameters.values) if gradient is None else gradient.numpy()
        log_probability = float(walk.log_probability.detach())
        return Step(child, named, log_probability, float(walk.entropy.detach()), found)

    def _answers(self, steps: Steps, child: Architecture) -> Mapping[str, int] | None:
        """What was answered where a step led to the child, 0 but for these; None where none did."""
        for (at, operator), deeper in steps.deeper.items():
            if deeper == child:
                return {"place": at, "operator": self.operators.index(operator)}
        names = steps.widened(self.space, child)
        return {"place": self.places, **dict.fromkeys(names, 1)} if names else None

    def parts(self, vector: Tensor) -> dict[str, Tensor]:
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        pieces = zip(self._shapes.items(), torch.split(vector, sizes), strict=True)
        return {name: piece.view(shape) for (name, shape), piece in pieces}

    def units(self, architecture: Architecture) -> dict[str, list[int]]:
        """The rows of each layer's choices, by its name, from the features to the classes."""
        found: dict[str, list[int]] = {}
        for decision in self.space.decisions:
            unit = _unit(decision.name)
            if unit is None or decision.name not in architecture.choices:
                continue
            if unit in _AROUND and not architecture.choices[f"{unit}.layers"]:
                continue
            row = self._rows[kind(decision), architecture.choices[decision.name]]
            found.setdefault(unit, []).append(row)
        return dict(sorted(found.items(), key=lambda item: self._position(item[0])))

    def _position(self, unit: str) -> int:
        around = {"pre": -1, "post": self.places}
        return around[unit] if unit in around else int(unit.removeprefix("layer"))


class _Walk:
    """One step of one architecture, with its log-probability and the sum of its entropies."""

    def __init__(self, controller: Transformer, vector: Tensor, steps: Steps) -> None:
        self._of, self._steps = controller, steps
        self._parts = controller.parts(vector)
        self.log_probability = vector.new_zeros(())
        self.entropy = vector.new_zeros(())
        self._encode()

    def _encode(self) -> None:
        units = self._of.units(self._steps.architecture)
        inputs = [self._parts["choices"][rows].sum(dim=0) for rows in units.values()]
        onward, last = self._read("forward", inputs)
        back, first = self._read("backward", inputs[::-1])
        both = [torch.cat(pair) for pair in zip(onward, back[::-1], strict=True)]
        self._encoded = dict(zip(units, both, strict=True))
        self._state = ((last[0] + first[0]) / 2, (last[1] + first[1]) / 2)

    def _read(
        self, name: str, inputs: Sequence[Tensor]
    ) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
        zeros = self.entropy.new_zeros(_HIDDEN)
        state, shown = (zeros, zeros), list[Tensor]()
        for one in inputs:
            state = _lstm(self._parts[name], one, state)
            shown.append(state[0])
        return shown, state

    def go(self, choose: Callable[[Vector, str], int]) -> tuple[Architecture, str]:
        """Args: choose, an index by the probabilities of what is asked, and what that is."""
        at = self._place(choose)
        if at is not None:
            operator = self._operator(choose, at)
            return self._steps.deeper[at, operator], f"layer{at}.operator={operator}"
        names = self._widened(choose)
        return wider(self._of.space, self._steps.architecture, names), " ".join(names)

    def _place(self, choose: Callable[[Vector, str], int]) -> int | None:
        """Before which layer one is added; None for nowhere."""
        nowhere, may = self._of.places, {at for at, _ in self._steps.deeper}
        may |= {nowhere} if self._steps.wider else set()
        self._state = _lstm(self._parts["decoder"], self._parts["begin"], self._state)
        scores = _affine(self._parts["places"], self._state[0])
        at = self._chosen(scores, [i in may for i in range(nowhere + 1)], choose, "place")
        return None if at == nowhere else at

    def _operator(self, choose: Callable[[Vector, str], int], at: int) -> str:
        self._state = _lstm(self._parts["decoder"], self._parts["place"][at], self._state)
        scores = _affine(self._parts["operators"], self._state[0])
        may = [(at, operator) in self._steps.deeper for operator in self._of.operators]
        return self._of.operators[self._chosen(scores, may, choose, "operator")]

    def _widened(self, choose: Callable[[Vector, str], int]) -> list[str]:
        """Which widths grow: at least one, and together such that the child can be reached."""
        names: list[str] = []
        for name in self._steps.wider:
            if not self._reached([*names, name]):
                continue
            forced = not names and name == self._steps.wider[-1]
            score = _affine(self._parts["wider"][None], self._encoded[name.partition(".")[0]])
            scores = torch.cat([torch.zeros_like(score), score])
            if self._chosen(scores, [not forced, True], choose, name):
                names.append(name)
        return names

    def _reached(self, names: Sequence[str]) -> bool:
        parent = self._steps.architecture
        child = wider(self._of.space, parent, names)
        return reachable(self._of.space, self._of.task, parent, child) is None

    def _chosen(
        self, scores: Tensor, may: Sequence[bool], choose: Callable[[Vector, str], int], what: str
    ) -> int:
        mask = torch.tensor(may)
        logarithms = torch.log_softmax(scores.masked_fill(~mask, -math.inf), dim=0)
        chances = logarithms.exp()
        index = choose(chances.detach().numpy(), what)
        self.log_probability = self.log_probability + logarithms[index]
        possible = logarithms[mask]
        self.entropy = self.entropy - (possible.exp() * possible).sum()
        return index


def _drawn(chances: Vector, at: float) -> int:
    # Rounding may leave the last sum below 1.
    possible = np.flatnonzero(chances)
    index = int(np.searchsorted(np.cumsum(chances[possible]), at, side="right"))
    return int(possible[min(index, len(possible) - 1)])


def _lstm(weights: Tensor, read: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    hidden, cell = state
    gates = _affine(weights, torch.cat([read, hidden]))
    opened, kept, shown, candidate = torch.split(gates, _HIDDEN)
    cell = torch.sigmoid(kept) * cell + torch.sigmoid(opened) * torch.tanh(candidate)
    return torch.sigmoid(shown) * torch.tanh(cell), cell


def _affine(weights: Tensor, read: Tensor) -> Tensor:
    """The bias is the last column."""
    return weights[:, :-1] @ read + weights[:, -1]


def _unit(decision: str) -> str | None:
    """The layer, or the perceptron, that a decision is about."""
    unit, dot, _ = decision.partition(".")
    return unit if dot and (unit.startswith("layer") or unit in _AROUND) else None
