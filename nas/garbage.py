"""Artifacts that no row refers to."""

import time

from evaluators import artifacts
from nas.store import Store


def collect_garbage(
    storage: str, *, dry_run: bool = False, min_age_seconds: float = 60.0
) -> dict[str, int]:
    """Delete the artifacts that no study refers to, or, with `dry_run`, only count them.

    The stores of the studies that the database has, and its default one, are gone through. What a
    running study has written and not yet recorded would look unused, so a running study is refused,
    and files younger than `min_age_seconds` stay: a study may be about to begin with them.

    Returns:
        {"removed": files, "bytes": freed, "kept": files, "young": files}.

    Raises:
        StoreError: a study is running.
    """
    store = Store.open_existing(storage)
    store.refuse_running()
    counts = {"removed": 0, "bytes": 0, "kept": 0, "young": 0}
    for url, used in store.referenced_artifacts().items():
        if not dry_run:
            artifacts.remove_partial(url)
        for artifact in artifacts.stored(url):
            file = artifacts.path(artifact).stat()
            if artifact.sha256 in used:
                counts["kept"] += 1
                continue
            if time.time() - file.st_mtime < min_age_seconds:
                counts["young"] += 1
                continue
            counts["removed"] += 1
            counts["bytes"] += file.st_size
            if not dry_run:
                artifacts.remove(artifact)
    return counts
