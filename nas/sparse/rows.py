"""Trainings of a comparison in a file, one a line, so that an interrupted one can go on.

The first line says what is compared; a file with another first line is of another comparison. The
file is there whole or not at all: it is written anew, beside its place, for each training.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluators.replacing import replacing
from nas.sparse.arms import ArmName, Trained
from search_spaces import UsageError


class Rows:
    """What has been trained: {(arm, seed): the training}.

    Args:
        path: of the file, which need not be there; None keeps nothing.
        identity: equal for comparisons whose trainings of one arm and seed are equal.

    Raises:
        UsageError: the file is of another comparison, or none, or its folder is not there.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self._path, self._identity = path, dict(identity)
        self.trained: dict[tuple[ArmName, int], Trained] = {}
        if path is None:
            return
        if path.exists():
            self._read(path)
        elif not path.parent.is_dir():
            raise UsageError(f"to: there is no folder {path.parent}; make it, or name another")

    def add(self, arm: ArmName, trained: Trained) -> None:
        """Keep a training that has ended."""
        self.trained[arm, trained.seed] = trained
        if self._path is None:
            return
        rows = [{"arm": a, **one.to_json()} for (a, _), one in self.trained.items()]
        lines = [json.dumps(value) for value in (self._identity, *rows)]
        with replacing(self._path) as partial:
            partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def _read(self, path: Path) -> None:
        try:
            first, *rest = map(json.loads, path.read_text(encoding="utf-8").splitlines())
            for row in rest:
                arm = row.pop("arm")
                self.trained[arm, row["seed"]] = Trained(**row)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(
                f"to: {path} is there already and holds no trainings of nas sparse compare "
                f"({type(error).__name__}); name another file"
            ) from error
        if first != self._identity:
            known = first if isinstance(first, dict) else {}
            names = {*self._identity, *known}
            apart = sorted(n for n in names if known.get(n) != self._identity.get(n))
            raise UsageError(
                f"to: {path} is of another comparison ({', '.join(apart)} differ); name another "
                "file, or delete it"
            )
