"""What whoever can write files can do: change a bundle, and have its manifest vouch for it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.export._manifest import manifest_digest, text_of

NAME = "manifest.json"


def resealed(folder: Path, edit: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Write hashes, sizes and digest anew, of all files that are there."""
    value = json.loads((folder / NAME).read_text("utf-8"))
    for file in folder.iterdir():
        if file.name != NAME:
            content = file.read_bytes()
            entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            value["files"][file.name] = entry
    edited(folder, edit, value)


def edited(
    folder: Path, edit: Callable[[dict[str, Any]], object], value: dict[str, Any] | None = None
) -> None:
    """Change what the manifest says, and its digest with it."""
    if value is None:
        value = json.loads((folder / NAME).read_text("utf-8"))
    edit(value)
    (folder / NAME).write_text(text_of({**value, "digest": manifest_digest(value)}), "utf-8")


def replaced(folder: Path, name: str, content: bytes) -> None:
    """Another file, for which the manifest vouches."""
    (folder / name).write_bytes(content)
    resealed(folder)
