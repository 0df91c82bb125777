"""Of a thousand bundles that are damaged, or made by someone hostile, none is read."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import corrupted
from fakes.corrupted_programs import IMPORTS, PROGRAMS

COUNT = 1000
# What one process may need for all of them beyond what it has once it has read a bundle: the
# largest copies, hashes and archives are of a few MiB, and hostile ones ask for gigabytes.
MOST_MIB = 256
READ_ALL = """
import json, resource, sys
from pathlib import Path
from fakes.corrupted import corrupted, outcome, read

bundle, scratch, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
read(bundle)
pages = int(Path("/proc/self/statm").read_text().split()[0])
room = pages * resource.getpagesize() + int(sys.argv[4]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (room, room))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
found = [(each.kind, each.what, outcome(folder, each.names))
         for each, folder in corrupted(bundle, scratch, count)]
read(bundle)
print(json.dumps({"found": found, "mib": (peak() - before) / 1024}))
"""
OPEN = "import sys, torch; torch.export.load(sys.argv[1])"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corrupted") / "whole"
    corrupted.whole(folder)
    return folder


@pytest.fixture(scope="module")
def told(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of each, in a process of its own that has no gigabyte to give."""
    scratch = tmp_path_factory.mktemp("spoilt")
    line = [sys.executable, "-c", READ_ALL, str(bundle), str(scratch), str(COUNT), str(MOST_MIB)]
    path = ":".join(sys.path)
    done = subprocess.run(
        line, capture_output=True, text=True, timeout=300, env={"PYTHONPATH": path}
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    assert not done.stderr, done.stderr[-2000:]
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_none_is_read_and_each_reason_names_the_file(told: dict[str, Any]) -> None:
    """The untouched bundle is read before them all and after."""
    assert len(told["found"]) == COUNT
    assert [each for each in told["found"] if each[2]] == []
    assert {kind for kind, _, _ in told["found"]} == {*corrupted.KINDS}
    assert corrupted.hostile() <= {(kind, what) for kind, what, _ in told["found"]}


def test_none_is_given_memory(told: dict[str, Any]) -> None:
    assert told["mib"] < MOST_MIB / 2


def test_the_same_seed_gives_the_same(bundle: Path, tmp_path: Path) -> None:
    def some(seed: int) -> list[corrupted.Case]:
        return [case for case, _ in corrupted.corrupted(bundle, tmp_path, 60, seed)]

    assert some(0) == some(0)
    assert some(0) != some(1)


def test_what_is_not_spoilt_is_not_refused(bundle: Path) -> None:
    """The control: `outcome` says of a whole bundle that it was read."""
    assert corrupted.outcome(bundle, ("manifest.json",)) == "it was read"


def test_a_hostile_program_is_hostile(bundle: Path, tmp_path: Path) -> None:
    """The control: torch by itself runs what stands in the place of a size, on loading."""
    what = f"graph: the size {IMPORTS[:30]}"
    (tmp_path / "b").mkdir()
    for file in bundle.iterdir():
        (tmp_path / "b" / file.name).write_bytes(file.read_bytes())
    ((_, _, change),) = [each for each in PROGRAMS if each[0] == what]
    change(tmp_path / "b", corrupted.random.Random(0))
    line = [sys.executable, "-c", OPEN, str(tmp_path / "b" / "model.pt2")]
    assert subprocess.run(line, capture_output=True).returncode == 99
    assert corrupted.outcome(tmp_path / "b", ("model.pt2",)) == ""
