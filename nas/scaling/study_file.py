"""A study file that trains scaled architectures, to begin with and, by its budget, alone."""

import json
from pathlib import Path

from nas.scaling.scale import Scaling
from nas.study_file import text_of, write_new

# The search is over: no bounds, no rungs, and a strategy that needs nothing.
_LEFT_OUT = ("halving", "executor", "strategy", "budget")


def write_study(scaling: Scaling, path: Path) -> None:
    """Write the file, whose stem names the study.

    Raises:
        UsageError: the file is there, cannot be written, or its name can be no study's.
    """
    write_new(path, text(scaling))


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
    return text_of(tables, f"Scaled from trial {scaling.base.trial} of the study {scaling.study}.")
