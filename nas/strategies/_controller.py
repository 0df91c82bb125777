"""The recurrent controller that chooses token by token, with its gradient, in NumPy.

    h, c <- LSTM(x, h, c);  p = softmax(2.5 tanh((W h + b) / 5));  x <- embedding of the choice

Hochreiter and Schmidhuber, "Long short-term memory", 1997; as a controller of architectures: Zoph
and Le, "Neural architecture search with reinforcement learning", 2017, and Gao, Yang, Zhang, Zhou
and Hu, "Graph neural architecture search", 2020. Decisions of one kind (equal choices, and equal
names behind the last dot: `layer0.operator`, `layer1.operator`) share their embeddings and their
decoder. A step is a few matrix products with vectors of 100, which need no more than NumPy.

Limits: between machines, the last bits of sums may differ, and with them a proposal in very many.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_spaces import Choice, Decision

Vector: TypeAlias = NDArray[np.float64]

HIDDEN = 100
_INITIAL = 0.1  # parameters begin uniform in +- this
_TEMPERATURE = 5.0
_BOUND = 2.5
_DECAY, _DECAY_OF_SQUARES, _EPSILON = 0.9, 0.999, 1e-8


def kind(decision: Decision) -> str:
    """What a decision is about, wherever in the network: its name behind the last dot."""
    return decision.name.rpartition(".")[2]


@dataclass(frozen=True, eq=False)
class Parameters:
    """All parameters of a controller as one vector, with the state of Adam; never changed.

    Kingma and Ba, "Adam: a method for stochastic optimization", 2015.
    """

    values: Vector
    mean: Vector
    square: Vector
    steps: int = 0

    def ascended(self, gradient: Vector, lr: float) -> "Parameters":
        """One step of Adam along the gradient. It does not depend on the gradient's scale."""
        # In place: fresh memory is what takes the time.
        steps = self.steps + 1
        vector = (1 - _DECAY) * gradient
        mean = _DECAY * self.mean
        mean += vector
        vector *= gradient
        vector *= (1 - _DECAY_OF_SQUARES) / (1 - _DECAY)
        square = _DECAY_OF_SQUARES * self.square
        square += vector
        np.sqrt(square, out=vector)
        vector *= 1 / math.sqrt(1 - _DECAY_OF_SQUARES**steps)
        vector += _EPSILON
        np.divide(mean, vector, out=vector)
        vector *= lr / (1 - _DECAY**steps)
        vector += self.values
        return Parameters(vector, mean, square, steps)


class Controller:
    """The layout of the parameters for some decisions; it has no parameters of its own."""

    def __init__(self, decisions: Sequence[Decision]) -> None:
        rows: dict[tuple[str, tuple[Choice, ...]], int] = {}
        self.first: dict[str, int] = {}
        tokens = 0
        for decision in decisions:
            alike = (kind(decision), decision.choices)
            if alike not in rows:
                rows[alike] = tokens
                tokens += len(decision.choices)
            self.first[decision.name] = rows[alike]
        self._shapes = (
            (tokens, HIDDEN),  # embeddings
            (4 * HIDDEN, 2 * HIDDEN),  # gates: input, forget, output, candidate
            (4 * HIDDEN,),
            (tokens, HIDDEN),  # decoders
            (tokens,),
        )
        self._ends = np.cumsum([math.prod(shape) for shape in self._shapes]).tolist()

    def initial(self, rng: np.random.Generator) -> Parameters:
        values = rng.uniform(-_INITIAL, _INITIAL, self._ends[-1])
        return Parameters(values, np.zeros_like(values), np.zeros_like(values))

    def parts(self, vector: Vector) -> tuple[Vector, ...]:
        """Views: embeddings, gates' weights and biases, decoders' weights and biases."""
        starts = [0, *self._ends]
        return tuple(
            vector[start:end].reshape(shape)
            for start, end, shape in zip(starts, self._ends, self._shapes, strict=False)
        )

    def token(self, decision: Decision, choice: Choice) -> int:
        """The row of a choice among the embeddings."""
        return self.first[decision.name] + decision.choices.index(choice)

    def walk(self, parameters: Parameters, context: Sequence[int] = ()) -> "Walk":
        """Begin a sequence. The first input is the normalized sum of the context's embeddings."""
        return Walk(self, parameters, context)


class _Step(NamedTuple):
    """What the gradient needs of one choice."""

    input: Vector
    gates: Vector  # after their activations
    cell_before: Vector
    cell: Vector
    hidden: Vector
    rows: slice
    squashed: Vector
    probabilities: Vector
    chosen: int


class Walk:
    """One sequence of choices, with its log-probability and the sum of its entropies (nats)."""

    def __init__(
        self, controller: Controller, parameters: Parameters, context: Sequence[int]
    ) -> None:
        self._controller = controller
        self._parts = controller.parts(parameters.values)
        self._context = list(context)
        self._steps: list[_Step] = []
        self._hidden, self._cell = np.zeros(HIDDEN), np.zeros(HIDDEN)
        total = self._parts[0][self._context].sum(axis=0)
        self._length = float(np.linalg.norm(total)) or 1.0
        self._next = total / self._length
        self.log_probability = 0.0
        self.entropy = 0.0

    def __len__(self) -> int:
        """How many choices were made."""
        return len(self._steps)

    def sample(self, decision: Decision, rng: np.random.Generator) -> int:
        """Choose at random as the controller would; the index of the choice."""
        return self._advance(decision, rng.random())

    def follow(self, decision: Decision, choice: Choice) -> None:
        """Make a given choice."""
        self._advance(decision, decision.choices.index(choice))

    def _advance(self, decision: Decision, given: float | int) -> int:
        """`given` is the index of the choice, or a float in [0, 1) to draw it by."""
        embeddings, weights, biases, decoders, decoder_biases = self._parts
        joined = np.concatenate((self._next, self._hidden))
        gates = weights @ joined
        gates += biases
        sigmoids = gates[: 3 * HIDDEN]
        sigmoids *= 0.5
        np.tanh(gates, out=gates)
        sigmoids += 1.0
        sigmoids *= 0.5
        opened, kept, shown, candidate = gates.reshape(4, HIDDEN)
        before = self._cell
        self._cell = kept * before + opened * candidate
        self._hidden = shown * np.tanh(self._cell)
        first = self._controller.first[decision.name]
        rows = slice(first, first + len(decision.choices))
        squashed = np.tanh((decoders[rows] @ self._hidden + decoder_biases[rows]) / _TEMPERATURE)
        exponentials = np.exp(_BOUND * squashed)
        probabilities = exponentials / exponentials.sum()
        chosen = given if isinstance(given, int) else _drawn(probabilities, given)
        logarithms = np.log(probabilities)
        self.log_probability += float(logarithms[chosen])
        self.entropy -= float(probabilities @ logarithms)
        self._next = embeddings[first + chosen]
        self._steps.append(
            _Step(
                joined,
                gates,
                before,
                self._cell,
                self._hidden,
                rows,
                squashed,
                probabilities,
                chosen,
            )
        )
        return chosen

    def gradient(self) -> Vector:
        """Of the log-probability, by all parameters: back-propagation through time."""
        result = np.zeros(self._controller._ends[-1])
        embeddings, weights, biases, decoders, decoder_biases = self._controller.parts(result)
        gates_weights, decoder_weights = self._parts[1], self._parts[3]
        before_activation = np.zeros((len(self._steps), 4 * HIDDEN))
        to_input = to_hidden = to_cell = np.zeros(HIDDEN)
        for index in range(len(self._steps) - 1, -1, -1):
            step = self._steps[index]
            # The input of the next step was the embedding of this choice.
            embeddings[step.rows.start + step.chosen] += to_input
            scores = -step.probabilities
            scores[step.chosen] += 1.0
            scores *= (1.0 - step.squashed**2) * (_BOUND / _TEMPERATURE)
            decoders[step.rows] += np.outer(scores, step.hidden)
            decoder_biases[step.rows] += scores
            to_hidden = to_hidden + scores @ decoder_weights[step.rows]
            row = before_activation[index]
            to_cell = _through_cell(step, to_hidden, to_cell, row)
            joined = row @ gates_weights
            to_input, to_hidden = joined[:HIDDEN], joined[HIDDEN:]
        if self._steps:
            inputs = np.stack([step.input for step in self._steps])
            np.matmul(before_activation.T, inputs, out=weights)
            before_activation.sum(axis=0, out=biases)
            self._to_context(embeddings, to_input)
        return result

    def _to_context(self, embeddings: Vector, to_input: Vector) -> None:
        """Through the normalization of the first input."""
        if self._context:
            first = self._steps[0].input[:HIDDEN]
            to_sum = (to_input - first * (first @ to_input)) / self._length
            np.add.at(embeddings, self._context, to_sum)


def _drawn(probabilities: Vector, at: float) -> int:
    # Rounding may leave the last sum below 1.
    index = int(np.searchsorted(np.cumsum(probabilities), at, side="right"))
    return min(index, len(probabilities) - 1)


def _through_cell(step: _Step, to_hidden: Vector, to_cell: Vector, out: Vector) -> Vector:
    """Write the gradient by the gates before their activations; return that by the cell before."""
    opened, kept, shown, candidate = step.gates.reshape(4, HIDDEN)
    squashed = np.tanh(step.cell)
    to_cell = to_cell + to_hidden * shown * (1.0 - squashed**2)
    out[:HIDDEN] = to_cell * candidate * opened * (1.0 - opened)
    out[HIDDEN : 2 * HIDDEN] = to_cell * step.cell_before * kept * (1.0 - kept)
    out[2 * HIDDEN : 3 * HIDDEN] = to_hidden * squashed * shown * (1.0 - shown)
    out[3 * HIDDEN :] = to_cell * opened * (1.0 - candidate**2)
    to_before: Vector = to_cell * kept
    return to_before
