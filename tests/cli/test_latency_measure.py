"""`nas latency measure`, on this machine: what it prints, never how long it takes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluators.latency.measuring import TRIES
from evaluators.latency.values import Device, Timing, Workload
from nas.latency.measure import Measured, Sizes

from .conftest import Nas, run

NODES = 1797


@pytest.fixture(scope="module")
def bundle(study: dict[str, Any]) -> str:
    """A bundle of that study's best trial."""
    folder = study["folder"] / "bundle"
    run("export", "tiny", "--to", str(folder), "--storage", study["storage"])
    return str(folder)


def rows(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)
    return found


def test_a_trial_on_the_studys_own_graph(nas: Nas) -> None:
    """One row with the figure, both clocks, how sure they are, and what was measured where."""
    (row,) = rows(nas("latency", "measure", "tiny", "0", "--format", "json").stdout)
    assert row["runtime"] == "eager"
    assert 0 < row["latency_ms"] == row["cpu_ms"] <= row["cpu_median_ms"]
    assert 0 < row["wall_ms"] <= row["wall_median_ms"]
    assert row["noisy"] in (True, False)
    # More where the reference was slower later, by which a round that seemed bad is a good one.
    assert 9 <= row["rounds"] <= TRIES * 9
    assert row["peak_memory_bytes"] > NODES * 64 * 4
    assert row["workload"]["nodes"] == NODES
    assert row["workload"]["graphs"] == 1
    assert row["device"]["threads"] == 1
    assert row["device"]["fingerprint"]


def test_sizes_may_be_given(nas: Nas) -> None:
    """Edges that are not given follow the nodes; memory follows both."""
    measure = ("latency", "measure", "tiny", "0", "--rounds", "1", "--format", "json")
    (own,) = rows(nas(*measure).stdout)
    (larger,) = rows(nas(*measure, "--nodes", str(10 * NODES)).stdout)
    assert larger["workload"] == own["workload"] | {
        "nodes": 10 * NODES,
        "edges": 10 * own["workload"]["edges"],
    }
    assert larger["peak_memory_bytes"] > 5 * own["peak_memory_bytes"]
    given = ("--nodes", "50", "--edges", "70", "--skew", "0.5")
    (small,) = rows(nas(*measure, *given).stdout)
    assert small["workload"] == {"nodes": 50, "edges": 70, "skew": 0.5, "graphs": 1}


def test_a_bundle_on_a_graph_as_large_as_its_own(bundle: str, nas: Nas) -> None:
    """Text and CSV; no database is needed for it."""
    result = run("latency", "measure", bundle, "--rounds", "2", "--format", "csv")
    header, row = (line.split(",") for line in result.stdout.splitlines())
    assert row[header.index("workload.nodes")] == str(NODES)
    (own,) = rows(nas("latency", "measure", "tiny", "0", "--format", "json").stdout)
    assert row[header.index("workload.edges")] == str(own["workload"]["edges"])
    text = run("latency", "measure", bundle, "--rounds", "2", "--nodes", "30").stdout
    assert text.startswith("runtime  latency_ms  cpu_ms  wall_ms")
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["tiny", "99"], 'study "tiny" has 3 trials, numbered from 0; there is no trial 99'),
        (["tniy", "0"], 'did you mean "tiny"?'),
        (["tiny"], "nas latency measure tiny TRIAL"),
        (["."], "is not a bundle"),
        (["tiny", "0", "--edges", "0"], "edges: expected 1 or more, got 0"),
        (["tiny", "0", "--skew", "1"], "--skew"),
        (["tiny", "0", "--graphs", "3"], "graphs: expected 1, as nodes are classified, got 3"),
        (["tiny", "0", "--threads", "9999"], "the cores that this process may use, got 9999"),
        (["tiny", "0", "--runtime", "egaer"], "--runtime"),
        (["tiny", "zero"], "TRIAL"),
    ],
)
def test_bad_input_is_a_line_with_its_remedy(
    arguments: list[str], part: str, nas: Nas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 2, and nothing on stdout."""
    monkeypatch.chdir(tmp_path)
    result = nas("latency", "measure", *arguments, code=2)
    assert part in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_a_bundle_takes_no_trial(bundle: str, nas: Nas) -> None:
    """Said beside what is wrong with the study of that name."""
    result = nas("latency", "measure", bundle, "3", code=2)
    assert f"a bundle takes no trial number: nas latency measure {bundle}" in result.stderr
    assert "bundle" not in nas("latency", "measure", "tiny", "99", code=2).stderr


def test_without_a_compiler_only_eager_runs(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how to get one."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    both = ("--runtime", "eager", "--runtime", "compiled")
    result = nas("latency", "measure", "tiny", "0", *both, code=2)
    assert '"no-such-compiler" is not on the PATH; install' in result.stderr
    nas("latency", "measure", "tiny", "0", "--rounds", "1")


@pytest.mark.slow
def test_both_runtimes_of_a_bundle(bundle: str) -> None:
    """The program is compiled with its preparation of features; nothing is left behind."""
    both = ("--runtime", "eager", "--runtime", "compiled")
    before = sorted(Path(bundle).iterdir())
    found = rows(run("latency", "measure", bundle, *both, "--format", "json").stdout)
    assert [row["runtime"] for row in found] == ["eager", "compiled"]
    assert all(row["latency_ms"] > 0 for row in found)
    assert sorted(Path(bundle).iterdir()) == before


def test_noise_is_said() -> None:
    """With its figures, and what to do; a quiet measurement says nothing."""

    def measured(*, noisy: bool) -> Measured:
        timing = Timing(1, 1, 1, 1, 1, 0.31, 9, 2.5, 0.12, noisy)
        return Measured("eager", timing, Device("here", "a machine", "0"), Workload(3, 2))

    assert measured(noisy=False).warning == ""
    warning = measured(noisy=True).warning
    assert "2.5 processes a core, spread 31%, the reference slower by 12%" in warning
    assert "measure again" in warning


def test_what_is_not_given_is_as_the_graphs_own() -> None:
    """Edges follow the nodes."""
    own = Workload(100, 250, 0.4, 5)
    assert Sizes().workload(own) == own
    assert Sizes(nodes=200).workload(own) == Workload(200, 500, 0.4, 5)
    assert Sizes(edges=7, graphs=2).workload(own) == Workload(100, 7, 0.4, 2)


def test_help_is_light() -> None:
    """It lists its commands, and imports no torch."""
    code = (
        "from nas.cli import main; main(['latency', '--help'], standalone_mode=False)\n"
        "import sys; print('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "measure" in result.stdout
    assert result.stdout.splitlines()[-1] == "False"
