"""A hash of the code that a result came from, so that changed code does not answer for itself."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def source_digest(module: str) -> str:
    """A hash of a module's source, and of what it imports from its own package, and so on.

    Code outside of the package does not count here.
    """
    package = module.rpartition(".")[0] or module
    sources: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in sources or (source := _source(name)) is None:
            continue
        sources[name] = source
        waiting += [m for m in _imported(name, source) if m.startswith(f"{package}.")]
    whole = hashlib.sha256()
    for name in sorted(sources):
        whole.update(f"{name} {len(sources[name])} ".encode() + sources[name])
    return whole.hexdigest()[:32]


def _source(name: str) -> bytes | None:
    """The source of a module; None where the name is no module written in Python."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a class, or any text with a dot, looked up as a module
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin).read_bytes()


def _imported(name: str, source: bytes) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            package = name.rpartition(".")[0]
            origin = importlib.util.resolve_name(relative, package) if node.level else relative
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
