"""The commands of docs/storage.md work as they are written there."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fakes.studies import fake_spec

from nas.store import Store
from nas.study import search

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "storage.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", DOCUMENT, re.M | re.S)


def test_the_documented_commands(tmp_path: Path, new_database: Callable[[str], str]) -> None:
    assert len(BLOCKS) == 3
    spec = fake_spec(3, study={"name": "quickstart"})
    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    search(spec, storage=storage, data_root=Path())
    server = new_database("postgres")
    script = "".join(BLOCKS).replace("postgresql://me@host/nas", server)
    shell = f'set -eo pipefail\nnas() {{ "{sys.executable}" -m nas "$@"; }}\n{script}'
    result = subprocess.run(
        ["bash", "-c", shell],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    names = {study.name for study in Store(storage).studies()}
    assert names == {"quickstart", "moved", "unpacked"}
    assert [study.name for study in Store(server).studies()] == ["quickstart"]
    assert (tmp_path / "quickstart.jsonl.gz").exists()


def test_every_check_is_documented(tmp_path: Path) -> None:
    from nas.store.checking import check

    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    search(fake_spec(1), storage=storage, data_root=Path())
    documented = re.findall(r"^\| ([a-z]+) \|", DOCUMENT.partition("Is it sound?")[2], re.M)
    assert documented[1:] == [finding.check for finding in check(storage)]
