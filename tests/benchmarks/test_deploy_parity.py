"""Programs of a sample of networks, compared here and where this program is not there.

All of them are in benchmarks/deploy.md. What is compared takes seconds to minutes to compile.
"""

import deploy_parity
import pytest

from search_spaces import plugins

SAMPLE = [
    ("gcn", "node", "aoti"),
    ("gat", "graph", "aoti"),
    ("sage", "node", "onnx"),
    ("transformer", "graph", "onnx"),
    ("tag", "node", "pt2"),
    ("gin", "graph", "pt2"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("operator", "task", "name"), SAMPLE)
def test_a_program_is_its_network_here_and_elsewhere(operator: str, task: str, name: str) -> None:
    """To 1e-5, without PyG and this program, without torch for ONNX; other weights are not."""
    rows, _ = deploy_parity._one(operator, task, name)
    here, elsewhere, control = rows
    assert (here["ok"], elsewhere["ok"], control["ok"]) == (True, True, True)
    assert max(here["value"], elsewhere["value"]) <= 1e-5
    assert control["value"] > 1e-2


@pytest.mark.slow
def test_what_the_compiler_gets_wrong_is_refused_before_and_after() -> None:
    """If this fails, torch has been mended: `Aoti.unfit` goes."""
    network, _, _ = deploy_parity._networks("cheb", "node_classification")
    exporter = plugins.load("exporter", "aoti").build()
    assert "connectivity dense" in exporter.unfit(network)
    [refused], said = deploy_parity._one("cheb", "node", "aoti")
    assert refused["ok"] is True
    assert "refused" in said


def test_only_what_is_concatenated_is_unfit() -> None:
    """The control of the refusal: other operators, and cheb in networks without concatenation."""
    exporter = plugins.load("exporter", "aoti").build()
    assert exporter.unfit(deploy_parity._networks("gcn", "node_classification")[0]) == ""
    assert exporter.unfit(deploy_parity._networks("cheb", "graph_classification")[0]) == ""
