"""A strategy with a preparation, fast and without networks; faults on request.

Each epoch moves the weights of all decisions by random numbers, of torch and of its own, and by
what it did the epoch before; trials are drawn from the distributions that come of it.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from evaluators import Batches
from nas.strategies import Finished, Preparation, Prepared, Problem, Proposal, Strategy
from search_spaces import Architecture, Choice, Decision, SearchSpace
from search_spaces.plugins import Plugin

State = Mapping[str, Sequence[float]] | None


# What an epoch returns that must not return it.
WRONG: Mapping[str, Any] = {"diverge": {"step": float("nan")}, "words": {"step": "a"}, "none": None}


class Drifting:
    def __init__(self, space: SearchSpace, batches: Batches, seed: int, says: Mapping[str, Any]):
        self.space, self.batches, self.seed, self.says = space, batches, seed, says
        # As networks begin with what torch draws.
        self.weights = {d.name: torch.rand(len(d.choices)) for d in space.decisions}
        self.step = torch.zeros(())

    def epoch(self, number: int) -> Mapping[str, float]:
        if self.says["log"]:
            with Path(self.says["log"]).open("a") as file:
                file.write(f"{os.getpid()} {number}\n")
        time.sleep(self.says["seconds"])
        trouble = Path(self.says["trouble"])
        kind, at = trouble.read_text().split() if trouble.is_file() else ("", "0")
        if number == int(at):
            self._be_in_trouble(kind)
            wrong: Mapping[str, float] = WRONG[kind]
            return wrong
        return {"step": self._step(number)}

    def _step(self, number: int) -> float:
        own = np.random.default_rng([self.seed, number]).standard_normal()
        self.step = 0.5 * self.step + float(own) + self.batches.dataset.x.mean()
        for row in self.weights.values():
            row += 0.3 * self.step * torch.randn(row.shape)
        return float(self.step)

    @staticmethod
    def _be_in_trouble(kind: str) -> None:
        if kind == "raise":
            raise ZeroDivisionError("a fault of the preparation")
        if kind == "exit":
            os._exit(1)
        if kind == "memory":
            raise MemoryError("no room")

    def distribution(self) -> Mapping[str, Sequence[float]]:
        rows = {name: row.softmax(0).tolist() for name, row in self.weights.items()}
        first = next(iter(rows))
        bad: Mapping[str, Mapping[str, Sequence[float]]] = {
            "": rows,
            "none": {},
            "name": {"c": [1.0]},
            "length": {first: rows[first][1:]},
            "sum": {first: [2 * p for p in rows[first]]},
            "sign": {first: [2.0, -1.0]},
            "nan": {first: [float("nan")] * len(rows[first])},
        }
        return bad[self.says["bad"]]

    def state_dict(self) -> Mapping[str, Tensor]:
        # One tensor under two names, as networks that share layers have.
        kept = {**self.weights, "same": next(iter(self.weights.values()))}
        return kept if self.says["forget"] else {**kept, "step": self.step}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.weights = {name: state[name].clone() for name in self.weights}
        self.step = state.get("step", self.step)


def prepare(
    space: SearchSpace,
    batches: Batches,
    seed: int,
    *,
    seconds: Annotated[float, Ge(0)] = 0.0,
    trouble: str = "",
    bad: str = "",
    forget: bool = False,
    log: str = "",
    nested: Mapping[str, Any] | None = None,
) -> Drifting:
    del nested
    says = {"seconds": seconds, "trouble": trouble, "bad": bad, "forget": forget, "log": log}
    return Drifting(space, batches, seed, says)


class Drawing(Strategy[State]):
    def __init__(self, problem: Problem, preparation: Preparation) -> None:
        super().__init__(problem)
        self._preparation = preparation

    @property
    def preparation(self) -> Preparation:
        return self._preparation

    def initial(self) -> State:
        return None

    def prepared(self, state: State, prepared: Prepared) -> State:
        return prepared.last.distribution

    def fold(self, state: State, finished: Finished) -> State:
        return self._learned(state)

    def propose(
        self, state: State, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        learned = self._learned(state)

        def choose(decision: Decision) -> Choice:
            p = np.array(learned[decision.name])
            return decision.choices[int(rng.choice(len(p), p=p / p.sum()))]

        return Proposal(ordinal, self.problem.space.fill(choose))

    @staticmethod
    def _learned(state: State) -> Mapping[str, Sequence[float]]:
        if state is None:
            raise RuntimeError("asked before what it needs is prepared")
        return state


def build(
    problem: Problem,
    *,
    epochs: int = 6,
    passes: float = 20.0,
    prepares: str = __name__,
    says: Mapping[str, Any] | None = None,
) -> Drawing:
    """`prepares` is the plug-in that does it, `says` its options."""
    return Drawing(problem, Preparation(Plugin(prepares, says or {}), epochs, passes))
