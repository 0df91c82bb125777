"""The engine trains as PyTorch Geometric does: every operator, depth, normalization, connectivity.

In full, on Cora, in benchmarks/parity.py; here on 300 nodes.
"""

from collections.abc import Mapping, Sequence

import parity
import parity_cases
import parity_curves
import parity_dropout
import parity_measure as measure
import pytest
import torch
from parity_cases import OPERATORS, Case, grid
from parity_measure import CPU

from evaluators.datasets import Dataset
from evaluators.engine.graph import Graph
from evaluators.engine.reading import read
from nas.compare import holm

FIRST_STEP = 1e-5
FALSE_ALARMS = 0.05
# Depth 2 for every operator; deeper where differences grow, or much is stacked.
CURVES = [
    *(Case(operator, 2) for operator in OPERATORS),
    Case("gin", 4),
    Case("gcn", 4, "batch", "residual"),
    Case("gat", 4, "layer", options={"heads": 4}),
    Case("sage", 3, "batch", options={"aggregation": "max"}),
    Case("gin", 2, "batch"),
]


@pytest.fixture(scope="module")
def ring() -> Dataset:
    return parity_cases.ring()


@pytest.fixture(scope="module")
def graphs(ring: Dataset) -> Mapping[torch.dtype, Graph]:
    return {dtype: Graph(ring, dtype, CPU) for dtype in (torch.float32, torch.float64)}


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_first_step(operator: str, graphs: Mapping[torch.dtype, Graph]) -> None:
    """Loss and all gradients, at each depth, normalization and connectivity, in float64."""
    found = {
        str(case): measure.first_step(case, graphs[torch.float64]) for case in grid([operator])
    }
    assert {case: off for case, off in found.items() if not off <= FIRST_STEP} == {}


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_first_step_of_an_operator_as_output(
    operator: str, graphs: Mapping[torch.dtype, Graph]
) -> None:
    """Which maps to the classes, as in the two-layer GCN."""
    output = "linear" if operator == "skip" else operator
    case = Case(operator, 1, output=output)
    assert measure.first_step(case, graphs[torch.float64]) <= FIRST_STEP


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("fault", range(len(measure.FAULTS)), ids=measure.FAULTS)
def test_a_fault_shows_in_the_first_step(operator: str, fault: int, ring: Dataset) -> None:
    """The control: fields one hop too small, and one entry of a matrix; each where it is read."""
    faulty = measure.faulty(ring, torch.float64)[measure.FAULTS[fault]]
    off = measure.first_step(Case(operator, 2), faulty)
    assert (off > FIRST_STEP) == measure.shows(operator, measure.FAULTS[fault])


@pytest.mark.parametrize("case", CURVES, ids=str)
def test_curves(case: Case, graphs: Mapping[torch.dtype, Graph]) -> None:
    """30 epochs are at most 3 times as far from PyG's as PyG's with its edges permuted."""
    (found,) = parity_curves.parity(case, [graphs[torch.float32]])
    assert found.holds, found


@pytest.mark.parametrize("case", CURVES, ids=str)
def test_curves_in_float64(case: Case, graphs: Mapping[torch.dtype, Graph]) -> None:
    """Rounding is not what lets them agree: in float64 they do to 1e-9."""
    found = parity_curves.rounding(case, graphs[torch.float32], graphs[torch.float64])
    assert found.exact <= 1e-9, found


def test_which_of_two_is_nearer_to_float64() -> None:
    """The control: an engine that is always farther is found out, one that is not is not."""
    cases = [*grid(["gcn", "gat"])]
    single = parity_curves.Parity(0.0, [0.0])
    for engine, plain, ok in ((2e-7, 1e-7, False), (1e-7, 2e-7, True)):
        rounding = parity_curves.Rounding(engine, plain, 0.0)
        text, row = parity.of_float64(dict.fromkeys(cases, (single, rounding)))
        assert row["ok"] == ok, text


@pytest.mark.parametrize("operator", ["gcn", "gat", "sage"])
def test_a_fault_shows_in_a_curve(operator: str, ring: Dataset) -> None:
    """The control: each fault is farther from PyG's curve than allowed, where it is read."""
    faulty = measure.faulty(ring, torch.float32)
    graphs = [Graph(ring, torch.float32, CPU), *faulty.values()]
    sound, *found = parity_curves.parity(Case(operator, 2), graphs, 6)
    assert sound.holds
    for fault, one in zip(faulty, found, strict=True):
        assert one.holds != measure.shows(operator, fault)


def test_fields_are_parts_of_the_ring(ring: Dataset, graphs: Mapping[torch.dtype, Graph]) -> None:
    """So that what is compared is not the whole graph on both sides; and the ring is learnable."""
    for case, training in ((Case("gcn", 4), True), (Case("gcn", 4, "batch"), False)):
        program = read(case.network(ring.task), ring.x.size(1))
        view = graphs[torch.float32].view(
            ring.train.nonzero().squeeze(1), program, training=training
        )
        assert view.share < 0.6
    curve = measure.plain(Case("gcn", 2).network(ring.task), ring)
    assert curve.accuracies[-1] > 0.7


def _unequal(ours: Sequence[measure.Curve], theirs: Sequence[measure.Curve]) -> dict[str, float]:
    return {name: one.p for name, one in parity_dropout.differences(ours, theirs).items()}


@pytest.mark.slow
def test_means_with_dropout(graphs: Mapping[torch.dtype, Graph], ring: Dataset) -> None:
    """Of 30 seeds, for six operators; and the control, dropout at twice its probability, is found.

    The chance of a false alarm is 0.05 for all comparisons together (Holm). Seeds are fixed: what
    it says once it says again.
    """
    graph, p, seeds, epochs = graphs[torch.float32], 0.4, range(30), 30
    sound, control = dict[tuple[str, str], float](), dict[str, float]()
    for operator in ("gcn", "gat", "gin", "sage", "tag", "linear"):
        case = Case(operator, 2)
        theirs = parity_dropout.plain_with_dropout(case, ring, p, seeds, epochs)
        ours = parity_dropout.with_dropout(case, graph, p, seeds, epochs)
        sound |= {(operator, n): q for n, q in _unequal(ours, theirs).items()}
        twice = parity_dropout.with_dropout(case, graph, 2 * p, seeds, epochs)
        control[operator] = min(_unequal(twice, theirs).values())
    assert min(holm([*sound.values()])) >= FALSE_ALARMS, sound
    assert max(control.values()) * len(sound) < FALSE_ALARMS, control
