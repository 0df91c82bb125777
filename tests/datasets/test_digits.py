"""The embedded datasets: their facts, and that there is something to learn in them."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import one_hot

from evaluators.datasets.digits_knn import build as digits_knn
from evaluators.datasets.digits_pixels import build as digits_pixels

NOWHERE = Path("/nowhere")


@pytest.fixture(scope="module")
def knn():
    return digits_knn(NOWHERE)


def test_digits_knn_is_the_graph_it_says(knn):
    """1,797 images, 5 labels a class, at least 8 neighbors each, both ways, no self-loops."""
    assert knn.x.shape == (1797, 64)
    assert knn.y[knn.train].bincount().tolist() == [5] * 10
    assert [int(m.sum()) for m in (knn.train, knn.val, knn.test)] == [50, 500, 1247]
    source, target = knn.edge_index
    assert int(target.bincount().min()) == 8
    assert (source != target).all()
    edges = set(map(tuple, knn.edge_index.T.tolist()))
    assert edges == {(b, a) for a, b in edges}


def test_neighbors_are_the_nearest(knn):
    """Against distances computed another way, for a few images."""
    for image in (0, 100, 1796):
        distances = (knn.x - knn.x[image]).norm(dim=1)
        distances[image] = torch.inf
        nearest = set(distances.topk(8, largest=False).indices.tolist())
        joined = set(knn.edge_index[0, knn.edge_index[1] == image].tolist())
        eighth = distances.kthvalue(8).values
        assert nearest <= joined | set((distances == eighth).nonzero().flatten().tolist())


def test_labels_spread_along_the_edges_and_shuffled_ones_do_not(knn):
    """Label propagation from 50 labels is far above chance (0.1); with shuffled labels at chance.

    Zhu and Ghahramani, "Learning from Labeled and Unlabeled Data with Label Propagation", 2002.
    """
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
    assert _propagated(knn, knn.y) > 0.8
    assert _propagated(knn, knn.y[order]) < 0.2


def _propagated(raw, y) -> float:
    known = one_hot(y, 10).float() * raw.train[:, None]
    source, target = raw.edge_index
    belief = known
    for _ in range(20):
        spread = torch.zeros_like(belief).index_add_(0, target, belief[source])
        belief = spread / spread.sum(1, keepdim=True).clamp(min=1e-9)
        belief = torch.where(raw.train[:, None], known, belief)
    hits = belief.argmax(1) == y
    return float(hits[raw.test].float().mean())


def test_digits_pixels_are_the_graphs_they_say():
    """About 33 nodes in each of 1,797 graphs, up to 8 neighbors, both ways, within the graph."""
    raw = digits_pixels(NOWHERE)
    sizes = raw.graph_ids.bincount()
    assert len(sizes) == raw.y.numel() == 1797
    assert 32 < float(sizes.float().mean()) < 34
    assert raw.x.shape == (int(sizes.sum()), 1)
    assert 0 < float(raw.x.min()) <= float(raw.x.max()) == 1
    source, target = raw.edge_index
    assert int(target.bincount().max()) == 8
    assert torch.equal(raw.graph_ids[source], raw.graph_ids[target])
    key, reverse = source * len(raw.x) + target, target * len(raw.x) + source
    assert torch.equal(key.sort().values, reverse.sort().values)
    assert (source != target).all()


def test_digits_pixels_can_be_fewer():
    """A stratified draw, by its seed."""
    one, same, other = (digits_pixels(NOWHERE, graphs=100, seed=s) for s in (0, 0, 1))
    assert one.y.numel() == 100
    assert int(one.y.bincount().min()) >= 9
    assert torch.equal(one.x, same.x)
    assert one.x.shape != other.x.shape or not torch.equal(one.x, other.x)
