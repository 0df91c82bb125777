"""The section on the front that a network came from: a table, and a drawing."""

from collections.abc import Sequence
from html import escape

from nas.cards._escaped import code, in_one_line, table
from nas.cards._facts import Facts
from nas.cards._numbers import number
from nas.cards._scatter import Point, scatter
from nas.cards._section import Section

# Larger values, which no metric has, cannot be drawn.
_LARGEST = 1e100
TITLE = "The front it came from"


def front(facts: Facts) -> Section:
    """Trials that no other one is better than in all objectives; this one is marked."""
    peers, directions = facts.manifest.front, facts.manifest.directions
    if not peers:
        return Section(TITLE, ["The bundle names no other trials of its study."])
    names = facts.objectives
    head = ["trial", *(f">{code(n)} ({_way(directions[n])})" for n in names), "architecture"]
    rows = []
    for peer in peers:
        trial = f"**{peer.trial}, this network**" if facts.is_this(peer) else str(peer.trial)
        values = [number(peer.objectives[n]) if n in peer.objectives else "-" for n in names]
        rows.append([trial, *values, code(peer.architecture)])
    lines = [
        "When it was exported no trial of the study was better than one of these in one objective "
        "without being worse in another. Values are those of the search.",
        "",
        *table(head, rows),
    ]
    if not any(map(facts.is_this, peers)):
        lines += ["", "This network is not among them: it was chosen by hand, or is on no front."]
    return Section(TITLE, lines, _drawn(facts, names))


def _way(direction: str) -> str:
    return "maximize" if direction == "maximize" else "minimize"


def _drawn(facts: Facts, names: Sequence[str]) -> str:
    """As SVG, where there are two objectives and two trials or more that have both."""
    if len(names) != 2:
        return ""
    upright, flat = names  # the first objective is the more important one
    points = [
        Point(
            peer.objectives[flat],
            peer.objectives[upright],
            f"trial {peer.trial}: {upright} {number(peer.objectives[upright])}, "
            f"{flat} {number(peer.objectives[flat])}",
            is_marked=facts.is_this(peer),
        )
        for peer in facts.manifest.front
        if {*names} <= {*peer.objectives}
        and all(abs(peer.objectives[name]) < _LARGEST for name in names)
    ]
    if len(points) < 2:
        return ""
    said = [escape(in_one_line(name)) for name in (flat, upright)]
    ways = [_way(facts.manifest.directions[name]) for name in (flat, upright)]
    return scatter(points, (f"{said[0]} ({ways[0]})", f"{said[1]} ({ways[1]})"))
