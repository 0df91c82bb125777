"""docs/storage.md names every check."""

import re
from pathlib import Path

from fakes.studies import fake_spec

from nas.study import search

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "storage.md").read_text(encoding="utf-8")


def test_every_check_is_documented(tmp_path: Path) -> None:
    from nas.store.checking import check

    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    search(fake_spec(1), storage=storage, data_root=Path())
    documented = re.findall(r"^\| ([a-z]+) \|", DOCUMENT.partition("Is it sound?")[2], re.M)
    assert documented[1:] == [finding.check for finding in check(storage)]
