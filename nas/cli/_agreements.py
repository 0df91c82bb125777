"""How well cheap measures rank, as rows: scores of an evaluator, slices of a supernet."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from nas.cli._output import write_json, write_rows, write_table

if TYPE_CHECKING:
    from nas.supernet._agreement import Agreement

Remark = Callable[["Agreement"], str]
_HEADINGS = ("ranked by", "kendall", "95 %", "spearman")


class Ranking(Protocol):
    """What has agreements; all of it is written as JSON."""

    @property
    def agreements(self) -> "Sequence[Agreement]": ...

    def to_json(self) -> dict[str, Any]: ...


def write_agreements(
    ranking: Ranking, fmt: str, called: Callable[[str], str] = str, remark: Remark | None = None
) -> None:
    """Write a row for each measure, or JSON.

    Args:
        called: a measure in words, in the table.
        remark: stands at the end of a measure's line of the table.
    """
    if fmt == "json":
        write_json(ranking.to_json())
        return
    rows = [a.to_json() for a in ranking.agreements]
    if fmt == "csv":
        write_rows([row | {"interval": " ".join(map(str, row["interval"]))} for row in rows], fmt)
        return
    table = [
        [
            called(a.measure),
            f"{a.kendall:.2f}",
            f"{a.interval[0]:.2f} to {a.interval[1]:.2f}",
            f"{a.spearman:.2f}",
            *([remark(a)] if remark else []),
        ]
        for a in ranking.agreements
    ]
    write_table([*_HEADINGS, *([""] if remark else [])], table)
