"""The study file: one TOML that says what to search, on what, and for how long.

Reading it imports neither torch nor ray. `check_plugins` imports the plug-ins that it names and
compares their options with the keyword-only parameters of `build`. See docs/study_file.md.
"""

from collections.abc import Container, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import ValidationError

from nas import _toml
from nas._chosen import PLUGIN_TABLES, check_plugin, extension_table, needs_dataset, options_of
from nas._options import SpecError, describe, freeze, misfit, shown, thaw
from nas._tables import (
    STATE,
    BudgetTable,
    ExportTable,
    HalvingTable,
    LatencyTable,
    LogTable,
    StudyTable,
    Table,
    dotted,
    study_name,
)
from search_spaces import plugins
from search_spaces.canonical import digest
from search_spaces.errors import PluginError, did_you_mean
from search_spaces.frozen import FrozenMapping
from search_spaces.plugins import Plugin

__all__ = [
    "BudgetTable",
    "ExportTable",
    "HalvingTable",
    "LatencyTable",
    "LogTable",
    "SpecError",
    "StudySpec",
    "StudyTable",
    "check_name",
    "check_plugin",
    "check_plugins",
    "load_spec",
    "needs_dataset",
    "options_of",
    "spec_from_mapping",
]

OPTIONAL_TABLES: Mapping[str, type[Table]] = {
    "halving": HalvingTable,
    "latency": LatencyTable,
    "export": ExportTable,
    "log": LogTable,
}
_DOTTED = 'name a Python module of your own, in quotes, as [extension."mine.extension"]'
T = TypeVar("T", bound=Table)


class StudySpec(Table):
    """A study file, checked: frozen, equal by value, the same after `to_json` and `from_json`."""

    study: StudyTable
    space: Plugin
    dataset: Plugin | None
    strategy: Plugin
    evaluator: Plugin
    budget: BudgetTable
    executor: Plugin
    halving: HalvingTable | None = None
    latency: LatencyTable | None = None
    export: ExportTable | None = None
    log: LogTable | None = None
    extension: tuple[Plugin, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The tables as JSON; what has an order is in pairs, because JSON objects have none."""
        value: dict[str, Any] = {}
        for table in TABLES:
            content = getattr(self, table)
            if isinstance(content, Plugin):
                value[table] = {"name": content.name, **thaw(content.options)}
            elif isinstance(content, tuple):
                value |= {table: [[p.name, thaw(p.options)] for p in content]} if content else {}
            elif content is not None:
                value[table] = {key: thaw(item) for key, item in content if item is not None}
        value["study"]["objectives"] = [list(pair) for pair in self.study.objectives.items()]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "StudySpec":
        """What `to_json` gave.

        Raises:
            SpecError: a plug-in that it names, or a value, is not offered any more.
        """
        study = {**value["study"], "objectives": dict(value["study"]["objectives"])}
        tables = {**value, "study": study}
        if "extension" in value:
            tables["extension"] = dict(value["extension"])
        return spec_from_mapping(tables, f'the study "{study["name"]}"')

    @property
    def digest(self) -> str:
        """Equal for equal specifications."""
        return digest(self.to_json())


TABLES = tuple(StudySpec.model_fields)


def load_spec(path: Path | str, overrides: Sequence[str] = ()) -> StudySpec:
    """Read a study file.

    Args:
        path: of the file; its stem is the study's name unless the file gives another, and relative
            paths in `[dataset]` are taken from its folder.
        overrides: "table.key=value", each over what the file says; the value is TOML, or else text.

    Raises:
        SpecError: the file or an override is wrong; the message names file, table and key.
    """
    path = Path(path)
    raw = _toml.with_files_beside(_toml.read(path), path.parent)
    raw = _toml.overridden(raw, overrides, TABLES)
    study = raw.get("study", {})
    if isinstance(study, dict):
        raw["study"] = {"name": _stem(path) if "name" not in study else "", **study}
    return spec_from_mapping(raw, str(path))


def _stem(path: Path) -> str:
    """The name of a study whose file gives none."""
    try:
        return study_name(path.stem)
    except ValueError as error:
        raise SpecError(
            f"{path}: [study] name: missing, and that of the file cannot be its name: {error}"
        ) from error


def check_name(name: str) -> str:
    """A study's name, if it can be one.

    Raises:
        SpecError: it cannot.
    """
    try:
        return study_name(name)
    except ValueError as error:
        raise SpecError(f"the name of a study: {error}") from error


def spec_from_mapping(mapping: Mapping[str, Any], where: str = "the study") -> StudySpec:
    """Check tables that are in memory; `where` names their origin in messages.

    Raises:
        SpecError: an unknown table or key, a wrong value, or a name that no plug-in has.
    """
    tables = {name: _frozen(where, name, content) for name, content in mapping.items()}
    study = _table(where, "study", StudyTable, _dotted_start(tables.get("study", {})))
    budget = _table(where, "budget", BudgetTable, tables.get("budget", {}))
    chosen: dict[str, Any] = {
        table: _plugin(where, table, tables.get(table, {}), _default(table, tables, study))
        for table in PLUGIN_TABLES
        if table in tables or table != "dataset"
    }
    chosen |= {
        name: _table(where, name, model, tables[name])
        for name, model in OPTIONAL_TABLES.items()
        if name in tables
    }
    chosen["extension"] = _extensions(where, tables.get("extension", {}))
    _check_budget(where, budget, study)
    _check_targets(where, chosen.get("export"))
    return StudySpec(study=study, budget=budget, **({"dataset": None} | chosen))


def _frozen(where: str, name: str, content: Any) -> Mapping[str, Any]:
    if name not in TABLES and isinstance(content, Mapping):
        homes = _tables_with(name)
        hint = f"{homes[0]} has such a key" if homes else did_you_mean(name, TABLES)
        raise SpecError(f"{where}: no table is called [{name}]; {hint}")
    if name not in TABLES:
        homes = _tables_with(name) or [f"[{table}]" for table in TABLES]
        raise SpecError(
            f'{where}: the key "{name}" stands outside the tables; write it below its own, as '
            f"{' or '.join(homes)}"
        )
    if not isinstance(content, Mapping):
        raise SpecError(
            f"{where}: [{name}]: expected a table, as in one line [{name}] and below it key = "
            f"value, got {shown(content)}"
        )
    return {key: _freeze_option(f"{where}: [{name}] {key}", v) for key, v in content.items()}


def _tables_with(key: str) -> list[str]:
    """Tables of a study file that have a key, of those that are no plug-ins."""
    models: Mapping[str, type[Table]] = {"study": StudyTable, "budget": BudgetTable}
    models = {**models, **OPTIONAL_TABLES}
    return [f"[{name}]" for name, model in models.items() if key in model.model_fields]


def _dotted_start(study: Mapping[str, Any]) -> Mapping[str, Any]:
    start = study.get("start")
    if not isinstance(start, tuple):
        return study
    flat = [FrozenMapping(dotted(s)) if isinstance(s, Mapping) else s for s in start]
    return {**study, "start": tuple(flat)}


def _freeze_option(place: str, value: Any) -> Any:
    try:
        return freeze(value)
    except ValueError as error:
        raise SpecError(f"{place}: {error}") from error


def _table(where: str, name: str, model: type[T], raw: Mapping[str, Any]) -> T:
    hints = get_type_hints(model, include_extras=True)
    checked: dict[str, Any] = {}
    for key, value in raw.items():
        place = f"{where}: [{name}] {key}"
        if key not in model.model_fields:
            homes = " and ".join(_tables_with(key))
            hint = f"{homes} has it" if homes else did_you_mean(key, model.model_fields)
            raise SpecError(f"{place}: unknown key; {hint}")
        inner = _inner(hints[key])
        if inner is not None and isinstance(value, Mapping):
            checked[key] = _table(where, f"{name}.{key}", inner, value)
            continue
        checked[key] = value
        if wrong := misfit(hints[key], value):
            raise SpecError(f"{place}: {wrong}")
    for key, field in model.model_fields.items():
        if field.is_required() and key not in raw:
            raise SpecError(f"{where}: [{name}] {key}: missing; expected {describe(hints[key])}")
    try:
        return model(**checked)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise SpecError(f"{where}: [{name}] {first['loc'][0]}: {reason}") from error


def _inner(hint: Any) -> type[Table] | None:
    """The table that an annotation has in a table, if any."""
    for part in (hint, *get_args(hint)):
        if isinstance(part, type) and issubclass(part, Table):
            return part
    return None


def _check_budget(where: str, budget: BudgetTable, study: StudyTable) -> None:
    if not any(value is not None for _, value in budget):
        raise SpecError(
            f"{where}: [budget]: expected at least one of {', '.join(BudgetTable.model_fields)}; "
            "a search needs an end, as in trials = 50"
        )
    for metric in budget.target or ():
        if metric not in study.objectives:
            raise SpecError(
                f"{where}: [budget] target: expected an objective of [study], "
                f'got "{metric}"; {did_you_mean(metric, study.objectives)}'
            )


def _check_targets(where: str, export: ExportTable | None) -> None:
    known = _names("exporter")
    for target in export.exporters if export is not None else ():
        if "." not in target and target not in known:
            raise SpecError(
                f"{where}: [export] targets: no exporter is called {shown(target)}; "
                f"{did_you_mean(target, (*known, STATE))}"
            )


def _default(table: str, tables: Mapping[str, Mapping[str, Any]], study: StudyTable) -> str | None:
    """The plug-in of a table that names none; there is no dataset that everybody means."""
    return {
        "space": "gnn",
        "strategy": "nsga2" if len(study.objectives) > 1 else "evolution",
        "evaluator": "training",
        "executor": "processes" if "workers" in tables.get("executor", {}) else "inline",
    }.get(table)


def _extensions(where: str, tables: Mapping[str, Any]) -> tuple[Plugin, ...]:
    """Those of `[extension.NAME]`, in the order of the file, which is that of their transforms."""
    known = _names("extension")
    for name, options in tables.items():
        place = f"{where}: [{extension_table(name)}]"
        if not isinstance(options, Mapping):
            raise SpecError(
                f"{where}: [extension] {name}: expected a table for each extension, as "
                f'[extension."mine.extension"], got {shown(options)}'
            )
        if "." not in name and name not in known:
            hint = f"{did_you_mean(name, known)}; or {_DOTTED}"
            raise SpecError(f"{place}: no extension is called so; {hint}")
    return tuple(Plugin(name, options) for name, options in tables.items())


def _plugin(where: str, table: str, raw: Mapping[str, Any], default: str | None) -> Plugin:
    place = f"{where}: [{table}] name"
    name = raw.get("name", default)
    known = _names(table)
    if name is None:
        raise SpecError(f"{place}: missing; expected one of: {', '.join(known)}")
    if not isinstance(name, str) or not name:
        raise SpecError(f"{place}: expected one of: {', '.join(known)}; got {shown(name)}")
    if "." not in name and name not in known:
        raise SpecError(f"{place}: no {table} is called {shown(name)}; {did_you_mean(name, known)}")
    return Plugin(name, freeze({key: value for key, value in raw.items() if key != "name"}))


@cache
def _names(kind: str) -> tuple[str, ...]:
    """The shipped plug-ins: looking them up reads every file, and a process needs it once."""
    return plugins.names(kind)


def check_plugins(spec: StudySpec, where: str = "the study", given: Container[str] = ()) -> None:
    """Import every plug-in of a study and check its options; this imports torch.

    Args:
        spec: the study.
        where: begins each message: the study file.
        given: tables whose plug-in was handed over from Python, and needs no looking up.

    Raises:
        SpecError: a dotted name that does not import, an unknown or missing option, or a value of
            another type or range.
    """
    for table in PLUGIN_TABLES:
        plugin = getattr(spec, table)
        if table not in given and plugin is not None:
            check_plugin(table, plugin, f"{where}: [{table}]")
    for extension in spec.extension:
        check_plugin("extension", extension, f"{where}: [{extension_table(extension.name)}]")
    for target in spec.export.exporters if spec.export is not None else ():
        try:
            plugins.load("exporter", target)
        except PluginError as error:
            raise SpecError(f"{where}: [export] targets: {error}") from error
    _check_dataset(spec, where)


def _check_dataset(spec: StudySpec, where: str) -> None:
    name = spec.evaluator.name
    if spec.dataset is None and needs_dataset(spec.evaluator):
        known = ", ".join(_names("dataset"))
        raise SpecError(
            f'{where}: [dataset] name: missing; the evaluator "{name}" needs one of: {known}'
        )
    if spec.dataset is not None and not needs_dataset(spec.evaluator):
        raise SpecError(
            f'{where}: [dataset]: the evaluator "{name}" brings its own results; leave the table '
            "out"
        )
