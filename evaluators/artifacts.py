"""Artifacts: files named by the SHA-256 of their content, written so that a crash leaves no half.

A store is a folder, named by a `file://` URL. A file is written beside its place, flushed to the
disk and renamed, so that whatever bears a name is complete.
"""

import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from evaluators.replacing import PARTIAL, replacing
from evaluators.values import Artifact
from search_spaces import UsageError

_SHA256 = re.compile(r"[0-9a-f]{64}")


class ArtifactError(UsageError):
    """A store that cannot be used, or an artifact that is missing or damaged."""


def store_path(store: str) -> Path:
    """The folder of a store's URL.

    Raises:
        ArtifactError: the URL is not `file:///folder`.
    """
    parts = urlsplit(store)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ArtifactError(f'expected an artifact store as "file:///folder", got "{store}"')
    return Path(unquote(parts.path))


def store_url(folder: Path) -> str:
    """The URL of a folder used as a store."""
    return folder.resolve().as_uri()


def write(store: str, content: bytes | memoryview) -> Artifact:
    """Store the content and return its artifact; it is kept where it is there, whole.

    Raises:
        ArtifactError: there is no such folder here, and it cannot be made.
        OSError: it cannot be written to.
    """
    artifact = Artifact(store, hashlib.sha256(content).hexdigest())
    target = _place(artifact)
    if intact(artifact):
        return artifact
    _make_folder(target.parent, store)
    with replacing(target) as partial:
        partial.write_bytes(content)
    return artifact


def _make_folder(folder: Path, store: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(
            f"the artifact store {store_path(store)} cannot be made here: {error.strerror}; a "
            "study's store is recorded with it: mount that folder on this machine too, or begin "
            "studies of several machines with NAS_ARTIFACTS naming a folder that all of them have"
        ) from error


def path(artifact: Artifact) -> Path:
    """Where the content lies.

    Raises:
        ArtifactError: it is not there.
    """
    place = _place(artifact)
    if not place.exists():
        raise ArtifactError(
            f"the artifact {artifact.sha256[:12]} is not in {store_path(artifact.store)}; "
            "was the folder moved or cleaned?"
        )
    return place


def verified(artifact: Artifact) -> Path:
    """Where the content lies, compared with its hash.

    Raises:
        ArtifactError: it is not there, or its bytes have changed.
    """
    place = path(artifact)
    if sha256_of(place) != artifact.sha256:
        raise ArtifactError(
            f"the artifact {place} is damaged: its hash differs; restore it from a backup, or "
            "delete it, so that it is made again"
        )
    return place


def sha256_of(place: Path) -> str:
    """The hash of a file's content."""
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stored(store: str) -> Iterator[Artifact]:
    """Everything in a store."""
    for place in sorted(store_path(store).glob("[0-9a-f][0-9a-f]/*")):
        if _SHA256.fullmatch(place.name):
            yield Artifact(store, place.name)


def remove(artifact: Artifact) -> int:
    """Delete an artifact and return the bytes that it took; one that is not there takes none."""
    place = _place(artifact)
    try:
        size = place.stat().st_size
        place.unlink()
    except FileNotFoundError:
        return 0
    return size


def remove_partial(store: str, min_age_seconds: float = 3600.0) -> None:
    """Delete what processes that were killed while writing have left behind."""
    for place in store_path(store).glob(f"[0-9a-f][0-9a-f]/{PARTIAL}*"):
        if time.time() - place.stat().st_mtime > min_age_seconds:
            place.unlink(missing_ok=True)


def intact(artifact: Artifact) -> bool:
    """Whether it is there and undamaged."""
    try:
        verified(artifact)
    except ArtifactError:
        return False
    return True


def _place(artifact: Artifact) -> Path:
    if not _SHA256.fullmatch(artifact.sha256):
        raise ArtifactError(f'expected 64 hex digits as an artifact, got "{artifact.sha256}"')
    return store_path(artifact.store) / artifact.sha256[:2] / artifact.sha256
