"""Confirmations in SQL: fresh validation first, test values once, and never changed."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from evaluators import FORESEEN, READ_OUT, ZERO_COST
from nas.record import Confirmation, TrialRecord
from nas.store.read import Store
from nas.store.rows import objectives_of
from nas.store.schema import confirmations as table


def confirmations(store: Store, name: str) -> list[Confirmation]:
    """What `nas confirm` has stored, ranked; trials without test values are not ready yet."""
    with store.reading() as connection:
        row = store.row(connection, name)
        query = sa.select(table).where(table.c.study_id == row["id"])
        stored = list(connection.execute(query.order_by(table.c.ordinal, table.c.seed)).mappings())
    metric, direction = next(iter(objectives_of(row["spec"]).items()))
    by_number = {trial.number: trial for trial in store.trials(name)}
    return ranked_confirmations(by_number, stored, metric, direction)


def confirmed_seeds(store: Store, name: str) -> dict[tuple[int, int], bool]:
    """{(trial, seed): whether test is measured} of what `nas confirm` has retrained."""
    with store.reading() as connection:
        study = store.row(connection, name)["id"]
        query = sa.select(table.c.ordinal, table.c.seed, table.c.test_metrics.is_not(None))
        query = query.where(table.c.study_id == study).order_by(table.c.ordinal, table.c.seed)
        rows = connection.execute(query)
        return {(ordinal, seed): bool(measured) for ordinal, seed, measured in rows}


def confirmation_artifact(store: Store, name: str, number: int, seed: int) -> str | None:
    """The hash of the checkpoint of one confirmation."""
    with store.reading() as connection:
        study = store.row(connection, name)["id"]
        query = sa.select(table.c.artifact).where(
            table.c.study_id == study, table.c.ordinal == number, table.c.seed == seed
        )
        found: str | None = connection.scalar(query)
        return found


def store_confirmation(
    store: Store,
    study: int,
    ordinal: int,
    seed: int,
    metrics: Mapping[str, float],
    artifact: str | None,
) -> None:
    """Record one fresh validation of a trial; its test values come later, and end its changes."""
    with store.writing() as connection:
        connection.execute(
            sa.delete(table).where(
                table.c.study_id == study,
                table.c.ordinal == ordinal,
                table.c.seed == seed,
                table.c.test_metrics.is_(None),
            )
        )
        connection.execute(
            sa.insert(table).values(
                study_id=study,
                ordinal=ordinal,
                seed=seed,
                metrics=dict(metrics),
                artifact=artifact,
            )
        )


def store_test(
    store: Store, study: int, ordinal: int, seed: int, test_metrics: Mapping[str, float]
) -> None:
    """Record the test values of one confirmation; only ever written where there are none."""
    with store.writing() as connection:
        connection.execute(
            sa.update(table)
            .where(
                table.c.study_id == study,
                table.c.ordinal == ordinal,
                table.c.seed == seed,
                table.c.test_metrics.is_(None),
            )
            .values(test_metrics=dict(test_metrics))
        )


def ranked_confirmations(
    by_number: Mapping[int, TrialRecord],
    stored: list[Any],
    metric: str,
    direction: str,
) -> list[Confirmation]:
    """The stored rows grouped by trial and ranked by the mean of fresh validation.

    An objective that is not measured on validation (`params`) ranks by what the trial recorded.
    """
    grouped: dict[int, list[Any]] = {}
    for row in stored:
        grouped.setdefault(row["ordinal"], []).append(row)
    grouped = {n: rows for n, rows in grouped.items() if all(r["test_metrics"] for r in rows)}

    def rank_value(number: int) -> float:
        # What was foretold has come: of retrainings that is the metric itself.
        came = metric.removesuffix(FORESEEN).removesuffix(READ_OUT).removesuffix(ZERO_COST)
        values = [row["metrics"].get(came) for row in grouped[number]]
        known = [v for v in values if v is not None]
        value = sum(known) / len(known) if known else by_number[number].metrics[metric]
        return -value if direction == "maximize" else float(value)

    order = sorted(grouped, key=lambda number: (rank_value(number), number))
    return [
        _confirmation(by_number[number], grouped[number], rank)
        for rank, number in enumerate(order, start=1)
    ]


def _confirmation(trial: TrialRecord, rows: list[Any], rank: int) -> Confirmation:
    measured = [{**row["metrics"], **row["test_metrics"]} for row in rows]
    values = {
        name: tuple(float(one[name]) for one in measured)
        for name in measured[0]
        if name.startswith(("val_", "test_")) and all(name in one for one in measured)
    }
    architecture = trial.architecture
    return Confirmation(
        trial=trial.number,
        architecture=architecture.key if architecture else "",
        decisions=dict(architecture.choices) if architecture else {},
        seeds=len(rows),
        metrics={name: _mean_and_stderr(v) for name, v in values.items()},
        values=values,
        rank=rank,
    )


def _mean_and_stderr(values: tuple[float, ...]) -> dict[str, float | None]:
    """One value has no standard error."""
    n = len(values)
    mean = sum(values) / n
    if n == 1:
        return {"mean": mean, "stderr": None, "n": n}
    variance = sum((value - mean) ** 2 for value in values) / (n - 1)
    return {"mean": mean, "stderr": (variance / n) ** 0.5, "n": n}
