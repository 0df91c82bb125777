"""Reading the manifest of a stranger: of bounded size, as it was written, and by its schema."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nas.export._base import BundleError, shown
from nas.export._manifest import (
    FILE_NAME,
    FORMAT,
    LONGEST_NAME,
    NAME,
    VERSION,
    Manifest,
    manifest_digest,
    text_of,
)

_MOST_BYTES = 2**20
_KINDS: Mapping[type, str] = {
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle.

    Raises:
        BundleError: it is missing, no JSON, of another version, or breaks the schema.
    """
    path = folder / NAME
    text, value = _json(path)
    if value.get("format") != FORMAT:
        raise BundleError(
            f'{path}: expected "format": "{FORMAT}", got {short(ascii(value.get("format")))}'
        )
    version = value.get("version")
    if type(version) is not int:
        raise BundleError(
            f"{path}: version: expected an integer, got {short(ascii(version))}; copy the bundle "
            "again"
        )
    if version != VERSION:
        raise BundleError(
            f"{path}: this program reads bundles of version {VERSION}, this one has version "
            f"{short(ascii(version))}; use the gnn-nas that wrote it, or export it again"
        )
    if not _is_as_written(text, value) or value.get("digest") != manifest_digest(value):
        raise BundleError(
            f"{path} is damaged or was changed: its digest is not that of what it says; copy the "
            "bundle again"
        )
    try:
        return Manifest.model_validate_json(json.dumps(value))
    except ValidationError as error:
        raise broken(path, error) from error


def broken(path: Path, error: ValidationError) -> BundleError:
    """What to say of a file that breaks its schema: the first thing that is wrong with it."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(_plain, first["loc"])) or "all of it"
    reason, given = first["msg"].removeprefix("Value error, "), first["input"]
    if first["type"] == "too_short":
        said = first["ctx"]
        reason = f"expected at least {said['min_length']}, got {said['actual_length']}"
    if first["type"] != "value_error" and isinstance(given, str | int | float | None):
        reason += f", got {short(ascii(given))}"
    return BundleError(f"{path}: {where}: {reason}; copy the bundle again, or export it again")


def read_written(path: Path, most_bytes: int) -> dict[str, Any]:
    """The object of a JSON file that has to be byte for byte as this program writes it.

    Raises:
        BundleError: it is not, has a key twice, is no plain file, or larger than that.
        OSError: it is not there, or cannot be read.
    """
    try:
        text = read_text(path, most_bytes)
        value = _each_key_once(text)
    except (ValueError, RecursionError) as error:
        raise _no_json(path, error) from error
    if not isinstance(value, dict):
        raise _no_object(path, value)
    if not _is_as_written(text, value):
        raise BundleError(f"{path} is not as it was written; copy the bundle again")
    return value


def read_text(path: Path, most_bytes: int) -> str:
    """The text of a plain file, as it is: line breaks are not changed.

    Raises:
        BundleError: it is a link, no plain file, or larger than that.
        OSError, ValueError: it is not there, or no text.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise BundleError(f"{path} is not a plain file; copy the whole bundle")
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise BundleError(
            f"{path} is larger than {most_bytes} bytes, and no bundle has such a file; copy the "
            "bundle again"
        )
    return content.decode("utf-8")


def _is_as_written(text: str, value: Any) -> bool:
    try:
        return text == text_of(value)
    except (ValueError, RecursionError):
        return False


def short(text: str) -> str:
    """The beginning of a value that a stranger wrote."""
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."


def _plain(part: int | str) -> str:
    """A key of the manifest, or a place in a list; what a stranger wrote there in quotes."""
    text = str(part)
    return text if len(text) <= LONGEST_NAME and FILE_NAME.fullmatch(text) else shown(text)


def _json(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = read_text(path, _MOST_BYTES)
        value = _each_key_once(text)
    except OSError as error:
        raise BundleError(
            f"{path.parent} is not a bundle: {NAME} cannot be read ({error.strerror}); "
            "name the folder that `nas export` wrote"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _no_json(path, error) from error
    if not isinstance(value, dict):
        raise _no_object(path, value)
    return text, value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _no_json(path: Path, error: Exception) -> BundleError:
    if isinstance(error, json.JSONDecodeError):
        place = f"at line {error.lineno}, column {error.colno}"
        reason = f" is not JSON, {place}" if error.doc.strip() else " is empty"
    elif isinstance(error, UnicodeDecodeError):
        reason = " is not text in UTF-8"
    elif isinstance(error, RecursionError):
        reason = " is nested too deeply to be read"
    else:
        reason = f": expected JSON with each key once: {error}"
    return BundleError(f"{path}{reason}; copy the bundle again")


def _no_object(path: Path, value: Any) -> BundleError:
    got = _KINDS[type(value)]
    return BundleError(f"{path}: expected a JSON object, got {got}; copy the bundle again")


def _each_key_once(text: str) -> Any:
    return json.loads(text, parse_constant=_no_number, object_pairs_hook=_object)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict[str, Any]()
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {shown(name)} is there twice")
        found[name] = value
    return found
