"""Writes study files: what a command has found, to be searched from there."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas._options import thaw
from nas.spec import check_name
from search_spaces import UsageError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def check_new(path: Path) -> None:
    """Refuse a study file that cannot be written.

    Raises:
        UsageError: it is there, or its name can be no study's.
    """
    check_name(path.stem)
    if path.exists():
        raise _there(path)


def write_new(path: Path, text: str) -> None:
    """Write a study file, whose stem names the study.

    Raises:
        UsageError: the file is there, cannot be written, or its name can be no study's.
    """
    check_name(path.stem)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise _there(path) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _there(path: Path) -> UsageError:
    return UsageError(f"{path} exists; it is left as it is, choose another name for the study file")


def text_of(tables: Mapping[str, Mapping[str, Any]], said: str) -> str:
    """The TOML of a study's tables, in their order, under a comment."""
    return "\n".join([f"# {said}", *(_table(name, table) for name, table in tables.items()), ""])


def _table(name: str, table: Mapping[str, Any]) -> str:
    lines = [f"{_key(key)} = {_value(thaw(value))}" for key, value in table.items()]
    return "\n".join([f"\n[{name}]", *lines])


def _value(value: Any) -> str:
    """TOML writes numbers, texts and lists as JSON does, and its inline tables with `=`."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return "\n".join(["[", *(f"  {_value(item)}," for item in value), "]"])
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)
