"""Training the supernet of a study, and no more: what comes before its first trial."""

from pathlib import Path
from typing import Any

from evaluators import Prepares, Proxy
from nas.record import StudyStatus
from nas.spec import SpecError, StudySpec
from nas.store import Store, StoreError
from nas.study import check, resume, search
from nas.telling import Report
from search_spaces import SearchSpace

# What may be otherwise when a study goes on.
_FREE = ("budget", "executor", "log")


def train(
    spec: StudySpec,
    *,
    storage: str,
    data_root: Path,
    progress: Report | None = None,
    space: SearchSpace | None = None,
    where: str = "the study",
) -> StudyStatus:
    """Create a study and train its supernet, or go on where that was stopped.

    Args:
        spec: the study file.
        storage: URL of the database.
        data_root: where raw public datasets lie.
        progress: told epoch by epoch.
        space: made in Python, in place of the one that the specification names.
        where: begins the messages about the specification: the study file.

    Raises:
        UsageError: the study has no supernet, or is there with another specification.
        StudyFailedError: the training has failed.
        KeyboardInterrupt: stopped; repeated, it goes on.
    """
    given: dict[str, Any] = {
        "storage": storage,
        "data_root": data_root,
        "progress": progress,
        "space": space,
        "prepare_only": True,
    }
    kept = kept_spec(Store(storage), spec.study.name)
    if kept is not None:
        _refuse_other(kept, spec, where)
        return resume(spec.study.name, **given)
    evaluator = check(
        spec, storage=storage, data_root=data_root, space=space, where=where
    ).evaluator
    if not (isinstance(evaluator, Prepares) and isinstance(evaluator, Proxy)):
        raise SpecError(
            f'{where}: [evaluator] name: "{spec.evaluator.name}" has no supernet to train; '
            'expected "inherited"'
        )
    return search(spec, **given, where=where)


def kept_spec(store: Store, name: str) -> StudySpec | None:
    """The specification of a stored study, or None where there is none of that name."""
    try:
        return StudySpec.from_json(store.spec(name))
    except StoreError:
        return None


def differing(kept: StudySpec, spec: StudySpec) -> list[str]:
    """The tables of a stored study that say otherwise, but for those that it may go on with."""
    stored, wanted = kept.to_json(), spec.to_json()
    if spec.study.batch is None:  # fixed when the study was created
        stored["study"].pop("batch", None)
    tables = sorted({*stored, *wanted} - {*_FREE})
    return [f"[{table}]" for table in tables if stored.get(table) != wanted.get(table)]


def _refuse_other(kept: StudySpec, spec: StudySpec, where: str) -> None:
    """Refuse to go on with a study that was made of another file."""
    if differ := differing(kept, spec):
        raise SpecError(
            f'{where}: study "{spec.study.name}" is there, with another {", ".join(differ)}; '
            "give this one another name with --set 'study.name=\"...\"', or go on with the other: "
            f"nas resume {spec.study.name}"
        )
