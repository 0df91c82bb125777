"""The contracts can fail: a plug-in that breaks one clause is refused by that clause."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nas.contracts import _selected
from search_spaces import PluginError
from search_spaces.plugins import PACKAGES

# What each of tests/outside/broken breaks.
BROKEN = {
    "operator": ["test_nodes_have_no_order"],
    "dataset": ["test_splits_are_disjoint_and_labeled", "test_it_says_what_its_data_is_under"],
    "strategy": ["test_a_proposal_does_not_depend_on_earlier_calls"],
    "evaluator": ["test_company_changes_nothing", "test_a_network_with_a_fault_is_a_failure"],
    "exporter": ["test_the_program_computes_what_the_network_does"],
    "space": ["test_the_same_space_is_built_again"],
    "extension": ["test_every_choice_makes_a_difference"],
    "preparation": ["test_in_parts_it_is_what_it_is_at_once"],
    "inheritance": ["test_the_parent_keeps_its_own"],
    "executor": ["test_the_numbers_are_those_of_inline"],
}


def contracts(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "nas.contracts", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """(kind, test) of what was not passed, in one run for all kinds."""
    report = tmp_path_factory.mktemp("report") / "report.xml"
    named = [f"--plugin={kind}=broken.{kind}" for kind in BROKEN]
    clauses = [clause for broken in BROKEN.values() for clause in broken]
    done = contracts(*named, "-q", f"--junit-xml={report}", "-k", " or ".join(clauses))
    assert done.returncode == 1, done.stdout
    cases = ElementTree.parse(report).iter("testcase")  # noqa: S314 - our own report
    return {
        (case.attrib["classname"].rpartition("test_")[2], case.attrib["name"].partition("[")[0])
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }


@pytest.mark.parametrize(("kind", "clause"), [(k, c) for k, many in BROKEN.items() for c in many])
def test_what_breaks_a_clause_is_refused_by_it(
    kind: str, clause: str, failed: set[tuple[str, str]]
) -> None:
    """The clause itself, and no other, since each is broken by one plug-in alone."""
    assert (kind, clause) in failed
    assert {one for of, one in failed if of == kind} == set(BROKEN[kind])


def test_every_contract_has_a_control() -> None:
    """Each kind that has a module in nas/contracts."""
    import nas.contracts

    (folder,) = nas.contracts.__path__
    there = {path.stem.removeprefix("test_") for path in Path(folder).glob("test_*.py")}
    assert there == set(BROKEN)
    assert there <= set(PACKAGES)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("strategi=mine", 'no contract for the kind "strategi"; did you mean "strategy"?'),
        ("strategy", "expected KIND=NAME[:OPTION=VALUE...]"),
        ("strategy=broken.nothing", 'the strategy "broken.nothing" cannot be imported'),
        ("strategy=local:startups=3", 'local has no option "startups"; did you mean "startup"?'),
        ("strategy=local:startup=[3", "startup: expected TOML, got [3"),
    ],
)
def test_what_cannot_be_tested_is_refused_in_words(given: str, says: str) -> None:
    """Before anything is collected."""
    with pytest.raises(PluginError) as caught:
        _selected.named([given], list(BROKEN))
    assert says in str(caught.value)


def test_a_refusal_is_a_line_and_no_traceback() -> None:
    """With pytest's own status for wrong usage."""
    done = contracts("--plugin", "strategy=locall")
    assert done.returncode == 4
    assert done.stderr.startswith("ERROR: --plugin strategy=locall: no strategy is called")
    assert "Traceback" not in done.stderr


def test_options_are_read_as_in_a_study_file() -> None:
    """Numbers, lists and words; what the program's own need is there unless given."""
    chosen = _selected.named(
        ["evaluator=training:lr=0.1:optimizer=sgd", "space=gnn:depth=[1, 2]"], list(BROKEN)
    )
    (training,), (space,) = chosen["evaluator"], chosen["space"]
    assert training.options == {"epochs": 6, "lr": 0.1, "optimizer": "sgd"}
    assert space.options == {"depth": (1, 2)}
