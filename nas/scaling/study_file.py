"""A study file that trains scaled architectures, to begin with and, by its budget, alone."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas._options import thaw
from nas.scaling.scale import Scaling
from nas.spec import check_name
from search_spaces import UsageError

# The search is over: no bounds, no rungs, and a strategy that needs nothing.
_LEFT_OUT = ("halving", "executor", "strategy", "budget")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def write_study(scaling: Scaling, path: Path) -> None:
    """Write the file, whose stem names the study.

    Raises:
        UsageError: the file is there, cannot be written, or its name can be no study's.
    """
    check_name(path.stem)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text(scaling))
    except FileExistsError:
        raise UsageError(
            f"{path} exists; it is left as it is, choose another name for the study file"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def text(scaling: Scaling) -> str:
    """The TOML of the file."""
    value = scaling.spec.to_json()
    tables = {name: table for name, table in value.items() if name not in _LEFT_OUT}
    starts = [dict(row.architecture.choices) for row in scaling.rows]
    tables["study"] = {
        "seed": value["study"]["seed"],
        "objectives": dict(value["study"]["objectives"]),
        "start": list({json.dumps(start, sort_keys=True): start for start in starts}.values()),
    }
    tables["strategy"] = {"name": "random"}
    tables["budget"] = {"trials": len(tables["study"]["start"])}
    if "extension" in tables:
        tables["extension"] = dict(tables["extension"])
    said = f"# Scaled from trial {scaling.base.trial} of the study {scaling.study}."
    return "\n".join([said, *(_table(name, table) for name, table in tables.items()), ""])


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
