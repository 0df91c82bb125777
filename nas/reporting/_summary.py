"""What was searched, what was found, and whether it was worth it."""

from nas.reporting._record import Record
from nas.reporting._report import Section, Table
from nas.reporting._shown import decisions, direction, time, value
from nas.reporting._startup import is_random
from nas.store.rows import losses_of


def summary(record: Record) -> Section:
    spec, counts = record.spec, record.status.trials
    dataset = spec.get("dataset", {}).get("name", "a table of results")
    searched = (
        f"{counts.ended:,} trials of the space {record.space[0]} ({len(record.decisions)} "
        f"decisions) on {dataset}, proposed by {spec['strategy']['name']} and evaluated by "
        f"{spec['evaluator']['name']}."
    )
    sought = "; ".join(f"{m}, {direction(record.objectives, m)}" for m in record.objectives)
    bounds = [str(bound) for bound in spec["study"].get("constraints", ())]
    within = f" Within {', '.join(bounds)}." if bounds else ""
    return Section(
        "summary",
        "Summary",
        (searched, f"Sought: {sought}.{within}", *_found(record), *_worth(record)),
        tables=(_facts(record),),
    )


def _found(record: Record) -> list[str]:
    if not record.best:
        said = "No trial is complete and feasible yet: there is nothing to choose from."
        near = record.nearest
        return [said if near is None else f"{said} Trial {near.number} came nearest."]
    best = record.best[0]
    values = ", ".join(f"{m} {value(best.settled[m])}" for m in record.objectives)
    front = len(record.front)
    beside = f" {front} trials are on the front." if len(record.objectives) > 1 else ""
    return [f"Best: trial {best.number} with {values}: {decisions(best)}.{beside}"]


def _worth(record: Record) -> list[str]:
    """The best beside the best of the random start."""
    spec, random = record.spec, [t for t in record.best if is_random(record.spec, t)]
    if not random or spec["strategy"]["name"] == "random":
        return []
    metric, direction_ = next(iter(record.objectives.items()))
    first = {metric: direction_}
    drawn = min(random, key=lambda trial: losses_of(trial.settled, first))
    best = min(record.best, key=lambda trial: losses_of(trial.settled, first))
    gained = abs(best.settled[metric] - drawn.settled[metric])
    later = record.status.trials.ended - sum(is_random(spec, t) for t in record.trials)
    said = f"nothing better in {metric}" if gained == 0 else f"{value(gained)} in {metric}"
    return [
        f"Was it worth it? Of the random trials of the start trial {drawn.number} has the best "
        f"{metric}, {value(drawn.settled[metric])}; {later:,} further trials "
        f"brought {said}. This is one search, chosen and judged on the same validation data: "
        "nas confirm measures it again, nas compare with random search of equal length."
    ]


def _facts(record: Record) -> Table:
    status, counts = record.status, record.status.trials
    ended = f"{counts.complete:,} complete, {counts.pruned:,} pruned, "
    ended += f"{counts.infeasible:,} infeasible, {counts.failed:,} failed"
    rows = (
        ("state", f"{status.state}{f' ({status.reason})' * bool(status.reason)}"),
        ("trials", f"{ended}; {counts.running + counts.waiting:,} under way"),
        ("searching took", time(status.seconds)),
        ("begun, last changed (UTC)", f"{status.created}, {status.changed}"),
    )
    return Table("The study at a glance", ("what", "is"), rows)
