"""A plug-in of pytest for runs on a copy of the source: nothing may come from anywhere else."""

import os
import sys
from pathlib import Path

import pytest

PACKAGES = ("search_spaces", "evaluators", "nas")
# The module that such a run is about, which it must have imported.
MUTATED = "NAS_TEST_MUTATED"
# The status of a run that used another source, or never that module; pytest has none so high.
STRAYED = 90


def pytest_sessionfinish(session: pytest.Session) -> None:
    here = Path.cwd().resolve()
    own = {name: m for name, m in sys.modules.items() if name.partition(".")[0] in PACKAGES}
    elsewhere = [
        m for m in own.values() if not Path(str(m.__file__)).resolve().is_relative_to(here)
    ]
    mutated = os.environ.get(MUTATED, "")
    if elsewhere or (mutated and mutated not in own):
        print(
            f"\n{here}: imported from elsewhere: {elsewhere}; {mutated} imported: {mutated in own}"
        )
        session.exitstatus = STRAYED
