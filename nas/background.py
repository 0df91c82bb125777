"""What is known of a trial besides its network: its study's front, its data, its recipe."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluators import ALIKE, Prepares, Proxy
from nas._options import thaw
from nas.export._background import Background
from nas.export._manifest import Data, Latency, Peer
from nas.export._recipe import Recipe, Step, without_folders
from nas.record import TrialRecord
from nas.setup import Setup
from nas.store import Store
from search_spaces import plugins
from search_spaces.plugins import Plugin

# Of a front, as many as a page shows.
_MOST_PEERS = 50


def background(store: Store, setup: Setup, record: TrialRecord) -> Background:
    """Of one trial of a study."""
    name = setup.spec.study.name
    return Background(
        data=data_of(setup),
        latency=_latency(setup, record),
        front=tuple(_peer(setup, each) for each in store.front(name)[:_MOST_PEERS]),
        directions=dict(setup.objectives),
        recipe=_recipe(store, setup, record),
    )


def data_of(setup: Setup) -> Data | None:
    """What a study trains on."""
    dataset, plugin = setup.dataset, setup.spec.dataset
    if dataset is None or plugin is None:
        return None
    return Data(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        license=_license(plugin),
        n_train=setup.task.n_train,
        n_val=setup.task.n_val,
        n_test=setup.task.n_test,
    )


def _license(plugin: Plugin) -> str:
    """What its owner says by an option, or its publishers by the plug-in; empty if nobody does."""
    said = plugin.options.get("license") or getattr(
        plugins.load("dataset", plugin.name), "LICENSE", ""
    )
    return str(said)


def _latency(setup: Setup, record: TrialRecord) -> tuple[Latency, ...]:
    table = setup.spec.latency
    if table is None or "latency_ms" not in record.metrics:
        return ()
    device = Path(table.device).stem
    found = [Latency(device=device, latency_ms=record.metrics["latency_ms"], by="predicted")]
    if record.is_measured_well:
        ms = float(record.measured["latency_ms"])
        found.append(Latency(device=device, latency_ms=ms, by="measured"))
    return tuple(found)


def _peer(setup: Setup, record: TrialRecord) -> Peer:
    metrics = record.settled
    return Peer(
        trial=record.number,
        architecture="" if record.architecture is None else record.architecture.key,
        objectives={name: float(metrics[name]) for name in setup.objectives if name in metrics},
    )


def _recipe(store: Store, setup: Setup, record: TrialRecord) -> Recipe | None:
    spec, dataset = setup.alone.spec, setup.dataset
    if dataset is None or spec.dataset is None:
        return None
    return Recipe(
        seed=spec.study.seed,
        objectives=[*setup.objectives.items()],
        space=_table(spec.space),
        dataset=_dataset(spec.dataset),
        evaluator=_table(spec.evaluator),
        extension=[(each.name, thaw(each.options)) for each in spec.extension],
        task=asdict(setup.task),
        steps=_steps(store, setup, record),
        obstacle=_obstacle(setup),
    )


def _table(plugin: Plugin) -> dict[str, Any]:
    return {"name": plugin.name, **thaw(plugin.options)}


def _dataset(plugin: Plugin) -> dict[str, Any]:
    """Without its license, of which a name of a folder is not told apart; `Data` has it."""
    table = _table(plugin)
    table.pop("license", None)
    return without_folders(table)


def _steps(store: Store, setup: Setup, record: TrialRecord) -> list[Step]:
    """Its own training, after those of the trials whose weights it began with."""
    if record.architecture is None:
        raise ValueError(f"trial {record.number} has no architecture")
    is_alone = isinstance(setup.evaluator, Proxy) and record.artifact is None
    epochs = setup.alone.evaluator.epochs if is_alone else record.epochs
    own = Step(choices=dict(record.architecture.choices), epochs=epochs)
    if record.inherit is None:
        return [own]
    parent = store.trial(setup.spec.study.name, record.inherit)
    if parent.architecture is None or parent.artifact is None:
        return [own]
    by = record.inherit_by or ALIKE
    return [*_steps(store, setup, parent), own.model_copy(update={"inherit_by": by})]


def _obstacle(setup: Setup) -> str:
    if isinstance(setup.alone.evaluator, Prepares):
        return "it was trained with what its study had prepared, a teacher or shared weights"
    return ""
