"""Options of a study file against the annotations of what takes them: one check, one wording."""

import inspect
import json
import math
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, TypeAdapter, ValidationError

from search_spaces.errors import UsageError
from search_spaces.frozen import FrozenMapping


class SpecError(UsageError):
    """A study file, or an override of it, that cannot be used."""


# Singular and plural of what people call a type.
_NOUNS: Mapping[Any, tuple[str, str]] = {
    bool: ("true or false", "true or false"),
    int: ("an integer", "integers"),
    float: ("a number", "numbers"),
    str: ("a string", "strings"),
    Path: ("a path", "paths"),
}
_BOUNDS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))


def freeze(value: Any) -> Any:
    """A TOML or JSON value as a hashable one: lists become tuples, tables frozen mappings.

    Raises:
        ValueError: a date, or a number that is not finite; the message says what was expected.
    """
    if isinstance(value, Mapping):
        return FrozenMapping({str(key): freeze(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value}")
    if not isinstance(value, str | int | float | bool):
        raise ValueError(f"expected a string, number, true, false, list or table, got {value}")
    return value


def thaw(value: Any) -> Any:
    """The JSON value that `freeze` reads back."""
    if isinstance(value, BaseModel):
        return {key: thaw(item) for key, item in value if item is not None}
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    return [thaw(item) for item in value] if isinstance(value, list | tuple) else value


def shown(value: Any) -> str:
    """A value as its author wrote it, shortened: `"many"`, `true`, `[1, 2]`."""
    text = json.dumps(thaw(value), ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def describe(annotation: Any, plural: bool = False) -> str:
    """What an annotation accepts, in words.

    >>> describe(Annotated[int, annotated_types.Ge(1)])
    'an integer >= 1'
    >>> describe(tuple[Literal["gcn", "gat"], ...])
    'a list of "gcn" or "gat"'
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return describe(arguments[0], plural) + _bounds(arguments[1:])
    if origin is Literal:
        return _either([shown(choice) for choice in arguments])
    if origin in (Union, types.UnionType):
        return _either([describe(a, plural) for a in arguments if a is not type(None)])
    if _is(origin, Sequence):
        return f"{'lists' if plural else 'a list'} of {describe(arguments[0], plural=True)}"
    if _is(origin, Mapping) or _is(annotation, Mapping):
        of = f" of {describe(arguments[1], plural=True)}" if arguments else ""
        return f"{'tables' if plural else 'a table'}{of}"
    if _is(annotation, BaseModel):
        return f"{'tables' if plural else 'a table'} of {', '.join(annotation.model_fields)}"
    return _NOUNS.get(annotation, ("a value", "values"))[plural]


def _is(value: Any, base: type) -> bool:
    return isinstance(value, type) and value is not str and issubclass(value, base)


def _either(words: Sequence[str]) -> str:
    unique = list(dict.fromkeys(words))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} or {unique[-1]}"


def _bounds(metadata: Sequence[Any]) -> str:
    """The bounds among an annotation's metadata: ` >= 0 and < 1`, `, not empty`."""
    parts: list[Any] = []
    for item in metadata:
        parts += item if isinstance(item, annotated_types.GroupedMetadata) else [item]
    said = [f"{sign} {getattr(p, n)}" for p in parts for n, sign in _BOUNDS if hasattr(p, n)]
    empty = any(isinstance(p, annotated_types.MinLen) and p.min_length > 0 for p in parts)
    return (" " + " and ".join(said) if said else "") + (", not empty" if empty else "")


def misfit(annotation: Any, value: Any) -> str:
    """What is wrong with a value: `expected an integer >= 1, got "many"`; empty where it fits.

    Types are strict (no "5" for 5, no 1 for true), except that an integer is a number, as in TOML.
    """
    if annotation is inspect.Parameter.empty:
        return ""
    try:
        # JSON mode, because there a list is the way to write a tuple.
        TypeAdapter(annotation).validate_json(json.dumps(thaw(value)), strict=True)
    except ValidationError:
        return f"expected {describe(annotation)}, got {shown(value)}"
    return ""
