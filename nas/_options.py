"""Options of a study file against the annotations of what takes them: one check, one wording."""

import inspect
import json
import re
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
_ANYTHING = ("a string, a finite number, true, false, a list or a table", "values")
_BARE = re.compile(r"[A-Za-z0-9_.-]+")
_BOUNDS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))


# No study file nests its tables this far; what it may hold is walked through by recursion.
_MOST_NESTED = 20


def freeze(value: Any, depth: int = 0) -> Any:
    """A TOML or JSON value as a hashable one: lists become tuples, tables frozen mappings.

    What no option takes, such as a date, stays as it is: `misfit` finds it.

    Raises:
        ValueError: tables or lists within each other beyond any use.
    """
    if depth > _MOST_NESTED:
        raise ValueError(f"expected at most {_MOST_NESTED} tables or lists within each other")
    if isinstance(value, Mapping):
        return FrozenMapping({str(key): freeze(item, depth + 1) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(item, depth + 1) for item in value)
    return value


def thaw(value: Any) -> Any:
    """The JSON value that `freeze` reads back."""
    if isinstance(value, BaseModel):
        return {key: thaw(item) for key, item in value if item is not None}
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    return [thaw(item) for item in value] if isinstance(value, list | tuple) else value


def shown(value: Any) -> str:
    """A value as TOML writes it, shortened: `"many"`, `true`, `[1, 2]`, `{ depth = 2 }`."""
    text = _written(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _written(value: Any) -> str:
    if isinstance(value, BaseModel | Mapping):
        items = [f"{_key(key)} = {_written(item)}" for key, item in thaw(value).items()]
        return f"{{ {', '.join(items)} }}" if items else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, str | bool):
        return json.dumps(value, ensure_ascii=False)
    return "none" if value is None else str(value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def describe(annotation: Any, plural: bool = False) -> str:
    """What an annotation accepts, in words.

    >>> describe(Annotated[int, annotated_types.Ge(1)])
    'an integer >= 1'
    >>> describe(tuple[Literal["gcn", "gat"], ...])
    'a list of "gcn" or "gat"'
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        said = [m.documentation for m in arguments[1:] if isinstance(m, annotated_types.DocInfo)]
        return said[0] if said else describe(arguments[0], plural) + _bounds(arguments[1:])
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
    return _NOUNS.get(annotation, _ANYTHING)[plural]


def _is(value: Any, base: type) -> bool:
    return isinstance(value, type) and value is not str and issubclass(value, base)


def _either(words: Sequence[str]) -> str:
    unique = list(dict.fromkeys(words))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} or {unique[-1]}"


def _bounds(metadata: Sequence[Any]) -> str:
    """The bounds among an annotation's metadata: ` >= 0 and < 1`, `, not empty`.

    Of a predicate it is the name: ", each once" of `Predicate(each_once)`.
    """
    parts: list[Any] = []
    for item in metadata:
        parts += item if isinstance(item, annotated_types.GroupedMetadata) else [item]
    said = [f"{sign} {getattr(p, n):,}" for p in parts for n, sign in _BOUNDS if hasattr(p, n)]
    more = [
        "not empty"
        for part in parts
        if isinstance(part, annotated_types.MinLen) and part.min_length > 0
    ]
    more += [
        part.func.__name__.replace("_", " ")
        for part in parts
        if isinstance(part, annotated_types.Predicate)
    ]
    return (" " + " and ".join(said) if said else "") + "".join(f", {word}" for word in more)


def misfit(annotation: Any, value: Any) -> str:
    """What is wrong with a value: `expected an integer >= 1, got "many"`; empty where it fits.

    Types are strict (no "5" for 5, no 1 for true), except that an integer is a number, as in TOML.
    """
    wrong = f"expected {describe(annotation)}, got {shown(value)}"
    try:
        written = json.dumps(thaw(value), allow_nan=False)
    except (TypeError, ValueError):  # a date; nan or inf
        return wrong
    if annotation is inspect.Parameter.empty:
        return ""
    try:
        # JSON mode, because there a list is the way to write a tuple.
        TypeAdapter(annotation).validate_json(written, strict=True)
    except ValidationError:
        return wrong
    return ""
