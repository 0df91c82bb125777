"""The strategies of a comparison: `evolution:population=20:sample=5,linas`."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from nas import _toml
from nas._options import SpecError, freeze, thaw
from nas.compare._source import source_digest
from nas.spec import StudySpec, check_plugin, options_of
from search_spaces import plugins
from search_spaces.canonical import digest
from search_spaces.plugins import Plugin

BASELINE = "random"
_SHAPE = "as in evolution:population=20:sample=5,random"


@dataclass(frozen=True)
class Entrant:
    """A strategy with its options, under the label by which it is shown."""

    label: str
    plugin: Plugin

    @cached_property
    def digest(self) -> str:
        """Equal for strategies that must propose the same: name, all options, and source."""
        options = {
            name: parameter.default
            for name, parameter in options_of("strategy", self.plugin.name).items()
            if parameter.default is not inspect.Parameter.empty
        }
        options |= self.plugin.options
        source = source_digest(plugins.load("strategy", self.plugin.name).__name__)
        return digest([self.plugin.name, thaw(freeze_all(options)), source])


def freeze_all(options: dict[str, object]) -> dict[str, object]:
    """Options as JSON knows them; a default of None is no option."""
    return {name: freeze(value) for name, value in options.items() if value is not None}


def entrants(wanted: Sequence[str], spec: StudySpec) -> list[Entrant]:
    """The strategies of a comparison, checked; random search is always among them.

    Args:
        wanted: "name" or "name:option=value:option=value", each value TOML or else text. A strategy
            that the study file configures has the file's options under those given here.
        spec: the study file.

    Raises:
        UsageError: an unknown strategy, or an option that it does not take.
    """
    found: dict[str, Entrant] = {}
    for text in wanted:
        entrant = _entrant(text.strip(), spec)
        check_plugin("strategy", entrant.plugin, f'strategy "{entrant.label}":')
        found.setdefault(entrant.digest, entrant)
    if not any(entrant.plugin.name == BASELINE for entrant in found.values()):
        baseline = _entrant(BASELINE, spec)
        found = {baseline.digest: baseline, **found}
    return list(found.values())


def _entrant(text: str, spec: StudySpec) -> Entrant:
    name, *options = split(text, ":")
    if not name:
        raise SpecError(f'strategies: expected names joined by commas, {_SHAPE}, got "{text}"')
    own = spec.strategy.options if name == spec.strategy.name else {}
    for option in options:
        key, equals, _ = option.partition("=")
        if not equals or not key.strip().isidentifier():
            raise SpecError(f'strategy "{text}": expected option=value, {_SHAPE}, got "{option}"')
    given = _toml.overridden({}, [f"strategy.{o}" for o in options], ("strategy",))
    return Entrant(text, Plugin(name, freeze({**own, **given.get("strategy", {})})))


def split(text: str, separator: str) -> list[str]:
    """The parts of a text between separators that no bracket or quote encloses."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        else:
            depth += (character in "[{") - (character in "]}")
        if character == separator and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
