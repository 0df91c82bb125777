"""What a study is bound to, and what has become of it since."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from nas.setup import Setup
from nas.store import StoreError

_DIGEST = re.compile(r"[0-9a-f]{64}")


def refuse_change(stored: Mapping[str, Any], setup: Setup) -> None:
    """Compare what a study is bound to with what its specification makes now.

    Args:
        stored: the study's row: `name`, `space`, `task`, `latency`.

    Raises:
        StoreError: they differ; the message shows where.
    """
    lines = [
        *_differences("space", stored["space"], setup.space.to_json()),
        *_differences("dataset", stored["task"], asdict(setup.task)),
    ]
    if setup.latency is not None:
        now = setup.latency.bound_to()
        lines += _differences("latency", stored["latency"], now)
        if (stored["latency"] or {}).get("profile") != now["profile"]:
            lines.append(
                f"latency: the profile now has {len(setup.latency.profile.samples)} samples"
            )
    if lines:
        bound = "space or dataset" if setup.latency is None else "space, dataset or latency profile"
        shown = "\n  ".join(lines[:12])
        raise StoreError(
            f'study "{stored["name"]}" cannot go on, its {bound} has changed (recorded '
            f"-> now):\n  {shown}\nrestore it, or start a new study with --name; `start = "
            f'["study:{stored["name"]}"]` begins from this one\'s front'
        )


def _differences(where: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in sorted({*old, *new}):
            if key not in new:
                found.append(f"{where}.{key}: gone")
            elif key not in old:
                found.append(f"{where}.{key}: new")
            else:
                found += _differences(f"{where}.{key}", old[key], new[key])
        return found
    return [] if old == new else [f"{where}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> Any:
    """The first digits of a digest tell two apart; anything else as it is."""
    return value[:12] if isinstance(value, str) and _DIGEST.fullmatch(value) else value
