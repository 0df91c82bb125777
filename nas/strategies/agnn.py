"""Auto-GNN: small steps from the best architecture, one class of components at a time.

Zhou, Huang, Song and Hu, "Auto-GNN: neural architecture search of graph neural networks", 2019,
arXiv 1909.03184 (Frontiers in Big Data, 2022). A class is all decisions of one name behind the last
dot: the operators of all layers, their widths, a decision without a dot alone. Each class has a
recurrent controller of its own.

The best architecture so far is the parent; before there is one, architectures are random. A child
is the parent with one class decided anew in every layer. Each controller reads the parent's other
choices (the normalized sum of their embeddings) and decides its class; the class that the child
takes is drawn by a softmax over the entropies of these decisions, so those still undecided change
more. Decisions that this switches on are drawn at random, those switched off are dropped. Only a
better child becomes the parent.

    reward R = clip(objective of the child - objective of the parent) + entropy bonus;
    baseline of the class b <- 0.95 b + 0.05 R
    parameters <- Adam along (R - b) x gradient of log p(class | parent)

A finished trial teaches the controller of the class in which it differs from the latest possible
parent, so results may come out of order; one that no parent leads to (random, given) teaches none.
Where the child equals its parent, which class was decided is drawn from their probabilities. Pruned
and infeasible trials count as the worst seen so far, failed ones do not count. One objective only.

With `inherit` a child starts from its parent's weights, where the layers are alike. It then needs
fewer epochs, but a result is no longer that of the architecture alone: it is not shared between
studies, and the parents are favored, whose weights were trained longest.

Other than published: the learning rate is 3.5e-3; at 3.5e-4 several hundred trials go as well
without any learning, from the small steps alone. And entropies are compared as if all classes had
equally many decisions, as in the published space they have: else those with few are never chosen.

Limit: it climbs from one architecture, to an optimum that may be local.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt

from nas.strategies._base import STARTUP, Finished, Problem, Proposal, Strategy, generator
from nas.strategies._controller import Controller, Parameters, Walk, kind
from nas.strategies._ranking import measured
from nas.strategies._reward import Baseline, check_one_objective, reward_of
from search_spaces import Architecture, Choice, Decision
from search_spaces.frozen import FrozenMapping

# Attempts of a proposal have smaller numbers.
_WHICH_CLASS = 2**31


@dataclass(frozen=True, eq=False)
class Lineage:
    """The controllers, their baselines and the parents: every trial that was the best, in order."""

    parameters: Mapping[str, Parameters]
    baselines: Mapping[str, Baseline]
    parents: tuple[Finished, ...] = ()
    worst: float | None = None


class Agnn(Strategy[Lineage]):
    """Auto-GNN as a fold over ended trials."""

    def __init__(
        self, problem: Problem, lr: float, entropy: float, clip: float, inherit: bool
    ) -> None:
        super().__init__(problem)
        self.lr, self.entropy, self.clip, self.inherit = lr, entropy, clip, inherit
        self.controller = Controller(problem.space.decisions)
        open_decisions = [d for d in problem.space.decisions if len(d.choices) > 1]
        self.classes = tuple(dict.fromkeys(kind(d) for d in open_decisions))

    def initial(self) -> Lineage:
        rngs = {
            name: np.random.default_rng([self.problem.seed, 0, 0, 1, i])
            for i, name in enumerate(self.classes)
        }
        return Lineage(
            FrozenMapping({n: self.controller.initial(rng) for n, rng in rngs.items()}),
            FrozenMapping({n: Baseline() for n in self.classes}),
        )

    def fold(self, state: Lineage, finished: Finished) -> Lineage:
        reward, worst = reward_of(finished, state.worst)
        if reward is None:
            return state
        if state.parents and self.classes:
            state = self._taught(state, finished, reward)
        parents = state.parents
        if measured(finished) is not None and (not parents or reward > _value(parents[-1])):
            parents = (*parents, finished)
        return replace(state, parents=parents, worst=worst)

    def _taught(self, state: Lineage, finished: Finished, reward: float) -> Lineage:
        """The state with the controller that decided this child updated."""
        step = self._step(state, finished)
        if step is None:
            return state
        name, walk = step
        gain = max(-self.clip, min(self.clip, reward - _value(state.parents[-1])))
        baseline, advantage = state.baselines[name].judged(gain + self.entropy * walk.entropy)
        gradient = walk.gradient()
        gradient *= advantage
        parameters = state.parameters[name].ascended(gradient, self.lr)
        return replace(
            state,
            parameters=FrozenMapping({**state.parameters, name: parameters}),
            baselines=FrozenMapping({**state.baselines, name: baseline}),
        )

    def _step(self, state: Lineage, finished: Finished) -> tuple[str, Walk] | None:
        """The class in which the child was decided anew, and the walk that decides it so."""
        descriptions = tuple(self.problem.space.descriptions(finished.architecture))
        for parent in reversed(state.parents):
            before = parent.architecture.choices
            for after in descriptions:
                changed = differing(before, after)
                if len(changed) > 1 or not changed <= set(self.classes):
                    continue
                names = tuple(changed) or self.classes
                walks = [self._followed(state, name, before, after) for name in names]
                rng = generator(self.problem.seed, finished.ordinal, _WHICH_CLASS)
                doubts = zip(_doubts(walks), walks, strict=True)
                index = _drawn([doubt + walk.log_probability for doubt, walk in doubts], rng)
                return names[index], walks[index]
        return None

    def _followed(
        self,
        state: Lineage,
        name: str,
        before: Mapping[str, Choice],
        after: Mapping[str, Choice],
    ) -> Walk:
        walk = self._walk(state, name, before)
        for decision in self.problem.space.decisions:
            if kind(decision) == name and decision.name in after:
                walk.follow(decision, after[decision.name])
        return walk

    def _walk(self, state: Lineage, name: str, parent: Mapping[str, Choice]) -> Walk:
        """Begin to decide a class, in view of the parent's other choices."""
        context = [
            self.controller.token(decision, parent[decision.name])
            for decision in self.problem.space.decisions
            if decision.name in parent and kind(decision) != name
        ]
        return self.controller.walk(state.parameters[name], context)

    def propose(
        self,
        state: Lineage,
        ordinal: int,
        pending: Sequence[Architecture],
        rng: np.random.Generator,
    ) -> Proposal:
        del pending
        if not state.parents or not self.classes:
            return Proposal(ordinal, self.problem.space.sample(rng), note=STARTUP)
        parent = state.parents[-1]
        choices = parent.architecture.choices
        children = [self._child(state, name, choices, rng) for name in self.classes]
        child, _ = children[_drawn(_doubts([walk for _, walk in children]), rng)]
        return Proposal(ordinal, child, parent.ordinal if self.inherit else None)

    def _child(
        self,
        state: Lineage,
        name: str,
        parent: Mapping[str, Choice],
        rng: np.random.Generator,
    ) -> tuple[Architecture, Walk]:
        walk = self._walk(state, name, parent)

        def choose(decision: Decision) -> Choice:
            if kind(decision) == name:
                return decision.choices[walk.sample(decision, rng)]
            return decision.choices[int(rng.integers(len(decision.choices)))]

        kept = {n: c for n, c in parent.items() if kind(self.problem.space.by_name[n]) != name}
        return self.problem.space.fill(choose, kept), walk


def differing(before: Mapping[str, Choice], after: Mapping[str, Choice]) -> set[str]:
    """The classes of the decisions that are active in both and chosen differently."""
    return {
        name.rpartition(".")[2] for name in before if name in after and before[name] != after[name]
    }


def _value(parent: Finished) -> float:
    """The objective of a parent, higher is better."""
    losses = measured(parent) or ()
    return -losses[0]


def _doubts(walks: Sequence[Walk]) -> list[float]:
    """The entropy of each class, as if all had their mean number of decisions; -inf for none."""
    size = sum(len(walk) for walk in walks) / len(walks)
    return [size * walk.entropy / len(walk) if len(walk) else -math.inf for walk in walks]


def _drawn(scores: Sequence[float], rng: np.random.Generator) -> int:
    """An index, by the softmax of the scores."""
    weights = np.exp(np.array(scores) - max(scores))
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def build(
    problem: Problem,
    *,
    lr: Annotated[float, Ge(0)] = 3.5e-3,
    entropy: Annotated[float, Ge(0)] = 1e-4,
    clip: Annotated[float, Gt(0)] = 0.5,
    inherit: bool = False,
) -> Agnn:
    """Make the strategy.

    Args:
        problem: what to search.
        lr: learning rate of the controllers.
        entropy: worth of a nat of a controller's entropy, in units of the objective.
        clip: differences to the parent count up to this, in units of the objective; the default is
            meant for accuracies in [0, 1].
        inherit: start each child from its parent's weights.

    Raises:
        StrategyError: several objectives.
    """
    check_one_objective("agnn", problem)
    return Agnn(problem, lr, entropy, clip, inherit)
