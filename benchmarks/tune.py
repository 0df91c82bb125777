"""What a trial of the executor `ray_tune` costs beside that of `processes`, with jobs of no length.

    python benchmarks/tune.py [--jobs 200]

For each executor a study of its own, in milliseconds a trial from when its workers run to its end;
what the driver does is in all of them.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overhead_record import spec

from nas.record import Progress
from nas.study import search
from search_spaces.plugins import Plugin

ROUNDS = 3
CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "processes": ("processes", {}),
    "ray_tune, no logger": ("ray_tune", {"loggers": []}),
    "ray_tune, csv and json": ("ray_tune", {"loggers": ["csv", "json"]}),
    "ray_tune, its three loggers": ("ray_tune", {}),
}


def ms_a_trial(name: str, options: Mapping[str, Any], jobs: int) -> float:
    """Of one study with a worker."""
    warm = jobs // 4
    ends: list[float] = []

    def after(progress: Progress) -> None:
        if progress.last is not None:
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory(prefix="tune-") as folder:
        own = {"results": f"{folder}/results"} if name == "ray_tune" else {}
        wanted = spec("random", warm + jobs, Plugin(name, {**options, **own}))
        search(wanted, storage=f"sqlite:///{folder}/nas.db", data_root=Path(), progress=after)
    return 1000 * (ends[-1] - ends[warm - 1]) / jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=200)
    jobs = parser.parse_args().jobs
    # Workers import the benchmark's evaluator.
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    found: dict[str, list[float]] = {case: [] for case in CASES}
    for _ in range(ROUNDS):
        for case, (name, options) in CASES.items():
            found[case].append(ms_a_trial(name, options, jobs))
    for case, values in found.items():
        spread = f"{min(values):.0f} to {max(values):.0f}"
        print(f"{case:28} {statistics.median(values):6.1f} ms a trial ({spread})")


if __name__ == "__main__":
    main()
