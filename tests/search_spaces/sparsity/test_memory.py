"""A ticket takes memory for each edge: a large graph trains with one in little."""

import subprocess
import sys

NODES, PAIRS, FEATURES = 20_000, 100_000, 32
# In a process of its own: what it took at most, before and after, in bytes.
PROGRAM = f"""
import resource, sys
import torch
from dataclasses import replace
from pathlib import Path
from fakes import sparse
from nas.contracts import graphs

def most():
    # Linux counts into ru_maxrss what the process was before it became this program.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(l for l in status.read_text().splitlines() if l.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale

rng = torch.Generator().manual_seed(0)
ends = torch.randint({NODES}, (2, {PAIRS}), generator=rng)
third = torch.arange({NODES}) % 3
dataset = replace(
    graphs.node_graph(),
    x=torch.randn({NODES}, {FEATURES}, generator=rng),
    edge_index=torch.cat([ends, ends.flip(0)], 1),
    y=torch.arange({NODES}) % 3,
    train=third == 0, val=third == 1, test=third == 2,
)
before = most()
network = sparse.network(
    {{"width": [64]}}, dataset, method="granet", weight_density=0.5, edge_density=0.5,
    over_epochs=2, every=1,
)
for _ in sparse.training(network, 4, dataset=dataset):
    pass
left = network.sparsity.edges.kept(dataset.edge_index).size(1)
if len(sys.argv) > 1:
    pairs = torch.zeros({NODES}, {NODES})  # control: a mask of all pairs of nodes
    pairs.fill_(1)
print(before, most(), left, dataset.edge_index.size(1))
"""


def measured(*arguments: str) -> tuple[int, int, int, int]:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    before, most, left, edges = map(int, ran.stdout.split())
    return before, most, left, edges


def test_twenty_thousand_nodes_in_less_than_a_gigabyte() -> None:
    """All of the process, libraries included; a mask of all pairs alone would take 1.6 GB."""
    before, most, left, edges = measured()
    assert most < 1e9
    assert before < most
    assert abs(left / edges - 0.5) < 0.01
    assert NODES**2 * 4 > 1e9


def test_a_mask_of_pairs_would_be_noticed() -> None:
    """Control."""
    assert measured("pairs")[1] > 1.6e9
