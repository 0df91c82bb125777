"""A machine without internet, and small graphs to spoil."""

import socket

import pytest
import torch

from evaluators.datasets import RawDataset
from nas.contracts import graphs


@pytest.fixture(autouse=True, scope="module")
def _no_internet():
    """No test here downloads: every name is unknown, as on a machine without internet."""

    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", unknown)
        yield


@pytest.fixture(scope="session")
def node_raw() -> RawDataset:
    """Ten nodes in a path, two classes; the last node has no label and is in no split."""
    return graphs.path()


@pytest.fixture(scope="session")
def graph_raw() -> RawDataset:
    """Six graphs of two nodes each, joined by an edge."""
    sources = torch.arange(0, 12, 2)
    return RawDataset(
        name="pairs",
        kind="graph_classification",
        x=torch.arange(12, dtype=torch.float32)[:, None],
        edge_index=torch.stack([sources, sources + 1]),
        y=torch.tensor([0, 1, 0, 1, 0, 1]),
        train=graphs.mask(6, 0, 1),
        val=graphs.mask(6, 2, 3),
        test=graphs.mask(6, 4, 5),
        n_classes=2,
        graph_ids=torch.arange(6).repeat_interleave(2),
    )
