"""Records of long studies that were not run: made by the store's own functions, in bulk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import spec_from_mapping
from nas.store import Store
from nas.store.confirmations import store_confirmation, store_test
from nas.store.latencies import store_latencies
from nas.store.new import NewStudy, create_study
from nas.store.schema import evaluations, studies, trials
from search_spaces import Architecture

NAME = "searched"
# One trial in so many fails, and one in so many others is pruned.
FAILED, PRUNED = 20, 7
RUNGS = (5, 15)
STARTUP = 20


def searched(
    storage: str,
    count: int,
    *,
    name: str = NAME,
    message: str = "loss is nan",
    objectives: Mapping[str, str] | None = None,
    depth: tuple[int, ...] = (1, 2, 3),
) -> list[int]:
    """Make a study of so many ended trials; returns the numbers of its complete ones.

    Its space is `gnn`, and better are wide networks with `gat` first.
    """
    tables = {
        "study": {
            "name": "searched",
            "objectives": dict(objectives or {"val_accuracy": "maximize", "params": "minimize"}),
        },
        "space": {"name": "gnn", "depth": list(depth)},
        "dataset": {"name": "digits_knn"},
        "strategy": {"name": "evolution", "population": STARTUP},
        "evaluator": {"name": "training", "epochs": 40},
        "budget": {"trials": count},
        "halving": {"epochs": list(RUNGS)},
    }
    setup, store = set_up(spec_from_mapping(tables, "a test"), Path()), Store(storage)
    # A name that no study file could have, where one is asked for.
    spec = setup.spec.to_json()
    spec["study"]["name"] = name
    new = NewStudy(
        name=name,
        spec=spec,
        space=setup.space.to_json(),
        task=dict(vars(setup.task)),
        dataset="",
        start=(),
        target=count,
    )
    create_study(store, new)
    rng = np.random.default_rng(0)
    rows = [
        _ended(n, architecture, rng, message)
        for n, architecture in enumerate(_architectures(setup, count, rng))
    ]
    with store.writing() as connection:
        study = store.row(connection, name)["id"]
        rows = [{"study_id": study, **row} for row in rows]
        connection.execute(sa.insert(trials), rows)
        connection.execute(sa.insert(evaluations), [e for row in rows for e in _rungs(row)])
        change = {"next_ordinal": count, "next_seq": count, "state": "finished", "seconds": 321.0}
        of_study = sa.update(studies).where(studies.c.id == study)
        connection.execute(of_study.values(change))
    store.engine.dispose()
    return [row["ordinal"] for row in rows if row["state"] == "complete"]


def confirmed(storage: str, numbers: list[int], seeds: int = 3, name: str = NAME) -> None:
    """Record confirmations of trials."""
    store = Store(storage)
    with store.reading() as connection:
        study = store.row(connection, name)["id"]
    for place, number in enumerate(numbers):
        for seed in range(seeds):
            near = 0.8 + 0.01 * seed - 0.02 * place
            store_confirmation(store, study, number, seed, {"val_accuracy": near}, None)
            store_test(store, study, number, seed, {"test_accuracy": near - 0.01})


def timed(storage: str, numbers: list[int], name: str = NAME) -> None:
    """Record what networks took on a device: a tenth more than was predicted."""
    store = Store(storage)
    known = {n: store.trial(name, n).metrics["latency_ms"] for n in numbers}
    timings = {n: {"latency_ms": 1.1 * known[n], "noisy": n == numbers[-1]} for n in numbers}
    store_latencies(store, name, timings)


def _architectures(setup: Setup, count: int, rng: np.random.Generator) -> list[Architecture]:
    found: dict[str, Architecture] = {}
    while len(found) < count:
        architecture = setup.space.sample(rng)
        found.setdefault(architecture.key, architecture)
    return list(found.values())


def _ended(
    number: int, architecture: Architecture, rng: np.random.Generator, message: str
) -> dict[str, Any]:
    choices = architecture.choices
    worth = 0.5 + 0.1 * (choices["layer0.operator"] == "gat") + 0.002 * choices["layer0.width"]
    accuracy = float(np.clip(worth + rng.normal(0, 0.05), 0, 1))
    params = 100 * choices["layer0.width"] * choices["depth"] + int(rng.integers(1000))
    state = "complete" if number % PRUNED else "pruned"
    failed = number % FAILED == FAILED - 1
    return {
        "ordinal": number,
        "state": "failed" if failed else state,
        "last_seq": number - 1,
        "pending": [],
        "architecture": architecture.to_json(),
        "key": architecture.key,
        "note": {"phase": "startup"} if number < STARTUP else {},
        "seq": number,
        "cached": number % 11 == 0,
        "metrics": {}
        if failed
        else {"val_accuracy": accuracy, "params": params, "latency_ms": params / 1000},
        "violation": 0.0,
        "epochs": RUNGS[0] if failed or state == "pruned" else 40,
        "seconds": float(rng.uniform(0.5, 2)),
        "failure": {"kind": "diverged", "message": message} if failed else None,
        "deaths": 0,
    }


def _rungs(row: dict[str, Any]) -> list[dict[str, Any]]:
    same = {key: row[key] for key in ("study_id", "ordinal", "metrics", "seconds")}
    epochs = [epoch for epoch in (*RUNGS, 40) if epoch <= row["epochs"]]
    key = row["key"]
    return [same | {"epoch": e, "cache_key": key} for e in epochs if row["state"] != "failed"]
