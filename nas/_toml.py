"""From a TOML file and `--set table.key=value` to plain tables; only the syntax is checked."""

import difflib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from nas._options import SpecError
from search_spaces.errors import did_you_mean

Raw: TypeAlias = dict[str, Any]
_VALUE = 'a number, true, false, a [list], a { table = ... }, or text in quotes: "text"'
# What Python's parser says (a pattern), and what that means to somebody who has written a file.
_MEANT = (
    (r"^Cannot overwrite a value$", "this key is there already; leave one out"),
    (r"^Duplicate inline table key (.*)$", r"the key \1 is there twice; leave one out"),
    (r"^Cannot declare \(.*?'([^']*)',?\) twice$", r"[\1] is there already; put its keys together"),
    (r"^Cannot (mutate immutable|redefine) namespace.*$", "this table is there already"),
    (r"^Invalid value$", f"expected {_VALUE}"),
    (
        r"^(Invalid statement|Invalid initial character for a key part)$",
        "expected [table] or key =",
    ),
    (r"^Expected '=' after a key in a key/value pair$", "expected key = value"),
    (r"^Expected newline or end of document.*$", "expected one key = value in a line"),
    (r"^Illegal character '.n'$", "text in quotes ends in its line; close the quotes"),
    (r"^Unclosed (.*)$", r"the \1 has no end; close it"),
    (
        r"^(Illegal|Found invalid) character (.*)$",
        r"the character \2 stands in no TOML; leave it out",
    ),
    (
        r"^(Unescaped '.' in a string|Invalid hex value|Escaped character is .*)$",
        "a backslash begins an escape; write two of them for one, or '...' in place of \"...\"",
    ),
    (
        r"^Invalid date or datetime$",
        "there is no such day or time; write another, or close it in quotes",
    ),
    (r"^Unterminated string$", "text in quotes has no end; close the quotes"),
)
# Options of a dataset that name files of the user.
_FILES = ("path", "nodes", "edges")


def read(path: Path) -> Raw:
    """The tables of a file.

    Raises:
        SpecError: it is not there, not readable, not UTF-8 or not TOML.
    """
    try:
        # Some editors begin UTF-8 with a mark of its own.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SpecError(f"there is no study file {path}; {_nearest(path)}") from None
    except (OSError, ValueError) as error:
        raise SpecError(f"{path} cannot be read: {_unreadable(error)}") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {_told(str(error), text)}") from error
    except RecursionError:
        raise SpecError(
            f"{path}: not valid TOML: too many lists or tables within each other"
        ) from None


def _unreadable(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        byte, at = error.object[error.start], error.start
        return f"expected UTF-8 text, got byte {byte:#04x} at position {at}; save it as UTF-8"
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _told(error: str, text: str) -> str:
    """What is wrong, in what line; the parser's own words are for programmers."""
    what, _, place = error.rstrip(")").rpartition(" (at ")
    for said, meant in _MEANT:
        what = re.sub(said, meant, what)
    where = re.match(r"line (\d+)", place)
    # `\n` alone ends a line there.
    lines = text.split("\n")
    line = lines[int(where[1]) - 1].strip() if where else ""
    return f"{place}: {what}{f', in: {line[:80]}' if line else ''}"


def _nearest(path: Path) -> str:
    files = sorted(str(file) for file in path.parent.glob("*.toml"))
    close = difflib.get_close_matches(str(path), files, n=1)
    return f'did you mean "{close[0]}"?' if close else f"`nas init {path}` writes one"


def with_files_beside(raw: Raw, folder: Path) -> Raw:
    """The tables, with the relative paths in them taken from a folder."""
    return {
        name: {key: _beside(folder, v) if _is_file(name, key, v) else v for key, v in t.items()}
        if isinstance(t, dict)
        else t
        for name, t in raw.items()
    }


def _is_file(table: str, key: str, value: Any) -> bool:
    """Whether a value names a file of the user; a device's profile may have a mere name."""
    if not isinstance(value, str):
        return False
    is_profile = (table, key) == ("latency", "device") and value.endswith(".npz")
    return is_profile or (table == "dataset" and key in _FILES)


def _beside(folder: Path, value: str) -> str:
    try:
        return str((folder / Path(value).expanduser()).resolve())
    except (ValueError, RuntimeError):  # a zero byte; the home of nobody: it will not be found
        return value


def overridden(raw: Raw, overrides: Sequence[str], tables: Sequence[str]) -> Raw:
    """The tables with `table.key=value` put in; a value that is not TOML is a string.

    Another plug-in in a table (`strategy.name=random`) drops the table's options, which were the
    old one's. Relative paths in overrides are taken from the current folder.

    Raises:
        SpecError: an override without a table, a key or a value, an unknown table, or two
            overrides of one key.
    """
    parsed = [_parse(text, tables) for text in overrides]
    for place, (keys, _) in enumerate(parsed):
        if keys in [earlier for earlier, _ in parsed[:place]]:
            raise SpecError(f"--set {'.'.join(keys)} is there twice; leave one out")
    result = {name: dict(t) if isinstance(t, dict) else t for name, t in raw.items()}
    for keys, value in parsed:
        table, old = keys[0], result.get(keys[0])
        is_name = keys[1:] == ["name"] and table != "study"
        if is_name and isinstance(old, dict) and old.get("name") != value:
            result[table] = {}
    for keys, value in parsed:
        changed = _with(result.get(keys[0], {}), keys[1:], value)
        if _is_file(keys[0], keys[1], value):
            changed = {**changed, keys[1]: _beside(Path.cwd(), value)}
        result[keys[0]] = changed
    return result


def _parse(text: str, tables: Sequence[str]) -> tuple[list[str], Any]:
    left, equals, right = text.partition("=")
    keys = _keys(left.strip())
    if not equals or len(keys) < 2 or not all(keys):
        is_table = bool(keys) and keys[0] in tables
        example = f"{keys[0]}.KEY=VALUE" if is_table else "evaluator.epochs=50"
        whole = "; to be without a table, leave it out of the file" if is_table and equals else ""
        raise SpecError(f'--set: expected table.key=value, as {example}, got "{text}"{whole}')
    if keys[0] not in tables:
        raise SpecError(
            f'--set {text}: no table is called "{keys[0]}"; {did_you_mean(keys[0], tables)}'
        )
    try:
        parsed = tomllib.loads(f"value = {right}")
    except tomllib.TOMLDecodeError:
        return keys, right
    # More than one key means that the value had a line break: then it is text.
    return keys, parsed["value"] if len(parsed) == 1 else right


def _keys(dotted: str) -> list[str]:
    """`a.b."c.d"` as its keys, of which those in quotes may have dots."""
    if not {'"', "'"} & {*dotted}:
        return dotted.split(".")
    try:
        inner: Any = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return []
    keys = []
    while isinstance(inner, dict):
        ((key, inner),) = inner.items()
        keys.append(key)
    return keys


def _with(table: Any, keys: Sequence[str], value: Any) -> Any:
    """The table with a value at a path; what is not a table on the way is replaced by one."""
    if not keys:
        return value
    table = table if isinstance(table, dict) else {}
    return {**table, keys[0]: _with(table.get(keys[0]), keys[1:], value)}
