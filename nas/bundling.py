"""A bundle that was written is recorded with its trial, so that it is known again by its digest."""

from collections.abc import Mapping
from typing import Any

from nas.store import Store, StoreError, StoreFailedError
from nas.store.bundles import store_bundle


def recorded(storage: str, manifest: Mapping[str, Any]) -> str:
    """Record the bundle of a trial; why it could not be, or nothing.

    The bundle is there whatever becomes of its record, so no failing database is an error.

    Args:
        storage: URL of the database of its study.
        manifest: as `nas.export.bundle.export_trial` returns it.
    """
    origin, digest = manifest["provenance"], manifest["digest"]
    if origin["study"] is None or origin["trial"] is None:
        return ""
    formats = [program["exporter"] for program in manifest["programs"]]
    try:
        store = Store.open_existing(storage)
        store_bundle(store, origin["study"], origin["trial"], digest, formats)
    except (StoreError, StoreFailedError, OSError) as error:
        return (
            "the bundle is written, but its digest could not be recorded with its trial "
            f"({error}); note it yourself"
        )
    return ""
