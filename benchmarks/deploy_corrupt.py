"""Are bundles that were damaged, or made by someone hostile, refused?

A small bundle with a file of every sort, and a thousand spoilt copies of it by the generator that
the tests use (tests/outside/fakes/corrupted.py): some damaged, some with a manifest that vouches
for what was put in. Each is read by all that reads bundles here. Refused is what ends in an error
for people that names the file; anything else counts as not refused: it was read, another error, a
reason that names no file. The controls are the untouched bundle, before and after, which must be
read, and the memory that the process has asked for by then.
"""

import resource
import sys
import tempfile
from collections import Counter
from pathlib import Path

from reporting import Row, bounded, row, table, told

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "outside"))
from fakes.corrupted import KINDS, corrupted, outcome, read, whole

COUNT, QUICK_COUNT = 1000, 300
# What reading them all may take beyond what reading a whole one does: hostile ones ask for GiBs.
MOST_MIB = 128
CASE = "corrupted bundles"


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:  # noqa: ARG001
    """Rows and a table."""
    count = QUICK_COUNT if quick else COUNT
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "whole"
        whole(bundle)
        controls = [_is_read(bundle)]
        before = _peak_mib()
        made, refused = Counter[str](), Counter[str]()
        for case, spoilt in corrupted(bundle, Path(folder), count):
            said = outcome(spoilt, case.names)
            made[case.kind] += 1
            refused[case.kind] += not said
            if said:
                told(f"not refused: {case.kind}: {case.what}: {said}")
        grown = _peak_mib() - before
        controls.append(_is_read(bundle))
    return said_of(made, refused, controls, grown)


def _is_read(bundle: Path) -> bool:
    read(bundle)
    return outcome(bundle, ("manifest.json",)) == "it was read"


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def said_of(
    made: Counter[str], refused: Counter[str], controls: list[bool], grown: float
) -> tuple[list[Row], str]:
    """Rows and a table."""
    lines = {kind: [f"{made[kind]:,}", f"{refused[kind]:,}"] for kind in KINDS}
    lines["all"] = [f"{made.total():,}", f"{refused.total():,}"]
    lines["untouched, before and after (control)"] = ["2", f"{controls.count(False)}"]
    left = row(CASE, "not refused", made.total() - refused.total())
    control = row("untouched bundle (control)", "refused", controls.count(False))
    memory = row(CASE, "MiB more at the peak", grown)
    text = table("Spoilt bundles", ("kind", "made", "refused by name"), lines)
    text += f"\nAt its peak the process had {grown:.0f} MiB more than after reading a whole one.\n"
    return [
        bounded(left, "<=", 0),
        bounded(control, "<=", 0),
        bounded(memory, "<=", MOST_MIB),
    ], text
