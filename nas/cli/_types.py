"""What the values of options may be; what does not fit is said as of a study file."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from nas.cli._output import FORMATS


@dataclass(frozen=True)
class Formats:
    """What `--format` says where a bundle is written.

    Attributes:
        programs: plug-ins that write programs; without any, those that the study names.
        printed: text, json or csv; None where it does not say.
    """

    programs: tuple[str, ...] = ()
    printed: str | None = None


def _bounds(kind: click.IntRange | click.FloatRange) -> str:
    low = "" if kind.min is None else f" {'>' if kind.min_open else '>='} {kind.min:g}"
    high = "" if kind.max is None else f" {'<' if kind.max_open else '<='} {kind.max:g}"
    return " and".join(filter(None, (low, high)))


class Integer(click.IntRange):
    """An integer within bounds."""

    def _describe_range(self) -> str:  # in the help
        return _bounds(self).strip()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number: int = super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f'expected an integer{_bounds(self)}, got "{value}"', param, ctx)
        return number


class TrialNumber(Integer):
    """The number of a trial of a study."""

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            said = f'expected a trial\'s number, from 0, as nas trials lists them, got "{value}"'
            self.fail(said, param, ctx)


class Number(click.FloatRange):
    """A finite number within bounds."""

    def _describe_range(self) -> str:  # in the help
        return _bounds(self).strip()

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            number: float = super().convert(value, param, ctx)
        except click.BadParameter:
            number = math.nan
        if not math.isfinite(number):
            self.fail(f'expected a number{_bounds(self)}, got "{value}"', param, ctx)
        return number


class Numbers(click.ParamType):  # type: ignore[type-arg]  # generic in later releases alone
    """Positive numbers with commas between them."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        one = Number(min=0, min_open=True)
        return tuple(one.convert(text.strip(), param, ctx) for text in str(value).split(","))


class Point(click.ParamType):  # type: ignore[type-arg]  # generic in later releases alone
    """Metrics with a value each."""

    name = "point"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, float]:
        if isinstance(value, dict):
            return value
        point: dict[str, float] = {}
        for part in str(value).split(","):
            metric, _, number = part.partition("=")
            try:
                point[metric.strip()] = float(number)
            except ValueError:
                self.fail(
                    "expected metric=value joined by commas, as "
                    f'val_accuracy=0.5,params=50000, got "{value}"',
                    param,
                    ctx,
                )
        return point


class OneOf(click.Choice):  # type: ignore[type-arg]  # generic in later releases of click alone
    """One of some words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value not in self.choices:
            words = [f'"{choice}"' for choice in self.choices]
            expected = f"{', '.join(words[:-1])} or {words[-1]}"
            self.fail(f'expected {expected}, got "{value}"', param, ctx)
        return super().convert(value, param, ctx)


class FormatsType(click.ParamType):  # type: ignore[type-arg]  # generic in later releases alone
    """Formats of programs, with commas between them, and one of what is printed."""

    name = "formats"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Formats:
        if isinstance(value, Formats):
            return value
        words = [word.strip() for word in str(value).split(",")]
        printed = [word for word in words if word in FORMATS]
        programs = [word for word in words if word not in FORMATS]
        if "" in words or len(printed) > 1:
            self.fail(f'expected names such as pt2,aoti or pt2,json, got "{value}"', param, ctx)
        return Formats(tuple(dict.fromkeys(programs)), printed[0] if printed else None)


class Folder(click.Path):
    """A folder, which need not be there."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail('expected the path of a folder, got ""', param, ctx)
        if Path(value).exists() and not Path(value).is_dir():
            self.fail(f'expected a folder, got the file "{value}"', param, ctx)
        return super().convert(value, param, ctx)


class File(click.Path):
    """A file, which need not be there."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail('expected the path of a file, got ""', param, ctx)
        if Path(value).is_dir():
            self.fail(f'expected a file, got the folder "{value}"', param, ctx)
        return super().convert(value, param, ctx)
