"""Learns what trains fast from many short trainings, then samples architectures by that.

    p = softmax(w);  w <- w + rate (accuracy - baseline) (one-hot of the choice - p)

One epoch of the preparation trains one architecture, drawn from the distributions over all
decisions, for a few steps and moves each active decision towards or away from its choice: the
policy gradient without a network (Ronald J. Williams: Simple statistical gradient-following
algorithms for connectionist reinforcement learning, 1992). A short training ranks worse than a
long one, and costs a tenth: so trials are drawn from the distributions, which rule nothing out.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt
from torch import Tensor

from evaluators import Batches
from evaluators.metrics import predict, selecting
from nas.strategies import Finished, Preparation, Prepared, Problem, Proposal, Strategy
from search_spaces import Architecture, Choice, Decision, SearchSpace
from search_spaces.plugins import Plugin

# For each decision, how probable each choice is.
State: TypeAlias = Mapping[str, Sequence[float]]


def drawn(space: SearchSpace, state: State, rng: np.random.Generator) -> Architecture:
    def choose(decision: Decision) -> Choice:
        p = np.array(state.get(decision.name, [1.0] * len(decision.choices)), dtype=np.float64)
        return decision.choices[int(rng.choice(len(p), p=p / p.sum()))]

    return space.fill(choose)


class ShortTrainings:
    def __init__(self, space: SearchSpace, batches: Batches, seed: int, steps: int, rate: float):
        self.space, self.batches, self.seed = space, batches, seed
        self.steps, self.rate = steps, rate
        self.weights = {d.name: torch.zeros(len(d.choices)) for d in space.decisions}
        self.baseline = torch.zeros(())

    def epoch(self, number: int) -> Mapping[str, float]:
        rng = np.random.default_rng([self.seed, number])
        architecture = drawn(self.space, self.distribution(), rng)
        accuracy = self._accuracy(architecture)
        baseline = float(self.baseline) if number > 1 else accuracy
        for name, choice in architecture.choices.items():
            index = self.space.by_name[name].choices.index(choice)
            gradient = -self.weights[name].softmax(0)
            gradient[index] += 1
            self.weights[name] += self.rate * (accuracy - baseline) * gradient
        self.baseline = torch.tensor(0.9 * baseline + 0.1 * accuracy)
        return {"val_accuracy": accuracy}

    def _accuracy(self, architecture: Architecture) -> float:
        dataset = self.batches.dataset
        network = self.space.network(architecture, dataset.task)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        batch = self.batches.of(dataset.train.nonzero()[:, 0])
        for _ in range(self.steps):
            optimizer.zero_grad()
            F.cross_entropy(predict(network.train(), batch), batch.y).backward()
            optimizer.step()
        val = self.batches.of(dataset.val.nonzero()[:, 0])
        with torch.no_grad():
            return selecting("accuracy", predict(network.eval(), val), val.y)

    def distribution(self) -> Mapping[str, Sequence[float]]:
        return {name: weights.softmax(0).tolist() for name, weights in self.weights.items()}

    def state_dict(self) -> Mapping[str, Tensor]:
        return {"baseline": self.baseline, **self.weights}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.baseline = state["baseline"]
        self.weights = {name: state[name].clone() for name in self.weights}


def prepare(
    space: SearchSpace,
    batches: Batches,
    seed: int,
    *,
    steps: Annotated[int, Ge(1)] = 20,
    rate: Annotated[float, Gt(0)] = 5.0,
) -> ShortTrainings:
    return ShortTrainings(space, batches, seed, steps, rate)


class Prior(Strategy[State]):
    def __init__(self, problem: Problem, preparation: Preparation) -> None:
        super().__init__(problem)
        self._preparation = preparation

    @property
    def preparation(self) -> Preparation:
        return self._preparation

    def initial(self) -> State:
        return {}

    def prepared(self, state: State, prepared: Prepared) -> State:
        return prepared.last.distribution

    def fold(self, state: State, finished: Finished) -> State:
        return state

    def propose(
        self, state: State, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        return Proposal(ordinal, drawn(self.problem.space, state, rng))


def build(
    problem: Problem,
    *,
    trainings: Annotated[int, Ge(1)] = 100,
    steps: Annotated[int, Ge(1)] = 20,
    rate: Annotated[float, Gt(0)] = 5.0,
) -> Prior:
    plugin = Plugin(__name__, {"steps": steps, "rate": rate})
    return Prior(problem, Preparation(plugin, epochs=trainings, passes=trainings * steps))
