"""Whether what a study can find can leave in the forms that `[export] targets` asks for.

Asked before the search: each exporter is shown the networks of a few architectures, untrained, that
have every choice of the space between them. What only trained weights show, and what only some
choices together bring about, may be found no sooner than a trial is exported.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from evaluators.facts import CandidateError
from evaluators.latency.shapes import without_values
from nas._chosen import extension_table
from nas._options import shown
from nas.export import ChecksMachine, ChecksNetworks, ExportError
from nas.setup import PYTHON_SPACE, Setup
from nas.spec import SpecError
from search_spaces import Architecture, SearchSpace, plugins
from search_spaces.decision import Choice, Decision
from search_spaces.every_choice import asked, every_choice

# Architectures that are drawn where all that were looked at are refused, to find one that is not.
_DRAWN = 32


@dataclass(frozen=True)
class Refusal:
    """Choices with which no network can be exported.

    Attributes:
        choices: {decision: choices}, each of which is enough; of several decisions all together. Of
            none where every network was refused.
        reason: the exporter's.
    """

    choices: Mapping[str, tuple[Choice, ...]]
    reason: str


def refuse_unfit_targets(setup: Setup, where: str) -> None:
    """Raise when a target cannot be written here, or cannot take what the space may build.

    Raises:
        SpecError: there is one; the message names decisions and choices, the reason and the remedy.
    """
    if setup.spec.export is None:
        return
    place = f"{where}: [export] targets"
    exporters = {t: plugins.load("exporter", t).build() for t in setup.spec.export.exporters}
    for target, exporter in exporters.items():
        if isinstance(exporter, ChecksMachine):
            try:
                exporter.check_machine()
            except ExportError as error:
                raise SpecError(f'{place}: "{target}": {error}') from error
    asked_of = {t: e for t, e in exporters.items() if isinstance(e, ChecksNetworks)}
    cover = list(every_choice(setup.space)) if asked_of else []
    networks: dict[Architecture, nn.Module | None] = {}
    for target, exporter in asked_of.items():

        def reason(architecture: Architecture, exporter: ChecksNetworks = exporter) -> str:
            if architecture not in networks:
                networks[architecture] = _network(setup, architecture)
            network = networks[architecture]
            return "" if network is None else exporter.unfit(network)

        if found := refusals(setup.space, reason, cover):
            raise SpecError(f"{place}: {_in_words(setup, target, found)}")


def _network(setup: Setup, architecture: Architecture) -> nn.Module | None:
    """Without values; None where it cannot be built, which is a failure of its trial."""
    try:
        return without_values(
            lambda _: setup.space.network(architecture, setup.task).eval(), "building the network"
        )
    except CandidateError:
        return None


def refusals(
    space: SearchSpace, reason: Callable[[Architecture], str], cover: Sequence[Architecture]
) -> list[Refusal]:
    """Which choices are to blame for what is refused of some architectures.

    Args:
        reason: why the network of an architecture is refused; "" where it is not.
        cover: architectures that have all choices between them.
    """
    refused = [a for a in cover if reason(a)]
    if not refused:
        return []
    rng = np.random.default_rng(0)
    others = (space.sample(rng) for _ in range(_DRAWN))
    fit = next((a for a in (*cover, *others) if not reason(a)), None)
    if fit is None:
        return [Refusal({}, reason(refused[0]))]
    blame = _Blame(space, reason, fit)
    return [*blame.alone(), *blame.together(refused)]


@dataclass
class _Blame:
    """Finds it by single changes of an architecture that is not refused.

    Attributes:
        fit: that one.
        found: {decision: choices} that are each enough.
    """

    space: SearchSpace
    reason: Callable[[Architecture], str]
    fit: Architecture
    found: dict[str, list[Choice]] = field(default_factory=dict)

    def alone(self) -> Iterator[Refusal]:
        """Choices that are refused with all others as they are not."""
        for decision in self.space.decisions:
            reasons: dict[str, list[Choice]] = {}
            for choice in decision.choices if decision.role != "recipe" else ():
                if why := self._refused_with(decision, choice):
                    reasons.setdefault(why, []).append(choice)
                    self.found.setdefault(decision.name, []).append(choice)
            for why, choices in reasons.items():
                yield Refusal({decision.name: tuple(choices)}, why)

    def _refused_with(self, decision: Decision, choice: Choice) -> str:
        # What needs a choice that is refused itself is not to blame for it.
        others = asked(self.space, decision, self.fit.choices, self.found)
        if others is None:
            return ""
        given = {**others, decision.name: choice}
        made = self._changed(given)
        if made.choices.get(decision.name) != choice:
            return ""
        why = self.reason(made)
        if why and not made.choices.keys() <= self.fit.choices.keys():
            # Perhaps of what it has switched on: refused is what is refused with whatever that is.
            drawn = (self._changed(given, np.random.default_rng(i)) for i in range(_DRAWN))
            return why if all(map(self.reason, drawn)) else ""
        return why

    def together(self, refused: Sequence[Architecture]) -> Iterator[Refusal]:
        """Choices that are refused only with each other; of each such decisions one example."""
        known = set()
        for architecture in refused:
            rest = {n: c for n, c in architecture.choices.items() if c not in self._never(n)}
            why = self.reason(self._changed(rest))
            needed = self._needed(rest) if why else {}
            if why and frozenset(needed) not in known:
                known.add(frozenset(needed))
                yield Refusal({name: (choice,) for name, choice in needed.items()}, why)

    def _needed(self, choices: Mapping[str, Choice]) -> dict[str, Choice]:
        """Of choices that are refused together those without which they are not."""
        needed = dict(choices)
        for name in reversed(list(choices)):
            fewer = {n: c for n, c in needed.items() if n != name}
            if self.reason(self._changed(fewer)):
                needed = fewer
        return needed

    def _changed(
        self, choices: Mapping[str, Choice], rng: np.random.Generator | None = None
    ) -> Architecture:
        """The one that is not refused with other choices.

        What these switch on is as it is in other layers; with `rng` it is drawn.
        """
        like = {_without_numbers(n): c for n, c in self.fit.choices.items()}

        def choose(decision: Decision) -> Choice:
            left = [c for c in decision.choices if c not in self._never(decision.name)]
            left = left or list(decision.choices)
            if rng is not None:
                return left[int(rng.integers(len(left)))]
            alike = like.get(_without_numbers(decision.name))
            return alike if alike in left else left[0]

        return self.space.fill(choose, {**self.fit.choices, **choices})

    def _never(self, name: str) -> Sequence[Choice]:
        return self.found.get(name, ())


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "", name)


def _in_words(setup: Setup, target: str, found: Sequence[Refusal]) -> str:
    """Refusals of one target: those with the same choices and reason in one sentence."""
    if not found[0].choices:
        return (
            f'"{target}" cannot take the networks of this space: {found[0].reason}; leave '
            f'"{target}" out of targets'
        )
    alike: dict[tuple[object, ...], list[Refusal]] = {}
    for each in found:
        only = next(iter(each.choices.values())) if len(each.choices) == 1 else object()
        alike.setdefault((only, each.reason), []).append(each)
    said = [_sentence(setup, target, group) for group in alike.values()]
    return f'{". ".join(said)}. Or leave "{target}" out of targets'


def _sentence(setup: Setup, target: str, alike: Sequence[Refusal]) -> str:
    first = alike[0]
    names = [name for each in alike for name in each.choices]
    if len(first.choices) > 1:
        what = " with ".join(f"{n} = {shown(c)}" for n, (c,) in first.choices.items())
        remedy = "leave one of these choices out"
    else:
        choices = next(iter(first.choices.values()))
        what = f"{_listed(names, 'or')} = {_listed([shown(c) for c in choices], 'or')}"
        remedy = f"leave {'it' if len(choices) == 1 else 'them'} out"
    tables = dict.fromkeys(_table(setup, name) for name in names)
    return f'"{target}" cannot take {what}: {first.reason}; {remedy} of {_listed(tables, "and")}'


def _table(setup: Setup, name: str) -> str:
    """Where a decision comes from, as the study file calls it."""
    decision, spec = setup.space.by_name[name], setup.spec
    # A space made in Python may have brought extensions of its own, which come first.
    for plugin, extension in zip(
        reversed(spec.extension), reversed(setup.space.extensions), strict=False
    ):
        if decision in extension.decisions:
            return f"[{extension_table(plugin.name)}]"
    return "the space" if spec.space.name == PYTHON_SPACE else "[space]"


def _listed(items: Sequence[str] | Mapping[str, None], word: str) -> str:
    *most, last = items
    return f"{', '.join(most)} {word} {last}" if most else last
