"""A plug-in of pytest for runs on a copy of the source: nothing may come from anywhere else."""

import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

PACKAGES = ("search_spaces", "evaluators", "nas")
# The module that such a run is about, which it must have imported.
MUTATED = "NAS_TEST_MUTATED"
# The status of a run that used another source, or never that module; pytest has none so high.
STRAYED = 90


def _generated(name: str, module: ModuleType) -> bool:
    """Whether PyG wrote a module, into the folder for temporary files, of a layer's class.

    Its name is that of the class' module and more: a file of the source has no such name.
    """
    file = Path(str(module.__file__))
    return file.parent == Path(tempfile.gettempdir()) and file.name.startswith(f"{name}_")


def pytest_sessionfinish(session: pytest.Session) -> None:
    here = Path.cwd().resolve()
    own = {name: m for name, m in sys.modules.items() if name.partition(".")[0] in PACKAGES}
    elsewhere = [
        m
        for name, m in own.items()
        if not Path(str(m.__file__)).resolve().is_relative_to(here) and not _generated(name, m)
    ]
    mutated = os.environ.get(MUTATED, "")
    if elsewhere or (mutated and mutated not in own):
        print(
            f"\n{here}: imported from elsewhere: {elsewhere}; {mutated} imported: {mutated in own}"
        )
        session.exitstatus = STRAYED
