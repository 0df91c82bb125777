"""Which operators the best trials have, by depth."""

import math
import re
from collections import Counter

from nas.reporting._record import Record
from nas.reporting._report import Chart, Section, Table

# "layer0.operator", "node1.operator": what is chosen for a place that has a number.
_PLACE = re.compile(r"\D*\d+\.operator")
_LEAST, _MOST, _SHARE = 10, 100, 0.1


def operators(record: Record) -> Section:
    key, title = "operators", "Operators by depth"
    places = [name for name in record.decisions if _PLACE.fullmatch(name)]
    if not places:
        said = "The space has no decisions named as layer0.operator: no operators by depth."
        return Section(key, title, (said,))
    if not record.best:
        return Section(key, title, ("No trial is complete and feasible: no best trials yet.",))
    n = min(_MOST, max(_LEAST, math.ceil(_SHARE * len(record.best))), len(record.best))
    counts = {
        place: Counter(
            str(t.architecture.choices[place])
            for t in record.best[:n]
            if t.architecture and place in t.architecture.choices
        )
        for place in places
    }
    names = list(dict.fromkeys(str(c) for place in places for c in record.decisions[place]))
    names = [name for name in names if any(name in count for count in counts.values())]
    series = [{"name": o, "x": places, "y": [counts[p][o] for p in places]} for o in names]
    rows = tuple((place, *(str(counts[place][name]) for name in names)) for place in places)
    table = Table("Trials by place and operator", ("place", *names), rows, frozenset(range(1, 99)))
    words = (
        f"Of the {n} best trials ({record.order}): how many have which operator where. "
        "Places that a trial does not have are not counted.",
    )
    told = f"Operators of the {n} best trials at {len(places)} places"
    data = {"x": "", "y": "trials", "mode": "stack", "series": series}
    chart = Chart("operators-chart", "bars", told, data, table, 70 * len(places))
    return Section(key, title, words, (chart,))
