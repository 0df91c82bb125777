"""Programs of a sample of networks, compared here and where this program is not there.

All of them are in benchmarks/deploy.md. What is compared takes seconds to minutes to compile.
"""

import deploy_parity
import pytest

SAMPLE = [
    ("gcn", "node", "aoti"),
    ("gat", "graph", "aoti"),
    ("cheb", "node", "aoti"),
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
